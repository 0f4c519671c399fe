"""Every way through the machine, taken by real runs. `paths.py` says how the labels read."""

import sys
from functools import partial
from typing import Any

import pytest
from moto.core.exceptions import ServiceException
from moto.sqs.models import SQSBackend

from lambdas.adapters.runs import WaitingRuns
from lambdas.core import model
from lambdas.core.model import Callback
from lambdas.core.ports import Start
from ringback.plain import Recipient
from tests import builders
from tests.builders import envelope
from tests.statemachine import definition, paths
from tests.statemachine.paths import POSTING_STATES, takes
from tests.statemachine.stage import ANA, MAX_ATTEMPTS, Answer, Run, Stage

POST, AWAIT = POSTING_STATES
WAIT = "Wait For Reconnect"
FUNCTIONS = {POST: "PostToConnections", AWAIT: "PostAndAwaitAcknowledgement"}

in_both_posting_states = pytest.mark.parametrize("posting", POSTING_STATES)


def message_for(posting: str, **changes: Any) -> dict[str, Any]:
    """A message that this state posts."""
    return envelope(ack="client" if posting == AWAIT else "none", **changes)


def deliver(stage: Stage, run: Run, posting: str) -> dict[str, Any]:
    """See a run through to its success; where it waits for the client's acknowledgement, give it."""
    if posting == AWAIT:
        run.wait_in(AWAIT)
        stage.acknowledge("m-1")
    return run.succeed()


def test_every_path_is_taken_by_a_test() -> None:
    said = paths.said_in(sys.modules[__name__])

    assert paths.defined() - said == set(), "no test takes these"
    assert said - paths.defined() == set(), "the definition does not have these"


# Delivered


@takes(
    "Resolve Connections -> Acknowledgement Wanted?",
    "Acknowledgement Wanted? -> Post To Connections",
    "Post To Connections -> end",
)
def test_someone_who_is_online_gets_the_message(stage: Stage) -> None:
    stage.connect("c1")

    run = stage.send(envelope(correlationId="order-7"))

    assert run.succeed() == {
        "status": "delivered",
        "messageId": "m-1",
        "attempt": 1,
        "posted": ["c1"],
        "gone": [],
        "throttled": [],
        "failed": [],
    }
    assert stage.gateway.received("c1") == [
        {
            "kind": "message",
            "id": "m-1",
            "type": "message",
            "payload": {"text": "hello"},
            "sentAt": "2030-01-31T12:00:00.000Z",
            "attempt": 1,
            "correlationId": "order-7",
        }
    ]
    assert run.history.billed_transitions == 3


@takes(
    "Acknowledgement Wanted? -> Post And Await Acknowledgement",
    "Post And Await Acknowledgement -> end",
)
def test_a_message_that_wants_it_is_delivered_when_it_is_acknowledged(stage: Stage) -> None:
    stage.connect("c1")
    run = stage.send(envelope(ack="client"))
    assert run.wait_in(AWAIT).timeout_seconds == 30

    stage.acknowledge("m-1")

    output = run.succeed()
    assert output["status"] == "acknowledged"
    assert output["messageId"] == "m-1"
    assert len(stage.gateway.received("c1")) == 1
    assert run.history.billed_transitions == 3


def test_a_client_may_acknowledge_before_the_post_has_returned(stage: Stage) -> None:
    stage.connect("c1")
    stage.gateway.on_post = lambda connection_id: stage.acknowledge("m-1")

    run = stage.send(envelope(ack="client"))

    assert run.succeed()["status"] == "acknowledged"


@pytest.mark.parametrize(
    "stranger",
    [builders.recipient("eve"), builders.recipient(context_id="another")],
    ids=["another user", "another conversation"],
)
def test_somebody_elses_acknowledgement_changes_nothing(stage: Stage, stranger: Recipient) -> None:
    stage.connect("c1")
    run = stage.send(envelope(ack="client", ackTimeoutSeconds=7))
    run.wait_in(AWAIT)

    stage.acknowledge("m-1", sender=stranger)

    assert run.wait_in(AWAIT).timeout_seconds == 7
    stage.acknowledge("m-1")
    assert run.succeed()["status"] == "acknowledged"


