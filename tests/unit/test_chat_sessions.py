"""Read, decide, write: whoever does what at the same time, a chat stays whole, and nobody's leaving goes unnoticed."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lambdas.chat.core import rules, sessions
from lambdas.chat.core.errors import (
    AgentNotPresent,
    AgentsOnly,
    AlreadyAccepted,
    ChatError,
    ChatHasEnded,
    ChatNotFound,
    CustomersOnly,
    Forbidden,
    IdTaken,
    NotAccepted,
    NotAtTheDesk,
    NotYourChat,
    Unavailable,
    WrongState,
)
from lambdas.chat.core.model import Change, Chat, EndReason, Event, EventType, Person, Status
from lambdas.chat.core.ports import Overtaken
from tests.chats import ANA, BO, CY, DAN, LIMITS, FakeChats, FakeDesk, after
from tests.fakes import FakeClock


@dataclass
class Contested(FakeChats):
    """Chats that somebody else changes between a read and the write that follows: one of ``moves`` for each write."""

    moves: list[Callable[[], object]] = field(default_factory=list)

    def put(self, before: Chat | None, change: Change, *, last: str | None = None) -> None:
        if self.moves:
            self.moves.pop(0)()
        super().put(before, change, last=last)


@dataclass
class World:
    """A place for chats in which Bo and Cy are at the desk."""

    chats: Contested = field(default_factory=Contested)
    desk: FakeDesk = field(default_factory=lambda: FakeDesk({"bo", "cy"}))
    clock: FakeClock = field(default_factory=FakeClock)
    ids: Iterator[str] = field(default_factory=lambda: (f"c-{number}" for number in itertools.count(1)))

    def start(self, by: Person = ANA) -> tuple[Chat, bool]:
        return sessions.start(self.chats, by, None, LIMITS, new_id=lambda: next(self.ids), clock=self.clock)

    def accept(self, by: Person = BO, chat_id: str = "c-1") -> Chat:
        return sessions.accept(self.chats, self.desk, chat_id, by, LIMITS, clock=self.clock)

    def send(self, by: Person = ANA, message_id: str = "m-1", text: str = "hello", chat_id: str = "c-1") -> Event:
        return sessions.send(self.chats, chat_id, by, message_id, text, LIMITS, clock=self.clock)[0]

    def transfer(self, by: Person = BO, to: str | None = "cy", chat_id: str = "c-1") -> Chat:
        return sessions.transfer(self.chats, self.desk, chat_id, by, to, LIMITS, clock=self.clock)

    def end(self, by: Person = ANA, chat_id: str = "c-1") -> Chat:
        return sessions.change(
            self.chats, chat_id, lambda chat: rules.end(chat, by, self.clock.now()), clock=self.clock
        )

    def rate(self, by: Person = ANA, rating: int = 5, chat_id: str = "c-1") -> Chat:
        def decide(chat: Chat) -> Change | None:
            return rules.rate(chat, by, rating, None, LIMITS, self.clock.now())

        return sessions.change(self.chats, chat_id, decide, clock=self.clock)

    def check(self, agent: str = "bo", chat_id: str = "c-1") -> Chat:
        return sessions.check_presence(self.chats, self.desk, chat_id, agent, LIMITS, clock=self.clock)

    def settle(self, chat_id: str = "c-1") -> Chat:
        return sessions.let_time_pass(self.chats, self.desk, chat_id, LIMITS, clock=self.clock)

    def comes(self, agent: str) -> None:
        """An agent opens a connection, and whoever hears of it looks for their chats."""
        self.desk.present.add(agent)
        self.look_after(agent)

    def goes(self, agent: str) -> None:
        """An agent's last connection is gone, and whoever hears of it looks for their chats."""
        self.desk.present.discard(agent)
        self.look_after(agent)

    def look_after(self, agent: str) -> None:
        for chat_id in self.chats.active_of(agent):
            self.check(agent, chat_id)

    def chat(self, chat_id: str = "c-1") -> Chat:
        return sessions.get(self.chats, chat_id)

    def said(self, chat_id: str = "c-1") -> list[EventType]:
        return [event.type for event in self.chats.events(chat_id, after=0, limit=1_000)]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def talking(world: World) -> World:
    """Ana and Bo are in a chat."""
    world.start()
    world.accept()
    return world


# Starting


def test_a_customer_has_one_open_chat(world: World) -> None:
    chat, is_new = world.start()
    assert (chat.id, is_new) == ("c-1", True)

    assert world.start() == (chat, False)
    assert world.start(DAN)[0].id == "c-2"


