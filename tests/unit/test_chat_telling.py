"""What is shown of the queue, who is at the desk, and when a chat's run goes on: what only fakes can bring about."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from lambdas.chat.core import attendance, rules, running, telling
from lambdas.chat.core.errors import ChatNotFound
from lambdas.chat.core.model import MAX_SUBJECT_LENGTH, Change, Chat, Person, Role
from lambdas.chat.core.ports import Wait
from lambdas.chat.core.rules import Phase
from lambdas.core.authorization import conversation_granted
from tests.builders import NOW
from tests.chats import ANA, BO, LIMITS, FakeChats, FakeDesk
from tests.fakes import FakeClock


@dataclass
class FakeScreens:
    """Screens: what was shown."""

    shown: list[tuple[str, Person, dict[str, Any]]] = field(default_factory=list)

    def show(self, kind: str, payloads: Iterable[tuple[Person, dict[str, Any]]]) -> int:
        before = len(self.shown)
        self.shown += [(kind, person, payload) for person, payload in payloads]
        return len(self.shown) - before


@dataclass
class FakeRuns:
    """WaitingRuns: what went on."""

    gone_on: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def go_on(self, task_token: str, situation: dict[str, Any]) -> None:
        self.gone_on.append((task_token, situation))


def queue(count: int, subject: str = "x") -> FakeChats:
    """So many customers who wait."""
    chats = FakeChats()
    for number in range(count):
        customer = Person(role=Role.CUSTOMER, user=f"u-{number}")
        chats.put(None, rules.start(f"c-{number}", customer, subject, LIMITS, NOW + timedelta(seconds=number)))
    return chats


def put(chats: FakeChats, before: Chat | None, change: Change | None) -> Chat:
    assert change is not None
    chats.put(before, change)
    return change.chat


# The queue


def test_a_hundred_see_where_they_are_and_how_many_wait() -> None:
    screens = FakeScreens()

    assert telling.show_queue(chats=queue(120), screens=screens, clock=FakeClock()) == 120

    positions = [payload for kind, _, payload in screens.shown if kind == telling.POSITION]
    assert [payload["position"] for payload in positions] == list(range(1, 101))
    assert {payload["waiting"] for payload in positions} == {120}


@pytest.mark.parametrize(("count", "place"), [(100, 100), (101, None)])
def test_who_comes_back_far_behind_sees_no_position_as_they_did_not_before(count: int, place: int | None) -> None:
    screens = FakeScreens()
    last = Person(role=Role.CUSTOMER, user=f"u-{count - 1}")

    telling.show_what_waits(last, chats=queue(count), screens=screens, clock=FakeClock())

    assert [payload["position"] for _, _, payload in screens.shown] == ([place] if place else [])


def test_who_does_not_wait_costs_no_look_at_the_queue() -> None:
    """It may be a thousand rows."""

    class Unlooked(FakeChats):
        def waiting(self, *, limit: int) -> list[Chat]:
            raise AssertionError

    chats, screens = Unlooked(), FakeScreens()
    telling.show_what_waits(ANA, chats=chats, screens=screens, clock=FakeClock())
    chat = put(chats, None, rules.start("c-1", ANA, None, LIMITS, NOW))
    put(chats, chat, rules.accept(chat, BO, NOW))

    telling.show_what_waits(ANA, chats=chats, screens=screens, clock=FakeClock())

    assert screens.shown == []


def test_agents_see_a_hundred_chats_of_usual_size() -> None:
    rows = telling.listed(queue(120, "What about my order?").waiting(limit=1000))

    assert [row["position"] for row in rows] == list(range(1, 101))


def test_agents_see_as_many_chats_as_fit_into_one_message() -> None:
    rows = telling.listed(queue(120, "\N{PILE OF POO}" * MAX_SUBJECT_LENGTH).waiting(limit=1000))

    size = len(json.dumps(rows, ensure_ascii=False).encode())
    assert 90_000 < size < 128 * 1024
    assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))


# The desk


@pytest.mark.parametrize(
    ("context", "context_id", "person"),
    [
        ("desk", "chat", Person(role=Role.AGENT, user="bo")),
        ("chat", "support", Person(role=Role.CUSTOMER, user="bo")),
        ("chat", "desk", None),
        ("chat", "chat", None),
        ("desk", "support", None),
        ("chat", "42", None),
        ("shop", "chat", None),
    ],
)
def test_a_connection_s_conversation_says_what_its_person_is(
    context: str, context_id: str, person: Person | None
) -> None:
    assert attendance.person_of("bo", context, context_id) == person


@pytest.mark.parametrize(
    "contexts", [["chat"], ["chat/*"], ["chat/support"], ["chat/desk", "chat/chat", "desk/support"]]
)
def test_what_opens_the_customers_context_does_not_open_the_desk(contexts: list[str]) -> None:
    place = Role.AGENT.context, Role.AGENT.context_id
    assert not conversation_granted({"contexts": contexts}, "contexts", *place)
    assert conversation_granted({"contexts": [*contexts, "desk/chat"]}, "contexts", *place)


@pytest.mark.parametrize("comes", [True, False])
def test_who_comes_or_goes_while_it_is_written_is_seen(comes: bool) -> None:  # noqa: FBT001
    """The other event may have been handled just before this one wrote the opposite."""

    class Changing(FakeDesk):
        looks = 0

        def has(self, agent: str) -> bool:
            self.looks += 1
            return (self.looks > 1) is comes

    chats, desk = FakeChats(), Changing()

    attendance.notice(BO, came=False, chats=chats, desk=desk, screens=FakeScreens(), limits=LIMITS, clock=FakeClock())

    assert chats.agents() == (["bo"] if comes else [])


# The run


@pytest.mark.parametrize(("phase", "goes_on"), [(Phase.WAITING, True), (Phase.ACTIVE, False), (Phase.RATING, True)])
def test_who_parks_goes_on_at_once_if_the_chat_has(phase: Phase, goes_on: bool) -> None:  # noqa: FBT001
    chats, runs = FakeChats(), FakeRuns()
    chat = put(chats, None, rules.start("c-1", ANA, None, LIMITS, NOW))
    put(chats, chat, rules.accept(chat, BO, NOW))
    wait = Wait("token", phase, 1)

    running.wait_for_change("c-1", wait, chats=chats, runs=runs, limits=LIMITS, clock=FakeClock())

    assert runs.gone_on == ([("token", {"phase": "Active", "seconds": 900, "agent": "bo"})] if goes_on else [])
    assert chats.parked("c-1") == (None if goes_on else wait)


def test_the_token_is_there_before_the_chat_is_looked_at() -> None:
    """Or a change between the two would be seen by nobody."""

    class Watched(FakeChats):
        def get(self, chat_id: str) -> Chat | None:
            assert self.parked(chat_id) is not None
            return super().get(chat_id)

    chats = Watched()
    chats.waits["c-1"] = Wait("earlier", Phase.WAITING, 0)
    put(chats, None, rules.start("c-1", ANA, None, LIMITS, NOW))
    del chats.waits["c-1"]

    running.wait_for_change(
        "c-1", Wait("token", Phase.WAITING, 1), chats=chats, runs=FakeRuns(), limits=LIMITS, clock=FakeClock()
    )


def test_who_parks_late_neither_takes_the_place_nor_goes_on() -> None:
    chats, runs = FakeChats(), FakeRuns()
    put(chats, None, rules.start("c-1", ANA, None, LIMITS, NOW))
    later = Wait("later", Phase.WAITING, 2)
    chats.park("c-1", later)

    running.wait_for_change(
        "c-1", Wait("late", Phase.ACTIVE, 1), chats=chats, runs=runs, limits=LIMITS, clock=FakeClock()
    )

    assert runs.gone_on == []
    assert chats.parked("c-1") == later


def test_a_chat_that_is_gone_is_no_chat_to_park_for() -> None:
    with pytest.raises(ChatNotFound):
        running.wait_for_change(
            "c-1", Wait("token", Phase.WAITING, 1), chats=FakeChats(), runs=FakeRuns(), limits=LIMITS, clock=FakeClock()
        )


@pytest.mark.parametrize(
    ("seconds", "situation"),
    [
        (599, {"phase": "Waiting", "seconds": 1}),
        (600, {"phase": "Abandoned", "seconds": 86_400, "endReason": "max_wait"}),
    ],
)
def test_only_what_is_overdue_is_settled(seconds: float, situation: dict[str, Any]) -> None:
    chats = FakeChats()
    put(chats, None, rules.start("c-1", ANA, None, LIMITS, NOW))
    clock = FakeClock(NOW + timedelta(seconds=seconds))

    assert running.settle("c-1", chats=chats, desk=FakeDesk(), limits=LIMITS, clock=clock) == situation
