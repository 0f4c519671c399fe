"""Sending messages, and finding out what became of them."""

import json
import random
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args

from botocore.exceptions import HTTPClientError

from ringback import aws, plain, runs
from ringback.errors import (
    IdConflict,
    InvalidMessage,
    MessageNotFound,
    NotCancellable,
    NotInTime,
    Refused,
    Unavailable,
    Undelivered,
)
from ringback.forms import to_camel, written
from ringback.installation import DEFAULT_LOCAL_FILE, Installation
from ringback.status import ARRIVED, MessageStatus, read_status

if TYPE_CHECKING:
    from ringback.envelope import Envelope

Status = Literal["delivered", "started", "duplicate", "missed", "conflict", "invalid", "unavailable"]
ACCEPTED: frozenset[Status] = frozenset({"delivered", "started", "duplicate"})

MAX_MESSAGES_A_CALL = 100
MAX_BYTES_A_CALL = 4 * 1024 * 1024
MAX_PAYLOAD_BYTES = 128 * 1024  # API Gateway's quota for one WebSocket message
MAX_KEPT_FAILURES = 1_000

# Between the tries of one call, up to so long; about twenty seconds in all.
_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# The account may describe few runs a second.
_SHORTEST_POLL_SECONDS = 0.5
_LONGEST_POLL_SECONDS = 5.0
# Step Functions may be so late to say that a run has started, or has ended.
_SEEN_LATE_SECONDS = 5.0
# What a person looks for first comes first.
_IN_ORDER = tuple(dict.fromkeys(("id", "recipient", "type", "payload", *plain.Envelope._fields)))


class Receipt(NamedTuple):
    """What Ringback answered to a message that it accepted, or that was not durable.

    ``status`` is `delivered` (posted at the first attempt), `started` (a run, ``execution_arn``, carries it),
    `duplicate` (the same message came before; nothing was started) or `missed` (it was not durable, and nobody was
    there to take it). Within two seconds of its start, the same message may be answered `started` again, with the same
    run.
    """

    id: str
    status: Status
    execution_arn: str | None = None


class Result(NamedTuple):
    """What became of handing over one of many messages.

    ``number`` counts from 1, in the order in which they were given. ``status`` is one of a `Receipt`'s, or `conflict`
    (the id belongs to another message), `invalid` (``detail`` says what is wrong) or `unavailable` (hand it over again
    under the same id).
    """

    number: int
    id: str | None
    status: Status
    execution_arn: str | None = None
    detail: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether Ringback has the message."""
        return self.status in ACCEPTED

    @property
    def failed(self) -> bool:
        """Whether it does not, and should: a message that was not durable and that nobody took is no failure."""
        return not self.accepted and self.status != "missed"


class Summary:
    """What became of many messages: how many had each status (`counts`), and the first thousand `failures`."""

    def __init__(self) -> None:
        self.counts: Counter[Status] = Counter()
        self.failures: list[Result] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Summary) and (self.counts, self.failures) == (other.counts, other.failures)

    def __repr__(self) -> str:
        return f"Summary(counts={self.counts!r}, failures={self.failures!r})"

    @property
    def total(self) -> int:
        """How many there were."""
        return self.counts.total()

    @property
    def accepted(self) -> int:
        """How many of them Ringback has."""
        return sum(self.counts[status] for status in ACCEPTED)

    @property
    def missed(self) -> int:
        """How many were not durable, and nobody was there to take them."""
        return self.counts["missed"]

    @property
    def failed(self) -> int:
        """How many of them it does not have, and should."""
        return self.total - self.accepted - self.missed

    def add(self, result: Result) -> None:
        """Count one more."""
        self.counts[result.status] += 1
        if result.failed and len(self.failures) < MAX_KEPT_FAILURES:
            self.failures.append(result)


def make_envelope(message: "Envelope | Mapping[str, Any] | None" = None, /, **fields: Any) -> "Envelope":
    """An envelope with an id, from an envelope, its JSON form, or its fields by their Python names.

    Raises:
        InvalidMessage: what is wrong with it, field by field, without its values.
    """
    from pydantic import ValidationError

    from ringback.envelope import Envelope, describe, parse

    try:
        if message is None:
            made = Envelope.model_validate(fields)
        elif fields:
            raise TypeError("give an envelope or its fields, not both")
        else:
            made = message if isinstance(message, Envelope) else parse(message)
    except ValidationError as error:
        raise InvalidMessage(describe(error)) from None
    if made.id is None:
        made = made.model_copy(update={"id": str(uuid.uuid4())})
    _require_room(made.payload)
    return made


def _read(message: "Envelope | Mapping[str, Any]") -> plain.Envelope:
    """The same without pydantic, if the message is plain JSON: a function that sends starts the sooner.

    Raises:
        InvalidMessage: what is wrong with it.
    """
    if type(message) is not dict:
        return plain.of_model(make_envelope(message))
    read = plain.read(message)
    _require_room(read.payload)
    return read if read.id is not None else read._replace(id=str(uuid.uuid4()))


def _require_room(payload: Any) -> None:
    if len(to_json(payload)) > MAX_PAYLOAD_BYTES:
        raise InvalidMessage(f"payload: at most {MAX_PAYLOAD_BYTES} bytes as JSON")


def _wire(message: plain.Envelope) -> dict[str, Any]:
    """The JSON form. What is as it is by default is left out: a run knows the same message by the same JSON."""
    values = message._asdict() | {"recipient": message.recipient.to_wire()}
    if message.retry is not None:
        values["retry"] = message.retry.to_wire()
    defaults = plain.Envelope._field_defaults
    return {
        to_camel(name): written(values[name])
        for name in _IN_ORDER
        if name not in defaults or values[name] != defaults[name]
    }


def to_json(value: Any) -> bytes:
    """Write a value as compact JSON.

    Raises:
        InvalidMessage: JSON cannot carry it.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        raise InvalidMessage("payload: it holds a number or a text that JSON cannot carry") from None


