"""The models that document the protocol, held against what the functions build and take."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import docs.generate
from lambdas.adapters import wiring
from lambdas.adapters.runs import DeliveryMachine
from lambdas.calls import accept
from lambdas.core import endings
from lambdas.core.errors import InvalidMessage
from lambdas.core.frames import batch_frames, direct_frame, message_frame
from lambdas.core.intake import Answer, Status
from lambdas.core.model import Message
from lambdas.core.presence import EVICTED
from lambdas.routes.requests import acknowledged_ids
from ringback.plain import read_direct
from ringback.protocol import AckFrame, BatchFrame, CloseFrame, FrameToClient, MessageFrame, SkippedFrame
from ringback.wire import MAX_MESSAGES_A_CALL, AcceptAnswer, AcceptRequest, DeadLetterBody
from tests.builders import NOW, envelope, message, message_event
from tests.contract.test_documents import validator
from tests.fakes import FakeClock

TO_CLIENT: TypeAdapter[Any] = TypeAdapter(FrameToClient)
ASL = docs.generate.FOLDER.parent / "statemachines" / "delivery.asl.json"

optional = st.fixed_dictionaries(
    {},
    optional={
        "type": st.just("chat.said"),
        "correlationId": st.just("c-1"),
        "traceparent": st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        "isFinal": st.booleans(),
    },
)
acks = st.fixed_dictionaries({}, optional={"ack": st.sampled_from(["none", "client"])})
numbered = st.fixed_dictionaries({}, optional={"sequence": st.integers(0, 9)}) | st.just({"ordered": True})
payloads: st.SearchStrategy[Any] = st.sampled_from([None, 0, "", [], {}, {"kind": "batch", "nested": [1.5, None]}])


def reads(model: type[Any], frame: bytes) -> Any:
    """The frame as the model has it, of which it must know every field."""
    value = json.loads(frame)
    validator("frame-to-client").validate(value)
    read = model.model_validate_json(frame)
    assert read.model_dump(by_alias=True, exclude_unset=True).keys() == value.keys()
    return read


@given(optional, acks, numbered, payloads, st.integers(1, 300))
def test_the_frame_that_carries_a_message(
    fields: dict[str, Any], ack: dict[str, str], number: dict[str, Any], payload: Any, attempt: int
) -> None:
    sequence = 7 if number.get("ordered") else None
    sent = message(payload=payload, **fields, **ack, **number)

    read = reads(MessageFrame, message_frame(sent, attempt=attempt, sent_at=NOW, sequence=sequence))

    assert (read.id, read.payload, read.attempt, read.sent_at) == ("m-1", payload, attempt, NOW)
    assert (read.sequence, read.ordered) == ((7, True) if sequence else (number.get("sequence"), None))
    assert read.ack == ("client" if ack.get("ack") == "client" else None)


@given(optional, payloads)
def test_the_frame_of_a_direct_post(fields: dict[str, Any], payload: Any) -> None:
    value = {"recipient": {"connectionId": "Sm9tZQ="}, "payload": payload, **fields}
    sent = read_direct(value)

    assert reads(MessageFrame, direct_frame(sent, message_id="m-1", sent_at=NOW)).payload == payload


def test_a_batch_of_frames() -> None:
    frames = [message_frame(message(id=f"m-{number}"), attempt=1, sent_at=NOW) for number in (1, 2, 3)]
    ((count, frame),) = batch_frames(frames)

    assert [carried.id for carried in reads(BatchFrame, frame).messages] == ["m-1", "m-2", "m-3"]
    assert count == 3


def test_the_announcement_that_a_number_will_not_come() -> None:
    value = endings.skipped(message(ordered=True, ack="client"), "m-1", 7)
    sent = Message.accept(value, fallback_id="", accepted_at=NOW, default_ttl_seconds=60)

    read = reads(SkippedFrame, message_frame(sent, attempt=1, sent_at=NOW))

    assert (read.payload.id, read.payload.sequence) == ("m-1", 7)
    assert read.ack == "client", "its run waits as that of the message would have"


def test_the_word_before_an_eviction() -> None:
    read = reads(CloseFrame, EVICTED)

    assert (read.reason, read.reconnect) == ("evicted", False)


def test_what_no_frame_is() -> None:
    for value in ({"kind": "news"}, {"kind": "pong", "id": 1} | {"kind": "error"}, {"kind": "batch", "messages": []}):
        assert not validator("frame-to-client").is_valid(value)
        with pytest.raises(ValidationError):
            TO_CLIENT.validate_python(value)


ids = st.text(max_size=3) | st.sampled_from(["m-1", "é" * 128, "x" * 129, " ", "\x00"])
anything = st.none() | st.booleans() | st.integers() | st.dictionaries(ids, ids, max_size=1)


@example({"action": "ack", "ids": ["m-1"] * 100})
@example({"action": "ack", "ids": ["m-1"] * 101})
@given(
    st.fixed_dictionaries(
        {"action": st.just("ack")},
        optional={
            "id": ids | anything,
            "ids": st.lists(ids | anything, max_size=3) | anything,
        },
    )
)
def test_an_acknowledgement_is_what_the_route_takes_for_one(frame: dict[str, Any]) -> None:
    try:
        taken = acknowledged_ids(message_event(json.dumps(frame)))
    except InvalidMessage:
        taken = None
    try:
        read = AckFrame.model_validate(frame, by_alias=True, by_name=False)
    except ValidationError:
        read = None

    # A field without a value is not there, and one of the two is enough: the rest is nobody's promise.
    if frame.keys() >= {"id", "ids"}:
        assert read is None or taken is None or taken == read.acknowledged
    else:
        assert (read.acknowledged if read else None) == taken
    if read and None not in frame.values():
        assert validator("frame-from-client").is_valid(frame)


def test_accept_takes_and_answers_what_is_documented() -> None:
    assert accept.MAX_MESSAGES == MAX_MESSAGES_A_CALL
    AcceptRequest.model_validate({"messages": [envelope()] * 100}, by_alias=True, by_name=False)
    with pytest.raises(ValidationError):
        AcceptRequest.model_validate({"messages": [envelope()] * 101}, by_alias=True, by_name=False)
    machine = DeliveryMachine("arn:aws:states:eu-central-1:123456789012:stateMachine:Delivery")
    answers = [Answer(status, "m-1", "m-1", "detail") for status in Status] + [Answer(Status.INVALID, None)]
    answered = {"results": [wiring.result(answer, machine) for answer in answers]}

    validator("accept-answer").validate(answered)
    read = AcceptAnswer.model_validate(answered, by_alias=True, by_name=False)
    assert read.model_dump(by_alias=True, exclude_unset=True) == answered


def test_the_state_machine_writes_the_dead_letter_that_is_documented() -> None:
    states = json.loads(ASL.read_text("utf-8"))["States"]
    written = states["Send To Dead Letter Queue"]["Arguments"]["MessageBody"]
    documented = DeadLetterBody.model_json_schema()

    assert written.keys() == documented["properties"].keys() == {*documented["required"]}
    assert written["lastError"].keys() == documented["$defs"]["LastError"]["properties"].keys()


def test_a_run_that_was_ended_from_outside_leaves_the_same_dead_letter() -> None:
    letters: list[dict[str, Any]] = []
    unused: Any = None
    endings.conclude(
        endings.Ended("arn", "m-1", "TIMED_OUT", '{"no": "message"}', "States.Timeout", "", NOW),
        default_ttl_seconds=60,
        sequences=unused,
        dead_letters=SimpleNamespace(put=letters.append),
        intake=unused,
        clock=FakeClock(),
    )

    (letter,) = letters
    validator("dead-letter").validate(letter)
    assert DeadLetterBody.model_validate(letter, by_alias=True).model_dump(by_alias=True).keys() == letter.keys()