def test_after_the_end_there_is_another_one(world: World) -> None:
    world.start()
    world.end()

    chat, is_new = world.start()

    assert (chat.id, is_new) == ("c-2", True)


def test_two_starts_at_once_are_one_chat(world: World) -> None:
    world.chats.moves = [world.start]

    chat, is_new = world.start()

    assert is_new is False
    assert list(world.chats.changes) == [chat.id]


def test_a_chat_that_ends_while_somebody_starts_one_is_not_taken_for_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the read of which chat is their last, and of the chat."""
    world.start()
    read = world.chats.last_chat_of

    def read_and_end(customer: str) -> str | None:
        found = read(customer)
        if found == "c-1":
            world.end()
        return found

    monkeypatch.setattr(world.chats, "last_chat_of", read_and_end)

    chat, is_new = world.start()

    assert (chat.id, chat.status, is_new) == ("c-2", Status.WAITING, True)


def test_agents_start_none(world: World) -> None:
    with pytest.raises(CustomersOnly):
        world.start(BO)


# Accepting


def test_of_two_agents_who_accept_at_once_one_wins(world: World) -> None:
    world.start()
    world.chats.moves = [lambda: world.accept(CY)]

    with pytest.raises(AlreadyAccepted):
        world.accept(BO)

    assert world.chat().agent == "cy"
    assert world.said() == [EventType.WAITING, EventType.ACCEPTED]


def test_accepting_again_is_the_same(talking: World) -> None:
    before = talking.chat()

    assert talking.accept(BO) == before


def test_who_is_not_at_the_desk_accepts_nothing(world: World) -> None:
    world.start()
    world.desk.present.clear()

    with pytest.raises(NotAtTheDesk):
        world.accept()

    assert world.said() == [EventType.WAITING]


def test_customers_do_not_learn_by_accepting_whether_there_is_a_chat(world: World) -> None:
    world.start()

    for chat_id in ("c-1", "c-404"):
        with pytest.raises(AgentsOnly):
            world.accept(DAN, chat_id)
        with pytest.raises(AgentsOnly):
            world.transfer(DAN, None, chat_id)


def test_an_agent_who_leaves_while_they_accept_is_noticed(world: World) -> None:
    """After they were seen at the desk, before the chat is theirs: who hears of it does not find the chat yet."""
    world.start()
    world.chats.moves = [lambda: world.goes("bo")]

    chat = world.accept()

    assert chat == world.chat()
    assert chat.agent_away_since is not None
    assert world.said() == [EventType.WAITING, EventType.ACCEPTED, EventType.AGENT_AWAY]


# Transferring


def test_a_chat_goes_only_to_who_is_at_the_desk(talking: World) -> None:
    talking.desk.present.discard("cy")

    with pytest.raises(AgentNotPresent):
        talking.transfer(BO, "cy")

    assert talking.chat().agent == "bo"
    assert talking.transfer(BO, None).status is Status.WAITING


def test_who_may_not_transfer_does_not_learn_who_is_at_the_desk(talking: World) -> None:
    talking.desk.present.discard("cy")

    with pytest.raises(NotYourChat):
        talking.transfer(CY, "cy")


def test_an_agent_who_leaves_while_a_chat_comes_to_them_is_noticed(talking: World) -> None:
    talking.chats.moves = [lambda: talking.goes("cy")]

    chat = talking.transfer(BO, "cy")

    assert chat == talking.chat()
    assert (chat.agent, chat.agent_away_since is not None) == ("cy", True)


def test_who_gave_it_away_says_nothing_more(talking: World) -> None:
    talking.transfer(BO, "cy")

    with pytest.raises(NotYourChat):
        talking.send(BO)
    assert talking.send(CY).number == 4


# Sending


def test_the_same_message_again_is_the_same_event(talking: World) -> None:
    first = talking.send()
    talking.send(BO, "m-2")

    assert talking.send() == first
    assert talking.said().count(EventType.MESSAGE) == 2


@pytest.mark.parametrize(("by", "text"), [(ANA, "something else"), (BO, "hello")])
def test_an_id_is_one_message(talking: World, by: Person, text: str) -> None:
    talking.send(ANA, "m-1", "hello")

    with pytest.raises(IdTaken):
        talking.send(by, "m-1", text)


def test_a_message_sent_again_after_the_end_was_sent(talking: World) -> None:
    first = talking.send()
    talking.end()

    assert talking.send() == first
    with pytest.raises(ChatHasEnded):
        talking.send(ANA, "m-2")


def test_the_same_message_twice_at_once_is_one(talking: World) -> None:
    talking.chats.moves = [talking.send]

    assert talking.send().number == 3
    assert talking.said().count(EventType.MESSAGE) == 1


def test_a_stranger_learns_nothing_by_an_id(talking: World) -> None:
    talking.send()

    with pytest.raises(ChatNotFound):
        talking.send(DAN)
    with pytest.raises(NotYourChat):
        talking.send(CY)


def test_an_agent_learns_nothing_by_an_id_of_a_chat_that_waits(world: World) -> None:
    world.start()
    world.send()

    for message_id in ("m-1", "m-404"):
        with pytest.raises(NotAccepted):
            world.send(BO, message_id)


def test_both_write_at_once_and_both_are_heard(talking: World) -> None:
    talking.chats.moves = [lambda: talking.send(BO, "m-2", "welcome")]

    assert talking.send(ANA, "m-1", "hello").number == 4
    assert [event.text for event in talking.chats.events("c-1", after=2, limit=10)] == ["welcome", "hello"]


def test_a_message_that_comes_with_the_end_is_refused_or_before_it(talking: World) -> None:
    talking.chats.moves = [lambda: talking.end(BO)]

    with pytest.raises(ChatHasEnded):
        talking.send()

    assert talking.said()[-1] is EventType.ENDED


def test_who_is_always_overtaken_is_told_to_come_again(talking: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(before: Chat | None, change: Change) -> None:
        raise Overtaken

    monkeypatch.setattr(talking.chats, "put", overtaken)

    with pytest.raises(Unavailable):
        talking.send()
    assert sum(talking.clock.slept) < 2


def test_there_is_no_such_chat(world: World) -> None:
    for do in (world.accept, world.send, world.transfer, world.end, world.rate, world.settle, world.check):
        with pytest.raises(ChatNotFound):
            do()


# Ends at once


def test_both_end_it_at_once_and_it_ends_once(talking: World) -> None:
    talking.chats.moves = [lambda: talking.end(BO)]

    with pytest.raises(ChatHasEnded):
        talking.end(ANA)

    assert talking.chat().end_reason is EndReason.AGENT


def test_rated_twice_at_once_is_rated_once(talking: World) -> None:
    talking.end()
    talking.chats.moves = [lambda: talking.rate(rating=2)]

    with pytest.raises(WrongState):
        talking.rate(rating=5)

    assert talking.chat().rating == 2


# Presence


def test_an_agent_who_leaves_is_away_and_who_returns_is_back(talking: World) -> None:
    talking.goes("bo")
    assert talking.chat().agent_away_since is not None

    talking.goes("bo")
    talking.comes("bo")
    talking.comes("bo")

    assert talking.chat().agent_away_since is None
    assert talking.said()[2:] == [EventType.AGENT_AWAY, EventType.AGENT_BACK]


def test_an_agent_who_returns_while_they_are_written_away_is_back(talking: World) -> None:
    """After they were seen to be gone, before that is written: who hears of their coming finds nothing to do."""
    talking.desk.present.discard("bo")
    talking.chats.moves = [lambda: talking.comes("bo")]

    assert talking.check().agent_away_since is None
    assert talking.chat().agent_away_since is None


def test_an_agent_who_leaves_while_they_are_written_back_is_away(talking: World) -> None:
    talking.goes("bo")
    talking.desk.present.add("bo")
    talking.chats.moves = [lambda: talking.goes("bo")]

    assert talking.check().agent_away_since is not None
    assert talking.chat().agent_away_since is not None


def test_what_was_heard_in_the_wrong_order_is_what_is(talking: World) -> None:
    """The news of a going that comes after that of the coming: the connections are asked, not the news."""
    talking.goes("bo")
    talking.desk.present.add("bo")

    talking.look_after("bo")
    talking.look_after("bo")

    assert talking.said()[2:] == [EventType.AGENT_AWAY, EventType.AGENT_BACK]


def test_a_chat_that_was_handed_on_meanwhile_does_not_care(talking: World) -> None:
    talking.desk.present.discard("bo")
    talking.chats.moves = [lambda: talking.transfer(BO, "cy")]

    chat = talking.check("bo")

    assert (chat.agent, chat.agent_away_since) == ("cy", None)


# Time


def pass_time(world: World, seconds: float) -> None:
    world.clock.time += timedelta(seconds=seconds)


def test_nobody_came(world: World) -> None:
    world.start()
    pass_time(world, LIMITS.max_wait_seconds)

    assert world.settle().end_reason is EndReason.MAX_WAIT


def test_who_accepts_at_the_last_moment_has_it(world: World) -> None:
    world.start()
    pass_time(world, LIMITS.max_wait_seconds)
    world.chats.moves = [world.accept]

    assert world.settle().status is Status.ACTIVE


def test_nobody_said_anything(talking: World) -> None:
    pass_time(talking, LIMITS.idle_seconds)

    assert talking.settle().end_reason is EndReason.IDLE


def test_a_word_at_the_last_moment_keeps_the_chat(talking: World) -> None:
    pass_time(talking, LIMITS.idle_seconds)
    talking.chats.moves = [talking.send]

    chat = talking.settle()

    assert chat.status is Status.ACTIVE
    assert rules.situation(chat, LIMITS, talking.clock.now())["seconds"] == LIMITS.idle_seconds


def test_a_timer_that_rang_too_early_changes_nothing(talking: World) -> None:
    pass_time(talking, LIMITS.idle_seconds - 1)
    before = talking.chat()

    assert talking.settle() == before


def test_an_agent_who_stays_away_loses_the_chat(talking: World) -> None:
    talking.goes("bo")
    pass_time(talking, LIMITS.agent_away_seconds)

    chat = talking.settle()

    assert (chat.status, chat.agent) == (Status.WAITING, None)
    assert talking.said()[-1] is EventType.REQUEUED
    assert talking.chats.active_of("bo") == []
    assert [waits.id for waits in talking.chats.waiting(limit=10)] == ["c-1"]


def test_an_agent_who_is_there_keeps_the_chat_though_nobody_said_so(talking: World) -> None:
    """The news of their coming was lost, or is late."""
    talking.goes("bo")
    talking.desk.present.add("bo")
    pass_time(talking, LIMITS.agent_away_seconds)

    chat = talking.settle()

    assert (chat.status, chat.agent_away_since) == (Status.ACTIVE, None)


def test_an_agent_whose_leaving_nobody_told_is_away_and_the_chat_is_not_over(talking: World) -> None:
    talking.desk.present.discard("bo")
    pass_time(talking, LIMITS.idle_seconds)

    chat = talking.settle()

    assert chat.status is Status.ACTIVE
    assert rules.situation(chat, LIMITS, talking.clock.now())["phase"] == rules.Phase.AGENT_AWAY


def test_time_changes_nothing_of_what_is_over(talking: World) -> None:
    talking.end()
    pass_time(talking, LIMITS.rating_seconds)
    before = talking.chat()

    assert talking.settle() == before
    assert rules.phase_of(before, LIMITS, talking.clock.now()) is rules.Phase.CLOSED


def test_a_position_counts_from_one(world: World) -> None:
    world.start()
    world.start(DAN)
    queue = world.chats.waiting(limit=10)

    assert [sessions.position(chat_id, queue) for chat_id in ("c-1", "c-2", "c-3")] == [1, 2, None]


# Anything, in any order, and at the same time

CUSTOMERS, AGENTS = (ANA, DAN), (BO, CY)
_STEPS = {
    None: {Status.WAITING},
    Status.WAITING: {Status.WAITING, Status.ACTIVE, Status.ENDED},
    Status.ACTIVE: {Status.WAITING, Status.ACTIVE, Status.ENDED},
    Status.ENDED: {Status.ENDED},
}
people = st.sampled_from([*CUSTOMERS, *AGENTS])
agents = st.sampled_from(AGENTS)
numbers = st.integers(min_value=1, max_value=3)


class AnyDay(RuleBasedStateMachine):
    """Everybody does anything; ``meanwhile`` is done by somebody else between a read and its write."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(by=people)
    def start(self, by: Person) -> None:
        self.attempt(lambda: self.world.start(by))

    @rule(by=people, number=numbers)
    def accept(self, by: Person, number: int) -> None:
        self.attempt(lambda: self.world.accept(by, f"c-{number}"))

    @rule(by=people, number=numbers, message=st.integers(min_value=1, max_value=4))
    def send(self, by: Person, number: int, message: int) -> None:
        self.attempt(lambda: self.world.send(by, f"m-{message}", chat_id=f"c-{number}"))

    @rule(by=people, number=numbers, to=st.sampled_from(["bo", "cy", None]))
    def transfer(self, by: Person, number: int, to: str | None) -> None:
        self.attempt(lambda: self.world.transfer(by, to, f"c-{number}"))

    @rule(by=people, number=numbers)
    def end(self, by: Person, number: int) -> None:
        self.attempt(lambda: self.world.end(by, f"c-{number}"))

    @rule(by=people, number=numbers)
    def rate(self, by: Person, number: int) -> None:
        self.attempt(lambda: self.world.rate(by, chat_id=f"c-{number}"))

    @rule(agent=agents)
    def comes(self, agent: Person) -> None:
        self.attempt(lambda: self.world.comes(agent.user))

    @rule(agent=agents)
    def goes(self, agent: Person) -> None:
        self.attempt(lambda: self.world.goes(agent.user))

    @rule(seconds=st.sampled_from([1, 59, 60, 600, 900]), number=numbers)
    def time_passes(self, seconds: int, number: int) -> None:
        pass_time(self.world, seconds)
        self.attempt(lambda: self.world.settle(f"c-{number}"))

    @rule(by=people, agent=agents, number=numbers, move=st.integers(min_value=0, max_value=7))
    def meanwhile(self, by: Person, agent: Person, number: int, move: int) -> None:
        """Have this happen just before the next write."""
        chat_id = f"c-{number}"
        moves: list[Callable[[], object]] = [
            lambda: self.world.start(by),
            lambda: self.world.accept(agent, chat_id),
            lambda: self.world.send(by, "m-1", chat_id=chat_id),
            lambda: self.world.transfer(agent, None, chat_id),
            lambda: self.world.end(by, chat_id),
            lambda: self.world.comes(agent.user),
            lambda: self.world.goes(agent.user),
            lambda: self.world.settle(chat_id),
        ]
        self.world.chats.moves = [lambda: self.attempt(moves[move])]

    def attempt(self, do: Callable[[], object]) -> None:
        """It is done, or refused by the rules; nobody is overtaken so often that they have to come again."""
        with suppress(Forbidden, WrongState, ChatNotFound, IdTaken, NotAtTheDesk, AgentNotPresent):
            do()

    @invariant()
    def every_chat_is_its_log(self) -> None:
        for changes in self.world.chats.changes.values():
            events = [change.event for change in changes]
            assert [event.number for event in events] == list(range(1, len(events) + 1))
            assert changes[-1].chat.version == len(events)
            assert len({event.id for event in events if event.id}) == sum(1 for event in events if event.id)
            kinds = [event.type for event in events]
            assert kinds.count(EventType.WAITING) == 1
            assert kinds.count(EventType.ENDED) <= 1
            assert kinds.count(EventType.RATED) <= 1
            if EventType.ENDED in kinds:
                assert set(kinds[kinds.index(EventType.ENDED) + 1 :]) <= {EventType.RATED}
            before = None
            for change in changes:
                assert change.chat.status in _STEPS[before]
                before = change.chat.status

    @invariant()
    def every_chat_is_whole(self) -> None:
        for changes in self.world.chats.changes.values():
            for chat in (change.chat for change in changes):
                assert (chat.agent is None) if chat.status is Status.WAITING else True
                assert chat.status is not Status.ACTIVE or chat.agent is not None
                assert (chat.ended_at is None) == (chat.status is not Status.ENDED)
                assert chat.agent_away_since is None or chat.status is Status.ACTIVE
                assert chat.rating is None or (chat.ended_at is not None and chat.was_accepted)

    @invariant()
    def everybody_concerned_is_told(self) -> None:
        for changes in self.world.chats.changes.values():
            had: str | None = None
            for change in changes:
                told = {person.user for person in change.to}
                assert len(told) == len(change.to)
                assert told == {change.chat.customer} | ({had, change.chat.agent} - {None})
                had = change.chat.agent

    @invariant()
    def nobody_has_two_open_chats(self) -> None:
        chats = [changes[-1].chat for changes in self.world.chats.changes.values()]
        open_ones = [chat.customer for chat in chats if chat.status is not Status.ENDED]
        assert len(open_ones) == len(set(open_ones))

    @invariant()
    def who_is_away_is_known(self) -> None:
        """The one who has a chat is marked as away if, and only if, they are not at the desk."""
        for changes in self.world.chats.changes.values():
            chat = changes[-1].chat
            if chat.status is Status.ACTIVE:
                assert (chat.agent_away_since is None) == (chat.agent in self.world.desk.present)


AnyDay.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestAnyDay = AnyDay.TestCase


def test_every_refusal_leaves_the_chat_as_it_was(talking: World) -> None:
    before = talking.chat()

    refused: list[Callable[[], object]] = [lambda: talking.accept(CY), talking.rate, lambda: talking.end(DAN)]
    for do in refused:
        with pytest.raises(ChatError):
            do()

    assert talking.chat() == before
    assert after(talking.chats.changes["c-1"][-1]) == before
