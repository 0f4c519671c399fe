"""One deployed stack for all tests of operations, on a free port; every test leaves it as the first version has it."""

from collections.abc import Iterator

import pytest

from local import stack
from tests.operations.operated import Operated

FIRST_SETTINGS = {"default_ack_timeout_seconds": 40, "max_attempts": 50}


@pytest.fixture(scope="session")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    with stack.running(tmp_path_factory.mktemp("stack"), stage=FIRST_SETTINGS) as started:
        yield Operated(started, FIRST_SETTINGS)
