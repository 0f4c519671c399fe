"""The rules of a delivery: resolve, post, park, wake, acknowledge. One function for each thing a run does."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, Self, TypeVar

from lambdas.core import presence
from lambdas.core.errors import (
    AttemptsExhausted,
    ConnectionGone,
    InvalidMessage,
    MessageExpired,
    NoOpenConnection,
    PostThrottled,
    ServiceUnavailable,
    StoreUnavailable,
    Superseded,
)
from lambdas.core.frames import message_frame
from lambdas.core.model import Callback, Connection, Message, timestamp, utc
from lambdas.core.ports import (
    CALLS_AT_ONCE,
    CallbackStore,
    Clock,
    ConnectionStore,
    Numbered,
    PostResult,
    Sequences,
    Sockets,
    TaskTokens,
)
from ringback.limits import MAX_ACK_TIMEOUT_SECONDS
from ringback.plain import Recipient

T = TypeVar("T")
R = TypeVar("R")

POST_AGAIN_AFTER_SECONDS = (0.1, 0.2, 0.4, 0.8)
WAKES_A_ROUND = 128
# What may still ask for a message's number when its life is over: the announcement that it was not delivered, the
# acknowledgement that was waited for till the end, and a publisher who sends it again.
NUMBER_OUTLIVES_MESSAGE = timedelta(days=2)


class Attempt(NamedTuple):
    """One attempt at a message: its number counts from 1 over the whole run."""

    message: Message
    number: int
    execution_name: str
    sequence: int | None = None

    @classmethod
    def from_task(cls, task: dict[str, Any], *, default_ttl_seconds: int, sequences: Sequences) -> Self:
        """Read what every Task state hands its function: the message, the execution, the attempt's number.

        An ordered message gets its number here, once for the whole run.

        Raises:
            InvalidMessage: the execution was started with something that is no message, or not one for a run.
            StoreUnavailable: it is ordered, and its number cannot be read.
        """
        execution = task["execution"]
        message = Message.accept(
            task["message"],
            fallback_id=execution["name"],
            accepted_at=utc(execution["startedAt"]),
            default_ttl_seconds=default_ttl_seconds,
        )
        if not message.envelope.durable:
            raise InvalidMessage(
                "durable: a run waits, and what is not durable does not; hand it over by accept, HTTP, topic or bus"
            )
        number = number_of(message, execution["name"], sequences)
        return cls(message, task["attempt"], execution["name"], number.sequence if number else None)

    def frame(self, sent_at: datetime) -> bytes:
        """The frame that carries it to the client.

        Raises:
            InvalidMessage: it is too large for one.
        """
        return message_frame(self.message, attempt=self.number, sent_at=sent_at, sequence=self.sequence)

    def targets(self, task: dict[str, Any]) -> list[Connection]:
        """Read the connections that a posting state hands its function."""
        return [Connection.from_state(self.message.recipient, state) for state in task["connections"]]


class Waiting:
    """What a state that waits hands its function: the token, and which entry into the state it belongs to.

    No tuple, which a log would write out, with the token in it.
    """

    __slots__ = ("entered_at", "retry", "task_token")

    def __init__(self, task_token: str, entered_at: datetime, retry: int) -> None:
        self.task_token = task_token
        self.entered_at = entered_at
        self.retry = retry

    def __repr__(self) -> str:
        """Leave the token out."""
        return f"Waiting({self.entered_at!r}, {self.retry!r})"

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
            accepted_at=message.accepted_at,
            attempt=attempt.number,
            sequence=attempt.sequence,
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

    def add(self, other: Self) -> None:
        """Take over what became of other posts."""
        for result in PostResult:
            self.of(result).extend(other.of(result))

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


def number_of(message: Message, execution_name: str, sequences: Sequences) -> Numbered | None:
    """The number of an ordered message, which is the same as long as its run may ask for it; None for the others."""
    if not message.envelope.ordered:
        return None
    return sequences.number(message.recipient, execution_name, until=message.expires_at + NUMBER_OUTLIVES_MESSAGE)


def resolve(attempt: Attempt, *, connections: ConnectionStore, sockets: Sockets, clock: Clock) -> list[Connection]:
    """Find the recipient's open connections, and end those whose token has.

    Raises:
        InvalidMessage: the message is too large for a frame.
        MessageExpired: its life is over.
        NoOpenConnection: the recipient is not there.
    """
    _require_life(attempt.message, clock)
    attempt.frame(clock.now())
    found = open_connections(attempt.message.recipient, connections=connections, sockets=sockets, clock=clock)
    if not found:
        raise NoOpenConnection(f"{_name(attempt.message.recipient)} has no open connection")
    return found


def open_connections(
    recipient: Recipient, *, connections: ConnectionStore, sockets: Sockets, clock: Clock
) -> list[Connection]:
    """The recipient's connections that may be posted to; the others that are stored are ended."""
    return _still_open(connections.of_recipient(recipient), connections, sockets, clock)


