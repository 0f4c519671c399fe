"""The rules of coming and going: how a connection is admitted, how many a user may have, and what is told of it."""

from contextlib import suppress
from datetime import datetime
from typing import Literal, NamedTuple

from lambdas.core.errors import RingbackError, ServiceUnavailable
from lambdas.core.frames import close_frame
from lambdas.core.model import Connection, timestamp
from lambdas.core.ports import Clock, ConnectionStore, Sockets
from ringback.plain import Recipient

EVICTED = close_frame("evicted", reconnect=False)
OPENED, CLOSED = "ringback.connection.opened", "ringback.connection.closed"
LimitPolicy = Literal["evict_oldest", "refuse"]


class Change(NamedTuple):
    """A connection has opened, or is gone for whatever reason."""

    recipient: Recipient
    connection_id: str
    opened: bool
    at: datetime

    @property
    def event_type(self) -> str:
        """What its event is called. None of them is `ringback.message`, or each would be taken for a message."""
        return OPENED if self.opened else CLOSED

    @property
    def detail(self) -> dict[str, str]:
        """What its event says."""
        return {
            **self.recipient.to_wire(),
            "connectionId": self.connection_id,
            "at": timestamp(self.at),
        }


class ConnectionLimitReached(RingbackError):
    """The user has as many connections as the stage allows."""


def admit(
    connection: Connection,
    *,
    limit: int,
    policy: LimitPolicy,
    connections: ConnectionStore,
    sockets: Sockets,
    clock: Clock,
) -> None:
    """Store a connection, and close the user's oldest ones beyond the limit (0: no limit).

    Two handshakes at the same moment may both be admitted: the limit is kept by the next one.

    Raises:
        ConnectionLimitReached: the stage refuses rather than evicts.
    """
    surplus: list[Connection] = []
    if limit:
        now = clock.now()
        others = [
            other
            for other in connections.of_user(connection.recipient.user)
            if other.is_open(now) and other.connection_id != connection.connection_id
        ]
        others.sort(key=lambda other: other.connected_at, reverse=True)
        surplus = others[limit - 1 :]
        if surplus and policy == "refuse":
            raise ConnectionLimitReached(f"a user may have {limit} connections")
    connections.put(connection)
    for old in surplus:
        _evict(old, connections=connections, sockets=sockets, clock=clock)


def _evict(connection: Connection, *, connections: ConnectionStore, sockets: Sockets, clock: Clock) -> None:
    """Tell the client not to come back by itself, or it would evict another, which would come back; then end it."""
    with suppress(RingbackError):  # it goes all the same, and what it knows then is what it knew without the frame
        sockets.post(connection, EVICTED)
    end(connection, connections=connections, sockets=sockets, clock=clock)


def end(connection: Connection, *, connections: ConnectionStore, sockets: Sockets, clock: Clock) -> None:
    """Close a connection and forget it. What fails is met again, by the next handshake or the next message."""
    # Its age when it is closed: by the time of the answer its handshake may have ended.
    young = connection.is_young(clock.now())
    with suppress(ServiceUnavailable):
        # In this order: a socket without a row would stay open, and nobody would know. One that is not there yet,
        # because its own handshake goes on, keeps its row for the same reason.
        if sockets.close(connection) or not young:
            connections.delete(connection.recipient, connection.connection_id)
