"""The rules of a delivery: resolve, post, park, wake, acknowledge. One function for each thing a run does."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Self, TypeVar

from lambdas.core import presence
from lambdas.core.errors import (
    AttemptsExhausted,
    ConnectionGone,
    MessageExpired,
    NoOpenConnection,
    PostThrottled,
    ServiceUnavailable,
    StoreUnavailable,
    Superseded,
)
from lambdas.core.frames import message_frame
from lambdas.core.model import Callback, Connection, Message, timestamp, utc
from lambdas.core.ports import CallbackStore, Clock, ConnectionStore, PostResult, Sockets, TaskTokens
from ringback.envelope import MAX_ACK_TIMEOUT_SECONDS, Recipient

T = TypeVar("T")
R = TypeVar("R")

POST_AGAIN_AFTER_SECONDS = (0.1, 0.2, 0.4, 0.8)
CALLS_AT_ONCE = 16
WAKES_A_ROUND = 128


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a message: its number counts from 1 over the whole run."""

    message: Message
    number: int
    execution_name: str

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
        return cls(message, task["attempt"], execution["name"])

    def targets(self, task: dict[str, Any]) -> list[Connection]:
        """Read the connections that a posting state hands its function."""
        return [Connection.from_state(self.message.recipient, state) for state in task["connections"]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a state that waits hands its function: the token, and which entry into the state it belongs to."""

    task_token: str
    entered_at: datetime
    retry: int

    @classmethod
    def from_task(cls, task: dict[str, Any]) -> Self:
        """Read it."""
        entry = task["entry"]
        return cls(task["taskToken"], utc(entry["enteredAt"]), entry["retry"])

    def callback(self, attempt: Attempt, now: datetime) -> Callback:
        """The callback to store. It outlives the message: a wait for an acknowledgement may go on past its end."""
        message = attempt.message
        return Callback(
            recipient=message.recipient,
            message_id=message.id,
            execution_name=attempt.execution_name,
            entry=round(self.entered_at.timestamp() * 1000) * 1000 + self.retry,
            task_token=self.task_token,
            since=now,
            expires_at=message.expires_at + timedelta(seconds=MAX_ACK_TIMEOUT_SECONDS),
        )


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


def resolve(attempt: Attempt, *, connections: ConnectionStore, sockets: Sockets, clock: Clock) -> list[Connection]:
    """Find the recipient's open connections, and end those whose token has.

    Raises:
        InvalidMessage: the message is too large for a frame.
        MessageExpired: its life is over.
        NoOpenConnection: the recipient is not there.
    """
    _require_life(attempt.message, clock)
    message_frame(attempt.message, attempt=attempt.number, sent_at=clock.now())
    stored = connections.of_recipient(attempt.message.recipient)
    found = _still_open(stored, connections, sockets, clock)
    if not found:
        raise NoOpenConnection(f"{_name(attempt.message.recipient)} has no open connection")
    return found


def post(
    attempt: Attempt, targets: Sequence[Connection], *, connections: ConnectionStore, sockets: Sockets, clock: Clock
) -> Receipt:
    """Post the message to every connection at once, and forget the connections that are gone.

    A young connection's 410, a 429 and a failure are tried again for a moment before they count. A connection
    whose life or token has ended counts as gone: a run can hold it for longer than that.

    Raises:
        InvalidMessage, MessageExpired: it cannot be posted, or no more.
    """
    _require_life(attempt.message, clock)
    frame = message_frame(attempt.message, attempt=attempt.number, sent_at=clock.now())
    results = {target.connection_id: PostResult.GONE for target in targets}
    pending = _still_open(targets, connections, sockets, clock)
    for delay in (0.0, *POST_AGAIN_AFTER_SECONDS):
        if not pending:
            break
        if delay:
            clock.sleep(delay)
        # Their age when the post is made: by the time of the answer a handshake may have ended.
        now = clock.now()
        young = {target.connection_id for target in pending if target.is_young(now)}
        answers = _at_once(lambda target: sockets.post(target, frame), pending)
        again = []
        for target, result in zip(pending, answers, strict=True):
            results[target.connection_id] = result
            if result is PostResult.GONE and target.connection_id not in young:
                _forget(target, connections)
            elif result is not PostResult.POSTED:
                again.append(target)
        pending = again
    receipt = Receipt()
    for connection_id, result in results.items():
        receipt.of(result).append(connection_id)
    return receipt


def park_for_reconnect(
    attempt: Attempt,
    waiting: Waiting,
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
    callback = waiting.callback(attempt, clock.now())
    if not callbacks.park_for_reconnect(callback):
        return
    now = clock.now()
    known = set(tried)
    missed = [
        connection
        for connection in connections.of_recipient(message.recipient)
        if connection.is_open(now) and (connection.connection_id not in known or connection.is_young(now))
    ]
    if missed:
        _complete(callback, woken(missed, by="recheck"), tokens=tokens, remove=callbacks.remove_reconnect)


def wake(
    arrived: Sequence[Connection], *, callbacks: CallbackStore, tokens: TaskTokens, has_time: Callable[[], bool]
) -> int:
    """Wake every run that waits for the recipient of these connections, and count them.

    All connections are of one recipient. Waking a run that waits no more changes nothing.

    Raises:
        ServiceUnavailable: also when the time is up; those that were woken are not met again.
    """
    output = woken(arrived, by="reconnect")

    def wake_one(callback: Callback) -> bool:
        return _complete(callback, output, tokens=tokens, remove=callbacks.remove_reconnect)

    count = 0
    waiting = callbacks.waiting_for_reconnect(arrived[0].recipient)
    while some := list(islice(waiting, WAKES_A_ROUND)):
        if not has_time():
            raise ServiceUnavailable(f"{count} runs were woken, and the time is up")
        count += sum(_at_once(wake_one, some))
    return count


@contextmanager
def awaiting_acknowledgement(
    attempt: Attempt, waiting: Waiting, *, callbacks: CallbackStore, clock: Clock
) -> Iterator[None]:
    """Have the callback in place before the client can answer what is posted inside; take it back if that fails.

    Raises:
        Superseded: this comes so late that a later attempt waits already.
    """
    callback = waiting.callback(attempt, clock.now())
    if not callbacks.park_for_acknowledgement(callback):
        raise Superseded("a later attempt waits for the acknowledgement")
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
        output = {
            "status": "acknowledged",
            "messageId": message_id,
            "connectionId": connection_id,
            "acknowledgedAt": timestamp(clock.now()),
        }
        for callback in callbacks.waiting_for_acknowledgement(sender.user, message_id):
            if callback.recipient != sender:
                continue
            acknowledged += _complete(callback, output, tokens=tokens, remove=callbacks.remove_acknowledgement)
    return acknowledged


def woken(connections: Sequence[Connection], *, by: str) -> dict[str, Any]:
    """What a woken run goes on with."""
    return {"wokenBy": by, "connections": [connection.to_state() for connection in connections]}


def _complete(
    callback: Callback, output: dict[str, Any], *, tokens: TaskTokens, remove: Callable[[Callback], None]
) -> bool:
    """Let the run that waits go on with this output; False if it waits no more. Either way its callback goes."""
    went_on = tokens.succeed(callback.task_token, output)
    with suppress(StoreUnavailable):  # a callback left behind does no harm
        remove(callback)
    return went_on


def _at_once(call: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Make these calls at the same moment, as far as there are threads; the results are in the items' order."""
    if len(items) == 1:
        return [call(items[0])]
    with ThreadPoolExecutor(min(len(items), CALLS_AT_ONCE)) as pool:
        return list(pool.map(call, items))


def _still_open(
    candidates: Iterable[Connection], connections: ConnectionStore, sockets: Sockets, clock: Clock
) -> list[Connection]:
    """Those that may be posted to. The others are closed: their clients would wait for ever, and can come back."""
    now = clock.now()
    still_open = []
    for connection in candidates:
        if connection.is_open(now):
            still_open.append(connection)
        else:
            presence.end(connection, connections=connections, sockets=sockets, clock=clock)
    return still_open


def _forget(connection: Connection, connections: ConnectionStore) -> None:
    # The posts are done; failing now would post them again. The row is met again, or expires.
    with suppress(StoreUnavailable):
        connections.delete(connection.recipient, connection.connection_id)


def _require_life(message: Message, clock: Clock) -> None:
    if clock.now() >= message.expires_at:
        raise MessageExpired(f"its life ended at {timestamp(message.expires_at)}")


def _name(recipient: Recipient) -> str:
    return f"{recipient.user} in {recipient.context}/{recipient.context_id}"