@in_both_posting_states
def test_each_of_three_connections_gets_the_message_once(stage: Stage, posting: str) -> None:
    for connection_id in ("c1", "c2", "c3"):
        stage.connect(connection_id)

    run = stage.send(message_for(posting))

    deliver(stage, run, posting)
    assert sorted(stage.gateway.posts) == ["c1", "c2", "c3"]
    assert run.history.billed_transitions == 3


@in_both_posting_states
def test_one_gone_connection_of_three_is_forgotten_and_the_message_is_delivered(stage: Stage, posting: str) -> None:
    for connection_id in ("c1", "c2", "c3"):
        stage.connect(connection_id)
    stage.gateway.answer("c2", Answer.GONE)

    run = stage.send(message_for(posting))

    deliver(stage, run, posting)
    assert stage.connected() == {"c1", "c3"}
    assert run.history.billed_transitions == 3


def test_the_same_id_twice_is_one_delivery(stage: Stage) -> None:
    stage.connect("c1")
    run = stage.send(envelope())
    run.succeed()

    assert stage.start(envelope()) is Start.DUPLICATE

    assert len(stage.gateway.received("c1")) == 1


# Waiting


@takes(
    "{posting} -> Wait For Reconnect on ConnectionGone",
    "{posting} never again on ConnectionGone",
    "Wait For Reconnect -> Acknowledgement Wanted?",
)
@in_both_posting_states
def test_when_all_connections_are_gone_the_message_waits_for_the_next(stage: Stage, posting: str) -> None:
    for connection_id in ("c1", "c2"):
        stage.connect(connection_id)
        stage.gateway.answer(connection_id, Answer.GONE)
    run = stage.send(message_for(posting))
    run.wait_in(WAIT)
    assert stage.connected() == set()

    stage.connect("c3")

    deliver(stage, run, posting)
    assert [frame["attempt"] for frame in stage.gateway.received("c3")] == [2]
    assert stage.parked() == []
    assert run.history.billed_transitions == 6


@takes(
    "Resolve Connections -> Wait For Reconnect on NoOpenConnection",
    "Resolve Connections never again on NoOpenConnection",
)
def test_for_somebody_who_is_not_there_the_message_waits(stage: Stage) -> None:
    run = stage.send(envelope())
    run.wait_in(WAIT)

    stage.connect("c1")

    assert run.succeed()["posted"] == ["c1"]
    assert run.history.billed_transitions == 4


def test_one_reconnect_wakes_every_message_that_waits_for_this_recipient(stage: Stage) -> None:
    theirs = [stage.send(envelope(id=name), name) for name in ("m-1", "m-2", "m-3")]
    elsewhere = builders.recipient(context_id="another")
    other = stage.send(envelope(id="m-4", recipient=elsewhere.to_wire()), "m-4")
    for run in (*theirs, other):
        run.wait_in(WAIT)

    stage.connect("c1")

    for run in theirs:
        run.succeed()
    assert sorted(frame["id"] for frame in stage.gateway.received("c1")) == ["m-1", "m-2", "m-3"]
    other.wait_in(WAIT)


@in_both_posting_states
def test_a_connection_between_gone_and_parking_wakes_the_message(stage: Stage, posting: str) -> None:
    """Its own wake came too early to find the callback, so parking must find it."""
    stage.connect("c1")
    stage.gateway.answer("c1", Answer.GONE)
    stage.functions.before["WaitForReconnect"] = [partial(stage.connect, "c2")]

    run = stage.send(message_for(posting))

    deliver(stage, run, posting)
    assert len(stage.gateway.received("c2")) == 1
    assert stage.parked() == []
    assert run.history.billed_transitions == 6


def test_a_connection_between_resolving_and_parking_wakes_the_message(stage: Stage) -> None:
    stage.functions.before["WaitForReconnect"] = [partial(stage.connect, "c1")]

    run = stage.send(envelope())

    assert run.succeed()["posted"] == ["c1"]
    assert run.history.billed_transitions == 4


def test_a_wake_that_is_late_finds_the_message_delivered(stage: Stage) -> None:
    """The recheck was faster than the stream: one delivery, and the wake is no error."""
    stage.functions.before["WaitForReconnect"] = [partial(stage.store, "c1")]
    run = stage.send(envelope())
    run.succeed()

    stage.connect("c1")

    assert len(stage.gateway.received("c1")) == 1


