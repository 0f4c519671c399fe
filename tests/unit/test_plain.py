"""Envelopes and fan-outs read without pydantic: what is read so is what the models read, and all else is theirs."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ringback import envelope as models
from ringback import errors, fan_out, plain, plain_fan_out
from ringback.limits import MAX_ATTEMPTS, MAX_TTL_SECONDS

Fields = dict[str, st.SearchStrategy[Any]]

RECIPIENT = {"user": "ana", "context": "chat", "contextId": "42"}
PLACE = {"conversation": {"context": "chat", "contextId": "42"}}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
# What is nearly right, or looks alike to Python: true is 1, and 5.0 is 5.
NEARLY: list[Any] = [
    *(None, True, False, [], {}, ["x"], [True], [5.0], ["x", []], {"x": 1}, {"more": None}),
    *(-1, 0, 1, 1.0, 1.5, 5.0, 2**53, 2**53 + 1, 2**60, 10**400, float("inf")),
    *(MAX_ATTEMPTS, MAX_ATTEMPTS + 1, 3600, 3601, 86_400, 86_401, MAX_TTL_SECONDS, MAX_TTL_SECONDS + 1),
    *(
        "",
        "x",
        "#",
        "a#b",
        "a b",
        "a\tb",
        "x\n",
        "\n",
        "\x00",
        "\x7f",
        "ü",
        "\u200b",
        "\ud800",
        "none",
        "client",
        "CLIENT",
    ),
    *("x" * length for length in (64, 65, 100, 101, 128, 129, 255, 256, 512, 513, 1024, 1025)),
    *("ü" * length for length in (128, 129, 1024, 1025)),
    *(f"{'x' * 1018}.jsonl", f"{'x' * 1019}.jsonl", ".jsonl", "a.jsonl\n", "\x00.jsonl", "a.json", "a.jsonl.gz"),
    *("https://", "https://a b", "http://a\n", "ftp://a", "HTTPS://a", f"https://{'a' * 504}", f"https://{'a' * 505}"),
    *(TRACEPARENT, TRACEPARENT.upper(), f"{TRACEPARENT}\n", TRACEPARENT[1:], f"{TRACEPARENT}0"),
    *("2030-01-31T12:00:00Z", "2030-01-31T12:00:00.5Z", "2030-01-31T12:00:00.1234Z", "2030-01-31T12:00:00Z\n"),
    *("2030-01-31T12:00:00+00:00", "2030-01-31T12:00:00", "2030-01-31t12:00:00z", "2030-01-31 12:00:00Z"),
    *("2030-02-30T12:00:00Z", "2030-01-31T24:00:00Z", "2016-12-31T23:59:60Z", "0000-01-31T12:00:00Z"),
    *("\uff12030-01-31T12:00:00Z", "2030-W05-4T12:00:00Z", "2030-01-31T12:00Z", datetime(2030, 1, 31, tzinfo=UTC)),
    *(["x"] * 100, ["x"] * 101, ["x"] * 10_000, ["x"] * 10_001, {str(number): 1 for number in range(11)}),
]
names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), min_size=1, max_size=8)
texts = st.text(min_size=1, max_size=5) | st.just("ü" * 128)
times = st.datetimes().map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S}Z") | st.sampled_from(
    ["2030-01-31T12:00:00.5Z", "2030-01-31T12:00:00.12Z", "2030-01-31T12:00:00.123Z"]
)
numbers = st.integers(1, MAX_ATTEMPTS)
traces = st.just(TRACEPARENT)
flags = st.booleans()


def variations(value: Any) -> Iterator[Any]:
    """This JSON value with one thing in it changed: another value in its place, a field less or a field more."""
    yield from NEARLY
    places = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
    for place in places:
        for changed in variations(places[place]):
            yield _as(value, {**places, place: changed})
        yield _as(value, {each: item for each, item in places.items() if each != place})
    if isinstance(value, dict):
        for name in ("more", "messageType", "context_id", "ttl_seconds"):
            yield {**value, name: "x"}


def _as(value: Any, places: dict[Any, Any]) -> Any:
    return places if isinstance(value, dict) else list(places.values())


def objects(needed: Fields, optional: Fields | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with these fields, as they should be."""
    return st.fixed_dictionaries(needed, optional=optional or {})


