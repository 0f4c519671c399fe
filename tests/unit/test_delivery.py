"""The rules of a delivery, on fakes."""

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from lambdas.core import delivery
from lambdas.core.errors import (
    AttemptsExhausted,
    ConnectionGone,
    InvalidMessage,
    MessageExpired,
    NoOpenConnection,
    PostThrottled,
    RingbackError,
    ServiceUnavailable,
    StoreUnavailable,
    Superseded,
)
from lambdas.core.model import YOUNG_CONNECTION, Callback, Connection
from lambdas.core.ports import CALLS_AT_ONCE, Address, Numbered, PostResult
from ringback.limits import MAX_ACK_TIMEOUT_SECONDS
from ringback.plain import Recipient
from tests.builders import NOW, attempt, callback, connection, envelope, recipient, task, waiting
from tests.fakes import FakeCallbacks, FakeClock, FakeConnections, FakeSequences, FakeSockets, FakeTokens

POSTED, GONE, THROTTLED, FAILED = PostResult.POSTED, PostResult.GONE, PostResult.THROTTLED, PostResult.FAILED
OLD = YOUNG_CONNECTION.total_seconds()
EXPIRED = attempt(expiresAt="2030-01-31T12:00:00Z")
TOO_LARGE = attempt(payload="x" * 128 * 1024)


@dataclass
class World:
    """Everything that the rules need, and those who are connected."""

    clock: FakeClock = field(default_factory=FakeClock)
    connections: FakeConnections = field(default_factory=FakeConnections)
    callbacks: FakeCallbacks = field(default_factory=FakeCallbacks)
    tokens: FakeTokens = field(default_factory=lambda: FakeTokens(waiting={"token-1"}))
    sockets: FakeSockets = field(default_factory=FakeSockets)

    def connect(self, *connected: Connection) -> list[Connection]:
        for each in connected:
            self.connections.put(each)
        return list(connected)

    def stored(self) -> set[str]:
        return {row.connection_id for row in self.connections.rows.values()}

    def resolve(self, what: delivery.Attempt) -> list[Connection]:
        return delivery.resolve(what, connections=self.connections, sockets=self.sockets, clock=self.clock)

    def post(self, what: delivery.Attempt, targets: list[Connection]) -> delivery.Receipt:
        return delivery.post(what, targets, connections=self.connections, sockets=self.sockets, clock=self.clock)

    def park(
        self,
        what: delivery.Attempt,
        *,
        entry: int = 1,
        tried: Iterable[str] = (),
        tried_at: datetime = NOW,
        unacknowledged: bool = False,
        max_attempts: int = 5,
    ) -> None:
        delivery.park_for_reconnect(
            what,
            waiting(entry),
            tried=list(tried),
            tried_at=tried_at,
            unacknowledged=unacknowledged,
            max_attempts=max_attempts,
            connections=self.connections,
            callbacks=self.callbacks,
            tokens=self.tokens,
            clock=self.clock,
        )

    def wake(self, *arrived: Connection, has_time: Callable[[], bool] = lambda: True) -> int:
        return delivery.wake(arrived, callbacks=self.callbacks, tokens=self.tokens, has_time=has_time)

    def awaiting_acknowledgement(self, what: delivery.Attempt, *, entry: int = 1) -> AbstractContextManager[None]:
        return delivery.awaiting_acknowledgement(what, waiting(entry), callbacks=self.callbacks, clock=self.clock)

    def park_many(self, runs: int) -> None:
        for entry in range(1, runs + 1):
            self.callbacks.park_for_reconnect(callback(f"m-{entry}", entry=entry))
            self.tokens.waiting.add(f"token-{entry}")

    def acknowledge(self, *message_ids: str, context_id: str = "42") -> int:
        return len(self.acknowledged(*message_ids, context_id=context_id))

    def acknowledged(self, *message_ids: str, context_id: str = "42") -> list[Callback]:
        return delivery.acknowledge(
            message_ids,
            sender=recipient(context_id=context_id),
            connection_id="tab",
            connections=self.connections,
            callbacks=self.callbacks,
            tokens=self.tokens,
            clock=self.clock,
        )

    def stale(self) -> set[str]:
        return {row.connection_id for row in self.connections.rows.values() if row.stale_since is not None}


@pytest.fixture
def world() -> World:
    return World()


# What a Task state hands its function


def test_a_task_is_read() -> None:
    connected = connection("tab", token_life_seconds=900)
    event = task(envelope(id=None, ttlSeconds=60), attempt=3, connections=[connected.to_state()])

    read = delivery.Attempt.from_task(event, default_ttl_seconds=10, sequences=FakeSequences(down={"number"}))

    assert (read.number, read.message.id, read.execution_name) == (3, "execution-name", "execution-name")
    assert (read.message.accepted_at, read.sequence) == (NOW, None)
    assert read.message.expires_at.isoformat() == "2030-01-31T12:01:00+00:00"
    assert read.targets(event) == [connected]


