"""What reaches the client, byte for byte."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.core.errors import InvalidMessage
from lambdas.core.frames import MAX_FRAME_BYTES, batch_frames, close_frame, message_frame
from tests.builders import NOW, message

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=10,
)


def frame(*, numbered: int | None = None, **changes: Any) -> bytes:
    sent_at = NOW + timedelta(milliseconds=250)
    return message_frame(message(**changes), attempt=2, sent_at=sent_at, sequence=numbered)


def test_the_whole_frame() -> None:
    assert frame(type="chat.reply", correlationId="c-1", sequence=0, isFinal=False) == (
        b'{"kind":"message","id":"m-1","type":"chat.reply","payload":{"text":"hello"},'
        b'"sentAt":"2030-01-31T12:00:00.250Z","attempt":2,"correlationId":"c-1","sequence":0,"isFinal":false}'
    )


def test_the_frame_of_an_ordered_message_carries_its_number_and_says_whose_it_is() -> None:
    assert frame(ordered=True, numbered=7, traceparent=TRACEPARENT) == (
        b'{"kind":"message","id":"m-1","type":"message","payload":{"text":"hello"},'
        b'"sentAt":"2030-01-31T12:00:00.250Z","attempt":2,"traceparent":"' + TRACEPARENT.encode() + b'",'
        b'"sequence":7,"ordered":true}'
    )


def test_the_frame_of_a_message_that_a_run_waits_for_asks_for_the_acknowledgement() -> None:
    assert frame(ack="client", ordered=True, numbered=7) == (
        b'{"kind":"message","id":"m-1","type":"message","payload":{"text":"hello"},'
        b'"sentAt":"2030-01-31T12:00:00.250Z","attempt":2,"sequence":7,"ordered":true,"ack":"client"}'
    )


@pytest.mark.parametrize("not_given", [{}, {"ack": "none"}])
def test_what_the_backend_did_not_give_is_not_there(not_given: dict[str, Any]) -> None:
    assert json.loads(frame(**not_given)).keys() == {"kind", "id", "type", "payload", "sentAt", "attempt"}


def test_the_frame_before_a_close() -> None:
    assert close_frame("evicted", reconnect=False) == b'{"kind":"close","reason":"evicted","reconnect":false}'


@pytest.mark.parametrize(
    ("payload", "wire"),
    [
        pytest.param('say "hi" \\ \n', rb'"say \"hi\" \\ \n"', id="quotes"),
        pytest.param("👩‍🚀 né", '"👩‍🚀 né"'.encode(), id="emoji"),
        pytest.param("plain", b'"plain"', id="bare string"),
        pytest.param("42", b'"42"', id="string that looks like a number"),
        pytest.param(None, b"null", id="null"),
        pytest.param({"b": [1, {"a": [None, True]}], "a": {}}, b'{"b":[1,{"a":[null,true]}],"a":{}}', id="nested"),
        pytest.param('{"a": 1}', rb'"{\"a\": 1}"', id="JSON in a string"),
        pytest.param(12345678901234567890, b"12345678901234567890", id="beyond 64 bits"),
        pytest.param("x" * 100_000, b'"' + b"x" * 100_000 + b'"', id="100 KB"),
    ],
)
def test_payloads_arrive_as_they_are(payload: Any, wire: bytes) -> None:
    assert b'"payload":' + wire + b',"sentAt"' in frame(payload=payload)


@given(json_values)
def test_any_json_arrives(payload: Any) -> None:
    assert json.loads(frame(payload=payload))["payload"] == payload


def test_a_frame_is_at_most_what_api_gateway_takes_in_bytes() -> None:
    room = MAX_FRAME_BYTES - len(frame(payload=""))
    two_bytes_each = "é" * (room // 2)
    filling = "x" * (room % 2)

    assert len(frame(payload=two_bytes_each + filling)) == MAX_FRAME_BYTES
    with pytest.raises(
        InvalidMessage, match=r"^payload: the frame would be 131073 bytes, and API Gateway takes 131072$"
    ):
        frame(payload=two_bytes_each + filling + "x")


@pytest.mark.parametrize("payload", [float("inf"), [float("nan")], "\ud83d", {"\ud83d": 1}])
def test_what_json_cannot_carry_is_an_invalid_message(payload: Any) -> None:
    with pytest.raises(InvalidMessage, match=r"^payload: it holds a number or a text that JSON cannot carry$"):
        frame(payload=payload)


# Several messages for one recipient


def test_one_message_needs_no_batch() -> None:
    assert list(batch_frames([frame()])) == [(1, frame())]
    assert list(batch_frames([])) == []


def test_a_batch_is_a_frame_of_frames_in_their_order() -> None:
    frames = [frame(id="m-0"), frame(id="m-1", ack="client"), frame(id="m-2")]

    ((count, together),) = batch_frames(frames)

    assert count == 3
    assert json.loads(together) == {"kind": "batch", "messages": [json.loads(each) for each in frames]}


@given(st.lists(st.integers(0, MAX_FRAME_BYTES - 200), min_size=1, max_size=12))
def test_batches_hold_every_message_once_and_are_as_few_as_api_gateway_takes(sizes: list[int]) -> None:
    frames = [frame(payload="x" * size) for size in sizes]
    envelope = len(b'{"kind":"batch","messages":[]}')
    at = 0

    for count, together in batch_frames(frames):
        body = json.loads(together)
        assert (body["messages"] if count > 1 else [body]) == [json.loads(each) for each in frames[at : at + count]]
        assert len(together) <= MAX_FRAME_BYTES
        with_next = frames[at : at + count + 1]
        at += count
        if at < len(frames):
            assert envelope + len(b",".join(with_next)) > MAX_FRAME_BYTES, "the next had room"
    assert at == len(frames)
