"""No lost wake-up: whatever comes between writing the callback and reading the connections again."""

from collections.abc import Callable
from dataclasses import dataclass, field

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from lambdas.core import delivery
from lambdas.core.errors import StoreUnavailable
from lambdas.core.model import Connection
from ringback.envelope import Recipient
from tests.builders import attempt, connection
from tests.fakes import FakeCallbacks, FakeClock, FakeConnections, FakeTokens


@dataclass
class InterruptedConnections(FakeConnections):
    """Lets others act before and after the read that a parking run makes."""

    before_read: list[Callable[[], None]] = field(default_factory=list)
    after_read: list[Callable[[], None]] = field(default_factory=list)

    def of_recipient(self, recipient: Recipient) -> list[Connection]:
        while self.before_read:
            self.before_read.pop(0)()
        found = super().of_recipient(recipient)
        while self.after_read:
            self.after_read.pop(0)()
        return found


class WakeUps(RuleBasedStateMachine):
    """One recipient. Runs park, connections are stored, and the stream brings them to `wake` in order, but later."""

    def __init__(self) -> None:
        super().__init__()
        self.connections = InterruptedConnections()
        self.callbacks = FakeCallbacks()
        self.tokens = FakeTokens()
        self.clock = FakeClock()
        self.stream: list[Connection] = []
        self.runs = 0
        self.parked_without: dict[str, int] = {}

    @rule()
    def connect(self) -> None:
        arrived = connection(f"c-{len(self.connections.rows)}")
        self.connections.put(arrived)
        self.stream.append(arrived)

    @rule()
    def wake(self) -> None:
        if self.stream:
            delivery.wake([self.stream[0]], callbacks=self.callbacks, tokens=self.tokens)
            del self.stream[0]

    @rule()
    def wake_without_reaching_the_runs(self) -> None:
        """The stream brings the record again."""
        self.callbacks.down = {"remove_reconnect"}
        try:
            self.wake()
        except StoreUnavailable:
            pass
        finally:
            self.callbacks.down = set()

    @rule(
        before=st.lists(st.sampled_from(["connect", "wake"]), max_size=3),
        after=st.lists(st.sampled_from(["connect", "wake"]), max_size=3),
    )
    def post_and_park(self, before: list[str], after: list[str]) -> None:
        """A run has tried every connection there is, all of them gone, and parks."""
        self.runs += 1
        token = f"token-{self.runs}"
        tried = {row.connection_id for row in self.connections.rows.values()}
        self.tokens.waiting.add(token)
        self.parked_without[token] = len(tried)
        self.connections.before_read = [getattr(self, step) for step in before]
        self.connections.after_read = [getattr(self, step) for step in after]
        delivery.park_for_reconnect(
            attempt(id=f"m-{self.runs}"),
            token,
            tried=tried,
            max_attempts=5,
            connections=self.connections,
            callbacks=self.callbacks,
            tokens=self.tokens,
            clock=self.clock,
        )

    def teardown(self) -> None:
        """In the end the stream has brought everything, and who waits has seen every connection there is."""
        while self.stream:
            self.wake()
        missed = {token for token in self.tokens.waiting if self.parked_without[token] < len(self.connections.rows)}
        assert not missed, "a connection came after these runs tried theirs, and they still wait"


TestWakeUps = WakeUps.TestCase
TestWakeUps.settings = hypothesis.settings(max_examples=60, stateful_step_count=12)