def test_an_ordered_message_has_one_number_in_every_state_of_its_run() -> None:
    sequences = FakeSequences()
    tasks = [task(envelope(ordered=True)), task(envelope(ordered=True), attempt=2)]
    other = {**task(envelope(id="m-2", ordered=True)), "execution": {**tasks[0]["execution"], "name": "another"}}

    read = [delivery.Attempt.from_task(each, default_ttl_seconds=10, sequences=sequences) for each in (*tasks, other)]

    assert [each.sequence for each in read] == [1, 1, 2]
    assert [json.loads(each.frame(NOW))["sequence"] for each in read] == [1, 1, 2]


def test_a_number_is_known_for_as_long_as_anybody_may_ask_for_it() -> None:
    class Watched(FakeSequences):
        def number(self, recipient: Recipient, execution_name: str, *, until: datetime) -> Numbered:
            asked.append(until)
            return super().number(recipient, execution_name, until=until)

    asked: list[datetime] = []
    what = attempt(ordered=True, ttlSeconds=60)

    delivery.number_of(what.message, "run", Watched())

    assert asked == [what.message.expires_at + delivery.NUMBER_OUTLIVES_MESSAGE]
    assert timedelta(seconds=MAX_ACK_TIMEOUT_SECONDS) < delivery.NUMBER_OUTLIVES_MESSAGE


def test_a_number_that_cannot_be_read_is_worth_another_try() -> None:
    with pytest.raises(StoreUnavailable):
        delivery.Attempt.from_task(
            task(envelope(ordered=True)), default_ttl_seconds=10, sequences=FakeSequences(down={"number"})
        )


def test_what_is_not_durable_is_nothing_for_a_run_which_waits() -> None:
    with pytest.raises(InvalidMessage, match=r"^durable: a run waits, .* hand it over by accept, HTTP, topic or bus$"):
        delivery.Attempt.from_task(
            task(envelope(durable=False)), default_ttl_seconds=10, sequences=FakeSequences(down={"number"})
        )


def test_what_is_no_message_gets_no_number() -> None:
    sequences = FakeSequences()

    with pytest.raises(InvalidMessage):
        delivery.Attempt.from_task(task(envelope(ordered=1)), default_ttl_seconds=10, sequences=sequences)

    assert not sequences.runs


def test_a_callback_belongs_to_one_entry_of_one_run() -> None:
    event = task(envelope(), taskToken="token", entry={"enteredAt": "2030-01-31T12:00:00.007Z", "retry": 2})

    read = delivery.Waiting.from_task(event).callback(attempt(3, execution_name="run", numbered=7), NOW)

    assert (read.message_id, read.execution_name, read.task_token) == ("m-1", "run", "token")
    assert (read.attempt, read.sequence, read.accepted_at) == (3, 7, NOW)
    assert read.entry == 1_896_091_200_007_002


# Resolve


def test_resolving_finds_the_recipients_open_connections(world: World) -> None:
    here = world.connect(connection("tab"), connection("phone", token_life_seconds=1))
    world.connect(
        connection("expired row", life_seconds=0),
        connection("expired token", token_life_seconds=0),
        connection("elsewhere", recipient(context_id="43")),
        connection("somebody else", recipient(user="bo")),
    )

    assert world.resolve(attempt()) == here


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        (attempt(), NoOpenConnection, "ana in chat/42 has no open connection"),
        (EXPIRED, MessageExpired, "its life ended at 2030-01-31T12:00:00"),
        (TOO_LARGE, InvalidMessage, "payload: the frame would be"),
    ],
    ids=["nobody is there", "expired", "too large"],
)
def test_resolving_says_why_it_found_nothing(
    world: World, what: delivery.Attempt, error: type[RingbackError], said: str
) -> None:
    with pytest.raises(error, match=said):
        world.resolve(what)


# Post


