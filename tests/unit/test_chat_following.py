"""A chat's run is where the chat is: whatever happens at the same time, is late, or happens twice."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambdas.chat.core import rules, running, sessions
from lambdas.chat.core.errors import ChatError
from lambdas.chat.core.model import Chat
from lambdas.chat.core.ports import Wait
from lambdas.chat.core.rules import Phase
from tests.builders import NOW
from tests.chats import ANA, BO, CY, LIMITS, FakeChats, FakeDesk
from tests.fakes import FakeClock

OVER = {Phase.ABANDONED, Phase.CLOSED}


@dataclass
class Watched(FakeChats):
    """Chats in which something else happens just before a read, or a write, of what the run waits on."""

    meanwhile: Callable[[], object] = lambda: None

    def get(self, chat_id: str) -> Chat | None:
        self.meanwhile()
        return super().get(chat_id)

    def park(self, chat_id: str, wait: Wait) -> bool:
        self.meanwhile()
        return super().park(chat_id, wait)

    def parked(self, chat_id: str) -> Wait | None:
        self.meanwhile()
        return super().parked(chat_id)

    def unpark(self, chat_id: str, task_token: str) -> None:
        self.meanwhile()
        super().unpark(chat_id, task_token)


@dataclass
class Machine:
    """Step Functions, as far as a chat's run needs it: one state at a time, which waits on a token of its own."""

    clock: FakeClock
    phase: str | None = None
    entry: int = 0
    token: str | None = None
    deadline: datetime = NOW
    calls: list[Wait] = field(default_factory=list)
    """The calls of AwaitChange that have not come yet: any of them may be late."""

    def start(self, chat_id: str, situation: dict[str, Any]) -> None:
        if self.phase is None:
            self.enter(situation)

    def go_on(self, task_token: str, situation: dict[str, Any]) -> None:
        if task_token == self.token:
            self.enter(situation)

    def enter(self, situation: dict[str, Any]) -> None:
        self.phase, self.token = situation["phase"], None
        if self.phase in OVER:
            return
        self.entry += 1
        self.token = f"token-{self.entry}"
        self.deadline = self.clock.now() + timedelta(seconds=situation["seconds"])
        self.calls.append(Wait(self.token, Phase(self.phase), self.entry))


