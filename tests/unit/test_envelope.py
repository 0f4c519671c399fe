"""The envelope: what a backend may hand over, and what it is told when it may not."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ringback import Envelope, Recipient
from ringback.envelope import Context, ContextId, MessageId, User, describe, parse
from tests.builders import envelope

RECIPIENT = {"user": "ana", "context": "chat", "contextId": "42"}
ANA = Recipient(user="ana", context="chat", context_id="42")
RFC3339 = "expiresAt: give the time in UTC as RFC 3339, for example 2030-01-31T12:00:00Z"
TRACEPARENT_RULE = "must be W3C Trace Context, for example 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MAX_LENGTHS = {User: 255, Context: 64, ContextId: 128, MessageId: 128}

printable = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#")
not_printable = st.characters(max_codepoint=0x20) | st.characters(min_codepoint=0x7F) | st.just("#")


def refusal(value: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        parse(value)
    return describe(refused.value)


def test_what_an_envelope_needs_and_what_it_says_when_nothing_else_is_given() -> None:
    read = parse({"recipient": RECIPIENT, "payload": None})

    assert read == Envelope(recipient=ANA, payload=None)
    assert (read.id, read.type, read.ack, read.durable) == (None, "message", "none", True)
    assert refusal({}) == "recipient: is missing; payload: is missing"


def test_every_field_has_its_camel_case_name() -> None:
    given_fields = {
        **envelope(type="chat.reply", ack="client", ackTimeoutSeconds=30, correlationId="c-1", sequence=0),
        "isFinal": True,
        "expiresAt": "2030-01-31T12:00:00Z",
        "retry": {"maxAttempts": 3, "backoffBaseSeconds": 1, "backoffCapSeconds": 60},
    }

    assert json.loads(parse(given_fields).model_dump_json(by_alias=True, exclude_unset=True)) == given_fields


def test_the_field_names_of_older_publishers() -> None:
    read = parse(envelope(messageType="chat.reply", sequence=7, isFinal=True))

    assert (read.type, read.sequence, read.is_final) == ("chat.reply", 7, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"prioritty": 1}, "prioritty: there is no such field", id="unknown field"),
        pytest.param({"ttl_seconds": 5}, "ttl_seconds: there is no such field", id="not camelCase"),
        pytest.param(
            {"recipient": RECIPIENT | {"url": "https://elsewhere"}},
            "recipient.url: there is no such field",
            id="unknown field of the recipient",
        ),
        pytest.param(
            {"type": "a", "messageType": "b"}, "messageType: there is no such field", id="one type, two names"
        ),
        pytest.param(
            {"ttlSeconds": 5, "expiresAt": "2030-01-31T12:00:00Z"},
            "envelope: give expiresAt or ttlSeconds, not both",
            id="two ends of life",
        ),
        pytest.param({"ack": "server"}, "ack: must be 'none' or 'client'", id="unknown ack"),
        pytest.param({"ttlSeconds": "5"}, "ttlSeconds: must be a whole number", id="text for a number"),
        pytest.param({"ttlSeconds": True}, "ttlSeconds: must be a whole number", id="bool for a number"),
        pytest.param({"isFinal": 1}, "isFinal: must be true or false", id="number for a bool"),
        pytest.param({"ttlSeconds": 0}, "ttlSeconds: must be at least 1", id="no life"),
        pytest.param({"ttlSeconds": 604801}, "ttlSeconds: must be at most 604800", id="too long a life"),
        pytest.param({"ackTimeoutSeconds": 3601}, "ackTimeoutSeconds: must be at most 3600", id="long ack"),
        pytest.param({"sequence": -1}, "sequence: must be at least 0", id="sequence"),
        pytest.param(
            {"ordered": True, "sequence": 0},
            "envelope: give ordered or sequence, not both: Ringback numbers ordered messages itself",
            id="two who number",
        ),
        pytest.param({"ordered": "true"}, "ordered: must be true or false", id="text for a bool"),
        pytest.param({"track": None}, "track: must be true or false", id="null for a bool"),
        pytest.param({"durable": None}, "durable: must be true or false", id="neither durable nor not"),
        pytest.param({"retry": 3}, "retry: must be a JSON object", id="retry"),
        pytest.param({"retry": {"max": 3}}, "retry.max: there is no such field", id="unknown field of the retry"),
        pytest.param({"retry": {"maxAttempts": 0}}, "retry.maxAttempts: must be at least 1", id="none"),
        pytest.param({"retry": {"maxAttempts": 271}}, "retry.maxAttempts: must be at most 270", id="many"),
        pytest.param(
            {"retry": {"backoffBaseSeconds": 3601}},
            "retry.backoffBaseSeconds: must be at most 3600",
            id="long base",
        ),
        pytest.param(
            {"retry": {"backoffCapSeconds": 86_401}},
            "retry.backoffCapSeconds: must be at most 86400",
            id="long cap",
        ),
        pytest.param(
            {"retry": {"backoffBaseSeconds": 10, "backoffCapSeconds": 9}},
            "retry: backoffCapSeconds must not be lower than backoffBaseSeconds",
            id="the cap below the base",
        ),
        pytest.param({"traceparent": "SECRET"}, f"traceparent: {TRACEPARENT_RULE}", id="traceparent"),
        pytest.param({"type": ""}, "type: must not be empty", id="empty type"),
        pytest.param({"payload": {"a": [object()]}}, "payload: input was not a valid JSON value", id="no JSON"),
    ],
)
def test_a_refusal_names_the_field_and_the_rule(change: dict[str, Any], said: str) -> None:
    assert refusal(envelope(**change)) == said


@pytest.mark.parametrize("limit", ["maxAttempts", "backoffBaseSeconds", "backoffCapSeconds"])
@pytest.mark.parametrize("value", [1, None])
def test_a_retry_policy_may_set_any_of_its_limits_alone(limit: str, value: int | None) -> None:
    assert parse(envelope(retry={limit: value})).retry is not None


@pytest.mark.parametrize(
    "wish", [{"ack": "client"}, {"ordered": True}, {"track": True}, {"retry": {"maxAttempts": 3}}, {"retry": {}}]
)
def test_only_the_durable_wait(wish: dict[str, Any]) -> None:
    assert parse(envelope(durable=True, **wish)).durable
    assert refusal(envelope(durable=False, **wish)) == (
        "envelope: give durable false without ack client, ordered, track and retry: it is posted now or not at all"
    )


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"ack": "none", "ordered": False, "track": False, "retry": None},
        {"ttlSeconds": 5},
        {"sequence": 7, "isFinal": True},
    ],
)
def test_what_is_not_durable_may_have_all_else(other: dict[str, Any]) -> None:
    read = parse(envelope(durable=False, **other))

    assert (read.durable, read.wants_a_run) == (False, False)


@pytest.mark.parametrize(
    ("change", "wants_a_run"),
    [
        ({}, False),
        ({"ack": "client"}, True),
        ({"ordered": True}, True),
        ({"track": True}, True),
        ({"retry": {"maxAttempts": 3}}, False),
    ],
)
def test_a_message_that_somebody_asks_about_again_wants_a_run(change: dict[str, Any], *, wants_a_run: bool) -> None:
    assert parse(envelope(**change)).wants_a_run is wants_a_run


@pytest.mark.parametrize("value", ["text", ["list"], None, 1])
def test_an_envelope_is_an_object(value: Any) -> None:
    assert refusal(value) == "envelope: must be a JSON object"


@pytest.mark.parametrize(
    ("field", "printed"),
    [("k" * 64, "k" * 64), ("k" * 65, "k" * 64 + "…"), ("line\nfeed\x00", "line?feed?"), ("ключ", "ключ")],
)
def test_an_unknown_field_is_named_in_a_text_that_logs_and_queues_take(field: str, printed: str) -> None:
    assert refusal(envelope(**{field: 1})) == f"{printed}: there is no such field"


@pytest.mark.parametrize(
    "change",
    [
        {"payload": {"SECRET": {1, 2}}},
        {"payload": {"deep": json.loads('{"SECRET":' * 300 + '"SECRET"' + "}" * 300)}},
        {"recipient": RECIPIENT | {"user": "SECRET#"}},
        {"id": "SECRET#"},
        {"ack": "SECRET"},
        {"expiresAt": "SECRET"},
        {"ttlSeconds": "SECRET"},
        {"prioritty": "SECRET"},
        {"recipient": "SECRET"},
    ],
)
def test_a_refusal_never_repeats_a_value(change: dict[str, Any]) -> None:
    said = refusal(envelope(**change))

    assert "SECRET" not in said
    assert len(said) < 150


@pytest.mark.parametrize("identifier", MAX_LENGTHS)
@given(data=st.data())
def test_identifiers_are_printable_ascii_without_the_separator(identifier: Any, data: st.DataObject) -> None:
    longest = MAX_LENGTHS[identifier]
    good = data.draw(st.text(printable, min_size=1, max_size=longest))
    bad_character = data.draw(not_printable)
    at = data.draw(st.integers(0, len(good)))
    adapter: TypeAdapter[str] = TypeAdapter(identifier)

    assert adapter.validate_python(good) == good
    for bad in (good[:at] + bad_character + good[at:], good.ljust(longest + 1, "a"), ""):
        with pytest.raises(ValidationError):
            adapter.validate_python(bad)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00:00.5Z", datetime(2030, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2030-01-31T12:00:00.123Z", datetime(2030, 1, 31, 12, 0, 0, 123_000, tzinfo=UTC)),
    ],
)
def test_a_time_is_rfc_3339_in_utc(text: str, moment: datetime) -> None:
    assert parse(envelope(expiresAt=text)).expires_at == moment


@pytest.mark.parametrize(
    "value",
    [
        "2030-01-31T12:00:00",
        "2030-01-31T12:00:00+00:00",
        "2030-01-31T14:00:00+02:00",
        "2030-01-31 12:00:00Z",
        "2030-01-31T12:00Z",
        "2030-W05-4T12:00:00Z",
        "20300131T120000Z",
        "2030-01-31T12:00:00,5Z",
        "2030-01-31T12:00:00.Z",
        "2030-01-31T12:00:00.1234Z",
        "2030-02-30T12:00:00Z",
        "2030-01-31T12:00:00Z\n",
        "٢٠٣٠-01-31T12:00:00Z",
        1_896_091_200,
        True,
    ],
)
def test_nothing_else_is_a_time_because_the_state_machine_reads_the_same_text(value: Any) -> None:
    assert refusal(envelope(expiresAt=value)) == RFC3339


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_a_publisher_writes_can_be_read(moment: datetime) -> None:
    written = Envelope(recipient=ANA, payload=1, expires_at=moment)

    read = parse(json.loads(written.model_dump_json(by_alias=True)))

    assert read.expires_at == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_a_publishers_own_time_zone_becomes_utc() -> None:
    noon = datetime(2030, 1, 31, 14, tzinfo=timezone(timedelta(hours=2)))
    written = Envelope(recipient=ANA, payload=1, expires_at=noon)

    assert '"expiresAt":"2030-01-31T12:00:00Z"' in written.model_dump_json(by_alias=True)
    with pytest.raises(ValidationError, match="timezone"):
        Envelope(recipient=ANA, payload=1, expires_at=noon.replace(tzinfo=None))
