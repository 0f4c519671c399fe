"""Coming and going: how many connections a user may have, which one goes, and what is told of it."""

from datetime import UTC, datetime

import pytest

from lambdas.core import presence
from lambdas.core.errors import StoreUnavailable
from lambdas.core.model import Connection
from lambdas.core.ports import PostResult
from tests.builders import connection, recipient
from tests.fakes import FakeClock, FakeConnections, FakeSockets

NEW = connection("new", age_seconds=0)
OLD = [connection(f"old-{age}", recipient(context_id=str(age)), age_seconds=age) for age in (20, 30, 10)]


def admit(
    connections: FakeConnections,
    sockets: FakeSockets,
    *,
    new: Connection = NEW,
    limit: int = 3,
    policy: presence.LimitPolicy = "evict_oldest",
    clock: FakeClock | None = None,
) -> None:
    clock = clock or FakeClock()
    presence.admit(new, limit=limit, policy=policy, connections=connections, sockets=sockets, clock=clock)


def store(*rows: Connection) -> FakeConnections:
    return FakeConnections({(row.recipient, row.connection_id): row for row in rows})


def ids(connections: FakeConnections) -> set[str]:
    return {row.connection_id for row in connections.rows.values()}


@pytest.mark.parametrize(
    ("limit", "evicted"),
    [
        pytest.param(0, [], id="no limit"),
        pytest.param(4, [], id="room for one more"),
        pytest.param(3, ["old-30"], id="the oldest goes, in whichever conversation"),
        pytest.param(1, ["old-10", "old-20", "old-30"], id="only the new one stays"),
    ],
)
def test_the_users_oldest_connections_are_evicted(limit: int, evicted: list[str]) -> None:
    connections, sockets = store(*OLD), FakeSockets()

    admit(connections, sockets, limit=limit)

    assert sorted(sockets.closed) == evicted
    assert ids(connections) == {"new", "old-10", "old-20", "old-30"} - set(evicted)


def test_whoever_is_evicted_is_told_first_and_nobody_else_hears_of_it() -> None:
    class Polite(FakeSockets):
        """Does not close without a word."""

        def close(self, connection: Connection) -> bool:
            assert connection.connection_id in self.posts
            return super().close(connection)

    connections, sockets = store(*OLD), Polite()

    admit(connections, sockets, limit=2)

    told = [b'{"kind":"close","reason":"evicted","reconnect":false}']
    assert sockets.posts == {"old-20": told, "old-30": told}
    assert sorted(sockets.closed) == ["old-20", "old-30"]


@pytest.mark.parametrize("result", [PostResult.GONE, PostResult.THROTTLED, PostResult.FAILED])
def test_a_word_that_does_not_arrive_keeps_nobody(result: PostResult) -> None:
    connections, sockets = store(*OLD), FakeSockets(answers={"old-30": [result]})

    admit(connections, sockets)

    assert len(sockets.posts["old-30"]) == 1, "a handshake waits meanwhile: it is not said again"
    assert sockets.closed == ["old-30"]
    assert ids(connections) == {"new", "old-10", "old-20"}


def test_nor_does_a_word_that_cannot_be_said() -> None:
    connections, sockets = store(*OLD), FakeSockets(max_frame_bytes=1)

    admit(connections, sockets)

    assert sockets.closed == ["old-30"]


def test_a_connection_that_ends_for_another_reason_may_be_opened_again() -> None:
    connections, sockets = store(OLD[0]), FakeSockets()

    presence.end(OLD[0], connections=connections, sockets=sockets, clock=FakeClock())

    assert sockets.closed == ["old-20"]
    assert not sockets.posts


def test_a_stage_may_refuse_instead() -> None:
    connections, sockets = store(*OLD), FakeSockets()

    with pytest.raises(presence.ConnectionLimitReached, match="a user may have 3 connections"):
        admit(connections, sockets, policy="refuse")
    assert ids(connections) == {"old-10", "old-20", "old-30"}

    admit(connections, sockets, limit=4, policy="refuse")
    assert "new" in ids(connections)
    assert not sockets.closed


