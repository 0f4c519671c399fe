"""What is known of a local installation, and what is told about it."""

import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lambdas.chat.core.model import Role
from local import instructions, settings, stack
from local.errors import DeploymentFailed, NotRunning
from local.installation import Clients, Installation
from ringback.envelope import parse

ENDPOINT = "http://127.0.0.1:4711"
CHAT_OUTPUTS = {
    "ChatApiUrl": f"{ENDPOINT}/_aws/execute-api/ghi",
    "ChatsTableName": "Chats",
    "ChatSessionStateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:ChatSession",
}
OUTPUTS = {
    "WebSocketUrl": "ws://127.0.0.1:4711/_aws/execute-api/abc/local",
    "DeliveryStateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:Delivery",
    "FanOutStateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:FanOut",
    "AudienceBucketName": "audiences",
    "MessageTopicArn": "arn:aws:sns:us-east-1:000000000000:Messages",
    "MessageBusName": "Messages",
    "IngestQueueUrl": f"{ENDPOINT}/000000000000/Ingest",
    "AcceptFunctionName": "Accept",
    "PostOnceFunctionName": "PostOnce",
    "HttpApiUrl": f"{ENDPOINT}/_aws/execute-api/def",
    "DeadLetterQueueUrl": f"{ENDPOINT}/000000000000/DeadLetters",
    "IngestDeadLetterQueueUrl": f"{ENDPOINT}/000000000000/IngestDeadLetters",
    "ConnectionsTableName": "Connections",
    "CallbacksTableName": "Callbacks",
    "SequencesTableName": "Sequences",
    "ManagementEndpoint": "http://127.0.0.1:4711/_aws/execute-api/abc/local",
    "DisconnectFunctionName": "Disconnect",
    **CHAT_OUTPUTS,
    "SomethingNew": "that nobody here asks for",
}


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return stack.read_outputs(OUTPUTS, endpoint=ENDPOINT, directory=tmp_path)


def test_outputs_become_an_installation(installation: Installation) -> None:
    assert installation.websocket_url == OUTPUTS["WebSocketUrl"]
    assert installation.ingest_dead_letter_queue_url == OUTPUTS["IngestDeadLetterQueueUrl"]
    assert installation.disconnect_function_name == "Disconnect"
    assert installation.accept_function_name == "Accept"
    assert installation.chat_api_url == CHAT_OUTPUTS["ChatApiUrl"]
    assert installation.chats_table_name == "Chats"
    assert installation.chat_session_state_machine_arn == CHAT_OUTPUTS["ChatSessionStateMachineArn"]
    assert installation.endpoint == ENDPOINT
    assert installation.management_url == "http://127.0.0.1:4711/_aws/execute-api/abc/local"


def test_missing_output_is_named(tmp_path: Path) -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if name != "MessageTopicArn"}

    with pytest.raises(DeploymentFailed, match="message_topic_arn"):
        stack.read_outputs(outputs, endpoint=ENDPOINT, directory=tmp_path)


def test_saved_installation_is_read_again(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "build" / "local.json"
    installation.save(file)

    assert Installation.load(file) == installation
    assert json.loads(file.read_text()) == asdict(installation)


def test_no_installation(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="make up"):
        Installation.load(tmp_path / "local.json")


def test_token_command_names_a_directory_of_its_own(installation: Installation, tmp_path: Path) -> None:
    assert shlex.split(installation.token_command)[-2:] == ["--directory", str(tmp_path)]
    assert stack.token_command(settings.DIRECTORY).endswith("-m local token")


def test_clients_take_nothing_of_the_developers_own_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "https://sqs.example")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")

    client = Clients(ENDPOINT).sqs

    assert client.meta.endpoint_url == ENDPOINT
    assert client.meta.region_name == settings.REGION


