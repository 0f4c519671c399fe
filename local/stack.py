"""The whole of Ringback on this machine: MiniStack, keys for tokens, and the CDK app deployed."""

import contextlib
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from local import cloud, deployment, issuer, settings
from local.cloud import Cloud
from local.errors import DeploymentFailed
from local.installation import Installation
from local.tokens import Keys


@dataclass(frozen=True)
class Stack:
    """A running installation, the cloud it is in, and the keys its tokens are signed with."""

    installation: Installation
    cloud: Cloud
    keys: Keys


@contextlib.contextmanager
def running(
    directory: Path,
    *,
    port: int | None = None,
    chat: Mapping[str, Any] | None = None,
    stage: Mapping[str, Any] | None = None,
    enforce_iam: bool = False,
    server: str = cloud.SERVER,
    report: deployment.Report = print,
) -> Iterator[Stack]:
    """Have an installation of its own in this directory. Nothing of it runs on at the end.

    Args:
        directory: where it lives.
        port: of the cloud; a free one unless told.
        chat: settings of the chat, on top of those of the local stage, such as `{"idle_seconds": 5}`.
        stage: further settings of the stage, such as `{"default_ttl_seconds": 60}`.
        enforce_iam: whether roles may do what their policies allow, and nothing else; functions have their roles then.
        server: the module that MiniStack's process runs.
        report: hears of the steps.

    Raises:
        AlreadyRunning, PortBusy, CloudFailed, DeploymentFailed
    """
    with cloud.running(directory, port=port, enforce_iam=enforce_iam, server=server) as started:
        report(f"MiniStack {settings.MINISTACK_VERSION} at {started.endpoint}")
        keys = Keys.make(backend_issuer=issuer.url(started.endpoint))
        keys.save(started.directory)
        try:
            issuer.publish(started.endpoint, keys)
            outputs = deployment.deploy(started, settings_of(keys, chat=chat, stage=stage), report=report)
            installation = read_outputs(outputs, endpoint=started.endpoint, directory=started.directory)
            yield Stack(installation, started, keys)
        finally:
            Keys.remove(started.directory)


def settings_of(
    keys: Keys, *, chat: Mapping[str, Any] | None = None, stage: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The stage's settings that a stack with these keys is deployed with, and further ones as of `running`."""
    return {
        "token": keys.stage_settings(),
        "http_api": keys.http_api_settings(),
        "chat": {**keys.chat_settings(), **(chat or {})},
        **(stage or {}),
    }


def read_outputs(outputs: Mapping[str, str], *, endpoint: str, directory: Path) -> Installation:
    """The stacks' outputs, under the names that Python uses.

    Raises:
        DeploymentFailed: an output is missing.
    """
    names = {field.name.replace("_", ""): field.name for field in fields(Installation)}
    values = {names.get(output.lower(), output): value for output, value in outputs.items()}
    values |= {"endpoint": endpoint, "token_command": token_command(directory)}
    try:
        return Installation.of(values)
    except KeyError as missing:
        raise DeploymentFailed(f"The stacks have no output for {missing}.") from None


def token_command(directory: Path) -> str:
    """What prints a token; a user has to be added."""
    command = [sys.executable, "-m", "local", "token"]
    if directory != settings.DIRECTORY:
        command += ["--directory", str(directory)]
    return shlex.join(command)