def post(
    attempt: Attempt, targets: Sequence[Connection], *, connections: ConnectionStore, sockets: Sockets, clock: Clock
) -> Receipt:
    """Post the message to every connection at once, as `post_frame` does.

    Raises:
        InvalidMessage, MessageExpired: it cannot be posted, or no more.
    """
    _require_life(attempt.message, clock)
    return post_frame(attempt.frame(clock.now()), targets, connections=connections, sockets=sockets, clock=clock)


def post_frame(
    frame: bytes,
    targets: Sequence[Connection],
    *,
    connections: ConnectionStore,
    sockets: Sockets,
    clock: Clock,
    again_after: Sequence[float] = POST_AGAIN_AFTER_SECONDS,
) -> Receipt:
    """Post a frame to every connection at once, and forget the connections that are gone.

    A young connection's 410, a 429 and a failure are tried again for a moment before they count. A connection
    whose life or token has ended counts as gone: a run can hold it for longer than that.

    Raises:
        InvalidMessage: API Gateway finds it too large.
    """
    still_open = _still_open(targets, connections, sockets, clock)
    results = post_in_rounds(
        still_open,
        lambda pending: at_once(lambda target: sockets.post(target, frame), pending),
        forget=lambda gone: _forget(gone, connections),
        clock=clock,
        again_after=again_after,
    )
    receipt = Receipt()
    for target in targets:
        receipt.of(results.get(target.connection_id, PostResult.GONE)).append(target.connection_id)
    return receipt


def post_in_rounds(
    targets: Sequence[Connection],
    post_to: Callable[[Sequence[Connection]], Sequence[PostResult]],
    *,
    forget: Callable[[Connection], object],
    clock: Clock,
    again_after: Sequence[float] = POST_AGAIN_AFTER_SECONDS,
) -> dict[str, PostResult]:
    """Post to all of these, and again after each pause to those where that may help; the last results, by connection.

    What is gone is forgotten, unless it is so young that its handshake may not have ended.
    """
    results: dict[str, PostResult] = {}
    pending = list(targets)
    for delay in (0.0, *again_after):
        if not pending:
            break
        if delay:
            clock.sleep(delay)
        # Their age when the post is made: by the time of the answer a handshake may have ended.
        now = clock.now()
        young = {target.connection_id for target in pending if target.is_young(now)}
        again = []
        for target, result in zip(pending, post_to(pending), strict=True):
            results[target.connection_id] = result
            if result is PostResult.GONE and target.connection_id not in young:
                forget(target)
            elif result is not PostResult.POSTED:
                again.append(target)
        pending = again
    return results


def park_for_reconnect(
    attempt: Attempt,
    waiting: Waiting,
    *,
    tried: Collection[str],
    tried_at: datetime,
    unacknowledged: bool,
    max_attempts: int,
    connections: ConnectionStore,
    callbacks: CallbackStore,
    tokens: TaskTokens,
    clock: Clock,
) -> None:
    """Park the run until its recipient connects.

    The callback is written before the connections are read again, and a connection is written before its wake reads the
    callbacks: whichever comes second sees the other, so no wake-up is lost. A connection that was just tried is none to
    go on with, unless it was so young then that its handshake may not have ended; where something took the message,
    that is said of it once. A stale one must be new or have become so since, or clients that never acknowledge would
    use up the attempts. An acknowledgement that came after its time is kept and looked for in the same order, so that
    is not lost either.

    Args:
        tried: the connections that were just posted to.
        tried_at: when that began.
        unacknowledged: they took the message, and nobody acknowledged it in time.

    Raises:
        AttemptsExhausted, MessageExpired: there is nothing to wait for.
    """
    message = attempt.message
    callback = waiting.callback(attempt, clock.now())
    in_vain = _why_not_wait(attempt, max_attempts, clock)
    if in_vain is None and not callbacks.park_for_reconnect(callback):
        return
    if message.envelope.ack == "client" and (late := callbacks.kept_acknowledgement(callback)):
        _complete(callback, acknowledged_late(late), tokens=tokens, remove=callbacks.remove_reconnect)
        return
    if in_vain is not None:
        raise in_vain
    now = clock.now()
    there = [connection for connection in connections.of_recipient(message.recipient) if connection.is_open(now)]
    missed = [each for each in there if _is_missed(each, tried, tried_at, unacknowledged=unacknowledged)]
    if unacknowledged:
        _mark_stale([connection for connection in there if connection.connection_id in tried], connections, now)
    if missed:
        _complete(callback, woken(missed, by="recheck"), tokens=tokens, remove=callbacks.remove_reconnect)


