"""One MiniStack as it is used, and one as it comes, for the whole test session (of each xdist worker)."""

from collections.abc import Iterator

import pytest

from local import cloud
from local.cloud import Cloud
from tests.integration.local.laboratory import Laboratory


@pytest.fixture(scope="session")
def corrected_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud.running(tmp_path_factory.mktemp("corrected")) as running:
        yield running


@pytest.fixture
def corrected(corrected_cloud: Cloud) -> Laboratory:
    return Laboratory(corrected_cloud.endpoint)


@pytest.fixture(scope="session")
def uncorrected_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud.running(tmp_path_factory.mktemp("uncorrected"), corrected=False) as running:
        yield running


@pytest.fixture
def uncorrected(uncorrected_cloud: Cloud) -> Laboratory:
    return Laboratory(uncorrected_cloud.endpoint)