retries = objects({}, optional={"maxAttempts": numbers, "backoffBaseSeconds": numbers, "backoffCapSeconds": numbers})
envelopes = objects(
    {"recipient": objects({"user": names, "context": names, "contextId": names}), "payload": json_values},
    optional={
        "id": names,
        "type": texts,
        "ack": st.sampled_from(["none", "client"]),
        "ackTimeoutSeconds": numbers,
        "correlationId": texts,
        "track": flags,
        "traceparent": traces,
        "isFinal": flags | st.none(),
    },
)
# What may stand together with some of the others only.
delicate = objects(
    {},
    optional={
        "expiresAt": times,
        "ttlSeconds": numbers,
        "ordered": flags,
        "durable": flags,
        "retry": retries,
        "sequence": numbers,
    },
)
envelopes = st.tuples(envelopes, delicate | st.just({})).map(lambda both: both[0] | both[1])
endpoints = st.sampled_from(["https://a/b", "http://a"])
direct_envelopes = objects(
    {
        "recipient": objects({"connectionId": st.just("Sm9tZQ=") | st.just("a_-9")}, {"endpoint": endpoints}),
        "payload": json_values,
    },
    optional={
        "id": names,
        "type": texts,
        "correlationId": texts,
        "traceparent": traces,
        "sequence": numbers,
        "isFinal": flags,
    },
)
people = st.lists(names, min_size=1, max_size=3)
place = {"context": names, "contextId": names}
audiences = (
    objects({"users": people, **place}, {"list": st.none(), "conversation": st.none()})
    | objects({"list": objects({"key": st.sampled_from(["a.jsonl", ".jsonl"])}), **place})
    | objects({"conversation": objects(place)}, {"users": st.none()})
)
attributes = flags | numbers | texts | st.floats(allow_nan=False) | st.sampled_from(["", "x" * 1024, "x" * 1025])
fan_outs = objects(
    {
        "message": objects(
            {"payload": json_values},
            {"type": texts, "expiresAt": times, "correlationId": texts, "traceparent": traces},
        )
        | objects({"payload": json_values}, {"ttlSeconds": numbers, "retry": retries}),
        "audience": audiences,
    },
    optional={
        "id": names,
        "exclude": people,
        "where": st.dictionaries(texts, attributes | st.lists(attributes, min_size=1, max_size=3), max_size=3),
        "durable": flags,
    },
)


def same(one: Any, other: Any) -> bool:
    """Whether both are the same, and of the same types: in Python, true is 1."""
    return bool(one == other and repr(one) == repr(other))


def read(reader: Callable[[Any], Any], value: Any) -> Any:
    """What a reader makes of a value, or says of it."""
    try:
        return reader(value)
    except errors.InvalidMessage as error:
        return str(error)


def by_model(value: Any) -> plain.Envelope | str:
    try:
        return plain.of_model(models.parse(value))
    except ValidationError as error:
        return models.describe(error)


def direct_by_model(value: Any) -> plain.DirectEnvelope | str:
    try:
        return plain.of_direct_model(models.DirectEnvelope.model_validate(value, by_alias=True, by_name=False))
    except ValidationError as error:
        return models.describe(error)


def fan_out_by_model(value: Any) -> plain_fan_out.FanOut | str:
    try:
        return plain_fan_out.of_model(fan_out.parse(value))
    except ValidationError as error:
        return fan_out.describe(error)


@given(envelopes)
@example({"recipient": RECIPIENT, "payload": 1, "durable": False, "retry": {}})
@example({"recipient": RECIPIENT, "payload": 1, "retry": {"backoffBaseSeconds": 5, "backoffCapSeconds": 4}})
@example({"recipient": RECIPIENT, "payload": 1, "ordered": True, "sequence": 0})
@example({"recipient": RECIPIENT, "payload": 1, "ttlSeconds": 1, "expiresAt": "2030-01-31T12:00:00Z"})
@settings(max_examples=200)
def test_an_envelope_is_what_the_model_makes_of_it(value: Any) -> None:
    assert same(read(plain.read, value), by_model(value))


@given(direct_envelopes)
def test_a_direct_envelope_is_what_the_model_makes_of_it(value: Any) -> None:
    assert same(read(plain.read_direct, value), direct_by_model(value))


@given(fan_outs)
@example({"message": {"payload": 1, "retry": {}}, "audience": PLACE})
@example({"message": {"payload": 1, "ttlSeconds": 1, "expiresAt": "2030-01-31T12:00:00Z"}, "audience": PLACE})
@settings(max_examples=200)
def test_a_fan_out_is_what_the_model_makes_of_it(value: Any) -> None:
    assert same(read(plain_fan_out.read, value), fan_out_by_model(value))


