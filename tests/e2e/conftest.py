"""One deployed stack for all e2e tests, on a free port; every test has users of its own."""

import uuid
from collections.abc import Iterator

import pytest

from local import stack
from local.demo.stage import Stage
from tests.e2e.chatting import CHAT


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stack.running(tmp_path_factory.mktemp("stack"), chat=CHAT) as started:
        yield Stage(started.installation, started.keys, say=print)


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4()}"
