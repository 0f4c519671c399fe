"""Every way through the chat's machine, taken by real runs. `paths.py` says how the labels read."""

import json
import sys
from collections.abc import Callable
from functools import partial

import pytest

from lambdas.adapters import aws as aws_of_ringback
from lambdas.chat.adapters import aws
from lambdas.chat.core.model import Status
from lambdas.chat.core.rules import Phase
from tests.chats import ANA, BO, CY, LIMITS
from tests.statemachine import paths
from tests.statemachine.chat_stage import CHAT, STATES, ChatStage
from tests.statemachine.paths import takes
from tests.statemachine.stage import Run

WAITING, ACTIVE, AWAY, RATING = "Waiting", "Active", "Agent Away", "Rating"
QUESTION = "Which Phase?"
SETTLED_BY = {WAITING: "Abandon", ACTIVE: "End If Idle", AWAY: "Return To Queue", RATING: "Close"}

in_every_wait = pytest.mark.parametrize("waiting", SETTLED_BY)


def bring_to(chat: ChatStage, phase: str) -> None:
    """See to it that the run waits in this state."""
    chat.start()
    if phase != WAITING:
        chat.accept(BO)
        chat.run.wait_in(ACTIVE)
    if phase == AWAY:
        chat.leave(BO)
    if phase == RATING:
        chat.end(ANA)
    chat.run.wait_in(phase)


def enter(chat: ChatStage, phase: str) -> None:
    """Have the run go to this state, from the one before."""
    steps: dict[str, Callable[[], None]] = {
        WAITING: chat.start,
        ACTIVE: partial(chat.accept, BO),
        AWAY: partial(chat.leave, BO),
        RATING: partial(chat.end, ANA),
    }
    steps[phase]()


def come_near(chat: ChatStage, phase: str) -> None:
    """See to it that the run waits in the state before this one, if there is one."""
    if phase != WAITING:
        bring_to(chat, WAITING if phase == ACTIVE else ACTIVE)


def leave(chat: ChatStage, phase: str) -> None:
    """Change the chat so that the run leaves this state."""
    steps: dict[str, Callable[[], None]] = {
        WAITING: partial(chat.accept, BO),
        ACTIVE: partial(chat.end, BO),
        AWAY: partial(chat.come, BO),
        RATING: partial(chat.rate, 3),
    }
    steps[phase]()


def delete(chat: ChatStage) -> None:
    """Have the chat gone from the table."""
    aws.dynamodb().delete_item(TableName="Chats", Key={"collection": {"S": f"chat#{CHAT}"}, "item": {"S": "state"}})


def test_every_path_is_taken_by_a_test() -> None:
    said = {label.replace("{waiting}", name) for label in SAID for name in SETTLED_BY}
    said = {label.replace("{settled}", name) for label in said for name in SETTLED_BY.values()}

    assert paths.defined(STATES) - said == set(), "no test takes these"


# The whole way


@takes(
    "Waiting -> Which Phase?",
    "Which Phase? -> Active",
    "Active -> Which Phase?",
    "Which Phase? -> Rating",
    "Rating -> Which Phase?",
    "Which Phase? -> Closed",
    "Closed -> end",
)
def test_a_chat_is_accepted_ended_and_rated(chat: ChatStage) -> None:
    chat.start()
    assert chat.run.wait_in(WAITING).timeout_seconds == LIMITS.max_wait_seconds
    chat.accept(BO)
    assert chat.run.wait_in(ACTIVE).timeout_seconds == LIMITS.idle_seconds
    for number in range(20):
        chat.say((ANA, BO)[number % 2], f"text {number}")
    chat.end(BO)
    assert chat.run.wait_in(RATING).timeout_seconds == LIMITS.rating_seconds
    chat.rate(4)

    assert chat.run.succeed() == {"chatId": CHAT, "endReason": "agent", "agent": "bo", "rating": 4}
    assert chat.run.history.states == [WAITING, QUESTION, ACTIVE, QUESTION, RATING, QUESTION, "Closed"]
    assert chat.run.history.billed_transitions == 7


def test_everybody_is_told_everything_in_order_and_what_is_said_moves_nothing(chat: ChatStage) -> None:
    chat.start()
    chat.run.wait_in(WAITING)
    chat.accept(BO)
    chat.run.wait_in(ACTIVE)
    before = chat.run.history
    chat.say(ANA, "Hello")
    chat.say(BO, "Good day")

    assert chat.run.history == before
    told = [event["type"] for event in chat.ringback.told("ana")]
    assert told == ["chat.waiting", "chat.accepted", "chat.message", "chat.message"]
    assert [event["number"] for event in chat.ringback.told("bo")] == [2, 3, 4]


