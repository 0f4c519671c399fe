"""One MiniStack as it is used, and one as it comes, for the whole test session (of each xdist worker)."""

from collections.abc import Iterator

import pytest

from local import cloud
from tests.integration.local.laboratory import Laboratory


@pytest.fixture(scope="session")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with cloud.running(tmp_path_factory.mktemp("corrected")) as running:
        yield Laboratory(running)


@pytest.fixture(scope="session")
def uncorrected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with cloud.running(tmp_path_factory.mktemp("uncorrected"), corrected=False) as running:
        yield Laboratory(running)