@pytest.mark.parametrize(
    "not_counted",
    [
        pytest.param(connection("closed", life_seconds=0), id="row expired"),
        pytest.param(connection("closed", token_life_seconds=0), id="token expired"),
        pytest.param(connection("bo's", recipient(user="bo")), id="another user's"),
        pytest.param(NEW._replace(), id="the same connection again"),
    ],
)
def test_what_does_not_count_towards_the_limit(not_counted: Connection) -> None:
    connections, sockets = store(not_counted), FakeSockets()

    admit(connections, sockets, limit=1, policy="refuse")

    assert ids(connections) == {not_counted.connection_id, "new"}


def test_without_a_limit_the_users_connections_are_not_read() -> None:
    connections = FakeConnections(down={"of_user"})

    admit(connections, FakeSockets(), limit=0)

    assert ids(connections) == {"new"}


def test_what_cannot_be_evicted_now_is_met_again_at_the_next_handshake() -> None:
    connections, sockets = store(*OLD), FakeSockets(unreachable={"old-30"})

    admit(connections, sockets, limit=2)
    assert ids(connections) == {"new", "old-10", "old-30"}, "the others went all the same, and its row is still there"

    sockets.unreachable.clear()
    admit(connections, sockets, new=connection("newer", age_seconds=0), limit=3)
    assert ids(connections) == {"newer", "new", "old-10"}


@pytest.mark.parametrize(
    ("age_seconds", "seconds_a_call", "left"),
    [
        pytest.param(20, 0, {"new"}, id="old: it is gone"),
        pytest.param(10, 0, {"new", "old"}, id="young: it may come yet"),
        pytest.param(8, 2, {"new", "old"}, id="young when it was closed"),
        pytest.param(10, 2, {"new"}, id="young when it was told, and no more when it was closed"),
    ],
)
def test_a_socket_that_is_not_there_keeps_its_row_while_its_own_handshake_may_go_on(
    age_seconds: float, seconds_a_call: float, left: set[str]
) -> None:
    clock = FakeClock()
    connections = store(connection("old", age_seconds=age_seconds))

    admit(connections, FakeSockets(absent={"old"}, clock=clock, seconds_a_call=seconds_a_call), limit=1, clock=clock)

    assert ids(connections) == left


def test_a_store_that_is_down_fails_the_handshake_and_evicts_nobody() -> None:
    connections, sockets = store(*OLD), FakeSockets()
    connections.down = {"put"}

    with pytest.raises(StoreUnavailable):
        admit(connections, sockets)

    assert not sockets.closed


def test_two_handshakes_at_one_moment_may_both_be_admitted_and_the_next_one_keeps_the_limit() -> None:
    class Late(FakeConnections):
        """What another handshake stores between this one's read and its write."""

        def of_user(self, user: str) -> list[Connection]:
            before = super().of_user(user)
            self.put(connection("at the same moment", age_seconds=1))
            return before

    connections = Late()
    admit(connections, FakeSockets(), limit=1)
    assert ids(connections) == {"new", "at the same moment"}

    later = store(*connections.rows.values())
    admit(later, FakeSockets(), new=connection("next", age_seconds=0), limit=1)
    assert ids(later) == {"next"}


@pytest.mark.parametrize(
    ("opened", "event_type"), [(True, "ringback.connection.opened"), (False, "ringback.connection.closed")]
)
def test_what_is_told_of_a_change(*, opened: bool, event_type: str) -> None:
    change = presence.Change(
        recipient(user="o'brien@example.com", context="chat", context_id="42"),
        "Sm9tZQ=",
        opened=opened,
        at=datetime(2030, 1, 31, 12, 0, 1, 250_000, tzinfo=UTC),
    )

    assert change.event_type == event_type
    assert change.detail == {
        "user": "o'brien@example.com",
        "context": "chat",
        "contextId": "42",
        "connectionId": "Sm9tZQ=",
        "at": "2030-01-31T12:00:01.250Z",
    }