@takes(
    "Waiting -> Abandon on States.Timeout", "Abandon -> Which Phase?", "Which Phase? -> Abandoned", "Abandoned -> end"
)
def test_a_chat_that_nobody_accepts_is_abandoned_when_it_has_waited_long_enough(chat: ChatStage) -> None:
    chat.start()
    assert chat.run.time_out_in(WAITING).timeout_seconds == 600

    assert chat.run.succeed() == {"chatId": CHAT, "endReason": "max_wait"}
    assert chat.run.history.billed_transitions == 4
    chat.stream()
    assert chat.ringback.told("ana")[-1]["reason"] == "max_wait"


def test_who_gives_up_waiting_has_nothing_to_rate(chat: ChatStage) -> None:
    chat.start()
    chat.run.wait_in(WAITING)
    chat.end(ANA)

    assert chat.run.succeed() == {"chatId": CHAT, "endReason": "customer"}
    assert chat.run.history.states == [WAITING, QUESTION, "Abandoned"]


@takes("Rating -> Close on States.Timeout", "Close -> Which Phase?")
def test_a_chat_that_nobody_rates_is_closed_without(chat: ChatStage) -> None:
    bring_to(chat, RATING)
    chat.run.time_out_in(RATING)

    assert chat.run.succeed() == {"chatId": CHAT, "endReason": "customer", "agent": "bo"}


# Idle


@takes("Active -> End If Idle on States.Timeout", "End If Idle -> Which Phase?", "Which Phase? -> Active")
def test_what_was_said_prolongs_a_chat_and_silence_ends_it(chat: ChatStage) -> None:
    bring_to(chat, ACTIVE)
    with chat.after(300):
        chat.say(ANA)
    assert chat.run.time_out_in(ACTIVE).timeout_seconds == 900
    # 300 s of the time after the last word are over as well.
    assert chat.run.wait_in(ACTIVE).timeout_seconds == 300
    chat.run.time_out_in(ACTIVE)

    chat.run.wait_in(RATING)
    assert chat.chat.end_reason == "idle"
    assert chat.run.history.states == [WAITING, QUESTION, *(ACTIVE, "End If Idle", QUESTION) * 2, RATING]


def test_a_chat_goes_on_for_three_transitions_each_idle_time(chat: ChatStage) -> None:
    bring_to(chat, ACTIVE)
    before = chat.run.history.billed_transitions
    with chat.after(1):
        chat.say(ANA)
    chat.run.time_out_in(ACTIVE)
    chat.run.wait_in(ACTIVE)

    assert chat.run.history.billed_transitions - before == 3


def test_an_agent_of_whose_leaving_nobody_told_is_missed_when_the_idle_time_is_over(chat: ChatStage) -> None:
    bring_to(chat, ACTIVE)
    chat.leave(BO, noticed=False)
    chat.run.time_out_in(ACTIVE)

    assert chat.run.wait_in(AWAY).timeout_seconds == LIMITS.agent_away_seconds
    # The stream tells what the run itself has done, and the run stays where it is.
    before = chat.run.history
    chat.stream()
    assert chat.run.history == before
    assert chat.ringback.told("ana")[-1]["type"] == "chat.agent_away"


# The agent is away


@takes("Active -> Which Phase?", "Which Phase? -> Agent Away", "Agent Away -> Which Phase?", "Which Phase? -> Active")
def test_an_agent_who_returns_in_time_keeps_the_chat(chat: ChatStage) -> None:
    bring_to(chat, ACTIVE)
    before = chat.run.history.billed_transitions
    chat.leave(BO)
    assert chat.run.wait_in(AWAY).timeout_seconds == LIMITS.agent_away_seconds
    chat.come(BO)
    chat.run.wait_in(ACTIVE)

    assert chat.run.history.billed_transitions - before == 4
    assert [event["type"] for event in chat.ringback.told("bo")][-2:] == ["chat.agent_away", "chat.agent_back"]


