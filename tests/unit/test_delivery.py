"""The rules of a delivery, on fakes."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
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
)
from lambdas.core.model import Connection
from lambdas.core.ports import PostResult
from ringback.envelope import MAX_ACK_TIMEOUT_SECONDS
from tests.builders import attempt, callback, connection, envelope, recipient, task
from tests.fakes import FakeCallbacks, FakeClock, FakeConnections, FakeSockets, FakeTokens

POSTED, GONE, THROTTLED, FAILED = PostResult.POSTED, PostResult.GONE, PostResult.THROTTLED, PostResult.FAILED
OLD = delivery.YOUNG_CONNECTION.total_seconds()
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

    def post(self, what: delivery.Attempt, targets: list[Connection]) -> delivery.Receipt:
        return delivery.post(what, targets, connections=self.connections, sockets=self.sockets, clock=self.clock)

    def park(self, what: delivery.Attempt, *, tried: Iterable[str] = (), max_attempts: int = 5) -> None:
        delivery.park_for_reconnect(
            what,
            "token-1",
            tried=tried,
            max_attempts=max_attempts,
            connections=self.connections,
            callbacks=self.callbacks,
            tokens=self.tokens,
            clock=self.clock,
        )

    def acknowledge(self, *message_ids: str, context_id: str = "42") -> int:
        return delivery.acknowledge(
            message_ids,
            sender=recipient(context_id=context_id),
            connection_id="tab",
            callbacks=self.callbacks,
            tokens=self.tokens,
            clock=self.clock,
        )


@pytest.fixture
def world() -> World:
    return World()


# What a Task state hands its function


def test_a_task_is_read() -> None:
    connected = connection("tab", token_life_seconds=900)
    event = task(envelope(id=None, ttlSeconds=60), attempt=3, connections=[connected.to_state()])

    read = delivery.Attempt.from_task(event, default_ttl_seconds=10)

    assert (read.number, read.message.id) == (3, "execution-name")
    assert read.message.expires_at.isoformat() == "2030-01-31T12:01:00+00:00"
    assert read.targets(event) == [connected]


# Resolve


def test_resolving_finds_the_recipients_open_connections(world: World) -> None:
    here = world.connect(connection("tab"), connection("phone", token_life_seconds=1))
    world.connect(
        connection("expired row", life_seconds=0),
        connection("expired token", token_life_seconds=0),
        connection("elsewhere", recipient(context_id="43")),
        connection("somebody else", recipient(user="bo")),
    )

    assert delivery.resolve(attempt(), connections=world.connections, clock=world.clock) == here


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
        delivery.resolve(what, connections=world.connections, clock=world.clock)


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
    world.sockets = FakeSockets({"tab": [GONE]}, clock=world.clock, seconds_a_post=OLD)

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


@pytest.mark.parametrize("ended", [{"life_seconds": 0}, {"token_life_seconds": 0}], ids=["its life", "its token"])
def test_a_connection_whose_time_is_over_gets_nothing(world: World, ended: dict[str, Any]) -> None:
    receipt = world.post(attempt(), world.connect(connection("tab", **ended), connection("phone")))

    assert receipt == delivery.Receipt(posted=["phone"], gone=["tab"])
    assert world.sockets.posts.keys() == {"phone"}


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


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Recheck(connection("tab")), id="not tried"),
        pytest.param(Recheck(connection("tab", age_seconds=OLD - 1), tried=True), id="tried, but young"),
    ],
)
def test_a_run_goes_on_at_once_with_a_connection_that_it_missed(world: World, case: Recheck) -> None:
    world.connect(case.there, connection("tried", age_seconds=OLD), connection("closed", life_seconds=0))

    world.park(attempt(), tried=["tried", *(["tab"] if case.tried else [])])

    assert world.tokens.outputs == {"token-1": {"wokenBy": "recheck", "connections": [case.there.to_state()]}}
    assert not world.callbacks.reconnects


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Recheck(connection("tab", age_seconds=OLD), tried=True), id="tried"),
        pytest.param(Recheck(connection("tab", life_seconds=0)), id="closed"),
        pytest.param(Recheck(connection("tab", recipient(context_id="43"))), id="another conversation"),
    ],
)
def test_a_run_does_not_go_on_with_any_other_connection(world: World, case: Recheck) -> None:
    world.connect(case.there)

    world.park(attempt(), tried=["tab"] if case.tried else [])

    assert world.tokens.waiting == {"token-1"}
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

    assert delivery.wake(arrived, callbacks=world.callbacks, tokens=world.tokens) == 2

    output = {"wokenBy": "reconnect", "connections": [each.to_state() for each in arrived]}
    assert world.tokens.outputs == {"token-1": output, "token-2": output}
    assert [left.message_id for left in world.callbacks.reconnects.values()] == ["m-4"]


def test_a_wake_that_fails_midway_keeps_what_it_did_not_reach_and_can_be_repeated(world: World) -> None:
    for entry in (1, 2, 3):
        world.callbacks.park_for_reconnect(callback(f"m-{entry}", entry=entry))
    world.tokens.waiting = {"token-1", "token-2", "token-3"}
    world.tokens.unreachable = {"token-2"}

    with pytest.raises(ServiceUnavailable):
        delivery.wake([connection()], callbacks=world.callbacks, tokens=world.tokens)
    assert [left.message_id for left in world.callbacks.reconnects.values()] == ["m-2", "m-3"]

    world.tokens.unreachable = set()
    assert delivery.wake([connection()], callbacks=world.callbacks, tokens=world.tokens) == 2
    assert not world.callbacks.reconnects


# Acknowledge


def test_an_acknowledgement_completes_its_run(world: World) -> None:
    world.callbacks.park_for_acknowledgement(callback())

    assert world.acknowledge("m-1") == 1

    assert world.tokens.outputs["token-1"] == {
        "status": "acknowledged",
        "messageId": "m-1",
        "connectionId": "tab",
        "acknowledgedAt": "2030-01-31T12:00:00.000Z",
    }
    assert not world.callbacks.acknowledgements


@pytest.mark.parametrize("ids", [["m-1", "m-1"], ["unknown", "m-1"]], ids=["twice", "with one that nobody waits for"])
def test_an_id_that_nobody_waits_for_changes_nothing(world: World, ids: list[str]) -> None:
    world.callbacks.park_for_acknowledgement(callback())

    assert world.acknowledge(*ids) == 1


def test_a_late_acknowledgement_only_clears_up(world: World) -> None:
    world.callbacks.park_for_acknowledgement(callback())
    world.tokens.waiting.clear()

    assert world.acknowledge("m-1") == 0
    assert not world.callbacks.acknowledgements


def test_another_conversation_of_the_same_user_cannot_acknowledge(world: World) -> None:
    world.callbacks.park_for_acknowledgement(callback())

    assert world.acknowledge("m-1", context_id="43") == 0
    assert world.tokens.waiting == {"token-1"}
    assert world.callbacks.acknowledgements


def test_the_callback_is_there_while_the_message_is_posted(world: World) -> None:
    with delivery.awaiting_acknowledgement(attempt(), "token-1", callbacks=world.callbacks, clock=world.clock):
        assert world.acknowledge("m-1") == 1


@pytest.mark.parametrize("down", [set(), {"remove_acknowledgement"}], ids=["store up", "store down"])
def test_a_post_that_fails_takes_its_callback_back_and_its_error_stands(world: World, down: set[str]) -> None:
    world.callbacks.down = down

    with (
        pytest.raises(ConnectionGone),
        delivery.awaiting_acknowledgement(attempt(), "token-1", callbacks=world.callbacks, clock=world.clock),
    ):
        raise ConnectionGone("1 connections are gone")

    assert bool(world.callbacks.acknowledgements) is bool(down)


def test_nothing_is_posted_when_the_callback_cannot_be_stored(world: World) -> None:
    world.callbacks.down = {"park_for_acknowledgement"}

    with (
        pytest.raises(StoreUnavailable),
        delivery.awaiting_acknowledgement(attempt(), "token-1", callbacks=world.callbacks, clock=world.clock),
    ):
        pytest.fail("posted without a callback")
