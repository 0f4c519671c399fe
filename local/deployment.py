"""The real CDK app, deployed by the real CDK command; only the endpoint is ours."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local import settings
from local.cloud import Cloud, last_lines
from local.errors import DeploymentFailed
from local.installation import Clients

STACKS = ("Ringback-local", "Ringback-local-Chat")
APP = (sys.executable, "-m", "cdk_app")

_CDK = settings.ROOT / "node_modules" / ".bin" / "cdk"
_POLL_SECONDS = 0.1
_BOOTSTRAP_STACK = "CDKToolkit"

Report = Callable[[str], None]


def deploy(
    cloud: Cloud,
    stage_settings: Mapping[str, Any],
    *,
    report: Report,
    app: Sequence[str] = APP,
    stacks: Sequence[str] = STACKS,
) -> dict[str, str]:
    """Deploy the stacks into this cloud, again if they are there; returns the outputs of all.

    Raises:
        DeploymentFailed
    """
    if not _CDK.exists():
        raise DeploymentFailed(f"{_CDK} is missing. `npm ci` installs it (npm is in the virtualenv).")
    context = {"stage": "local", "settings": json.dumps({"local_endpoint_url": cloud.endpoint, **stage_settings})}
    outputs = cloud.directory / "outputs.json"
    if not _is_bootstrapped(cloud):
        report("cdk bootstrap")
        environment = f"aws://{settings.ACCOUNT}/{settings.REGION}"
        # Away from cdk.json's app: bootstrapping needs none, and would run it.
        _cdk(cloud, "bootstrap", environment, "--app", "", "--context", "stage=local")
    report(f"cdk deploy {' '.join(stacks)}")
    _cdk(
        cloud,
        "deploy",
        *stacks,
        *("--app", shlex.join(app)),
        *(argument for name, value in context.items() for argument in ("--context", f"{name}={value}")),
        *("--output", str(cloud.directory / "cdk.out")),
        *("--outputs-file", str(outputs)),
        *("--require-approval", "never"),
        *("--method", "direct"),  # no change set to review: it is the slower half
    )
    result: dict[str, dict[str, str]] = json.loads(outputs.read_text())
    return {name: value for stack in stacks for name, value in result[stack].items()}


def _is_bootstrapped(cloud: Cloud) -> bool:
    try:
        Clients(cloud.endpoint).cloudformation.describe_stacks(StackName=_BOOTSTRAP_STACK)
    except ClientError:
        return False
    return True


def _cdk(cloud: Cloud, *arguments: str) -> None:
    log = cloud.directory / f"cdk-{arguments[0]}.log"
    command = [str(_CDK), *arguments, "--no-notices", "--no-version-reporting"]
    with _process(command, log, settings.cdk_environment(endpoint=cloud.endpoint)) as process:
        while (code := process.poll()) is None:
            cloud.ensure_alive()  # or the CDK would try for a minute
            time.sleep(_POLL_SECONDS)
    if code:
        cloud.ensure_alive()
        raise DeploymentFailed(f"`cdk {arguments[0]}` failed (exit code {code}). {last_lines(log, 30)}")


@contextlib.contextmanager
def _process(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process and what it starts, all gone at the end, whatever the end is."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own tool
            command,
            cwd=settings.ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