@dataclass(frozen=True)
class Post:
    """One connection's answers to the posts, and what has to come of them."""

    answers: list[PostResult]
    result: str
    posts: int
    age_seconds: float = 60
    forgotten: bool = False


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Post([POSTED], "posted", posts=1), id="taken"),
        pytest.param(Post([GONE], "gone", posts=1, forgotten=True), id="gone"),
        pytest.param(Post([GONE], "gone", posts=1, age_seconds=OLD, forgotten=True), id="gone, no longer young"),
        pytest.param(Post([GONE, GONE, POSTED], "posted", posts=3, age_seconds=0.1), id="young: handshake ends"),
        pytest.param(Post([GONE], "gone", posts=5, age_seconds=0.1), id="young: never there, and the row stays"),
        pytest.param(
            Post([GONE], "gone", posts=3, age_seconds=OLD - 0.25, forgotten=True), id="young: asked once more when old"
        ),
        pytest.param(Post([THROTTLED, POSTED], "posted", posts=2), id="429 once"),
        pytest.param(Post([THROTTLED], "throttled", posts=5), id="429 always"),
        pytest.param(Post([FAILED, FAILED, FAILED, FAILED, POSTED], "posted", posts=5), id="failed four times"),
        pytest.param(Post([FAILED], "failed", posts=5), id="failed always"),
        pytest.param(Post([THROTTLED, GONE], "gone", posts=2, forgotten=True), id="gone after 429"),
    ],
)
def test_what_becomes_of_a_post(world: World, case: Post) -> None:
    world.sockets.answers["tab"] = case.answers

    receipt = world.post(attempt(), world.connect(connection("tab", age_seconds=case.age_seconds)))

    assert receipt.to_state() == {"posted": [], "gone": [], "throttled": [], "failed": []} | {case.result: ["tab"]}
    assert len(world.sockets.posts["tab"]) == case.posts
    assert world.clock.slept == [0.1, 0.2, 0.4, 0.8][: case.posts - 1]
    assert world.stored() == (set() if case.forgotten else {"tab"})


def test_a_410_from_a_slow_post_to_a_young_connection_does_not_count(world: World) -> None:
    world.sockets = FakeSockets({"tab": [GONE]}, clock=world.clock, seconds_a_call=OLD)

    world.post(attempt(), world.connect(connection("tab", age_seconds=1)))

    assert len(world.sockets.posts["tab"]) == 2, "asked again, now that it is old"


def test_every_tab_gets_the_same_frame_and_only_those_that_did_not_are_asked_again(world: World) -> None:
    world.sockets.answers |= {"busy": [THROTTLED, POSTED], "gone": [GONE]}

    receipt = world.post(attempt(2), world.connect(connection("tab"), connection("busy"), connection("gone")))

    assert receipt == delivery.Receipt(posted=["tab", "busy"], gone=["gone"])
    assert {tab: len(frames) for tab, frames in world.sockets.posts.items()} == {"tab": 1, "busy": 2, "gone": 1}
    assert len({frame for frames in world.sockets.posts.values() for frame in frames}) == 1
    assert json.loads(world.sockets.posts["tab"][0])["attempt"] == 2


def test_forgetting_hits_exactly_the_connection_that_is_gone(world: World) -> None:
    world.sockets.answers["old"] = [GONE]
    old = connection("old")
    world.connect(old, connection("new"), connection("old", recipient(context_id="43")))

    world.post(attempt(), [old])

    assert [(row.recipient.context_id, row.connection_id) for row in world.connections.rows.values()] == [
        ("42", "new"),
        ("43", "old"),
    ]


def test_all_tabs_get_it_at_the_same_moment(world: World) -> None:
    class Meeting(FakeSockets):
        def post(self, connection: Address, frame: bytes) -> PostResult:
            everybody.wait(timeout=5)
            return super().post(connection, frame)

    everybody = threading.Barrier(CALLS_AT_ONCE)
    world.sockets = Meeting()
    names = [f"tab-{number}" for number in range(CALLS_AT_ONCE)]

    assert world.post(attempt(), world.connect(*map(connection, names))).posted == names


def test_a_store_that_is_down_after_the_posts_does_not_fail_the_run(world: World) -> None:
    world.sockets.answers["gone"] = [GONE]
    targets = world.connect(connection("tab"), connection("gone"))
    world.connections.down = {"delete"}

    assert world.post(attempt(), targets) == delivery.Receipt(posted=["tab"], gone=["gone"])


@pytest.mark.parametrize(("what", "error"), [(EXPIRED, MessageExpired), (TOO_LARGE, InvalidMessage)])
def test_what_cannot_be_posted_is_not(world: World, what: delivery.Attempt, error: type[RingbackError]) -> None:
    with pytest.raises(error):
        world.post(what, world.connect(connection("tab")))

    assert not world.sockets.posts


@pytest.mark.parametrize(
    ("receipt", "error"),
    [
        (delivery.Receipt(gone=["a", "b"]), ConnectionGone("2 connections are gone")),
        (delivery.Receipt(gone=["a"], failed=["b"]), ServiceUnavailable("posting to 1 connections failed")),
        (
            delivery.Receipt(gone=["a"], failed=["b"], throttled=["c"]),
            PostThrottled("API Gateway throttled the post to 1 connections"),
        ),
    ],
    ids=["all gone", "one might still take it", "one is only busy"],
)
def test_a_message_that_no_connection_took_is_not_delivered(receipt: delivery.Receipt, error: RingbackError) -> None:
    with pytest.raises(type(error), match=str(error)):
        receipt.require_delivery()


def test_a_message_that_one_connection_took_is_delivered() -> None:
    delivery.Receipt(posted=["a"], gone=["b"], throttled=["c"], failed=["d"]).require_delivery()