def test_a_gone_young_connection_is_tried_until_its_handshake_has_ended(stage: Stage) -> None:
    stage.connect("c1", age_seconds=0)
    stage.gateway.answer("c1", Answer.GONE, Answer.GONE, Answer.POSTED)

    run = stage.send(envelope())

    assert run.succeed()["posted"] == ["c1"]
    assert run.history.billed_transitions == 3


def test_a_connection_whose_life_has_ended_is_closed_and_the_message_waits_for_the_next(stage: Stage) -> None:
    stage.store("c1", life_seconds=0)
    run = stage.send(envelope())
    run.wait_in(WAIT)
    assert stage.gateway.closed == ["c1"]
    assert stage.connected() == set()

    stage.connect("c2")

    assert run.succeed()["posted"] == ["c2"]


@takes("Wait For Reconnect -> Resolve Connections on States.Timeout")
def test_when_nobody_connects_in_time_the_machine_looks_again(stage: Stage) -> None:
    run = stage.send(envelope())
    run.time_out_in(WAIT)
    run.time_out_in(WAIT)
    run.wait_in(WAIT)

    assert run.history.states == ["Resolve Connections", WAIT] * 3
    assert run.history.billed_transitions == 2 * 3
    stage.connect("c1")
    assert run.succeed()["attempt"] == 4


def test_what_connected_without_a_wake_is_found_when_the_wait_is_over(stage: Stage) -> None:
    """The safety net: a wake that is lost costs time, not the message."""
    run = stage.send(envelope())
    run.wait_in(WAIT)
    stage.store("c1")

    run.time_out_in(WAIT)

    assert run.succeed()["attempt"] == 2


@takes("Post And Await Acknowledgement -> Wait For Reconnect on States.Timeout")
def test_without_an_acknowledgement_in_time_the_message_is_posted_again(stage: Stage) -> None:
    stage.connect("c1")
    run = stage.send(envelope(ack="client", ackTimeoutSeconds=7))
    assert run.time_out_in(AWAIT).timeout_seconds == 7
    run.time_out_in(WAIT)
    run.wait_in(AWAIT)

    stage.acknowledge("m-1")

    assert run.succeed()["status"] == "acknowledged"
    assert [(frame["id"], frame["attempt"]) for frame in stage.gateway.received("c1")] == [("m-1", 1), ("m-1", 2)]


@takes("Acknowledgement Wanted? -> Acknowledged Late", "Acknowledged Late -> end")
@pytest.mark.parametrize("when", ["waiting", "about to wait", "about to look again"])
def test_an_acknowledgement_that_comes_late_ends_the_run_without_another_post(stage: Stage, when: str) -> None:
    stage.connect("c1")
    acknowledge = partial(stage.acknowledge, "m-1")
    run = stage.send(envelope(ack="client"))
    if when == "about to wait":
        stage.functions.before["WaitForReconnect"] = [acknowledge]
    run.time_out_in(AWAIT)
    if when == "waiting":
        run.wait_in(WAIT)
        assert stage.stale() == {"c1"}
        acknowledge()
    if when == "about to look again":
        stage.connections.delete(ANA, "c1")
        stage.functions.before["ResolveConnections"] = [acknowledge]
        run.time_out_in(WAIT)

    output = run.succeed()

    assert (output["status"], output["messageId"], output["connectionId"]) == ("acknowledged", "m-1", "c1")
    assert len(stage.gateway.received("c1")) == 1
    assert stage.parked() == []
    assert stage.stale() == set()
    cycle = ["Resolve Connections", WAIT] if when == "about to look again" else []
    late = ["Acknowledgement Wanted?", "Acknowledged Late"]
    assert run.history.states == ["Resolve Connections", "Acknowledgement Wanted?", AWAIT, WAIT, *cycle, *late]
    assert run.history.billed_transitions == 6 + len(cycle)


