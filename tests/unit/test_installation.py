"""Where everything is, and with whose credentials it is asked."""

import json
from pathlib import Path
from typing import Any

import pytest

from ringback import Installation, Publisher
from ringback.errors import NotAuthenticated, NotInstalled
from ringback.installation import OUTPUTS, Clients


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "local.json"
    file.write_text(
        json.dumps(
            {
                "endpoint": "http://127.0.0.1:4600",
                "websocket_url": "ws://127.0.0.1:4600/v1",
                "delivery_state_machine_arn": "arn:delivery",
                "http_api_url": "http://api",
                "token_command": "python -m local token",
            }
        )
    )
    return file


def test_the_local_stack_s_names_are_those_of_the_outputs(file: Path) -> None:
    installation = Installation.local(file)

    assert installation.outputs == {
        "WebSocketUrl": "ws://127.0.0.1:4600/v1",
        "DeliveryStateMachineArn": "arn:delivery",
        "HttpApiUrl": "http://api",
    }
    assert set(installation.outputs) <= set(OUTPUTS)
    with pytest.raises(NotInstalled, match="AcceptFunctionName"):
        installation.output("AcceptFunctionName")


def test_another_folder_names_the_file_of_the_local_stack(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotInstalled, match=r"local\.json is not there.*Publisher\.local\(FILE\), or --local-file"):
        Publisher.local()

    assert Publisher.local(file).installation == Publisher.local(str(file)).installation == Installation.local(file)


def test_a_local_run_is_looked_at_in_the_local_console_if_that_is_known(file: Path) -> None:
    assert Installation.local(file).local_run_url("arn:aws:states:m-1") == ""
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "console_url": "http://127.0.0.1:4601"}))

    url = Installation.local(file).local_run_url("arn:aws:states:m-1")

    assert url == "http://127.0.0.1:4601/#/runs/arn:aws:states:m-1"


def test_the_local_stack_never_gets_the_developer_s_own_credentials(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_PROFILE": "mine",
        "AWS_ACCESS_KEY_ID": "mine",
        "AWS_SECRET_ACCESS_KEY": "mine",
        "AWS_SESSION_TOKEN": "mine",
        "AWS_REGION": "eu-west-3",
        "AWS_DEFAULT_REGION": "eu-west-3",
        "AWS_ENDPOINT_URL": "https://mine.example",
        "HTTP_PROXY": "http://mine.example",
        "http_proxy": "http://mine.example",
    }.items():
        monkeypatch.setenv(name, value)

    clients = Installation.local(file).clients

    credentials = clients.session.get_credentials()
    assert credentials is not None
    assert (credentials.access_key, credentials.secret_key, credentials.token) == ("local", "local", None)
    assert clients.region == "us-east-1"
    assert clients.is_local
    for client in (clients.stepfunctions, clients.sqs, clients.functions, clients.other("sts")):
        assert client.meta.endpoint_url == "http://127.0.0.1:4600"
        config: Any = client.meta.config
        assert config.proxies == {}


def test_a_client_is_made_once(file: Path) -> None:
    clients = Installation.local(file).clients

    assert clients.sqs is clients.sqs
    assert clients.management_api("http://a.test") is not clients.management_api("http://b.test")


def test_what_is_sent_is_waited_for_as_long_as_it_may_take_or_as_the_caller_has_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")

    def waits(clients: Clients) -> Any:
        config: Any = clients.functions.meta.config
        return config.read_timeout, config.retries["total_max_attempts"]

    hasty = Clients.of_aws(sending_seconds=7)
    assert waits(Clients.of_aws()) == (65, 1)
    assert waits(hasty) == waits(hasty.in_region("eu-west-1")) == (7, 1)


def test_what_aws_needs_to_know_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotAuthenticated, match="nobody"):
        Installation.of_stack(profile="nobody")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotInstalled, match="--region, in AWS_DEFAULT_REGION"):
        _ = Clients.of_aws().region