def _is_missed(connection: Connection, tried: Collection[str], tried_at: datetime, *, unacknowledged: bool) -> bool:
    """Whether the last attempt may have gone past this connection."""
    # What this run has made stale itself, it did before it tried again.
    was_stale = connection.stale_since is not None and connection.stale_since <= tried_at
    if connection.connection_id in tried:
        return connection.is_young(tried_at) and not (unacknowledged and was_stale)
    return not was_stale or connection.connected_at >= tried_at


def wake(
    arrived: Sequence[Connection], *, callbacks: CallbackStore, tokens: TaskTokens, has_time: Callable[[], bool]
) -> int:
    """Wake every run that waits for the recipient of these connections, and count them.

    All connections are of one recipient. Waking a run that waits no more changes nothing. The runs of ordered
    messages are woken one after the other, in their order.

    Raises:
        ServiceUnavailable: also when the time is up; those that were woken are not met again.
    """
    output = woken(arrived, by="reconnect")

    def wake_all(some: Sequence[Callback]) -> int:
        return sum(_complete(callback, output, tokens=tokens, remove=callbacks.remove_reconnect) for callback in some)

    count = 0
    waiting = callbacks.waiting_for_reconnect(arrived[0].recipient)
    while some := list(islice(waiting, WAKES_A_ROUND)):
        if not has_time():
            raise ServiceUnavailable(f"{count} runs were woken, and the time is up")
        ordered = [callback for callback in some if callback.sequence is not None]
        others = [[callback] for callback in some if callback.sequence is None]
        count += sum(at_once(wake_all, [*([ordered] if ordered else []), *others]))
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
    connections: ConnectionStore,
    callbacks: CallbackStore,
    tokens: TaskTokens,
    clock: Clock,
) -> list[Callback]:
    """Complete the runs that wait for these acknowledgements, and answer what they waited with.

    An id that nobody waits for, or that waits for another recipient, changes nothing: the client may
    acknowledge twice. It may also be late: then the run waits for a reconnect by now, or is about to, and need not
    post again.
    """
    completed = []
    came_again = False
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
            in_time = tokens.succeed(callback.task_token, output)
            if in_time:
                with suppress(StoreUnavailable):  # a callback left behind does no harm
                    callbacks.remove_acknowledgement(callback)
            if in_time or _complete_late(callback, output, callbacks=callbacks, tokens=tokens):
                completed.append(callback)
                came_again |= callback.attempt > 1 or not in_time
    if came_again:
        with suppress(StoreUnavailable):  # it is for people to see
            connections.mark_active(sender, connection_id)
    return completed


def _complete_late(callback: Callback, output: dict[str, Any], *, callbacks: CallbackStore, tokens: TaskTokens) -> bool:
    """Complete the wait for a reconnect instead.

    The acknowledgement is kept before that wait is looked for, and the run parks before it looks for the
    acknowledgement: whichever comes second sees the other. What neither sees, the run's next wait does.
    """
    callbacks.keep_acknowledgement(callback, output)
    parked = callbacks.reconnect_of(callback)
    return parked is not None and _complete(
        parked, acknowledged_late(output), tokens=tokens, remove=callbacks.remove_reconnect
    )


def acknowledged_late(output: dict[str, Any]) -> dict[str, Any]:
    """What a run that waits goes on with when its acknowledgement has come after all."""
    return {"acknowledgement": output}


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


def at_once(call: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Make these calls at the same moment, as far as there are threads; the results are in the items' order."""
    if len(items) < 2:
        return [call(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor  # most have one connection, and need no threads

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


def _mark_stale(unheard_of: Iterable[Connection], connections: ConnectionStore, since: datetime) -> None:
    with suppress(StoreUnavailable):  # the run waits already
        for connection in unheard_of:
            connections.mark_stale(connection.recipient, connection.connection_id, since)


def _why_not_wait(attempt: Attempt, max_attempts: int, clock: Clock) -> AttemptsExhausted | MessageExpired | None:
    if attempt.number >= max_attempts:
        return AttemptsExhausted(f"{attempt.number} attempts were made, which is all that a message gets")
    return _expired(attempt.message, clock)


def _require_life(message: Message, clock: Clock) -> None:
    if expired := _expired(message, clock):
        raise expired


def _expired(message: Message, clock: Clock) -> MessageExpired | None:
    if clock.now() < message.expires_at:
        return None
    return MessageExpired(f"its life ended at {timestamp(message.expires_at)}")


def _name(recipient: Recipient) -> str:
    return f"{recipient.user} in {recipient.context}/{recipient.context_id}"