def test_what_was_acknowledged_late_is_delivered_even_after_the_last_attempt(stage: Stage) -> None:
    stage.connect("c1")
    stage.functions.before["WaitForReconnect"] = [partial(stage.acknowledge, "m-1")]
    run = stage.send(envelope(ack="client", retry={"maxAttempts": 1}))

    run.time_out_in(AWAIT)

    assert run.succeed()["status"] == "acknowledged"


def test_a_half_open_client_is_stale_until_it_acknowledges_what_came_again(stage: Stage) -> None:
    stage.connect("c1")
    run = stage.send(envelope(ack="client"))
    run.time_out_in(AWAIT)
    run.wait_in(WAIT)
    assert stage.stale() == {"c1"}

    stage.connect("c2")
    run.wait_in(AWAIT)
    stage.acknowledge("m-1", connection_id="c2")

    assert run.succeed()["connectionId"] == "c2"
    assert [(frame["id"], frame["attempt"]) for frame in stage.gateway.received("c2")] == [("m-1", 2)]
    assert stage.stale() == {"c1"}
    assert run.history.billed_transitions == 6


def test_a_handshake_that_ends_while_another_connection_is_waited_for_is_not_slept_through(stage: Stage) -> None:
    """The dead one took the message, the new one could not yet, and its wake came before the run waited."""
    stage.connect("dead")
    stage.connect("new", age_seconds=0)
    stage.gateway.answer("new", *[Answer.GONE] * 5, Answer.POSTED)
    run = stage.send(envelope(ack="client"))

    run.time_out_in(AWAIT)

    run.wait_in(AWAIT)
    stage.acknowledge("m-1", connection_id="new")
    assert run.succeed()["connectionId"] == "new"


# Ordered


def test_ordered_messages_wait_in_any_order_and_arrive_numbered(stage: Stage) -> None:
    names = ["m-2", "m-3", "m-1"]
    runs = []
    for name in names:
        runs.append(stage.send(envelope(id=name, ordered=True), name))
        runs[-1].wait_in(WAIT)  # it has its number
    assert [callback.message_id for callback in stage.parked()] == names

    stage.connect("c1")

    for run in runs:
        run.succeed()
    frames = {frame["id"]: (frame["sequence"], frame["ordered"]) for frame in stage.gateway.received("c1")}
    assert frames == {"m-2": (1, True), "m-3": (2, True), "m-1": (3, True)}


def test_an_ordered_message_keeps_its_number_over_all_its_attempts(stage: Stage) -> None:
    stage.sequences.number(ANA, "the one before", until=stage.clock.now())
    stage.connect("c1")
    run = stage.send(envelope(ack="client", ordered=True))
    run.time_out_in(AWAIT)
    run.time_out_in(WAIT)
    run.wait_in(AWAIT)
    stage.acknowledge("m-1")
    run.succeed()

    assert [frame["sequence"] for frame in stage.gateway.received("c1")] == [2, 2]
    assert stage.sequences.number(ANA, "the next", until=stage.clock.now()).sequence == 3


# Undelivered


def test_a_message_may_ask_for_fewer_attempts(stage: Stage) -> None:
    run = stage.send(envelope(retry={"maxAttempts": 2}))

    run.time_out_in(WAIT)

    assert run.fail()[0] == "AttemptsExhausted"
    assert stage.dead_letter()["attempts"] == 2


def test_a_message_may_ask_for_more_attempts_than_the_stage_gives(stage: Stage) -> None:
    run = stage.send(envelope(retry={"maxAttempts": MAX_ATTEMPTS + 1}))

    for _ in range(MAX_ATTEMPTS):
        run.time_out_in(WAIT)

    assert run.fail()[0] == "AttemptsExhausted"
    assert stage.dead_letter()["attempts"] == MAX_ATTEMPTS + 1


@pytest.mark.parametrize(
    ("retry", "attempts"),
    [
        ({"maxAttempts": 2}, 2),
        ({"maxAttempts": None}, MAX_ATTEMPTS),
        ({"maxAttempts": "many"}, MAX_ATTEMPTS),
        ([{"maxAttempts": 2}, {"maxAttempts": 3}], MAX_ATTEMPTS),
    ],
    ids=["its own", "none", "no number", "several"],
)
def test_a_platform_that_fails_uses_up_the_attempts_of_what_nobody_has_read_yet(
    stage: Stage, retry: Any, attempts: int
) -> None:
    stage.functions.fail("ResolveConnections", times=7 * MAX_ATTEMPTS)

    run = stage.send(envelope(retry=retry))

    assert run.fail()[0] == "RuntimeError"
    assert stage.dead_letter()["attempts"] == attempts


