"""The ledger of chats finds each violation, and none where there is none."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.chat.core import rules
from lambdas.chat.core.model import Change, Person, Role
from tests.chaos.chats.ledger import Asked, Evidence, Nap, Run, Told, Written, close, key_of
from tests.chaos.chats.plan import LIMITS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_PEOPLE = ((Role.CUSTOMER, "ana"), (Role.AGENT, "bo"), (Role.AGENT, "liv"))
ANA, BO, LIV = (Person(role=role, user=user) for role, user in _PEOPLE)
Broken = Callable[[Evidence], Evidence]


def whole_chat() -> Iterator[Change]:
    """A chat in which all that can happen does, by the rules."""
    change = rules.start("x", ANA, "hello", LIMITS, NOW)
    yield change
    decide: list[Callable[[Any, datetime], Change | None]] = [
        lambda chat, now: rules.send(chat, ANA, "m0", "hi", LIMITS, now),
        lambda chat, now: rules.accept(chat, BO, now),
        lambda chat, now: rules.send(chat, BO, "m1", "yes?", LIMITS, now),
        lambda chat, now: rules.transfer(chat, BO, None, now),
        lambda chat, now: rules.accept(chat, BO, now),
        lambda chat, now: rules.transfer(chat, BO, "liv", now),
        lambda chat, now: rules.agent_left(chat, "liv", LIMITS, now),
        lambda chat, now: rules.agent_returned(chat, "liv", now),
        lambda chat, now: rules.end(chat, LIV, now),
        lambda chat, now: rules.rate(chat, ANA, 4, "good", LIMITS, now),
    ]
    for seconds, each in enumerate(decide, 1):
        decided = each(change.chat, NOW + timedelta(seconds=seconds))
        assert decided is not None
        yield (change := decided)


def evidence() -> Evidence:
    """All of it as it should be."""
    changes = list(whole_chat())
    log = [Written(change.event.as_json(), [person.user for person in change.to]) for change in changes]
    chat = changes[-1].chat.as_json()
    output = {"chatId": "x", "endReason": "agent", "agent": "liv", "rating": 4}
    return Evidence(
        at=NOW + timedelta(hours=1),
        limits=LIMITS,
        logs={"x": log},
        chats={"x": chat},
        indexed=frozenset({("customer#ana", "x")}),
        desk=frozenset({"bo"}),
        seats=frozenset({"bo"}),
        connected=frozenset({"bo"}),
        runs={"x": Run("SUCCEEDED", "Closed", output)},
        asked=[
            Asked("x", key_of(change.event.as_json()), 1, 200, change.event.as_json())
            for change in changes
            if change.event.by
        ]
        + [Asked("x", None, 1, 200, change.chat.as_json()) for change in changes],
        told=[
            Told(user, f"x-{one.event['number']}-{place}", one.event["type"], one.event)
            for one in log
            for place, user in enumerate(one.people)
        ],
    )


def test_what_is_as_it_should_be_balances() -> None:
    assert close(evidence()) == []


def in_log(number: int, /, **changed: Any) -> Broken:
    """An event of the log is otherwise."""

    def broken(whole: Evidence) -> Evidence:
        log = list(whole.logs["x"])
        log[number - 1] = log[number - 1]._replace(event=log[number - 1].event | changed)
        return replace(whole, logs={"x": log})

    return broken


def without_event(whole: Evidence) -> Evidence:
    return replace(whole, logs={"x": [one for one in whole.logs["x"] if one.event["number"] != 4]})


def stored(**changed: Any) -> Broken:
    return lambda whole: replace(whole, chats={"x": whole.chats["x"] | changed})


def told_else(whole: Evidence) -> Evidence:
    log = list(whole.logs["x"])
    log[0] = log[0]._replace(people=["ana", "bo"])
    return replace(whole, logs={"x": log}, told=[*whole.told, Told("bo", "x-1-1", "chat.waiting", log[0].event)])


def asked(*more: Asked, without: int | None = None) -> Broken:
    return lambda whole: replace(
        whole, asked=[*(one for place, one in enumerate(whole.asked) if place != without), *more]
    )


def told(change: Callable[[list[Told]], list[Told]]) -> Broken:
    return lambda whole: replace(whole, told=change(list(whole.told)))


def hears(one: Told) -> Broken:
    return told(lambda t: [*t, one])


def run(*given: Any) -> Broken:
    return lambda whole: replace(whole, runs={"x": Run(*given)} if given else {})


def slept(state: str, start: float, end: float) -> Broken:
    """Its run was parked; everybody was told of each event as it happened."""

    def broken(whole: Evidence) -> Evidence:
        nap = Nap(state, NOW.timestamp() + start, NOW.timestamp() + end)
        heard = [one._replace(at=datetime.fromisoformat(one.payload["at"]).timestamp()) for one in whole.told]
        return replace(whole, told=heard, runs={"x": whole.runs["x"]._replace(naps=(nap,))})

    return broken


SHOWN = {"chatId": "x", "at": "", "waiting": []}
OUTPUT = {"chatId": "x", "endReason": "agent", "agent": "liv"}
LATE = Asked("x", ("accepted", "liv"), 1, 409, {"type": "urn:ringback:problem:chat:already-accepted"})


@pytest.mark.parametrize(
    ("broken", "breach", "says"),
    [
        pytest.param(without_event, "log", "numbers are", id="a gap in the log"),
        pytest.param(in_log(5, number=4), "log", "numbers are", id="a number twice"),
        pytest.param(in_log(4, type="chat.rated"), "log", "rated in ACTIVE", id="an event out of its state"),
        pytest.param(in_log(4, by=LIV.as_json()), "log", "whose chat it is not", id="an event of a stranger"),
        pytest.param(lambda whole: replace(whole, chats={}), "log", "the chat is None", id="no chat"),
        pytest.param(stored(status="ACTIVE"), "log", "the chat is", id="another status"),
        pytest.param(stored(agent="bo"), "log", "the chat is", id="another agent"),
        pytest.param(stored(rating=5), "log", "the chat is", id="another rating"),
        pytest.param(stored(endedAt="2026-01-01T00:00:00.000Z"), "log", "the chat is", id="another end"),
        pytest.param(stored(version=2), "log", "the chat is", id="another version"),
        pytest.param(told_else, "told", "was told to ['ana', 'bo']", id="told to somebody else"),
        pytest.param(told(lambda t: t[1:]), "told", "never handled", id="never told"),
        pytest.param(told(lambda t: [*t, t[-1]]), "told", "2 times", id="handled twice"),
        pytest.param(told(lambda t: [t[1], t[0], *t[2:]]), "told", "after", id="handled out of order"),
        pytest.param(told(lambda t: [t[0]._replace(user="liv"), *t[1:]]), "told", "not for", id="foreign"),
        pytest.param(hears(Told("ana", "y-1-0", "chat.ended", {})), "told", "not so", id="made up"),
        pytest.param(hears(Told("ana", "q", "chat.queue", SHOWN)), "told", "shown", id="the queue"),
        pytest.param(hears(Told("bo", "q", "chat.position", SHOWN)), "told", "shown", id="a position"),
        pytest.param(hears(Told("eve", "q", "chat.typing", SHOWN)), "told", "shown", id="typing"),
        pytest.param(asked(Asked("x", ("message", "bo", "m9", "?"), 1, 201)), "answer", "log 0", id="not written"),
        pytest.param(asked(without=1), "answer", "asked for 0 times", id="nobody asked"),
        pytest.param(in_log(4, by=ANA.as_json(), id="m0", text="hi"), "answer", "log 2 times", id="said twice"),
        pytest.param(asked(Asked("x", None, 1, 201, {"number": 2})), "answer", "not in the log", id="another event"),
        pytest.param(asked(Asked("x", None, 1, 200, {"version": 2})), "answer", "never was so", id="another chat"),
        pytest.param(asked(LATE), None, "", id="somebody else won"),
        pytest.param(asked(replace(LATE, chat_id="y")), "answer", "nobody had", id="nobody won"),
        pytest.param(run(), "run", "its run is None", id="no run"),
        pytest.param(run("RUNNING", "Rating", None), "run", "has to be", id="a run that sleeps"),
        pytest.param(run("SUCCEEDED", "Closed", OUTPUT), "run", "has to be", id="another output"),
        pytest.param(slept("Active", 8.5, 33), "run", "slept in Active for 24 s", id="a run that overslept"),
        pytest.param(stored(status="ACTIVE"), "run", "nothing goes on", id="beyond its limits"),
        pytest.param(lambda w: replace(w, indexed=w.indexed | {("queue", "x")}), "rows", "still", id="in the queue"),
        pytest.param(lambda w: replace(w, indexed=frozenset()), "rows", "#ana does not", id="not the customer's"),
        pytest.param(stored(status="ACTIVE"), "rows", "agent#liv does not have it", id="not among the agent's"),
        pytest.param(lambda w: replace(w, desk=frozenset()), "rows", "sit there", id="not at the desk"),
        pytest.param(lambda w: replace(w, desk=frozenset({"bo", "liv"})), "rows", "sit there", id="left"),
    ],
)  # fmt: skip
def test_it_finds(broken: Broken, breach: str | None, says: str) -> None:
    found = close(broken(evidence()))
    assert breach is None or [one for one in found if one.breach == breach and says in str(one)], found


def test_a_dead_letter_is_evidence() -> None:
    whole = evidence()
    assert close(replace(whole, told=whole.told[1:], letters=frozenset({"x-1-0"}))) == []


def test_what_got_no_answer_may_be_there_or_not() -> None:
    whole = evidence()
    unanswered = [replace(one, status=None, answer={}) for one in whole.asked if one.key]
    assert close(replace(whole, asked=[*unanswered, Asked("x", ("message", "bo", "m9", "?"), 1)])) == []


def test_a_chat_that_nobody_rated_waits_for_it() -> None:
    whole = evidence()
    log = whole.logs["x"][:-1]
    chat = {name: value for name, value in whole.chats["x"].items() if name not in {"rating", "feedback"}}
    found = close(replace(whole, logs={"x": log}, chats={"x": chat | {"version": len(log)}}))
    assert [one.breach for one in found if one.breach == "run"] == ["run"]
    assert "RUNNING" in str(next(one for one in found if one.breach == "run")).rpartition("has to be")[2]


@pytest.mark.parametrize(("state", "start", "end"), [("Active", 8.5, 15), ("Closed", 11, 40), ("Waiting", 4.5, 9)])
def test_a_run_may_be_late_or_sleep_as_its_chat_does(state: str, start: float, end: float) -> None:
    assert close(slept(state, start, end)(evidence())) == []