# What has ended, whoever meets it


@dataclass(frozen=True)
class Ended:
    """A connection whose time is over, what happens when it is closed, and whether its row stays."""

    there: Connection = field(default_factory=lambda: connection("tab", life_seconds=0))
    absent: bool = False
    unreachable: bool = False
    down: frozenset[str] = frozenset()
    stays: bool = False


@pytest.mark.parametrize(
    ("meet", "answer"),
    [
        (lambda world: world.resolve(attempt()), [connection("phone")]),
        (
            lambda world: world.post(attempt(), list(world.connections.rows.values())),
            delivery.Receipt(posted=["phone"], gone=["tab"]),
        ),
    ],
    ids=["resolving", "posting"],
)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Ended(), id="its life"),
        pytest.param(Ended(connection("tab", token_life_seconds=0)), id="its token"),
        pytest.param(Ended(absent=True), id="closed already"),
        pytest.param(Ended(connection("tab", age_seconds=1, token_life_seconds=0)), id="young"),
        pytest.param(
            Ended(connection("tab", age_seconds=1, token_life_seconds=0), absent=True, stays=True),
            id="young, and its handshake goes on",
        ),
        pytest.param(Ended(unreachable=True, stays=True), id="it cannot be closed"),
        pytest.param(Ended(down=frozenset({"delete"}), stays=True), id="it cannot be forgotten"),
    ],
)
def test_a_connection_whose_time_is_over_is_closed_and_forgotten_and_gets_nothing(
    world: World, case: Ended, meet: Callable[[World], object], answer: object
) -> None:
    world.connect(case.there, connection("phone"))
    world.sockets.absent = {"tab"} if case.absent else set()
    world.sockets.unreachable = {"tab"} if case.unreachable else set()
    world.connections.down = set(case.down)

    assert meet(world) == answer

    assert world.sockets.closed == ([] if case.absent or case.unreachable else ["tab"])
    assert world.stored() == ({"tab", "phone"} if case.stays else {"phone"})
    assert "tab" not in world.sockets.posts


# Park


def test_a_callback_outlives_the_wait_of_its_run(world: World) -> None:
    what = attempt(ttlSeconds=60)

    world.park(what)

    (stored,) = world.callbacks.reconnects.values()
    assert (stored.recipient, stored.message_id, stored.task_token) == (recipient(), "m-1", "token-1")
    assert stored.since == world.clock.now()
    assert stored.expires_at >= what.message.expires_at + timedelta(seconds=MAX_ACK_TIMEOUT_SECONDS)
    assert world.tokens.waiting == {"token-1"}


def test_the_callback_is_stored_before_the_connections_are_read(world: World) -> None:
    class Watched(FakeConnections):
        def of_recipient(self, recipient: Any) -> list[Connection]:
            seen.append(len(world.callbacks.reconnects))
            return super().of_recipient(recipient)

    seen: list[int] = []
    world.connections = Watched()

    world.park(attempt())

    assert seen == [1]


@dataclass(frozen=True)
class Recheck:
    """A connection that is there when the run has parked."""

    there: Connection
    tried: bool = False
    tried_seconds_ago: float = 0


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Recheck(connection("tab")), id="not tried"),
        pytest.param(Recheck(connection("tab", age_seconds=OLD - 1), tried=True), id="tried, but young"),
        pytest.param(
            Recheck(connection("tab", age_seconds=OLD + 29), tried=True, tried_seconds_ago=30),
            id="tried when it was young",
        ),
    ],
)
@pytest.mark.parametrize("unacknowledged", [False, True])
def test_a_run_goes_on_at_once_with_a_connection_that_it_missed(
    world: World, case: Recheck, *, unacknowledged: bool
) -> None:
    world.connect(case.there, connection("tried", age_seconds=OLD + 30), connection("closed", life_seconds=0))

    world.park(
        attempt(ack="client"),
        tried=["tried", *(["tab"] if case.tried else [])],
        tried_at=NOW - timedelta(seconds=case.tried_seconds_ago),
        unacknowledged=unacknowledged,
    )

    assert world.tokens.outputs == {"token-1": {"wokenBy": "recheck", "connections": [case.there.to_state()]}}
    assert not world.callbacks.reconnects


def test_a_run_that_has_gone_on_leaves_its_callback_if_it_must(world: World) -> None:
    world.connect(connection("tab"))
    world.callbacks.down = {"remove_reconnect"}

    world.park(attempt())

    assert world.tokens.outputs.keys() == {"token-1"}


@pytest.mark.parametrize(
    ("entries", "stored"),
    [((1, 2), "token-2"), ((2, 1), "token-2"), ((1, 1), "token-1")],
    ids=["in order", "the first comes late", "the same one again"],
)
def test_the_last_entry_of_a_run_is_the_one_that_waits(world: World, entries: Iterable[int], stored: str) -> None:
    for entry in entries:
        world.park(attempt(), entry=entry)

    assert [kept.task_token for kept in world.callbacks.reconnects.values()] == [stored]


