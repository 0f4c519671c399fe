"""The whole of Ringback on this machine: MiniStack, keys for tokens, and the CDK app deployed."""

import contextlib
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from local import cloud, deployment, settings
from local.cloud import Cloud
from local.installation import Installation
from local.tokens import Keys


@dataclass(frozen=True)
class Stack:
    """A running installation, the cloud it is in, and the keys its tokens are signed with."""

    installation: Installation
    cloud: Cloud
    keys: Keys


@contextlib.contextmanager
def running(directory: Path, *, port: int | None = None, report: deployment.Report = print) -> Iterator[Stack]:
    """Have an installation of its own in this directory. Nothing of it runs on at the end.

    Raises:
        AlreadyRunning, PortBusy, CloudFailed, DeploymentFailed
    """
    report(f"MiniStack {settings.MINISTACK_VERSION}")
    with cloud.running(directory, port=port) as started:
        keys = Keys.make()
        keys.save(started.directory)
        outputs = deployment.deploy(started, {"token": keys.stage_settings()}, report=report)
        yield Stack(read_outputs(outputs, started), started, keys)


def read_outputs(outputs: Mapping[str, str], started: Cloud) -> Installation:
    """The stack's outputs, under the names that Python uses."""
    named = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): value for name, value in outputs.items()}
    return Installation.of({**named, "endpoint": started.endpoint, "token_command": token_command(started.directory)})


def token_command(directory: Path) -> str:
    """What prints a token; a user has to be added."""
    command = [sys.executable, "-m", "local", "token"]
    if directory != settings.DIRECTORY:
        command += ["--directory", str(directory)]
    return shlex.join(command)