@takes("Agent Away -> Return To Queue on States.Timeout", "Return To Queue -> Which Phase?", "Which Phase? -> Waiting")
def test_an_agent_who_does_not_return_sends_the_chat_back_to_the_queue_and_another_accepts_it(chat: ChatStage) -> None:
    bring_to(chat, AWAY)
    chat.run.time_out_in(AWAY)
    # Its time in the queue begins anew.
    assert chat.run.wait_in(WAITING).timeout_seconds == LIMITS.max_wait_seconds
    before = chat.run.history
    chat.stream()
    assert chat.run.history == before, "the run did it, so it is not told to do it"
    assert chat.ringback.told("ana")[-1]["reason"] == "agent_away"

    chat.accept(CY)
    chat.run.wait_in(ACTIVE)
    assert chat.chat.agent == "cy"


def test_an_agent_who_is_back_without_anybody_having_told_keeps_the_chat_too(chat: ChatStage) -> None:
    bring_to(chat, AWAY)
    chat.come(BO, noticed=False)
    chat.run.time_out_in(AWAY)

    chat.run.wait_in(ACTIVE)
    assert chat.chat.agent == "bo"


def test_an_agent_who_is_away_can_hand_the_chat_on(chat: ChatStage) -> None:
    bring_to(chat, AWAY)
    chat.come(CY)
    chat.transfer(BO, CY)
    chat.run.wait_in(ACTIVE)

    assert chat.chat.agent == "cy"


# Handed on


def test_a_chat_that_is_handed_to_another_agent_costs_its_run_nothing(chat: ChatStage) -> None:
    bring_to(chat, ACTIVE)
    chat.come(CY)
    before = chat.run.history
    chat.transfer(BO, CY)

    assert chat.run.history == before
    assert chat.ringback.told("cy")[-1]["agent"] == "cy"


def test_a_chat_that_is_handed_back_to_the_queue_waits_again_and_is_abandoned_no_more(chat: ChatStage) -> None:
    bring_to(chat, ACTIVE)
    chat.transfer(BO, None)
    chat.run.time_out_in(WAITING)

    # It was accepted once, so there is something to rate.
    chat.run.wait_in(RATING)
    assert chat.chat.end_reason == "max_wait"


# No change is lost


@in_every_wait
@takes("{waiting} -> Which Phase?")
def test_a_change_while_the_run_is_about_to_park_ends_the_wait(chat: ChatStage, waiting: str) -> None:
    """The stream finds no token, or one that is closed: the function that parks has to see the change."""
    come_near(chat, waiting)
    chat.functions.before["AwaitChange"].append(partial(leave, chat, waiting))
    enter(chat, waiting)

    wait = chat.interpreter.until_idle(chat.run.arn)
    assert wait is None or wait.state != waiting


def test_a_change_before_the_stream_brings_it_is_seen_by_who_parks(chat: ChatStage) -> None:
    """Here the stream is late: it brings everything when the run has gone on already, and changes nothing."""
    bring_to(chat, WAITING)
    chat.functions.before["AwaitChange"].append(partial(chat.end, BO, streamed=False))
    chat.accept(BO)
    chat.run.wait_in(RATING)
    before = chat.run.history

    chat.stream()

    assert chat.run.history == before


def test_a_chat_that_came_back_into_the_queue_behind_the_run_s_back_waits_its_new_time(chat: ChatStage) -> None:
    """WAITING, accepted, WAITING again: the state never ended, and its timeout is too early."""
    chat.start()
    chat.run.wait_in(WAITING)
    with chat.after(200):
        chat.accept(BO, streamed=False)
        chat.transfer(BO, None)
    assert chat.run.history.states == [WAITING]
    chat.run.time_out_in(WAITING)

    assert chat.run.wait_in(WAITING).timeout_seconds == 200
    assert chat.chat.status is Status.WAITING


def test_a_wait_that_nobody_has_parked_for_ends_in_time_all_the_same(chat: ChatStage) -> None:
    chat.functions.hold_up("AwaitChange")
    chat.start()
    chat.run.time_out_in(WAITING)

    assert chat.run.succeed()["endReason"] == "max_wait"


def test_a_late_park_of_a_state_that_has_ended_changes_nothing(chat: ChatStage) -> None:
    bring_to(chat, WAITING)
    chat.functions.hold_up("AwaitChange")
    chat.accept(BO)
    chat.run.wait_in(ACTIVE)
    late = chat.functions.late["AwaitChange"]
    with chat.after(1):
        chat.say(ANA)
    chat.run.time_out_in(ACTIVE)  # nobody was parked there; who parks now is the next entry
    chat.run.wait_in(ACTIVE)

    late()
    chat.end(ANA)

    chat.run.wait_in(RATING)


