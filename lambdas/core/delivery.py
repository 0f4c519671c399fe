"""The rules of a delivery: resolve, post, park, wake, acknowledge. One function for each thing a run does."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

from lambdas.core.errors import (
    AttemptsExhausted,
    ConnectionGone,
    MessageExpired,
    NoOpenConnection,
    PostThrottled,
    ServiceUnavailable,
    StoreUnavailable,
)
from lambdas.core.frames import message_frame
from lambdas.core.model import Callback, Connection, Message, timestamp, utc
from lambdas.core.ports import CallbackStore, Clock, ConnectionStore, PostResult, Sockets, TaskTokens
from ringback.envelope import MAX_ACK_TIMEOUT_SECONDS, Recipient

# API Gateway answers 410 until `$connect` has returned, and that function's timeout is 10 s: before that
# age a 410 says nothing, and the row must stay.
YOUNG_CONNECTION = timedelta(seconds=11)
POST_AGAIN_AFTER_SECONDS = (0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a message: its number counts from 1 over the whole run."""

    message: Message
    number: int

    @classmethod
    def from_task(cls, task: dict[str, Any], *, default_ttl_seconds: int) -> Self:
        """Read what every Task state hands its function: the message, the execution, the attempt's number.

        Raises:
            InvalidMessage: the execution was started with something that is no message.
        """
        execution = task["execution"]
        message = Message.accept(
            task["message"],
            fallback_id=execution["name"],
            accepted_at=utc(execution["startedAt"]),
            default_ttl_seconds=default_ttl_seconds,
        )
        return cls(message, task["attempt"])

    def targets(self, task: dict[str, Any]) -> list[Connection]:
        """Read the connections that a posting state hands its function."""
        return [Connection.from_state(self.message.recipient, state) for state in task["connections"]]


@dataclass(slots=True)
class Receipt:
    """What became of a message's posts, by connection id."""

    posted: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    throttled: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def of(self, result: PostResult) -> list[str]:
        """The connections with this result."""
        return {
            PostResult.POSTED: self.posted,
            PostResult.GONE: self.gone,
            PostResult.THROTTLED: self.throttled,
            PostResult.FAILED: self.failed,
        }[result]

    def to_state(self) -> dict[str, list[str]]:
        """Its form in the run's output."""
        return {"posted": self.posted, "gone": self.gone, "throttled": self.throttled, "failed": self.failed}

    def require_delivery(self) -> None:
        """Raise the error that the run goes on with, unless at least one connection took the message.

        Raises:
            PostThrottled, ServiceUnavailable: worth trying again on the same connections.
            ConnectionGone: all of them are gone.
        """
        if self.posted:
            return
        if self.throttled:
            raise PostThrottled(f"API Gateway throttled the post to {len(self.throttled)} connections")
        if self.failed:
            raise ServiceUnavailable(f"posting to {len(self.failed)} connections failed")
        raise ConnectionGone(f"{len(self.gone)} connections are gone")


def resolve(attempt: Attempt, *, connections: ConnectionStore, clock: Clock) -> list[Connection]:
    """Find the recipient's open connections.

    Raises:
        InvalidMessage: the message is too large for a frame.
        MessageExpired: its life is over.
        NoOpenConnection: the recipient is not there.
    """
    now = clock.now()
    _require_life(attempt.message, clock)
    message_frame(attempt.message, attempt=attempt.number, sent_at=now)
    found = [
        connection for connection in connections.of_recipient(attempt.message.recipient) if connection.is_open(now)
    ]
    if not found:
        raise NoOpenConnection(f"{_name(attempt.message.recipient)} has no open connection")
    return found


def post(
    attempt: Attempt, targets: Sequence[Connection], *, connections: ConnectionStore, sockets: Sockets, clock: Clock
) -> Receipt:
    """Post the message to every connection, and forget the connections that are gone.

    A young connection's 410, a 429 and a failure are tried again for a moment before they count. A connection
    whose life or token has ended counts as gone: a run can hold it for longer than that.

    Raises:
        InvalidMessage, MessageExpired: it cannot be posted, or no more.
    """
    _require_life(attempt.message, clock)
    frame = message_frame(attempt.message, attempt=attempt.number, sent_at=clock.now())
    receipt = Receipt()
    pending = list(targets)
    results: dict[str, PostResult] = {}
    for delay in (0.0, *POST_AGAIN_AFTER_SECONDS):
        if delay:
            clock.sleep(delay)
        again = []
        for connection in pending:
            # Its age when the post is made: by the time of the answer its handshake may have ended.
            young = _is_young(connection, clock)
            result = sockets.post(connection, frame) if connection.is_open(clock.now()) else PostResult.GONE
            results[connection.connection_id] = result
            if result in {PostResult.THROTTLED, PostResult.FAILED} or (result is PostResult.GONE and young):
                again.append(connection)
        pending = again
        if not pending:
            break
    for connection in targets:
        result = results[connection.connection_id]
        receipt.of(result).append(connection.connection_id)
        if result is PostResult.GONE and connection not in pending:
            _forget(connection, connections)
    return receipt