@takes(
    "Wait For Reconnect -> Send To Dead Letter Queue on AttemptsExhausted",
    "Wait For Reconnect never again on AttemptsExhausted",
    "Send To Dead Letter Queue -> Undelivered",
    "Undelivered -> end",
)
def test_a_message_gets_so_many_attempts_and_then_is_a_dead_letter(stage: Stage) -> None:
    message = envelope(correlationId="order-7")
    run = stage.send(message)
    for _ in range(MAX_ATTEMPTS - 1):
        run.time_out_in(WAIT)

    assert run.fail() == (
        "AttemptsExhausted",
        "Dead-lettered after 4 attempts: 4 attempts were made, which is all that a message gets",
    )
    letter = stage.dead_letter()
    assert letter.pop("deadLetteredAt").startswith("2030-01-31T12:")
    assert letter == {
        "message": message,
        "reason": "AttemptsExhausted",
        "cause": "4 attempts were made, which is all that a message gets",
        "lastError": {"error": "NoOpenConnection", "cause": "ana in chat/42 has no open connection"},
        "attempts": 4,
        "executionArn": run.arn,
    }
    assert run.history.billed_transitions == 2 * MAX_ATTEMPTS + 2


@takes(
    "Resolve Connections -> Send To Dead Letter Queue on MessageExpired",
    "Resolve Connections never again on MessageExpired",
)
def test_a_message_whose_life_ends_while_it_waits_is_a_dead_letter(stage: Stage) -> None:
    run = stage.send(envelope(ttlSeconds=3))

    assert run.time_out_in(WAIT).timeout_seconds == 3

    error, cause = run.fail()
    assert error == "MessageExpired"
    assert cause == "Dead-lettered after 1 attempt: its life ended at 2030-01-31T12:00:03.000Z"
    letter = stage.dead_letter()
    assert letter["attempts"] == 1
    assert letter["lastError"]["error"] == "NoOpenConnection"


@takes(
    "Wait For Reconnect -> Send To Dead Letter Queue on MessageExpired",
    "Wait For Reconnect never again on MessageExpired",
)
def test_a_message_whose_life_has_ended_does_not_wait(stage: Stage) -> None:
    stage.functions.before["WaitForReconnect"] = [partial(stage.clock.sleep, 3)]

    run = stage.send(envelope(ttlSeconds=3))

    assert run.fail()[0] == "MessageExpired"
    assert stage.dead_letter()["lastError"]["error"] == "NoOpenConnection"
    assert stage.parked() == []


@takes(
    "{posting} -> Send To Dead Letter Queue on MessageExpired",
    "{posting} never again on MessageExpired",
)
@in_both_posting_states
def test_a_message_whose_life_has_ended_is_not_posted(stage: Stage, posting: str) -> None:
    stage.connect("c1")
    stage.functions.before[FUNCTIONS[posting]] = [partial(stage.clock.sleep, 3)]

    run = stage.send(message_for(posting, ttlSeconds=3))

    assert run.fail()[0] == "MessageExpired"
    assert stage.dead_letter()["attempts"] == 1
    assert stage.gateway.posts == []


@takes(
    "{posting} -> Send To Dead Letter Queue on InvalidMessage",
    "{posting} never again on InvalidMessage",
)
@in_both_posting_states
def test_what_api_gateway_finds_too_large_is_a_dead_letter(stage: Stage, posting: str) -> None:
    stage.connect("c1")
    stage.gateway.answer("c1", Answer.TOO_LARGE)

    run = stage.send(message_for(posting))

    error, cause = run.fail()
    assert error == "InvalidMessage"
    assert cause.startswith("Dead-lettered after 1 attempt: payload: API Gateway takes no frame of ")
    assert stage.dead_letter()["message"]["id"] == "m-1"
    assert len(stage.gateway.posts) == 1