class Publisher:
    """Hands messages over to one installation. Threads may share it.

    An id is given to every message before the first try, so that each retry is the same message.
    """

    def __init__(
        self,
        installation: Installation,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.installation = installation
        self._sleep = sleep
        self._monotonic = monotonic

    @classmethod
    def of_stack(cls, name: str | None = None, *, region: str | None = None, profile: str | None = None) -> Self:
        """For a deployed stack, by its name; see `Installation.of_stack`."""
        names = {} if name is None else {"name": name}
        return cls(Installation.of_stack(**names, region=region, profile=profile))

    @classmethod
    def local(cls, file: Path | str = DEFAULT_LOCAL_FILE) -> Self:
        """For the stack that `make up` runs on this machine; see `Installation.local`."""
        return cls(Installation.local(file))

    def publish(self, message: "Envelope | Mapping[str, Any] | None" = None, /, **fields: Any) -> Receipt:
        """Hand over one message: an `Envelope`, its JSON form, or its fields, as in
        ``publish(recipient=Recipient(…), payload={"text": "Hello"}, ttl_seconds=3600)``.

        That nobody was there to take one that is not durable is no error: the receipt says `missed`.

        Raises:
            InvalidMessage: it is none; nothing was sent.
            IdConflict: its id belongs to another message.
            Unavailable: Ringback could not be reached for about 20 seconds, or once if it is not durable; publish it
                again under the same id.
            AccessDenied, NotAuthenticated, NotInstalled: this caller cannot send here.
        """
        if message is None or fields:
            message = make_envelope(message, **fields)
        item = _Item.of(1, _read(message))
        (result,) = self._hand_over([item])
        message_id = str(item.id)
        if result.status == "conflict":
            raise IdConflict(message_id, result.detail)
        if result.status == "invalid":
            raise InvalidMessage(result.detail or "Ringback takes no such message")
        if result.status == "unavailable":
            raise Unavailable(
                f"message {message_id} was not taken ({result.detail or 'try again'}): publish it again under this id"
            )
        return Receipt(message_id, result.status, result.execution_arn)

    def publish_many(
        self,
        messages: "Iterable[Envelope | Mapping[str, Any]]",
        *,
        on_progress: Callable[[Summary], None] | None = None,
        on_result: Callable[[Result], None] | None = None,
        concurrency: int = 8,
    ) -> Summary:
        """Hand over many messages, `concurrency` calls at once, and answer how it went.

        Reads ``messages`` no further ahead than it sends. ``on_result`` gets every message's result, in their
        order; ``on_progress`` the summary so far, after each call. One that fails does not stop the others; but after
        an ordered message that was `unavailable`, the later ordered ones of its recipient are so, too. What is not
        durable is tried once.

        Raises:
            AccessDenied, NotAuthenticated, NotInstalled: this caller cannot send here.
        """
        summary = Summary()
        for results in self._publish(messages, concurrency):
            for result in results:
                summary.add(result)
                if on_result:
                    on_result(result)
            if on_progress:
                on_progress(summary)
        return summary

    def publish_each(
        self, messages: "Iterable[Envelope | Mapping[str, Any]]", *, concurrency: int = 8
    ) -> Iterator[Result]:
        """As `publish_many`, one result after the other; what is not asked for is not sent."""
        for results in self._publish(messages, concurrency):
            yield from results

    def status(self, message_id: str) -> MessageStatus:
        """What became of a message; Step Functions may be seconds late to say so.

        On the local stack ``console_url`` leads to its own console, or is empty if that one's address is not known.

        Raises:
            MessageNotFound: no run carries it, or it started a moment ago.
        """
        clients = self.installation.clients
        found = read_status(clients.stepfunctions, self.installation.delivery_state_machine_arn, message_id)
        if not clients.is_local:
            return found
        return found.replace(console_url=self.installation.local_run_url(found.execution_arn))

    def cancel(self, message_id: str) -> MessageStatus:
        """Take a message back; what clients have got already stays there. Cancelling it again changes nothing.

        If Step Functions does not show the end within five seconds, the answer is the state before it.

        Raises:
            MessageNotFound: no run carries it.
            NotCancellable: it has ended.
        """
        clients = self.installation.clients
        runs.cancel(clients.stepfunctions, self.installation.delivery_state_machine_arn, message_id)
        for _ in self._looks(_SEEN_LATE_SECONDS):
            status = self.status(message_id)
            if status.has_ended:
                break
        if status.has_ended and status.state != "cancelled":
            raise NotCancellable(message_id, status.state)  # it ended before it was stopped, and was seen late
        return status

    def wait_until_delivered(self, message_id: str, timeout_seconds: float = 60) -> MessageStatus:
        """Come back when a message is delivered or acknowledged.

        Raises:
            Undelivered: it was cancelled or dead-lettered.
            NotInTime: neither, so far.
            MessageNotFound: no run carries it, or none could be seen for five seconds.
        """
        status: MessageStatus | None = None
        to_be_seen_by = self._monotonic() + min(timeout_seconds, _SEEN_LATE_SECONDS)
        for _ in self._looks(timeout_seconds):
            try:
                status = self.status(message_id)
            except MessageNotFound:
                if self._monotonic() >= to_be_seen_by:
                    raise
                continue
            if status.state in ARRIVED:
                return status
            if status.has_ended:
                raise Undelivered(message_id, status.state, status.cause or status.reason)
        if status is None:
            raise MessageNotFound(message_id)
        raise NotInTime(f"message {message_id} is {status.state}, after {timeout_seconds:g} s")

    def _looks(self, seconds: float) -> Iterator[None]:
        """Come back to look, less and less often, until these seconds are over."""
        deadline = self._monotonic() + seconds
        pause_seconds = _SHORTEST_POLL_SECONDS
        while True:
            yield
            left = deadline - self._monotonic()
            if left <= 0:
                return
            self._sleep(min(pause_seconds, left))
            pause_seconds = min(2 * pause_seconds, _LONGEST_POLL_SECONDS)

    def _publish(self, messages: "Iterable[Envelope | Mapping[str, Any]]", concurrency: int) -> Iterator[list[Result]]:
        if concurrency < 1:
            raise ValueError("concurrency: at least 1")
        under_way: deque[tuple[_Chunk, Future[list[Result]]]] = deque()
        failed_recipients: set[plain.Recipient] = set()

        def settle() -> list[Result]:
            chunk, future = under_way.popleft()
            results = future.result()
            failed_recipients.update(
                item.orders
                for item, result in zip(chunk.items, results, strict=True)
                if item.orders and result.status == "unavailable"
            )
            return results

        with ThreadPoolExecutor(concurrency, thread_name_prefix="ringback") as pool:
            try:
                for chunk in _chunks(messages):
                    # What is ordered must not overtake: neither within two calls nor what has failed before.
                    while under_way and (
                        len(under_way) >= 2 * concurrency
                        or any(chunk.recipients_in_order & sent.recipients_in_order for sent, _ in under_way)
                    ):
                        yield settle()
                    blocked = chunk.recipients_in_order & failed_recipients
                    under_way.append((chunk, pool.submit(self._hand_over, chunk.items, blocked)))
                while under_way:
                    yield settle()
            finally:
                for _, future in under_way:
                    future.cancel()

    def _hand_over(
        self, items: "list[_Item]", blocked: "set[plain.Recipient] | frozenset[plain.Recipient]" = frozenset()
    ) -> list[Result]:
        """Send these messages in one call, and those that were not taken again, until they are or patience ends."""
        results = {item.number: item.refused for item in items if item.refused}
        waiting = [item for item in items if not item.refused]
        for item in waiting:
            if item.orders in blocked:
                detail = "an earlier ordered message of this recipient was not taken; send them again in their order"
                results[item.number] = Result(item.number, item.id, "unavailable", detail=detail)
        waiting = [item for item in waiting if item.number not in results]
        for longest_pause_seconds in (*_PAUSES_SECONDS, None):
            if not waiting:
                break
            for item, result in zip(waiting, self._call(waiting), strict=True):
                results[item.number] = result
            # What is not durable is worth nothing later.
            waiting = [item for item in waiting if item.durable and results[item.number].status == "unavailable"]
            if waiting and longest_pause_seconds is not None:
                self._sleep(longest_pause_seconds * (0.5 + random.random() / 2))  # noqa: S311 - only spreads the load
        return [results[item.number] for item in items]

    def _call(self, items: "list[_Item]") -> list[Result]:
        """Call the accept function once; what it does not answer is unavailable."""
        try:
            results = self._invoke(b'{"messages":[' + b",".join(item.body for item in items) + b"]}")
        except Unavailable as error:
            return [Result(item.number, item.id, "unavailable", detail=str(error)) for item in items]
        try:
            return [item.result(given) for item, given in zip(items, results, strict=True)]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused("accept answered something else than results: is it of this version?") from None

    def _invoke(self, body: bytes) -> Any:
        function = self.installation.output("AcceptFunctionName")
        with aws.translated("lambda"):
            answer = self.installation.clients.functions.invoke(FunctionName=function, Payload=body)
        try:
            payload = answer["Payload"].read()
        except (HTTPClientError, OSError):
            raise Unavailable(f"{function} did not answer to the end") from None
        if answer.get("FunctionError"):
            raise Unavailable(f"{function} failed; its log says why")
        with suppress(ValueError, KeyError, TypeError):
            return json.loads(payload)["results"]
        return None


class _Item(NamedTuple):
    """One message, ready to be sent; or refused before."""

    number: int
    id: str | None
    body: bytes = b""
    orders: plain.Recipient | None = None
    durable: bool = True
    refused: Result | None = None

    @classmethod
    def of(cls, number: int, made: plain.Envelope) -> Self:
        return cls(number, made.id, to_json(_wire(made)), made.recipient if made.ordered else None, made.durable)

    @classmethod
    def read(cls, number: int, message: "Envelope | Mapping[str, Any]") -> Self:
        try:
            return cls.of(number, _read(message))
        except InvalidMessage as error:
            given = message.get("id") if isinstance(message, Mapping) else message.id
            message_id = given if isinstance(given, str) else None
            return cls(number, message_id, refused=Result(number, message_id, "invalid", detail=str(error)))

    def result(self, given: Mapping[str, Any]) -> Result:
        if given["status"] not in get_args(Status):
            raise ValueError("an unknown status")
        return Result(self.number, self.id, given["status"], given.get("executionArn"), given.get("detail"))


class _Chunk:
    """What goes into one call."""

    def __init__(self) -> None:
        self.items: list[_Item] = []
        self.bytes = 0
        self.recipients_in_order: set[plain.Recipient] = set()

    def has_room_for(self, item: _Item) -> bool:
        return len(self.items) < MAX_MESSAGES_A_CALL and self.bytes + len(item.body) + 1 <= MAX_BYTES_A_CALL

    def add(self, item: _Item) -> None:
        self.items.append(item)
        self.bytes += len(item.body) + 1
        if item.orders:
            self.recipients_in_order.add(item.orders)


def _chunks(messages: "Iterable[Envelope | Mapping[str, Any]]") -> Iterator[_Chunk]:
    chunk = _Chunk()
    for number, message in enumerate(messages, start=1):
        item = _Item.read(number, message)
        if chunk.items and not chunk.has_room_for(item):
            yield chunk
            chunk = _Chunk()
        chunk.add(item)
    if chunk.items:
        yield chunk
