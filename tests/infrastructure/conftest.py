"""Fixtures: each stage synthesized once a session, in this process, without the CDK command."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.synthesis import CHATS, STAGES, Synthesis, synthesize, synthesize_chat


@pytest.fixture(scope="session")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the syntheses of this session go."""
    return tmp_path_factory.mktemp("synthesis")


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Synthesis needs none; uv, which it runs, refuses any."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("UV_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def dev(outputs: Path) -> Synthesis:
    """A stage as it comes."""
    return synthesize("dev", outputs / "dev")


@pytest.fixture(scope="session")
def prod(outputs: Path) -> Synthesis:
    """A stage that keeps its data."""
    return synthesize("prod", outputs / "prod")


@pytest.fixture(scope="session")
def local(outputs: Path) -> Synthesis:
    """The stage on the developer's machine."""
    return synthesize("local", outputs / "local")


@pytest.fixture(scope="session")
def everything(outputs: Path) -> Synthesis:
    """A stage with every setting that adds something: a key of its own, a shared secret, cookies, limits."""
    return synthesize("everything", outputs / "everything")


@pytest.fixture(scope="session")
def chat(outputs: Path) -> Synthesis:
    """The chat of a stage as it comes."""
    return synthesize_chat("chat", outputs / "chat")


@pytest.fixture(scope="session")
def chat_of_everything(outputs: Path) -> Synthesis:
    """The chat of a stage with every setting that adds something."""
    return synthesize_chat("chat_of_everything", outputs / "chat_of_everything")


@pytest.fixture(scope="session")
def local_chat(local: Synthesis) -> Synthesis:
    """The chat on the developer's machine."""
    return Synthesis(f"{local.stack}-Chat", local.directory)


@pytest.fixture(params=[*CHATS, "local_chat"])
def any_chat(request: pytest.FixtureRequest) -> Any:
    """Every chat in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=STAGES)
def any_stage(request: pytest.FixtureRequest) -> Any:
    """Every stage in turn."""
    return request.getfixturevalue(request.param)
