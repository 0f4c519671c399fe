"""The environments of a local run: nothing of the developer's own AWS gets in."""

import os
from pathlib import Path

import pytest

from local import settings

OWN_SET_UP = {
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "AWS_SESSION_TOKEN": "real",
    "AWS_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL_SQS": "https://sqs.example",
    "AWS_CONFIG_FILE": "/home/me/.aws/config",
    "CDK_DEFAULT_ACCOUNT": "123456789012",
    "PYTHONPATH": "/home/me/lib",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HTTPS_PROXY": "http://proxy:3128",
}


@pytest.fixture(autouse=True)
def own_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OWN_SET_UP.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["cloud", "cdk"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param == "cloud":
        return settings.cloud_environment(port=4711, temporary=tmp_path)
    return settings.cdk_environment(endpoint="http://127.0.0.1:4711")


def test_takes_nothing_of_the_developers_own_aws(environment: dict[str, str]) -> None:
    kept = {name for name, value in OWN_SET_UP.items() if environment.get(name) == value}

    assert kept <= {"HTTPS_PROXY"}
    assert environment["AWS_ACCESS_KEY_ID"] == settings.ACCESS_KEY_ID
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "us-east-1"
    assert environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"


def test_tools_come_from_the_virtualenv(environment: dict[str, str]) -> None:
    assert environment["PATH"].split(os.pathsep)[0] == str(settings.TOOLS)


def test_cloud_knows_no_proxy(tmp_path: Path) -> None:
    assert "HTTPS_PROXY" not in settings.cloud_environment(port=4711, temporary=tmp_path)


def test_cdk_keeps_the_proxy_for_everything_but_the_cloud() -> None:
    environment = settings.cdk_environment(endpoint="http://127.0.0.1:4711")

    assert environment["HTTPS_PROXY"] == "http://proxy:3128"
    assert environment["NO_PROXY"].split(",")[0] == "127.0.0.1"