FAN_OUTS = [
    {"id": "f-1", "message": {"payload": 1}, "audience": {"users": ["ana"], "context": "chat", "contextId": "42"}},
    {
        "message": {"payload": {}, "type": "news", "ttlSeconds": 60, "retry": {"maxAttempts": 2}},
        "audience": {"list": {"key": "a.jsonl"}, "context": "chat", "contextId": "42"},
        "exclude": ["bo"],
        "where": {"plan": ["gold", 1, True], "team": "blue"},
        "durable": True,
    },
    {"message": {"payload": None}, "audience": PLACE},
]
WHOLE = {
    "id": "m-1",
    "recipient": RECIPIENT,
    "type": "greeting",
    "payload": {"text": ["hello"]},
    "ackTimeoutSeconds": 30,
    "expiresAt": "2030-01-31T12:00:00Z",
    "correlationId": "c-1",
    "track": True,
    "retry": {"maxAttempts": 3, "backoffBaseSeconds": 1, "backoffCapSeconds": 60},
    "traceparent": TRACEPARENT,
    "sequence": 7,
    "isFinal": False,
}
DIRECT = {
    "id": "m-1",
    "recipient": {"connectionId": "Sm9tZQ=", "endpoint": "https://a/b"},
    "type": "greeting",
    "payload": 1,
    "correlationId": "c-1",
    "traceparent": TRACEPARENT,
    "sequence": 7,
    "isFinal": False,
}


@pytest.mark.parametrize(
    ("reader", "model", "value"),
    [
        pytest.param(plain.read, by_model, WHOLE, id="an envelope"),
        pytest.param(plain.read, by_model, {"recipient": RECIPIENT, "payload": 1, "durable": False}, id="not durable"),
        pytest.param(
            plain.read,
            by_model,
            {"recipient": RECIPIENT, "payload": 1, "ack": "client", "ordered": True, "ttlSeconds": 60},
            id="ordered",
        ),
        pytest.param(plain.read_direct, direct_by_model, DIRECT, id="a direct envelope"),
        *(pytest.param(plain_fan_out.read, fan_out_by_model, value, id="a fan-out") for value in FAN_OUTS),
    ],
)
def test_what_is_not_plainly_right_is_for_the_model_to_say(
    reader: Callable[[Any], Any], model: Callable[[Any], Any], value: Any
) -> None:
    for changed in variations(value):
        assert same(read(reader, changed), model(changed)), changed


SENT: list[dict[str, Any]] = [
    {"payload": None},
    {"payload": {"text": "Grüße\n", "n": [1, 2.5, True, None]}, "type": "chat.größe", "correlation_id": "ü"},
    {"payload": "x", "ack": "client", "ack_timeout_seconds": 30, "expires_at": datetime(2030, 1, 31, 12, tzinfo=UTC)},
    {"payload": 0, "expires_at": datetime(2030, 1, 31, 12, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=2)))},
    {"payload": [], "ordered": True, "track": True, "ttl_seconds": 604_800, "traceparent": TRACEPARENT},
    {"payload": {}, "durable": False, "sequence": 0, "is_final": False},
    {"payload": 1, "retry": {"max_attempts": 1, "backoff_base_seconds": 3600, "backoff_cap_seconds": 86_400}},
    {"payload": 1, "retry": {}},
]
READ_ALL = """
import json, sys
from ringback import plain, plain_fan_out
sent, direct, fan_outs = json.load(sys.stdin)
for read, values in ((plain.read, sent), (plain.read_direct, direct), (plain_fan_out.read, fan_outs)):
    for value in values:
        read(value)
        if "pydantic" in sys.modules:
            sys.exit(f"this took the models: {value}")
"""


def test_what_backends_send_needs_no_models() -> None:
    ana = models.Recipient(user='a"\\na', context="chat", context_id="42")
    envelopes = [models.Envelope.model_validate({"id": "m-1", "recipient": ana, **fields}) for fields in SENT]
    sent = [each.model_dump(mode="json", by_alias=True, exclude_defaults=True) for each in envelopes]
    direct = [{"recipient": {"connectionId": "Sm9tZQ=", "endpoint": "https://a/b"}, "payload": 1, "id": "m-1"}]

    child = subprocess.run(  # noqa: S603
        [sys.executable, "-c", READ_ALL],
        input=json.dumps([sent, direct, FAN_OUTS]),
        capture_output=True,
        text=True,
        check=False,
    )

    assert child.returncode == 0, child.stderr


def test_a_recipient_is_stored_as_before() -> None:
    stored = '{"user":"a\\\\n\\"a","context":"chat","context_id":"42"}'
    ana = plain.Recipient('a\\n"a', "chat", "42")

    assert ana.to_json() == models.Recipient(**ana._asdict()).model_dump_json() == stored
    assert plain.Recipient.from_json(stored) == ana