def test_a_run_that_comes_late_does_not_read_the_connections(world: World) -> None:
    world.park(attempt(), entry=2)
    world.connections.down = {"of_recipient"}

    world.park(attempt(), entry=1)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Recheck(connection("tab", age_seconds=OLD), tried=True), id="tried"),
        pytest.param(
            Recheck(connection("tab", age_seconds=OLD + 30), tried=True, tried_seconds_ago=30), id="tried when old"
        ),
        pytest.param(Recheck(connection("tab", life_seconds=0)), id="closed"),
        pytest.param(Recheck(connection("tab", recipient(context_id="43"))), id="another conversation"),
    ],
)
def test_a_run_does_not_go_on_with_any_other_connection(world: World, case: Recheck) -> None:
    world.connect(case.there)

    world.park(attempt(), tried=["tab"] if case.tried else [], tried_at=NOW - timedelta(seconds=case.tried_seconds_ago))

    assert world.tokens.waiting == {"token-1"}
    assert world.callbacks.reconnects


def test_a_young_client_that_never_acknowledges_is_asked_once_more_and_then_waited_for(world: World) -> None:
    """Nobody knows which of the connections took it: its handshake may have gone on while another, now dead, did."""
    world.tokens.waiting = {"token-1", "token-2"}
    world.connect(connection("tab", age_seconds=1))

    for number in (1, 2):
        world.park(attempt(number, ack="client"), entry=number, tried=["tab"], unacknowledged=True)

    assert world.tokens.outputs.keys() == {"token-1"}
    assert world.tokens.waiting == {"token-2"}


def test_two_that_never_acknowledge_do_not_hand_the_run_to_each_other(world: World) -> None:
    world.tokens.waiting = {"token-1", "token-2"}
    world.connect(connection("young", age_seconds=1), connection("old"))

    world.park(attempt(1, ack="client"), entry=1, tried=["young", "old"], unacknowledged=True)
    assert [row["connectionId"] for row in world.tokens.outputs["token-1"]["connections"]] == ["young"]

    world.park(attempt(2, ack="client"), entry=2, tried=["young"], unacknowledged=True)
    assert world.tokens.waiting == {"token-2"}


def test_one_that_came_since_the_last_attempt_is_missed_though_another_message_made_it_stale(world: World) -> None:
    world.tokens.waiting = {"token-1"}
    world.connect(connection("new", age_seconds=0, stale_since=NOW))

    world.park(attempt(1, ack="client"), entry=1, tried=["gone"], unacknowledged=True)

    assert world.tokens.waiting == set()


@pytest.mark.parametrize(("stale_seconds_ago", "missed"), [(0, True), (29, True), (30, False), (31, False)])
def test_one_that_was_there_before_is_missed_if_another_message_made_it_stale_only_since(
    world: World, stale_seconds_ago: float, *, missed: bool
) -> None:
    """It came after the run had resolved, and before it posted; meanwhile another run has waited for it in vain."""
    world.connect(connection("tab", stale_since=NOW - timedelta(seconds=stale_seconds_ago)))

    world.park(attempt(), tried=["gone"], tried_at=NOW - timedelta(seconds=30))

    assert world.tokens.waiting == (set() if missed else {"token-1"})


@pytest.mark.parametrize(("stale_seconds_ago", "missed"), [(0, True), (29, True), (30, False), (31, False)])
def test_one_that_was_tried_while_young_is_missed_if_another_message_made_it_stale_only_since(
    world: World, stale_seconds_ago: float, *, missed: bool
) -> None:
    """Its handshake went on when the run posted; another run's post came after that, and was not acknowledged."""
    world.connect(connection("tab", age_seconds=31, stale_since=NOW - timedelta(seconds=stale_seconds_ago)))

    world.park(attempt(ack="client"), tried=["tab"], tried_at=NOW - timedelta(seconds=30), unacknowledged=True)

    assert world.tokens.waiting == (set() if missed else {"token-1"})


def test_a_young_one_that_did_not_take_the_message_is_missed_whatever_others_say_of_it(world: World) -> None:
    """The run that made it stale knew as little: its post may have come as early as this one's."""
    world.connect(connection("tab", age_seconds=1, stale_since=NOW - timedelta(seconds=1)))

    world.park(attempt(), tried=["tab"], tried_at=NOW)

    assert world.tokens.waiting == set()


