"""What every test stands on: no real AWS account, no client left over from another test, no impatient Hypothesis."""

import os

import hypothesis
import pytest

# Set here, not in a hook or fixture: the handlers make their logger and metrics at import, and the
# conftest modules below this one import handlers.
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_REGION": "eu-central-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "POWERTOOLS_SERVICE_NAME": "ringback",
    "POWERTOOLS_METRICS_NAMESPACE": "Ringback",
}
_environment = pytest.MonkeyPatch()
for _name, _value in _ENVIRONMENT.items():
    _environment.setenv(_name, _value)
for _name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL"):
    _environment.delenv(_name, raising=False)

hypothesis.settings.register_profile("ringback", deadline=None)  # the machine may be busy with something else
hypothesis.settings.load_profile("ringback")


@pytest.fixture(autouse=True)
def fresh_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client knows the endpoint and the mock that were there when it was made."""
    from lambdas import clients
    from lambdas.chat.adapters import aws

    monkeypatch.setattr(clients, "_made", {})
    clients.session.cache_clear()
    aws.ringback.cache_clear()