def park_for_reconnect(
    attempt: Attempt,
    task_token: str,
    *,
    tried: Iterable[str],
    max_attempts: int,
    connections: ConnectionStore,
    callbacks: CallbackStore,
    tokens: TaskTokens,
    clock: Clock,
) -> None:
    """Park the run until its recipient connects.

    The callback is written before the connections are read again, and a connection is written before its
    wake reads the callbacks: whichever comes second sees the other, so no wake-up is lost. A connection that was
    just tried is none to go on with, unless it is so young that its handshake may not have ended.

    Raises:
        AttemptsExhausted, MessageExpired: there is nothing to wait for.
    """
    message = attempt.message
    if attempt.number >= max_attempts:
        raise AttemptsExhausted(f"{attempt.number} attempts were made, which is all that a message gets")
    _require_life(message, clock)
    callback = _callback(message, task_token, clock)
    callbacks.park_for_reconnect(callback)
    now = clock.now()
    known = set(tried)
    missed = [
        connection
        for connection in connections.of_recipient(message.recipient)
        if connection.is_open(now) and (connection.connection_id not in known or _is_young(connection, clock))
    ]
    if missed:
        tokens.succeed(task_token, woken(missed, by="recheck"))
        callbacks.remove_reconnect(callback)


def wake(arrived: Sequence[Connection], *, callbacks: CallbackStore, tokens: TaskTokens) -> int:
    """Wake every run that waits for the recipient of these connections, and count them.

    All connections are of one recipient. Waking a run that waits no more changes nothing.
    """
    woken_runs = 0
    for callback in callbacks.waiting_for_reconnect(arrived[0].recipient):
        woken_runs += tokens.succeed(callback.task_token, woken(arrived, by="reconnect"))
        callbacks.remove_reconnect(callback)
    return woken_runs


@contextmanager
def awaiting_acknowledgement(
    attempt: Attempt, task_token: str, *, callbacks: CallbackStore, clock: Clock
) -> Iterator[None]:
    """Have the callback in place before the client can answer what is posted inside; take it back if that fails."""
    message = attempt.message
    callback = _callback(message, task_token, clock)
    callbacks.park_for_acknowledgement(callback)
    try:
        yield
    except Exception:
        with suppress(StoreUnavailable):  # what went wrong inside is the answer; a callback left behind does no harm
            callbacks.remove_acknowledgement(callback)
        raise


def acknowledge(
    message_ids: Iterable[str],
    *,
    sender: Recipient,
    connection_id: str,
    callbacks: CallbackStore,
    tokens: TaskTokens,
    clock: Clock,
) -> int:
    """Complete the runs that wait for these acknowledgements, and count them.

    An id that nobody waits for, or that waits for another recipient, changes nothing: the client may
    acknowledge twice, and late.
    """
    acknowledged = 0
    for message_id in message_ids:
        callback = callbacks.waiting_for_acknowledgement(sender.user, message_id)
        if callback is None or callback.recipient != sender:
            continue
        acknowledged += tokens.succeed(
            callback.task_token,
            {
                "status": "acknowledged",
                "messageId": message_id,
                "connectionId": connection_id,
                "acknowledgedAt": timestamp(clock.now()),
            },
        )
        callbacks.remove_acknowledgement(callback)
    return acknowledged


def woken(connections: Sequence[Connection], *, by: str) -> dict[str, Any]:
    """What a woken run goes on with."""
    return {"wokenBy": by, "connections": [connection.to_state() for connection in connections]}


def _callback(message: Message, task_token: str, clock: Clock) -> Callback:
    # A wait ends with the message's life, but one for an acknowledgement may go on past it.
    expires_at = message.expires_at + timedelta(seconds=MAX_ACK_TIMEOUT_SECONDS)
    return Callback(message.recipient, message.id, task_token, since=clock.now(), expires_at=expires_at)


def _require_life(message: Message, clock: Clock) -> None:
    if clock.now() >= message.expires_at:
        raise MessageExpired(f"its life ended at {message.expires_at.isoformat()}")


def _is_young(connection: Connection, clock: Clock) -> bool:
    return clock.now() - connection.connected_at < YOUNG_CONNECTION


def _forget(connection: Connection, connections: ConnectionStore) -> None:
    try:
        connections.delete(connection.recipient, connection.connection_id)
    except StoreUnavailable:
        # The posts are done; failing now would post them again. The row is met again, or expires.
        return


def _name(recipient: Recipient) -> str:
    return f"{recipient.user} in {recipient.context}/{recipient.context_id}"