MALFORMED = {
    "text": "hello",
    "text that looks like an expression": "{% $states.context %}",
    "array": [1, 2],
    "array of one": [envelope()],
    "empty array": [],
    "null": None,
    "number": 7,
    "true": True,
    "empty object": {},
    "no payload": {"recipient": {"user": "ana", "context": "chat", "contextId": "42"}},
    "unknown field": envelope(tll=60),
    "fields of the machine's own": envelope(attemptsMade=100, misses=9, lastError={"Error": "Nonsense", "Cause": 1}),
    "fields of the machine's own, unusable": envelope(attemptsMade="many", misses=[], lastError=[1]),
    "fields of the machine's own, in an array": [{"attemptsMade": 1}, {"attemptsMade": "many", "misses": "many"}],
    "nothing but fields of the machine's own": {
        "attemptsMade": 3,
        "misses": 3,
        "error": {"Error": "E", "Cause": "C"},
        "lastError": {"Error": "E", "Cause": "C"},
    },
    "an end of life and an acknowledgement of another type": envelope(expiresAt=[7], ttlSeconds={}, ack=["client"]),
    "hundreds of unknown fields": envelope(**{f"{'field' * 10}{number}": number for number in range(300)}),
    "two ends of life": envelope(ttlSeconds=60, expiresAt="2030-01-31T13:00:00Z"),
    "an end of life that is none": envelope(expiresAt="tomorrow"),
    "a payload with half of a surrogate pair": envelope(payload="\ud83d"),
    "a payload that is too large": envelope(payload="x" * 128 * 1024),
    "what is not durable": envelope(durable=False),
    "a recipient with the separator": envelope(recipient={"user": "a#b", "context": "chat", "contextId": "42"}),
}


@takes(
    "Resolve Connections -> Send To Dead Letter Queue on InvalidMessage",
    "Resolve Connections never again on InvalidMessage",
)
@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_message_is_a_dead_letter_as_it_came(stage: Stage, message: Any) -> None:
    stage.connect("c1")

    run = stage.send(message)

    error, cause = run.fail()
    assert error == "InvalidMessage"
    assert cause.startswith("Dead-lettered after 0 attempts: ")
    letter = stage.dead_letter()
    assert letter["message"] == message
    assert letter["reason"] == letter["lastError"]["error"] == "InvalidMessage"
    assert letter["cause"] == letter["lastError"]["cause"]
    assert letter["attempts"] == 0
    assert len(letter["cause"]) < 2_000
    assert run.history.billed_transitions == 3


# What the functions are handed


def test_each_function_reads_all_that_its_state_hands_it_and_no_more(stage: Stage) -> None:
    acknowledged = stage.send(envelope(ack="client"))
    acknowledged.wait_in(WAIT)
    stage.connect("c1")
    acknowledged.wait_in(AWAIT)
    stage.acknowledge("m-1")
    acknowledged.succeed()
    stage.send(envelope(id="m-2"), "m-2").succeed()

    payloads = {
        name.replace(" ", ""): set(state["Arguments"]["Payload"])
        for name, state in definition.STATES.items()
        if "Payload" in state.get("Arguments", {})
    }
    assert stage.functions.read == payloads


# Failures on the way


@takes("{posting} again on PostThrottled")
@in_both_posting_states
def test_a_throttled_post_is_tried_again(stage: Stage, posting: str) -> None:
    stage.connect("c1")
    stage.gateway.answer("c1", *[Answer.THROTTLED] * 11, Answer.POSTED)

    run = stage.send(message_for(posting))

    deliver(stage, run, posting)
    assert stage.connected() == {"c1"}
    assert run.history.states[-1] == posting


@takes("{posting} -> Wait For Reconnect on States.TaskFailed")
@in_both_posting_states
def test_what_is_throttled_for_good_waits_and_keeps_its_connection(stage: Stage, posting: str) -> None:
    stage.connect("c1")
    stage.gateway.answer("c1", Answer.THROTTLED)
    run = stage.send(message_for(posting))
    run.wait_in(WAIT)
    assert stage.connected() == {"c1"}
    stage.gateway.answer("c1", Answer.POSTED)

    run.time_out_in(WAIT)

    deliver(stage, run, posting)
    assert run.history.visits[2].errors == ["PostThrottled"] * 6