def test_commands_cannot_reach_the_real_aws(installation: Installation) -> None:
    text = instructions.instructions(installation).replace("\\\n", "")
    commands = [shlex.split(line) for line in text.splitlines() if " aws " in line]

    assert len(commands) == 5
    for words in commands:
        assert words[:3] == ["AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "aws"]
        assert words[words.index("--endpoint-url") + 1] == ENDPOINT


def test_message_over_http_in_the_instructions_is_one(installation: Installation) -> None:
    words = shlex.split(instructions.post_command(installation).replace("\\\n", ""))

    assert words[1] == f"{ENDPOINT}/_aws/execute-api/def/messages"
    assert parse(json.loads(words[words.index("-d") + 1])).recipient.user == "ana"
    assert any(word.endswith("--backend)") for word in words)


@pytest.mark.parametrize(
    ("role", "path", "body", "heard", "hears", "calls"),
    [
        (
            "customer",
            "/chats",
            {"subject": "A question"},
            "?context=chat&contextId=support",
            "--user ana --contexts chat/support)",
            "--user ana --chat customer)",
        ),
        (
            "agent",
            "/chats/ID/accept",
            {},
            "?context=desk&contextId=chat",
            "--user bo --contexts desk/chat)",
            "--user bo --chat agent)",
        ),
        (
            "agent",
            "/chats/ID/messages",
            {"text": "Hello"},
            "?context=desk&contextId=chat",
            "--user bo --contexts desk/chat)",
            "--user bo --chat agent)",
        ),
    ],
)
def test_the_chat_in_the_instructions_has_the_tokens_that_it_needs(
    installation: Installation, role: str, path: str, body: dict[str, str], heard: str, hears: str, calls: str
) -> None:
    hear = instructions.chat_client_command(installation, role)
    call = instructions.chat_call_command(installation, role, path, body)

    words = shlex.split(call.replace("\\\n", ""))
    assert words[1] == f"{ENDPOINT}/_aws/execute-api/ghi{path}"
    assert json.loads(words[words.index("-d") + 1]) == body
    assert any(word.endswith(calls) for word in words)
    assert any(word.endswith(heard) for word in shlex.split(hear))
    assert any(word.endswith(hears) for word in shlex.split(hear))
    for command in (hear, call):
        assert command in instructions.instructions(installation)


@pytest.mark.parametrize("role", Role)
def test_the_instructions_have_people_hear_where_they_are_told(installation: Installation, role: Role) -> None:
    command = instructions.chat_client_command(installation, role)

    assert f"?context={role.context}&contextId={role.context_id}'" in command
    assert f"--contexts {role.context}/{role.context_id})" in command


def test_envelope_in_the_instructions_is_one(installation: Installation) -> None:
    words = shlex.split(instructions.start_execution_command(installation).replace("\\\n", ""))

    assert parse(json.loads(words[words.index("--input") + 1])).recipient.user == "ana"


def test_instructions_name_everything(installation: Installation) -> None:
    text = instructions.instructions(installation)

    for value in (
        installation.endpoint,
        installation.websocket_url,
        installation.http_api_url,
        installation.chat_api_url,
        installation.message_bus_name,
        installation.accept_function_name,
        installation.token_command,
    ):
        assert value in text


def test_the_console_is_named_first(installation: Installation) -> None:
    there = replace(installation, console_url="http://127.0.0.1:4601")

    first, second, *_ = instructions.instructions(there).split("\n")[1:]

    assert first.split() == ["Console", "http://127.0.0.1:4601/"]
    assert second.split() == ["Endpoint", ENDPOINT]


def test_without_a_console_none_is_named(installation: Installation) -> None:
    assert "Console" not in instructions.instructions(installation)


def test_a_saved_installation_knows_its_console(installation: Installation, tmp_path: Path) -> None:
    there = replace(installation, console_url="http://127.0.0.1:4601")
    there.save(tmp_path / "local.json")

    assert Installation.load(tmp_path / "local.json") == there


def test_the_same_installation_for_the_package(installation: Installation) -> None:
    known = {name: value for name, value in OUTPUTS.items() if name not in {"SomethingNew", *CHAT_OUTPUTS}}

    assert installation.sdk.outputs == known
    assert installation.sdk.clients.endpoint_url == ENDPOINT
    assert replace(installation, console_url="http://127.0.0.1:4601").sdk.console_url == "http://127.0.0.1:4601"
