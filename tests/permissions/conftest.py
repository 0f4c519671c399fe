"""One stack, deployed with IAM enforced, for all of these tests."""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import jwt
import pytest

from local import stack
from local.demo.stage import Stage
from local.stack import Stack
from tests.permissions import removal
from tests.permissions.grants import Deployed
from tests.permissions.playing import Play
from tests.permissions.removal import Recorded

SERVER = "tests.permissions.cloud"
CHAT = {"max_wait_seconds": 45, "idle_seconds": 45, "agent_away_seconds": 15}


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tells how far it has come, whatever pytest captures."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print(text, file=sys.stderr, flush=True)

    return tell


@pytest.fixture(scope="session")
def tokens() -> Iterator[set[str]]:
    """Every token that is made from now on."""
    made: set[str] = set()
    encode = jwt.encode

    def encoding(*args: Any, **options: Any) -> str:
        token = encode(*args, **options)
        made.add(token)
        return token

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jwt, "encode", encoding)
        yield made


@pytest.fixture(scope="session")
def enforced(tokens: set[str], tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("stack")
    with stack.running(directory, chat=CHAT, enforce_iam=True, server=SERVER, report=say) as started:
        yield started


@pytest.fixture(scope="session")
def stage(enforced: Stack) -> Stage:
    return Stage(enforced.installation, enforced.keys, say=lambda _text: None)


@pytest.fixture(scope="session")
def play(enforced: Stack, stage: Stage) -> Play:
    return Play(stage, Deployed(enforced.installation.clients, enforced.cloud.directory))


@pytest.fixture(scope="session")
def recorded(play: Play, say: Callable[[str], None]) -> Recorded:
    """Every scene, played with everything that is granted."""
    return removal.record(play, say)
