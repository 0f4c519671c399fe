"""One stack, deployed with IAM enforced, for all of these tests."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import jwt
import pytest
from rich.console import Console

from local import stack
from local.demo import play as demo_play
from local.demo.scenes import delivery, promises, ways_in
from local.demo.stage import Stage, envelope
from local.stack import Stack
from tests.e2e.chatting import CHAT
from tests.permissions import removal
from tests.permissions.grants import Deployed
from tests.permissions.playing import Play
from tests.permissions.removal import Recorded

SERVER = "tests.permissions.cloud"


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


class Demo(NamedTuple):
    """How the demo went: what it answered, its findings, and every text of its payloads."""

    ok: bool
    scenes: list[dict[str, Any]]
    texts: set[str]


@pytest.fixture(scope="session")
def demo(enforced: Stack, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The whole demo, played once."""
    report = tmp_path_factory.mktemp("demo") / "demo.json"
    texts: set[str] = set()
    post_once = Stage.post_once

    def enveloping(user: str, payload: Any, **options: Any) -> dict[str, Any]:
        texts.update(_texts(payload))
        return envelope(user, payload, **options)

    def posting(self: Stage, connection_id: str, payload: Any) -> str:
        texts.update(_texts(payload))
        return post_once(self, connection_id, payload)

    with pytest.MonkeyPatch.context() as patch:
        for module in (demo_play, delivery, promises, ways_in):
            patch.setattr(module, "envelope", enveloping)
        patch.setattr(Stage, "post_once", posting)
        ok = demo_play.play(enforced.installation, enforced.keys, report, Console(width=120))
    return Demo(ok, json.loads(report.read_text())["scenes"], texts)


def _texts(payload: Any) -> Iterator[str]:
    match payload:
        case str():
            yield payload
        case dict() | list():
            for part in payload.values() if isinstance(payload, dict) else payload:
                yield from _texts(part)


@pytest.fixture(scope="session")
def play(enforced: Stack, stage: Stage) -> Play:
    return Play(stage, Deployed(enforced.installation.clients, enforced.cloud.directory))


@pytest.fixture(scope="session")
def recorded(play: Play, say: Callable[[str], None]) -> Recorded:
    """Every scene, played with everything that is granted."""
    return removal.record(play, say)
