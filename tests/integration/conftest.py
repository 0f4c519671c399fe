"""AWS as a service on this machine, for what moto cannot play."""

from collections.abc import Iterator

import pytest
from botocore.config import Config

from lambdas.adapters import aws
from tests.integration.service import Service


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Every service there is; the clients ask once, and are patient, because this machine may be busy."""
    once = Config(connect_timeout=10, read_timeout=10, retries={"total_max_attempts": 1})
    monkeypatch.setattr(aws, "_CONFIG", aws._CONFIG.merge(once))
    with Service().running() as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL", service.url)
        yield service