def test_what_took_a_message_that_nobody_acknowledged_is_stale_from_the_first_time_on(world: World) -> None:
    tried = [connection("tab"), connection("phone", stale_since=NOW - timedelta(hours=1))]
    world.connect(*tried, connection("new"), connection("elsewhere", recipient(context_id="43")))

    world.park(attempt(ack="client"), tried=["tab", "phone", "gone"], unacknowledged=True)

    since = {row.connection_id: row.stale_since for row in world.connections.rows.values()}
    assert since == {"tab": NOW, "phone": NOW - timedelta(hours=1), "new": None, "elsewhere": None}


def test_what_did_not_take_the_message_is_not_stale(world: World) -> None:
    world.connect(connection("tab"))

    world.park(attempt(ack="client"), tried=["tab"])

    assert world.stale() == set()


def test_a_run_parks_though_a_stale_connection_cannot_be_noted(world: World) -> None:
    world.connect(connection("tab"))
    world.connections.down = {"mark_stale"}

    world.park(attempt(ack="client"), tried=["tab"], unacknowledged=True)

    assert world.callbacks.reconnects


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        (attempt(3), AttemptsExhausted, "3 attempts were made, which is all that a message gets"),
        (attempt(2, expiresAt="2030-01-31T12:00:00Z"), MessageExpired, "its life ended at"),
    ],
)
def test_a_run_with_nothing_to_wait_for_does_not_park(
    world: World, what: delivery.Attempt, error: type[RingbackError], said: str
) -> None:
    with pytest.raises(error, match=said):
        world.park(what, max_attempts=3)

    assert not world.callbacks.reconnects


def test_the_last_attempt_but_one_still_parks(world: World) -> None:
    world.park(attempt(2), max_attempts=3)

    assert world.callbacks.reconnects


# Wake


def test_a_wake_hands_the_new_connections_to_every_run_that_waits_for_their_recipient(world: World) -> None:
    for entry, message_id in enumerate(["m-1", "m-2", "closed"], start=1):
        world.callbacks.park_for_reconnect(callback(message_id, entry=entry))
    world.callbacks.park_for_reconnect(callback("m-4", recipient(context_id="43"), entry=4))
    world.tokens.waiting = {"token-1", "token-2", "token-4"}
    arrived = [connection("tab"), connection("phone")]

    assert world.wake(*arrived) == 2

    output = {"wokenBy": "reconnect", "connections": [each.to_state() for each in arrived]}
    assert world.tokens.outputs == {"token-1": output, "token-2": output}
    assert [left.message_id for left in world.callbacks.reconnects.values()] == ["m-4"]


def test_a_wake_that_fails_midway_keeps_what_it_did_not_reach_and_can_be_repeated(world: World) -> None:
    world.park_many(3)
    world.tokens.unreachable = {"token-2"}

    with pytest.raises(ServiceUnavailable, match="SendTaskSuccess"):
        world.wake(connection())
    left = {kept.task_token for kept in world.callbacks.reconnects.values()}
    assert "token-2" in left
    assert left == world.tokens.waiting

    world.tokens.unreachable = set()
    assert world.wake(connection()) == len(left)
    assert not world.callbacks.reconnects


def test_two_runs_that_carry_one_message_are_both_woken(world: World) -> None:
    world.tokens.waiting = {"token-1", "token-2"}
    for entry in (1, 2):
        world.park(attempt(execution_name=f"run-{entry}"), entry=entry)

    assert world.wake(connection()) == 2


def test_a_callback_that_cannot_be_removed_is_met_again_and_does_no_harm(world: World) -> None:
    world.park_many(2)
    world.callbacks.down = {"remove_reconnect"}

    assert world.wake(connection()) == 2
    assert world.wake(connection()) == 0
    assert len(world.callbacks.reconnects) == 2


def test_many_runs_are_woken_at_the_same_moment(world: World) -> None:
    class Meeting(FakeTokens):
        def succeed(self, task_token: str, output: dict[str, Any]) -> bool:
            everybody.wait(timeout=5)
            return super().succeed(task_token, output)

    everybody = threading.Barrier(CALLS_AT_ONCE)
    world.tokens = Meeting()
    world.park_many(CALLS_AT_ONCE)

    assert world.wake(connection()) == CALLS_AT_ONCE


def test_a_wake_stops_when_its_time_is_up_and_the_next_one_goes_on_from_there(world: World) -> None:
    world.park_many(delivery.WAKES_A_ROUND + 1)
    time_for_rounds = iter([True, False])

    with pytest.raises(ServiceUnavailable, match=r"^128 runs were woken, and the time is up$"):
        world.wake(connection(), has_time=lambda: next(time_for_rounds))
    assert len(world.tokens.outputs) == delivery.WAKES_A_ROUND

    assert world.wake(connection()) == 1
    assert not world.tokens.waiting


