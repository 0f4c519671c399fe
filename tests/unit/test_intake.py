"""What comes in through the queue: whole envelopes, and bodies with attributes."""

import json
from typing import Any

import pytest

from lambdas.core.errors import InvalidMessage
from lambdas.core.intake import Accepted, Queued, read_queued
from tests.builders import NOW, envelope

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ANA = {"user": "ana", "context": "chat", "contextId": "42"}


def take(body: str, **attributes: str) -> Accepted:
    return read_queued(Queued(body, attributes, "queue-id", NOW))


def started_with(body: str, **attributes: str) -> dict[str, Any]:
    """The envelope that the run would be started with."""
    read = json.loads(take(body, **attributes).envelope_json)
    assert isinstance(read, dict)
    return read


def test_a_whole_envelope_goes_on_as_it_is() -> None:
    given_fields = envelope(ack="client", correlationId="c-1", isFinal=False, messageType="chat.reply")

    assert take(json.dumps(given_fields)).execution_name == "m-1"
    assert started_with(json.dumps(given_fields), traceparent=TRACEPARENT) == given_fields


def test_attributes_are_the_envelope_and_the_body_is_the_payload() -> None:
    rest = {"type": "chat.reply", "ack": "client", "ackTimeoutSeconds": "30", "sequence": "7", "isFinal": "true"}
    rest |= {"track": "true", "ordered": "false", "traceparent": TRACEPARENT}

    assert started_with('{"text":"hello"}', **ANA, **rest, id="m-9") == {
        "recipient": ANA,
        "payload": {"text": "hello"},
        "type": "chat.reply",
        "ack": "client",
        "ackTimeoutSeconds": 30,
        "sequence": 7,
        "isFinal": True,
        "track": True,
        "ordered": False,
        "traceparent": TRACEPARENT,
        "id": "m-9",
    }


@pytest.mark.parametrize(("text", "durable"), [("true", True), ("false", False)])
def test_whether_it_is_durable_is_an_attribute_too(text: str, *, durable: bool) -> None:
    assert take("hi", **ANA, durable=text).message.envelope.durable is durable


def test_what_tracing_adds_beside_the_traceparent_is_no_field_of_the_envelope() -> None:
    assert started_with("hi", **ANA, tracestate="vendor=1", baggage="a=1") == {
        "recipient": ANA,
        "payload": "hi",
        "id": "queue-id",
    }


@pytest.mark.parametrize(
    ("body", "content_type", "payload"),
    [
        ('{"a":[1,"x"]}', None, {"a": [1, "x"]}),
        ("42", None, 42),
        ("null", None, None),
        ("hello", None, "hello"),
        ("NaN", None, "NaN"),
        ("", None, ""),
        ("{broken", "application/json", "{broken"),
        ("42", "application/json", 42),
        ("42", "text/plain", "42"),
        ('{"a":1}', "text/plain", '{"a":1}'),
    ],
)
def test_a_body_is_json_if_it_is_json_unless_it_is_said_to_be_text(
    body: str, content_type: str | None, payload: Any
) -> None:
    attributes = ANA | ({"contentType": content_type} if content_type else {})

    assert started_with(body, **attributes)["payload"] == payload


@pytest.mark.parametrize(
    ("body", "attributes", "reason"),
    [
        ("hello", {}, "the body is not JSON: give a whole envelope, or the attributes user, context and contextId"),
        ("NaN", {}, "the body is not JSON: give a whole envelope, or the attributes user, context and contextId"),
        ("[1]", {}, "the body is no JSON object: give a whole envelope, or the recipient as attributes"),
        ("[" * 100_000, {}, "the body is nested too deep"),
        ("[" * 100_000, ANA, "the body is nested too deep"),
        ("{}", {}, "recipient: is missing; payload: is missing"),
        ("hi", {"user": "ana"}, "recipient.context: is missing; recipient.contextId: is missing"),
        ("hi", ANA | {"ttlSeconds": "soon"}, "ttlSeconds: must be a whole number"),
        ("hi", ANA | {"ttlSeconds": "1.5"}, "ttlSeconds: must be a whole number"),
        ("hi", ANA | {"expiresAt": "9999-12-31T23:59:59Z"}, "expiresAt: at most 604800 seconds ahead"),
        ("hi", ANA | {"isFinal": "yes"}, "isFinal: must be true or false"),
        ("hi", ANA | {"prioritty": "1"}, "prioritty: there is no such field"),
        ("hi", ANA | {"payload": "ho"}, "payload: no attribute; the body is the payload"),
        ("hi", ANA | {"recipient": "ho"}, "recipient: no attribute; the body is the payload"),
        ("1e999", ANA, "payload: it holds a number or a text that JSON cannot carry"),
        ("x" * 131_072, ANA, "payload: the frame would be 131184 bytes, and API Gateway takes 131072"),
    ],
)
def test_a_rejection_says_what_is_wrong(body: str, attributes: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidMessage) as rejected:
        take(body, **attributes)

    assert str(rejected.value) == reason


@pytest.mark.parametrize("field", ["id", "ttlSeconds", "expiresAt", "ackTimeoutSeconds", "sequence", "isFinal"])
def test_a_null_is_a_field_that_was_not_given_because_the_state_machine_tells_them_apart(field: str) -> None:
    read = started_with(json.dumps(envelope() | {field: None, "payload": None}))

    assert read == envelope(payload=None) | ({"id": "queue-id"} if field == "id" else {})


def test_a_life_is_counted_from_when_the_message_was_sent_not_from_when_it_is_read() -> None:
    read = started_with("hi", **ANA, ttlSeconds="90")

    assert "ttlSeconds" not in read
    assert read["expiresAt"] == "2030-01-31T12:01:30.000Z"


def test_an_end_of_life_and_none_are_left_alone() -> None:
    assert started_with("hi", **ANA, expiresAt="2030-02-01T00:00:00Z")["expiresAt"] == "2030-02-01T00:00:00Z"
    assert "expiresAt" not in started_with("hi", **ANA)


def test_the_same_queue_message_gives_the_same_run() -> None:
    first, again = (take("hi", **ANA, ttlSeconds="90") for _ in range(2))

    assert first == again
    assert first.execution_name == "queue-id"
    assert json.loads(first.envelope_json)["id"] == "queue-id"