def test_a_start_that_is_told_twice_is_one_run(chat: ChatStage) -> None:
    bring_to(chat, ACTIVE)
    chat.clock.sleep(5)
    chat.bring_again()

    assert chat.run.history.states == [WAITING, QUESTION, ACTIVE]


# A run that is lost


def start_another(chat: ChatStage) -> None:
    """End the chat's run before its time, and start one under another name, as the runbook says."""
    chat.finish()
    begun = aws_of_ringback.step_functions().start_execution(
        stateMachineArn=chat.run.arn.replace(":execution:", ":stateMachine:").removesuffix(f":{CHAT}"),
        name=f"{CHAT}-2",
        input=json.dumps({"chatId": CHAT, "phase": WAITING, "seconds": 60}),
    )
    chat.run = Run(chat.interpreter, begun["executionArn"])


@in_every_wait
def test_another_run_of_a_chat_goes_to_where_the_chat_is(chat: ChatStage, waiting: str) -> None:
    bring_to(chat, waiting)
    start_another(chat)

    chat.run.wait_in(waiting)
    assert chat.run.history.states == ([WAITING] if waiting == WAITING else [WAITING, QUESTION, waiting])
    leave(chat, waiting)
    wait = chat.interpreter.until_idle(chat.run.arn)
    assert wait is None or wait.state != waiting


def test_another_run_of_a_chat_that_waits_lets_it_wait_for_the_rest(chat: ChatStage) -> None:
    bring_to(chat, WAITING)
    start_another(chat)
    chat.run.time_out_in(WAITING)

    assert chat.run.wait_in(WAITING).timeout_seconds == LIMITS.max_wait_seconds - 60
    assert chat.chat.status is Status.WAITING


def test_another_run_of_a_chat_that_is_over_is_over_at_once(chat: ChatStage) -> None:
    bring_to(chat, RATING)
    chat.rate(4)
    start_another(chat)

    assert chat.run.succeed() == {"chatId": CHAT, "endReason": "customer", "agent": "bo", "rating": 4}


# Failures


@in_every_wait
@takes("{waiting} again on States.TaskFailed")
def test_a_failing_park_is_tried_again(chat: ChatStage, waiting: str) -> None:
    come_near(chat, waiting)
    chat.functions.fail("AwaitChange", times=2)
    chat.functions.crash("AwaitChange")
    enter(chat, waiting)

    chat.run.wait_in(waiting)
    assert chat.run.history.visits[-1].tries == 4
    leave(chat, waiting)  # the last try holds the token
    wait = chat.interpreter.until_idle(chat.run.arn)
    assert wait is None or wait.state != waiting


@pytest.mark.parametrize(("waiting", "settled"), SETTLED_BY.items())
@takes("{settled} again on States.TaskFailed")
def test_a_failing_settlement_is_tried_again_and_what_it_did_is_done_once(
    chat: ChatStage, waiting: str, settled: str
) -> None:
    bring_to(chat, waiting)
    chat.functions.fail("SettleOverdue", times=1)
    chat.functions.crash("SettleOverdue")
    version = chat.chat.version
    chat.run.time_out_in(waiting)
    chat.interpreter.until_idle(chat.run.arn)

    assert chat.chat.version == version + (waiting != RATING)


@in_every_wait
@takes("{waiting} never again on ChatNotFound")
def test_the_run_of_a_chat_that_is_gone_fails(chat: ChatStage, waiting: str) -> None:
    come_near(chat, waiting)
    chat.functions.before["AwaitChange"].append(partial(delete, chat))
    enter(chat, waiting)

    assert chat.run.fail()[0] == "ChatNotFound"


@pytest.mark.parametrize(("waiting", "settled"), SETTLED_BY.items())
@takes("{settled} never again on ChatNotFound")
def test_nothing_is_settled_of_a_chat_that_is_gone(chat: ChatStage, waiting: str, settled: str) -> None:
    bring_to(chat, waiting)
    delete(chat)
    chat.run.time_out_in(waiting)

    assert chat.run.fail()[0] == "ChatNotFound"


def test_the_phases_of_the_tests_are_those_of_the_chat() -> None:
    assert {*SETTLED_BY, "Abandoned", "Closed"} == set(Phase)


SAID = {
    label
    for test in list(vars(sys.modules[__name__]).values())
    for mark in getattr(test, "pytestmark", ())
    if mark.name == "takes"
    for label in mark.args
}