@pytest.mark.parametrize("runs", [5, delivery.WAKES_A_ROUND + 5], ids=["one round", "over two rounds"])
def test_ordered_messages_are_woken_one_after_the_other_in_their_order(
    world: World, monkeypatch: pytest.MonkeyPatch, runs: int
) -> None:
    def last_first(call: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return [call(item) for item in reversed(items)][::-1]

    monkeypatch.setattr(delivery, "at_once", last_first)  # what is woken at once comes in any order
    for entry in reversed(range(1, runs + 1)):
        world.callbacks.park_for_reconnect(callback(f"m-{entry}", entry=entry, sequence=entry))
        world.callbacks.park_for_reconnect(callback(f"unordered-{entry}", entry=-entry))
        world.tokens.waiting |= {f"token-{entry}", f"token-{-entry}"}

    assert world.wake(connection()) == 2 * runs

    entries = [int(token.removeprefix("token-")) for token in world.tokens.outputs]
    assert [entry for entry in entries if entry > 0] == list(range(1, runs + 1))


def test_an_ordered_wake_that_fails_leaves_those_behind_it_for_the_next(world: World) -> None:
    world.tokens = FakeTokens(waiting={"token-1", "token-2", "token-3"}, unreachable={"token-2"})
    for entry in (1, 2, 3):
        world.callbacks.park_for_reconnect(callback(f"m-{entry}", entry=entry, sequence=entry))

    with pytest.raises(ServiceUnavailable):
        world.wake(connection())
    assert list(world.tokens.outputs) == ["token-1"]

    world.tokens.unreachable = set()
    world.wake(connection())
    assert list(world.tokens.outputs) == ["token-1", "token-2", "token-3"]


def test_a_wake_that_nobody_waits_for_needs_no_time(world: World) -> None:
    assert world.wake(connection(), has_time=lambda: False) == 0


# Acknowledge


def test_an_acknowledgement_completes_its_run(world: World) -> None:
    waits = callback()
    world.callbacks.park_for_acknowledgement(waits)

    assert world.acknowledged("m-1") == [waits]

    assert world.tokens.outputs["token-1"] == {
        "status": "acknowledged",
        "messageId": "m-1",
        "connectionId": "tab",
        "acknowledgedAt": "2030-01-31T12:00:00.000Z",
    }
    assert not world.callbacks.acknowledgements


def test_an_acknowledgement_completes_every_run_that_carries_the_message(world: World) -> None:
    world.tokens.waiting = {"token-1", "token-2"}
    for entry in (1, 2):
        world.callbacks.park_for_acknowledgement(callback(entry=entry, execution_name=f"run-{entry}"))

    assert world.acknowledge("m-1") == 2


def test_an_acknowledgement_counts_though_its_callback_cannot_be_removed(world: World) -> None:
    world.callbacks.park_for_acknowledgement(callback())
    world.callbacks.down = {"remove_acknowledgement"}

    assert world.acknowledge("m-1") == 1


@pytest.mark.parametrize("ids", [["m-1", "m-1"], ["unknown", "m-1"]], ids=["twice", "with one that nobody waits for"])
def test_an_id_that_nobody_waits_for_changes_nothing(world: World, ids: list[str]) -> None:
    world.callbacks.park_for_acknowledgement(callback())

    assert world.acknowledge(*ids) == 1


ACKNOWLEDGED = {
    "status": "acknowledged",
    "messageId": "m-1",
    "connectionId": "tab",
    "acknowledgedAt": "2030-01-31T12:00:00.000Z",
}


def test_a_late_acknowledgement_ends_the_wait_for_a_reconnect(world: World) -> None:
    waits = callback(entry=1)
    world.callbacks.park_for_acknowledgement(waits)
    world.tokens.waiting = {"token-2"}
    world.park(attempt(ack="client"), entry=2)

    assert world.acknowledged("m-1") == [waits]

    assert world.tokens.outputs == {"token-2": {"acknowledgement": ACKNOWLEDGED}}
    assert not world.callbacks.reconnects


def test_a_late_acknowledgement_is_kept_until_the_run_parks(world: World) -> None:
    world.callbacks.park_for_acknowledgement(callback(entry=1))
    world.tokens.waiting = {"token-2"}
    assert world.acknowledge("m-1") == 0, "the run goes on when it parks"
    world.connections.down = {"of_recipient"}

    world.park(attempt(ack="client"), entry=2, tried=["tab"], unacknowledged=True)

    assert world.tokens.outputs == {"token-2": {"acknowledgement": ACKNOWLEDGED}}
    assert not world.callbacks.reconnects


@pytest.mark.parametrize(
    ("what", "max_attempts"), [(attempt(3, ack="client"), 3), (attempt(2, ack="client", ttlSeconds=1), 5)]
)
def test_what_was_acknowledged_late_is_no_dead_letter(world: World, what: delivery.Attempt, max_attempts: int) -> None:
    world.callbacks.park_for_acknowledgement(callback(entry=1))
    world.tokens.waiting = {"token-2"}
    world.acknowledge("m-1")
    world.clock.sleep(1)

    world.park(what, entry=2, max_attempts=max_attempts)

    assert world.tokens.outputs.keys() == {"token-2"}


def test_a_late_acknowledgement_outlives_the_next_attempt(world: World) -> None:
    """It came between two attempts: the next one's callback takes the place of the one that it was meant for."""
    world.callbacks.park_for_acknowledgement(callback(entry=1))
    world.tokens.waiting = {"token-2", "token-3"}
    world.acknowledge("m-1")
    with pytest.raises(ConnectionGone), world.awaiting_acknowledgement(attempt(2, ack="client"), entry=2):
        raise ConnectionGone("1 connections are gone")

    world.park(attempt(2, ack="client"), entry=3)

    assert world.tokens.outputs == {"token-3": {"acknowledgement": ACKNOWLEDGED}}


def test_a_late_acknowledgement_of_one_run_is_none_of_another_with_the_same_message(world: World) -> None:
    world.callbacks.park_for_acknowledgement(callback(entry=1, execution_name="run-1"))
    world.tokens.waiting = {"token-2"}
    world.acknowledge("m-1")

    world.park(attempt(ack="client", execution_name="run-2"), entry=2)

    assert world.tokens.waiting == {"token-2"}


def test_a_message_that_wants_no_acknowledgement_is_not_looked_for_one(world: World) -> None:
    world.callbacks.down = {"kept_acknowledgement"}

    world.park(attempt())

    assert world.callbacks.reconnects


def test_a_strangers_late_acknowledgement_is_not_kept(world: World) -> None:
    world.callbacks.park_for_acknowledgement(callback())
    world.tokens.waiting.clear()

    world.acknowledge("m-1", context_id="43")

    assert not world.callbacks.late


@pytest.mark.parametrize(("attempt_number", "in_time", "stale"), [(1, True, True), (2, True, False), (1, False, False)])
def test_who_acknowledges_late_or_again_is_no_longer_stale(
    world: World, attempt_number: int, *, in_time: bool, stale: bool
) -> None:
    world.connect(connection("tab", stale_since=NOW), connection("phone", stale_since=NOW))
    world.callbacks.park_for_acknowledgement(callback(attempt=attempt_number))
    if not in_time:
        world.tokens.waiting = {"token-2"}
        world.callbacks.park_for_reconnect(callback(entry=2))

    world.acknowledge("m-1")

    assert world.stale() == ({"tab", "phone"} if stale else {"phone"})


def test_an_acknowledgement_counts_though_its_connection_cannot_be_noted(world: World) -> None:
    world.callbacks.park_for_acknowledgement(callback(attempt=2))
    world.connections.down = {"mark_active"}

    assert world.acknowledge("m-1") == 1


def test_another_conversation_of_the_same_user_cannot_acknowledge(world: World) -> None:
    world.callbacks.park_for_acknowledgement(callback())

    assert world.acknowledge("m-1", context_id="43") == 0
    assert world.tokens.waiting == {"token-1"}
    assert world.callbacks.acknowledgements


def test_one_message_in_two_conversations_is_acknowledged_in_one(world: World) -> None:
    world.tokens.waiting = {"token-1", "token-2"}
    for entry, context_id in enumerate(["42", "43"], start=1):
        to = recipient(context_id=context_id)
        world.callbacks.park_for_acknowledgement(callback(to=to, entry=entry, execution_name=f"run-{entry}"))

    assert world.acknowledge("m-1", context_id="43") == 1
    assert world.tokens.waiting == {"token-1"}


def test_the_callback_is_there_while_the_message_is_posted(world: World) -> None:
    with world.awaiting_acknowledgement(attempt()):
        assert world.acknowledge("m-1") == 1


@pytest.mark.parametrize("down", [set(), {"remove_acknowledgement"}], ids=["store up", "store down"])
def test_a_post_that_fails_takes_its_callback_back_and_its_error_stands(world: World, down: set[str]) -> None:
    world.callbacks.down = down

    with pytest.raises(ConnectionGone), world.awaiting_acknowledgement(attempt()):
        raise ConnectionGone("1 connections are gone")

    assert bool(world.callbacks.acknowledgements) is bool(down)


def test_nothing_is_posted_when_the_callback_cannot_be_stored(world: World) -> None:
    world.callbacks.down = {"park_for_acknowledgement"}

    with pytest.raises(StoreUnavailable), world.awaiting_acknowledgement(attempt()):
        pytest.fail("posted without a callback")


def test_nothing_is_posted_for_a_state_that_is_over(world: World) -> None:
    with world.awaiting_acknowledgement(attempt(), entry=2):
        pass

    with pytest.raises(Superseded), world.awaiting_acknowledgement(attempt(), entry=1):
        pytest.fail("posted without a callback")

    assert [kept.task_token for kept in world.callbacks.acknowledgements.values()] == ["token-2"]
