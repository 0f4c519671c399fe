"""Handing messages over: what is sent, in which calls, and what a caller hears of it."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ringback import Envelope, Installation, Publisher, Recipient, runs
from ringback.errors import (
    IdConflict,
    InvalidMessage,
    MessageNotFound,
    NotCancellable,
    NotInTime,
    Refused,
    Unavailable,
    Undelivered,
)
from ringback.publisher import MAX_BYTES_A_CALL, Result, Summary
from ringback.status import MessageStatus, State
from tests.builders import NOW, envelope
from tests.sdk import Answer, FakeFunctions, all_started, arn, sending_to


@pytest.fixture
def functions() -> FakeFunctions:
    return FakeFunctions()


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def publisher(functions: FakeFunctions, slept: list[float]) -> Publisher:
    return Publisher(sending_to(functions), sleep=slept.append)


def answering(status: str, **more: Any) -> Answer:
    return lambda messages: {"results": [{"id": one["id"], "status": status, **more} for one in messages]}


def test_a_message_is_sent_as_the_envelope_is_written_and_nothing_it_did_not_say(
    publisher: Publisher, functions: FakeFunctions
) -> None:
    receipt = publisher.publish(
        Envelope(recipient=Recipient(user="ana", context="chat", context_id="42"), payload=None, ttl_seconds=60)
    )

    ((sent,),) = functions.calls
    assert sent == {
        "id": receipt.id,
        "recipient": {"user": "ana", "context": "chat", "contextId": "42"},
        "payload": None,
        "ttlSeconds": 60,
    }
    assert (receipt.status, receipt.execution_arn) == ("started", arn(receipt.id))


def test_the_three_ways_to_give_a_message_are_one(publisher: Publisher, functions: FakeFunctions) -> None:
    publisher.publish(envelope(ack="client"))
    publisher.publish(Envelope.model_validate(envelope(ack="client")))
    publisher.publish(
        id="m-1",
        recipient=Recipient(user="ana", context="chat", context_id="42"),
        payload={"text": "hello"},
        ack="client",
    )

    assert functions.calls == [[envelope(ack="client")]] * 3


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "message", "ack": "none", "ordered": False, "track": False, "durable": True, "sequence": None},
        {"messageType": "hello", "ttlSeconds": 60.0},
        {"expiresAt": "2030-01-31T12:00:00.500Z", "isFinal": False, "sequence": 0},
        {"expiresAt": NOW, "durable": False, "type": "typing"},
        {"retry": {"maxAttempts": 3, "backoffBaseSeconds": None}, "ackTimeoutSeconds": 5, "ack": "client"},
        {"retry": {}, "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "ordered": True},
        {"payload": None, "correlationId": "c", "track": True},
    ],
    ids=str,
)
def test_json_is_sent_as_its_envelope_would_be(
    publisher: Publisher, functions: FakeFunctions, changes: dict[str, Any]
) -> None:
    """Or a message that is published once more, otherwise, would be another one."""
    publisher.publish(envelope(**changes))
    ((sent,),) = functions.calls
    model = Envelope.model_validate(envelope(**changes), by_alias=True, by_name=False)
    assert sent == model.model_dump(mode="json", by_alias=True, exclude_defaults=True)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"paylod": 1}, "paylod"),
        ({"ttlSeconds": 0}, "ttlSeconds"),
        ({"payload": "x" * 131_072}, "payload"),
        ({"payload": float("nan")}, "payload"),
        ({"payload": "\ud800"}, "payload"),
    ],
    ids=["misspelt", "out of bounds", "too large", "no JSON number", "half a character"],
)
def test_what_is_no_message_is_not_sent(
    publisher: Publisher, functions: FakeFunctions, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidMessage, match=named):
        publisher.publish(envelope(**changes))
    assert functions.calls == []


def test_that_nobody_was_there_for_what_is_not_durable_is_no_error(
    publisher: Publisher, functions: FakeFunctions
) -> None:
    functions.answers = [answering("missed")]

    receipt = publisher.publish(envelope(durable=False))

    assert (receipt.id, receipt.status, receipt.execution_arn) == ("m-1", "missed", None)
    assert functions.calls == [[envelope(durable=False)]], "it is not sent again"


def test_summaries_are_equal_if_they_say_the_same() -> None:
    one, other, empty = Summary(), Summary(), Summary()
    for summary in (one, other):
        summary.add(Result(1, "m-1", "conflict"))

    assert one == other
    assert one != empty
    assert empty != {}
    assert "'conflict': 1" in repr(one)
    assert "id='m-1'" in repr(one)


def test_what_is_not_durable_is_not_sent_again_whatever_was_answered(
    publisher: Publisher, functions: FakeFunctions, slept: list[float]
) -> None:
    """By then something newer is true."""
    functions.answers = [answering("unavailable"), lambda _: None]

    for _ in range(2):
        with pytest.raises(Unavailable, match="m-1"):
            publisher.publish(envelope(durable=False))

    assert (len(functions.calls), slept) == (2, [])


def test_what_is_durable_is_sent_again_without_what_is_not(publisher: Publisher, functions: FakeFunctions) -> None:
    functions.answers = [answering("unavailable")]
    messages = [envelope(id="a", durable=False), envelope(id="b")]

    results = list(publisher.publish_each(messages))

    assert [(result.id, result.status) for result in results] == [("a", "unavailable"), ("b", "started")]
    assert [[one["id"] for one in call] for call in functions.calls] == [["a", "b"], ["b"]]


def test_what_was_missed_is_neither_accepted_nor_failed(publisher: Publisher, functions: FakeFunctions) -> None:
    def some(messages: list[dict[str, Any]]) -> Any:
        statuses = {"a": "missed", "b": "conflict"}
        return {"results": [{"id": one["id"], "status": statuses.get(one["id"], "delivered")} for one in messages]}

    functions.answers = [some]
    results: list[Result] = []
    messages = [envelope(id=name, durable=False) for name in "abc"]

    summary = publisher.publish_many(messages, on_result=results.append)

    assert (summary.total, summary.accepted, summary.missed, summary.failed) == (3, 1, 1, 1)
    assert [failure.id for failure in summary.failures] == ["b"]
    assert [(result.accepted, result.failed) for result in results] == [(False, False), (False, True), (True, False)]
    assert len(functions.calls) == 1


def test_a_retry_is_the_same_message_under_the_same_id(
    publisher: Publisher, functions: FakeFunctions, slept: list[float]
) -> None:
    functions.answers = [answering("unavailable"), lambda _: None, answering("duplicate")]

    receipt = publisher.publish(envelope(id=None))

    assert receipt.status == "duplicate"
    assert functions.calls == [[{**envelope(), "id": receipt.id}]] * 3
    assert len(slept) == 2
    assert slept[0] < slept[1]


def test_patience_ends_and_says_under_which_id_to_go_on(publisher: Publisher, functions: FakeFunctions) -> None:
    functions.answers = [answering("unavailable")] * 20

    with pytest.raises(Unavailable, match="m-1"):
        publisher.publish(envelope())
    assert len(functions.calls) == 7


@pytest.mark.parametrize(
    ("status", "error"), [("conflict", IdConflict), ("invalid", InvalidMessage)], ids=["conflict", "invalid"]
)
def test_an_answer_that_no_retry_changes_is_an_error_at_once(
    publisher: Publisher, functions: FakeFunctions, status: str, error: type[Exception]
) -> None:
    functions.answers = [answering(status, detail="because")]

    with pytest.raises(error, match="because"):
        publisher.publish(envelope())
    assert len(functions.calls) == 1


@pytest.mark.parametrize(
    "answer",
    [{"results": []}, {"results": [{"id": "m-1", "status": "sunk"}]}, [], {"results": "no"}, {"results": [None]}],
)
def test_another_function_s_answer_is_no_receipt(publisher: Publisher, functions: FakeFunctions, answer: Any) -> None:
    functions.answers = [lambda _: answer]

    with pytest.raises(Refused, match="version"):
        publisher.publish(envelope())


def test_many_travel_in_calls_of_a_hundred_and_come_back_in_order(
    publisher: Publisher, functions: FakeFunctions
) -> None:
    results: list[Result] = []
    totals: list[int] = []

    summary = publisher.publish_many(
        (envelope(id=f"m-{number}") for number in range(250)),
        on_result=results.append,
        on_progress=lambda so_far: totals.append(so_far.total),
    )

    assert sorted(len(call) for call in functions.calls) == [50, 100, 100]
    assert [result.id for result in results] == [f"m-{number}" for number in range(250)]
    assert [result.number for result in results] == list(range(1, 251))
    assert (summary.total, summary.accepted, summary.failed) == (250, 250, 0)
    assert totals == [100, 200, 250]


def test_no_call_is_larger_than_lambda_takes(publisher: Publisher, functions: FakeFunctions) -> None:
    large = "x" * 120_000

    assert publisher.publish_many(envelope(id=f"m-{number}", payload=large) for number in range(80)).accepted == 80

    assert len(functions.calls) > 1
    assert max(functions.sizes) <= MAX_BYTES_A_CALL + 100


def test_one_that_is_invalid_does_not_stop_the_others(publisher: Publisher, functions: FakeFunctions) -> None:
    summary = publisher.publish_many([envelope(id="a"), {"id": "b", "no": "message"}, envelope(id="c")])

    assert [one["id"] for one in functions.calls[0]] == ["a", "c"]
    assert [(failure.number, failure.id, failure.status) for failure in summary.failures] == [(2, "b", "invalid")]


def test_only_what_was_not_taken_is_sent_again(publisher: Publisher, functions: FakeFunctions) -> None:
    def half(messages: list[dict[str, Any]]) -> Any:
        results = all_started(messages)["results"]
        return {"results": [{"id": "a", "status": "unavailable"}, *results[1:]]}

    functions.answers = [half]
    results = list(publisher.publish_each([envelope(id="a"), envelope(id="b")]))

    assert [[one["id"] for one in call] for call in functions.calls] == [["a", "b"], ["a"]]
    assert [(result.id, result.status) for result in results] == [("a", "started"), ("b", "started")]


def test_no_more_is_read_than_is_about_to_be_sent(publisher: Publisher) -> None:
    read = 0

    def endless() -> Iterator[dict[str, Any]]:
        nonlocal read
        while True:
            read += 1
            yield envelope(id=f"m-{read}")

    results = publisher.publish_each(endless(), concurrency=2)
    for _ in range(500):
        next(results)
    results.close()  # type: ignore[attr-defined]

    assert read <= 500 + 100 * (2 * 2 + 2)


def test_calls_are_made_at_once_but_not_more_than_allowed(functions: FakeFunctions) -> None:
    together = threading.Barrier(3, timeout=10)

    def meet(messages: list[dict[str, Any]]) -> Any:
        together.wait()
        return all_started(messages)

    functions.answers = [meet] * 6
    publisher = Publisher(sending_to(functions))

    assert publisher.publish_many((envelope(id=f"m-{n}") for n in range(600)), concurrency=3).accepted == 600


def test_ordered_messages_of_one_recipient_are_never_in_two_calls_at_once(functions: FakeFunctions) -> None:
    another = threading.Event()

    def first(messages: list[dict[str, Any]]) -> Any:
        overtaken.append(another.wait(timeout=0.2))
        return all_started(messages)

    def second(messages: list[dict[str, Any]]) -> Any:
        another.set()
        return all_started(messages)

    overtaken: list[bool] = []
    functions.answers = [first, second]
    publisher = Publisher(sending_to(functions))
    publisher.publish_many(envelope(id=f"m-{n}", payload=n, ordered=True) for n in range(500))

    assert [call[0]["payload"] for call in functions.calls] == [0, 100, 200, 300, 400]
    assert overtaken == [False]


def test_what_follows_a_failed_ordered_message_is_not_sent_before_it(
    publisher: Publisher, functions: FakeFunctions
) -> None:
    bea = {"user": "bea", "context": "chat", "contextId": "42"}
    functions.answers = [answering("unavailable")] * 7
    messages = [envelope(id=f"a-{n}", ordered=True) for n in range(101)]
    messages.append(envelope(id="b", ordered=True, recipient=bea))

    summary = publisher.publish_many(messages, concurrency=1)

    assert (summary.accepted, summary.counts["unavailable"]) == (1, 101)
    assert [one["id"] for one in functions.calls[-1]] == ["b"]


def status_of(state: State) -> MessageStatus:
    return MessageStatus(
        id="m-1", state=state, attempts=1, accepted_at=NOW, execution_arn=arn("m-1"), console_url="https://console"
    )


@pytest.fixture
def states(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> list[State]:
    """The states that the message is in, look after look."""
    states: list[State] = []
    monkeypatch.setattr(publisher, "status", lambda message_id: status_of(states.pop(0)))
    return states


def test_waiting_ends_with_the_delivery(publisher: Publisher, states: list[State], slept: list[float]) -> None:
    states += ["delivering", "waiting", "acknowledged"]

    assert publisher.wait_until_delivered("m-1").state == "acknowledged"
    assert len(slept) == 2


@pytest.mark.parametrize("state", ["cancelled", "dead_lettered"])
def test_waiting_ends_with_the_message(publisher: Publisher, states: list[State], state: State) -> None:
    states += ["waiting", state]

    with pytest.raises(Undelivered, match=state):
        publisher.wait_until_delivered("m-1")


def test_waiting_ends_in_time(functions: FakeFunctions, monkeypatch: pytest.MonkeyPatch) -> None:
    time = [0.0]
    publisher = Publisher(
        sending_to(functions),
        sleep=lambda seconds: time.__setitem__(0, time[0] + seconds),
        monotonic=lambda: time[0],
    )
    monkeypatch.setattr(publisher, "status", lambda message_id: status_of("waiting"))

    with pytest.raises(NotInTime, match="waiting"):
        publisher.wait_until_delivered("m-1", timeout_seconds=30)
    assert time[0] == pytest.approx(30)


class Looks:
    """What status says, look after look, on a clock that moves with the sleep; the last answer is for ever."""

    def __init__(self, *answers: State | None) -> None:
        self.answers = list(answers)
        self.time = 0.0
        self.at: list[float] = []
        clients: Any = SimpleNamespace(stepfunctions=None)
        installation = Installation("here", {"DeliveryStateMachineArn": "machine"}, clients)
        self.publisher = Publisher(installation, sleep=self.sleep, monotonic=lambda: self.time)

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def status(self, message_id: str) -> MessageStatus:
        self.at.append(self.time)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise MessageNotFound(message_id)
        return status_of(answer)


def looking(patch: pytest.MonkeyPatch, *answers: State | None) -> Looks:
    looks = Looks(*answers)
    patch.setattr(looks.publisher, "status", looks.status)
    patch.setattr(runs, "cancel", lambda *_: None)
    return looks


def test_a_run_may_be_seen_seconds_after_it_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = looking(monkeypatch, None, None, None, "waiting", "delivered")

    assert looks.publisher.wait_until_delivered("m-1").state == "delivered"
    assert looks.at == [0, 0.5, 1.5, 3.5, 7.5], "the account may describe few runs a second"


@pytest.mark.parametrize(("timeout_seconds", "until"), [(60, 7.5), (2, 2)])
def test_a_message_without_a_run_is_not_waited_for_to_the_end(
    monkeypatch: pytest.MonkeyPatch, timeout_seconds: float, until: float
) -> None:
    looks = looking(monkeypatch, None)

    with pytest.raises(MessageNotFound):
        looks.publisher.wait_until_delivered("m-1", timeout_seconds)
    assert looks.time == until


def test_the_end_may_be_seen_seconds_after_a_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = looking(monkeypatch, "waiting", "waiting", "cancelled")

    assert looks.publisher.cancel("m-1").state == "cancelled"


def test_what_was_delivered_before_it_was_cancelled_is_seen_late(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = looking(monkeypatch, "delivering", "delivered")

    with pytest.raises(NotCancellable, match="delivered"):
        looks.publisher.cancel("m-1")


def test_an_end_that_is_not_seen_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = looking(monkeypatch, "waiting")

    assert looks.publisher.cancel("m-1").state == "waiting"
    assert looks.time == 5