class Day:
    """One chat, its run, and the stream that brings the chat's events."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.chats = Watched()
        self.desk = FakeDesk({"bo", "cy"})
        self.machine = Machine(self.clock)
        self.told = 0
        self.made: list[Wait] = []
        self.script: list[str | None] = []
        self.inside = False
        sessions.start(self.chats, ANA, None, LIMITS, new_id=lambda: "c-1", clock=self.clock)
        self.chats.meanwhile = self.meanwhile

    def play(self, script: list[str | None]) -> None:
        """Take one step after the other; a step that looks at something has the next one happen just before.

        None is nothing: what comes after it, comes after.
        """
        self.script = list(script)
        while self.script:
            self.step(self.script.pop(0))

    def meanwhile(self) -> None:
        if self.script and not self.inside:
            self.inside = True
            self.step(self.script.pop(0))
            self.inside = False

    def step(self, what: str | None) -> None:
        steps: dict[str, Callable[[], object]] = {
            "accept": lambda: sessions.accept(self.chats, self.desk, "c-1", BO, LIMITS, clock=self.clock),
            "transfer": lambda: self.hand_on("cy"),
            "requeue": lambda: self.hand_on(None),
            "go": lambda: self.move(self.desk.present.discard, "bo"),
            "come": lambda: self.move(self.desk.present.add, "bo"),
            "say": lambda: sessions.send(
                self.chats, "c-1", ANA, f"m-{self.clock.now().timestamp()}", "hello", LIMITS, clock=self.clock
            ),
            "end": lambda: self.change(lambda chat: rules.end(chat, ANA, self.clock.now())),
            "rate": lambda: self.change(lambda chat: rules.rate(chat, ANA, 5, None, LIMITS, self.clock.now())),
            "minute": lambda: self.pass_time(60),
            "hour": lambda: self.pass_time(3_600),
            "tell": self.tell,
            "tell again": lambda: self.follow(max(0, self.told - 1)),
            "call": lambda: self.call(-1),
            "call the oldest": lambda: self.call(0),
            "call again": lambda: self.call_again(1),
            "call the one before again": lambda: self.call_again(2),
            "time out": self.time_out,
        }
        if what is None:
            return
        with suppress(ChatError):  # the rules forbid it now
            steps[what]()

    def hand_on(self, to: str | None) -> None:
        by = BO if self.chat.agent != "cy" else CY
        sessions.transfer(self.chats, self.desk, "c-1", by, to, LIMITS, clock=self.clock)

    def move(self, how: Callable[[str], None], agent: str) -> None:
        how(agent)
        sessions.check_presence(self.chats, self.desk, "c-1", agent, LIMITS, clock=self.clock)

    def change(self, decide: Callable[[Chat], Any]) -> None:
        sessions.change(self.chats, "c-1", decide, clock=self.clock)

    def pass_time(self, seconds: float) -> None:
        self.clock.time += timedelta(seconds=seconds)

    def tell(self) -> None:
        """The stream brings the next event; again, if whoever was to hear of it has failed."""
        if self.told < len(self.chats.changes["c-1"]):
            number, self.told = self.told, self.told + 1
            self.follow(number)

    def follow(self, number: int) -> None:
        event = self.chats.changes["c-1"][number].event
        running.follow(event, chats=self.chats, runs=self.machine, limits=LIMITS, clock=self.clock)

    def call(self, which: int) -> None:
        if self.machine.calls:
            self.made.append(self.machine.calls.pop(which))
            self.call_again(1)

    def call_again(self, last: int) -> None:
        """As when the function failed after it had done something, or was so slow that its state is over."""
        if len(self.made) >= last:
            wait = self.made[-last]
            running.wait_for_change("c-1", wait, chats=self.chats, runs=self.machine, limits=LIMITS, clock=self.clock)

    def time_out(self) -> None:
        if self.machine.token and self.clock.now() >= self.machine.deadline:
            self.machine.token = None
            self.machine.enter(running.settle("c-1", chats=self.chats, desk=self.desk, limits=LIMITS, clock=self.clock))

    @property
    def chat(self) -> Chat:
        return self.chats.changes["c-1"][-1].chat

    def come_to_rest(self) -> None:
        """Everything that happened is told, and every call has come, once. No time passes."""
        while self.machine.calls or self.told < len(self.chats.changes["c-1"]):
            self.call(-1)
            self.tell()


STEPS = [
    *("accept", "accept", "transfer", "requeue", "go", "come", "say", "end", "rate", "minute", "hour", "time out"),
    *("tell", "tell", "tell", "tell", "tell again", "call", "call", "call", "call the oldest", "call again"),
    *("call the one before again", None),
]
ALL_IS_TOLD = ["tell", "call"] * 2
scripts = st.lists(st.sampled_from(STEPS), max_size=40)


@settings(max_examples=1_000)
@given(scripts)
@example([*ALL_IS_TOLD, "accept", *ALL_IS_TOLD, "go", *ALL_IS_TOLD, "transfer"])
@example([*ALL_IS_TOLD, "accept", *ALL_IS_TOLD, "end", *ALL_IS_TOLD, "rate"])
@example([*ALL_IS_TOLD, "accept", *ALL_IS_TOLD, "call the one before again", "requeue"])
@example([*ALL_IS_TOLD, "accept", *ALL_IS_TOLD, "go", *ALL_IS_TOLD, "call the one before again", "come"])
@example(["tell", "call", "accept", "tell", "requeue", "tell", "call"])
def test_at_rest_a_run_is_where_its_chat_is(script: list[str | None]) -> None:
    day = Day()
    day.play(script)
    day.come_to_rest()

    here = rules.situation(day.chat, LIMITS, day.clock.now())

    if here["phase"] == Phase.CLOSED and day.machine.phase == Phase.RATING:
        assert day.chat.rating is None, "a rating moves the run"
        day.time_out()  # the time for a rating is over, which its timer knows
    assert day.machine.phase == here["phase"]


@settings(max_examples=300)
@given(scripts)
def test_a_run_comes_to_its_end_with_time_alone(script: list[str | None]) -> None:
    day = Day()
    day.play(script)

    for _ in range(10):
        day.come_to_rest()
        day.pass_time(100_000)
        day.time_out()
    day.come_to_rest()

    assert day.machine.phase in OVER
    assert day.chat.ended_at is not None
