"""One MiniStack as it is used, and one as it comes, for the whole test session (of each xdist worker)."""

from collections.abc import Callable, Iterator

import pytest

from local import cloud
from local.cloud import Cloud
from tests.integration.local.laboratory import Laboratory, Matters


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


@pytest.fixture
def matters(corrected: Laboratory, uncorrected: Laboratory) -> Matters:
    """The same observation on both: with the corrections as on AWS, without them not."""

    def check(observe: Callable[[Laboratory], object], as_on_aws: object) -> None:
        assert observe(corrected) == as_on_aws
        assert observe(uncorrected) != as_on_aws, "MiniStack does this by itself now: remove the correction"

    return check