@takes("{posting} again on States.TaskFailed")
@in_both_posting_states
def test_a_function_that_crashes_after_the_post_loses_nothing(stage: Stage, posting: str) -> None:
    stage.connect("c1")
    stage.functions.crash(FUNCTIONS[posting])

    run = stage.send(message_for(posting))

    deliver(stage, run, posting)
    assert [(frame["id"], frame["attempt"]) for frame in stage.gateway.received("c1")] == [("m-1", 1)] * 2
    assert run.history.visits[2].errors == ["RuntimeError"]


@in_both_posting_states
def test_what_cannot_be_posted_for_long_waits_and_goes_on(stage: Stage, posting: str) -> None:
    stage.connect("c1")
    stage.gateway.answer("c1", Answer.FAILED)
    run = stage.send(message_for(posting))
    run.wait_in(WAIT)
    stage.gateway.answer("c1", Answer.POSTED)

    run.time_out_in(WAIT)

    deliver(stage, run, posting)
    assert run.history.visits[2].errors == ["ServiceUnavailable"] * 7


@takes(
    "Resolve Connections again on States.TaskFailed",
    "Resolve Connections -> Worth Another Try? on States.TaskFailed",
    "Worth Another Try? -> Wait Out The Failure",
    "Wait Out The Failure -> Resolve Connections",
)
def test_a_message_that_cannot_be_resolved_for_long_waits_and_goes_on(stage: Stage) -> None:
    stage.connect("c1")
    stage.functions.crash("ResolveConnections", times=2 * 7)

    run = stage.send(envelope())

    assert run.succeed()["attempt"] == 3
    failure = ["Resolve Connections", "Worth Another Try?", "Wait Out The Failure"]
    assert run.history.states == [*failure * 2, "Resolve Connections", "Acknowledgement Wanted?", POST]
    assert run.history.visits[0].errors == ["RuntimeError"] * 7
    assert stage.interpreter.waited == [10, 20]


def test_the_failures_of_a_message_count_as_its_attempts_and_are_forgotten_by_the_next_answer(stage: Stage) -> None:
    stage.functions.fail("ResolveConnections", times=2 * 7)

    run = stage.send(envelope())
    run.time_out_in(WAIT)

    assert run.fail()[0] == "AttemptsExhausted"
    letter = stage.dead_letter()
    assert letter["attempts"] == MAX_ATTEMPTS
    assert letter["lastError"]["error"] == "NoOpenConnection"


@pytest.mark.parametrize(
    "name", ["text", "array of one", "null", *(name for name in MALFORMED if "machine's" in name or "another" in name)]
)
def test_what_is_no_message_is_no_worse_for_being_looked_at_late(stage: Stage, name: str) -> None:
    """Before a function has looked at it, nothing in the machine may."""
    message = MALFORMED[name]
    stage.functions.fail("ResolveConnections", times=7)

    run = stage.send(message)

    assert run.fail()[0] == "InvalidMessage"
    assert stage.interpreter.waited == [10]
    letter = stage.dead_letter()
    assert letter["message"] == message
    assert letter["attempts"] == 1
    assert letter["lastError"] == {"error": "RuntimeError", "cause": "the function crashed"}


def test_a_message_whose_life_ends_while_a_failure_is_waited_out_is_a_dead_letter(stage: Stage) -> None:
    stage.functions.fail("ResolveConnections", times=7)

    run = stage.send(envelope(ttlSeconds=3))

    assert run.fail()[0] == "MessageExpired"
    letter = stage.dead_letter()
    assert letter["attempts"] == 1
    assert letter["lastError"]["error"] == "RuntimeError"


@takes("Worth Another Try? -> Send To Dead Letter Queue")
@pytest.mark.parametrize("message", [envelope(), "no message"], ids=["message", "no message"])
def test_what_can_never_be_resolved_is_a_dead_letter_when_its_attempts_are_used_up(stage: Stage, message: Any) -> None:
    stage.functions.fail("ResolveConnections", times=MAX_ATTEMPTS * 7)

    run = stage.send(message)

    assert run.fail() == ("RuntimeError", f"Dead-lettered after {MAX_ATTEMPTS} attempts: the function crashed")
    letter = stage.dead_letter()
    assert letter["message"] == message
    assert letter["attempts"] == MAX_ATTEMPTS
    assert letter["lastError"] == {"error": "RuntimeError", "cause": "the function crashed"}
    assert stage.interpreter.waited == [10, 20, 40]


