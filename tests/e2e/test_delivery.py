"""What no lower layer can show: the deployed functions, a real queue and stream, real sockets."""

import json
import time
from typing import Any

import pytest

from local.demo.stage import Stage, envelope

NASTY = 'quotes " and \\ backslash, tab\t, newline\n, emoji 🛎️, {% $states.input %}, ${MaxAttempts}, \u2028, </script>'


@pytest.mark.parametrize(
    "payload",
    [
        NASTY,
        "a bare string",
        "",
        None,
        0,
        [],
        [[1]],
        {"nested": [{"one": [1]}, {"none": None, "empty": {}, "float": 1.5, "large": 9007199254740991}]},
        {"text": "x" * 100_000, "🛎️": NASTY},
    ],
    ids=["nasty", "string", "empty", "null", "zero", "empty-list", "single-items", "nested", "100-KB"],
)
def test_a_payload_arrives_byte_for_byte(stage: Stage, user: str, payload: Any) -> None:
    client = stage.client(user)
    with stage.connected(client):
        message = envelope(user, payload)
        stage.runs.start(message)
        frame = client.await_message(message["id"])
    as_sent = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    assert f'"payload":{as_sent},' in frame.text


def test_a_text_published_to_the_topic_arrives_as_it_is(stage: Stage, user: str) -> None:
    client = stage.client(user)
    with stage.connected(client):
        stage.installation.clients.sns.publish(
            TopicArn=stage.installation.message_topic_arn,
            Message=NASTY,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in {"user": user, "context": "chat", "contextId": "42"}.items()
            },
        )
        client.await_frames(lambda: bool(client.frames), "the message")
    assert client.frames[0].body["payload"] == NASTY


def test_five_hundred_messages_wait_for_one_reconnect(stage: Stage, user: str) -> None:
    envelopes = [envelope(user, number) for number in range(500)]
    arns = [stage.runs.start(message) for message in envelopes]
    ids = [message["id"] for message in envelopes]
    client = stage.client(user)
    with stage.connected(client):
        client.await_frames(lambda: len(client.frames) >= len(ids), "all of the 500", seconds=240)
        ends = [stage.runs.await_end(arn) for arn in arns]
    arrived = [frame.body["id"] for frame in client.frames]
    assert sorted(arrived) == sorted(ids), "each arrives, and none twice"
    assert {run.status for run in ends} == {"SUCCEEDED"}


def test_a_message_stays_in_its_conversation(stage: Stage, user: str) -> None:
    here, elsewhere = stage.client(user, context_id="4"), stage.client(user, context_id="42")
    stranger = stage.client(f"{user}-2", context_id="4")
    with stage.connected(here, elsewhere, stranger):
        message = envelope(user, "for chat 4 only", context_id="4")
        stage.runs.await_end(stage.runs.start(message))
        for client in (elsewhere, stranger):
            client.send({"action": "ping"})
            client.await_frames(lambda client=client: bool(client.frames), "the pong")  # type: ignore[misc]
    assert [frame.body["id"] for frame in here.frames] == [message["id"]]
    assert [frame.body["kind"] for frame in elsewhere.frames + stranger.frames] == ["pong", "pong"]


def test_a_client_acknowledges_and_the_run_succeeds(stage: Stage, user: str) -> None:
    client = stage.client(user)
    client.acknowledges = True
    with stage.connected(client):
        message = envelope(user, "say so", ack="client")
        run = stage.runs.await_end(stage.runs.start(message))
    assert (run.status, run.billed_transitions) == ("SUCCEEDED", 3)
    assert run.output is not None
    assert (run.output["status"], run.output["messageId"]) == ("acknowledged", message["id"])


def test_what_is_not_acknowledged_is_posted_again(stage: Stage, user: str) -> None:
    client = stage.client(user)
    with stage.connected(client):
        message = envelope(user, "are you there?", ack="client", ackTimeoutSeconds=1)
        arn = stage.runs.start(message)
        client.await_frames(lambda: len(client.messages(message["id"])) >= 2, "the second post")
        client.send({"action": "ack", "ids": [message["id"], "another"]})
        run = stage.runs.await_end(arn)
    assert run.status == "SUCCEEDED"
    assert [frame.body["attempt"] for frame in client.messages(message["id"])][:2] == [1, 2]


def test_a_stranger_cannot_acknowledge(stage: Stage, user: str) -> None:
    client, stranger = stage.client(user), stage.client(f"{user}-2")
    sibling = stage.client(user, context_id="43")
    with stage.connected(client, stranger, sibling):
        message = envelope(user, "mine", ack="client")
        arn = stage.runs.start(message)
        client.await_message(message["id"])
        for other in (stranger, sibling):
            other.send({"action": "ack", "id": message["id"]})
            other.send({"action": "ping"})  # answered in order: behind it the acknowledgement has been handled
            other.await_frames(lambda other=other: bool(other.frames), "the pong")  # type: ignore[misc]
        assert stage.runs.read(arn).status == "RUNNING"
        client.send({"action": "ack", "id": message["id"]})
        assert stage.runs.await_end(arn).status == "SUCCEEDED"


def test_ping_and_unknown_actions_are_answered(stage: Stage, user: str) -> None:
    client = stage.client(user)
    with stage.connected(client):
        client.send({"action": "ping"})
        client.await_frames(lambda: len(client.frames) == 1, "the pong")
        client.send({"action": "sing"})
        client.await_frames(lambda: len(client.frames) == 2, "the error")
    assert client.frames[0].body == {"kind": "pong"}
    assert client.frames[1].body["kind"] == "error"
    assert "ack" in client.frames[1].body["message"]


def test_the_oldest_connection_makes_room(stage: Stage, user: str) -> None:
    clients = [stage.client(user) for _ in range(11)]
    with stage.connected(*clients):
        stage.await_rows(clients[0], user, 10)
        message = envelope(user, "to ten of eleven")
        run = stage.runs.await_end(stage.runs.start(message))
        for client in clients[1:]:
            client.await_message(message["id"])
    assert run.output is not None
    assert len(run.output["posted"]) == 10
    assert clients[0].all_messages() == []


def test_a_browser_brings_its_token_as_a_subprotocol(stage: Stage, user: str) -> None:
    client = stage.client(user)
    client.as_subprotocol = True
    with stage.connected(client):
        assert client.subprotocol == "bearer"
        message = envelope(user, "hello, browser")
        stage.runs.start(message)
        client.await_message(message["id"])


def test_a_burst_through_the_topic_arrives(stage: Stage, user: str) -> None:
    client = stage.client(user)
    messages = [envelope(user, number) for number in range(30)]
    with stage.connected(client):
        started = time.monotonic()
        for message in messages:
            stage.installation.clients.sns.publish(
                TopicArn=stage.installation.message_topic_arn, Message=json.dumps(message)
            )
        client.await_frames(lambda: len(client.all_messages()) >= len(messages), "the burst")
    assert sorted(message.body["payload"] for message in client.all_messages()) == list(range(30))
    assert time.monotonic() - started < 60
