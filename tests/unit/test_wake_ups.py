"""No lost wake-up: whatever comes between writing the callback and reading the connections again, and however late."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lambdas.core import delivery
from lambdas.core.errors import ServiceUnavailable
from lambdas.core.model import Connection
from ringback.plain import Recipient
from tests.builders import attempt, connection, waiting
from tests.fakes import FakeCallbacks, FakeClock, FakeConnections, FakeTokens

Step = Callable[[], None]


@dataclass
class InterruptedConnections(FakeConnections):
    """Lets others act before and after the read that a parking run makes."""

    before_read: list[Step] = field(default_factory=list)
    after_read: list[Step] = field(default_factory=list)

    @contextmanager
    def interrupted(self, before_read: list[Step], after_read: list[Step]) -> Iterator[None]:
        outside = self.before_read, self.after_read
        self.before_read, self.after_read = before_read, after_read
        yield
        self.before_read, self.after_read = outside

    def of_recipient(self, recipient: Recipient) -> list[Connection]:
        while self.before_read:
            self.before_read.pop(0)()
        found = super().of_recipient(recipient)
        while self.after_read:
            self.after_read.pop(0)()
        return found


@dataclass(frozen=True)
class Wait:
    """One entry into the state that waits, after every connection there was had been tried and was gone."""

    run: str
    entry: int
    tried: frozenset[str]

    @property
    def token(self) -> str:
        return waiting(self.entry).task_token


runs = st.sampled_from(["m-1", "m-2"])
steps = st.lists(st.sampled_from(["connect", "wake", "end_a_slow_function"]), max_size=3)


class WakeUps(RuleBasedStateMachine):
    """One recipient. Runs wait, connections are stored, and the stream brings them to `wake` in order, but later.

    The function that parks a run may take its time: the state that called it can have timed out, and the run can wait
    again, by the time that it does its work.
    """

    def __init__(self) -> None:
        super().__init__()
        self.connections = InterruptedConnections()
        self.callbacks = FakeCallbacks()
        self.tokens = FakeTokens()
        self.clock = FakeClock()
        self.stream: list[Connection] = []
        self.waits: list[Wait] = []
        self.unparked: list[Wait] = []

    @rule()
    def connect(self) -> None:
        arrived = connection(f"c-{len(self.connections.rows)}")
        self.connections.put(arrived)
        self.stream.append(arrived)

    @rule()
    def wake(self) -> None:
        self._wake()

    @rule(down=st.booleans(), unreachable=st.booleans(), has_time=st.booleans())
    def wake_in_trouble(self, *, down: bool, unreachable: bool, has_time: bool) -> None:
        """The stream brings the record again, unless all that failed was the removal of callbacks."""
        self.callbacks.down = {"remove_reconnect"} if down else set()
        self.tokens.unreachable = set(self.tokens.waiting) if unreachable else set()
        self._wake(has_time=has_time)
        self.callbacks.down, self.tokens.unreachable = set(), set()

    @rule(run=runs, before=steps, after=steps)
    def wait(self, run: str, before: list[str], after: list[str]) -> None:
        self._park(self._enter(run), before, after)

    @rule(run=runs)
    def wait_for_a_slow_function(self, run: str) -> None:
        self.unparked.append(self._enter(run))

    @rule()
    def end_a_slow_function(self) -> None:
        if self.unparked:
            self._park(self.unparked.pop(0))

    @invariant()
    def nobody_waits_who_has_not_tried_every_connection_that_the_stream_has_brought(self) -> None:
        brought = self._stored() - {arrived.connection_id for arrived in self.stream}
        parked = [wait for wait in self.waits if wait.token in self.tokens.waiting and wait not in self.unparked]
        assert all(brought <= wait.tried for wait in parked), "a connection came after a run had tried them all"

    def teardown(self) -> None:
        """In the end every function and the stream have done their work."""
        while self.unparked:
            self.end_a_slow_function()
        while self.stream:
            self._wake()
        self.nobody_waits_who_has_not_tried_every_connection_that_the_stream_has_brought()

    def _enter(self, run: str) -> Wait:
        """Wait; if the run still waits from before, that has timed out."""
        self.tokens.waiting -= {before.token for before in self.waits if before.run == run}
        self.waits.append(Wait(run, len(self.waits) + 1, self._stored()))
        self.tokens.waiting.add(self.waits[-1].token)
        return self.waits[-1]

    def _park(self, entered: Wait, before: Iterable[str] = (), after: Iterable[str] = ()) -> None:
        with self.connections.interrupted(
            [getattr(self, step) for step in before], [getattr(self, step) for step in after]
        ):
            delivery.park_for_reconnect(
                attempt(id=entered.run),
                waiting(entered.entry),
                tried=entered.tried,
                tried_at=self.clock.now(),
                unacknowledged=False,
                max_attempts=5,
                connections=self.connections,
                callbacks=self.callbacks,
                tokens=self.tokens,
                clock=self.clock,
            )

    def _wake(self, *, has_time: bool = True) -> None:
        if not self.stream:
            return
        try:
            delivery.wake(self.stream[:1], callbacks=self.callbacks, tokens=self.tokens, has_time=lambda: has_time)
        except ServiceUnavailable:
            return
        del self.stream[0]

    def _stored(self) -> frozenset[str]:
        return frozenset(row.connection_id for row in self.connections.rows.values())


TestWakeUps = WakeUps.TestCase
TestWakeUps.settings = hypothesis.settings(max_examples=150, stateful_step_count=20)