@takes("Wait For Reconnect again on States.TaskFailed")
def test_a_crash_after_parking_leaves_a_token_that_wakes_nobody(stage: Stage) -> None:
    left_behind: list[Callback] = []

    def crash() -> None:
        left_behind.extend(stage.parked())
        raise RuntimeError("the function crashed")

    stage.functions.after["WaitForReconnect"] = [crash]
    run = stage.send(envelope())
    current = run.wait_in(WAIT).task_token
    (old,) = left_behind

    assert not WaitingRuns().succeed(old.task_token, {"connections": []})

    assert run.wait_in(WAIT).task_token == current != old.task_token
    stage.connect("c1")
    assert run.succeed()["posted"] == ["c1"]


def test_a_dead_letter_says_what_happened_last(stage: Stage) -> None:
    run = stage.send(envelope())
    run.wait_in(WAIT)
    stage.functions.fail("ResolveConnections", times=(MAX_ATTEMPTS - 1) * 7)

    run.time_out_in(WAIT)

    assert run.fail()[0] == "RuntimeError"
    assert stage.dead_letter()["lastError"]["error"] == "RuntimeError"


@takes("Wait For Reconnect -> Worth Another Try? on States.TaskFailed")
def test_a_run_that_cannot_wait_for_long_looks_again(stage: Stage) -> None:
    """Nothing would tell it of a connection."""
    stage.functions.fail("WaitForReconnect", times=7)
    stage.functions.before["ResolveConnections"] = [lambda: None, partial(stage.store, "c1")]

    run = stage.send(envelope())

    assert run.succeed()["attempt"] == 2
    failure = ["Worth Another Try?", "Wait Out The Failure"]
    assert run.history.states[:5] == ["Resolve Connections", WAIT, *failure, "Resolve Connections"]
    assert stage.interpreter.waited == [10]


def test_a_run_that_can_never_wait_is_a_dead_letter_when_its_attempts_are_used_up(stage: Stage) -> None:
    stage.functions.fail("WaitForReconnect", times=MAX_ATTEMPTS * 7)

    run = stage.send(envelope())

    assert run.fail() == ("RuntimeError", f"Dead-lettered after {MAX_ATTEMPTS} attempts: the function crashed")
    letter = stage.dead_letter()
    assert letter["reason"] == "RuntimeError"
    assert letter["lastError"] == {"error": "RuntimeError", "cause": "the function crashed"}
    assert letter["attempts"] == MAX_ATTEMPTS
    assert stage.interpreter.waited == [10, 20, 40]


@takes(
    "Wait For Reconnect -> Send To Dead Letter Queue on InvalidMessage",
    "Wait For Reconnect never again on InvalidMessage",
)
def test_what_a_new_release_no_longer_takes_for_a_message_does_not_wait(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = partial(monkeypatch.setattr, model, "MAX_TTL_SECONDS", 60)
    stage.functions.before["WaitForReconnect"] = [release]
    message = envelope(expiresAt="2030-01-31T13:00:00Z")

    run = stage.send(message)

    error, cause = run.fail()
    assert (error, cause) == ("InvalidMessage", "Dead-lettered after 1 attempt: expiresAt: at most 60 seconds ahead")
    letter = stage.dead_letter()
    assert letter["message"] == message
    assert letter["lastError"]["error"] == "NoOpenConnection"


@takes("Send To Dead Letter Queue again on States.ALL")
def test_a_queue_that_fails_is_tried_until_it_takes_the_dead_letter(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_message = SQSBackend.send_message
    failures = [ServiceException()] * 3

    def fails_at_first(*values: Any, **named: Any) -> Any:
        if failures:
            raise failures.pop()
        return send_message(*values, **named)

    monkeypatch.setattr(SQSBackend, "send_message", fails_at_first)

    run = stage.send("no message")

    assert run.fail()[0] == "InvalidMessage"
    assert stage.dead_letter()["message"] == "no message"
    assert run.history.visits[1].tries == 4
