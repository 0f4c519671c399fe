"""Dead letters: look at them, send them again, throw them away.

SQS has no browsing: what is read is hidden from everybody for a while, and is made visible again here as soon as it
was only looked at. A letter is deleted only when its message is on its way again, or is to be purged; who dies in
between leaves letters that are hidden for `HIDE_SECONDS`, and are there again then. The more are read at once, the
longer they are hidden: 10,000 for four minutes, 100,000 for twenty.
"""

import json
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from ringback import aws, envelope, runs
from ringback.envelope import MAX_TTL_SECONDS, Envelope, Timestamp, describe
from ringback.errors import InvalidMessage, LetterNotFound, Refused, RingbackError, Unavailable
from ringback.installation import Installation
from ringback.names import identity, redrive_name, run_arn

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

T = TypeVar("T")
Queue = Literal["delivery", "ingest"]
Outcome = Literal["redriven", "expired", "unreadable", "refused", "conflict", "unavailable", "came_back"]

HIDE_SECONDS = 120
MAX_HIDDEN = 120_000  # SQS's own, for one queue
MAX_KEPT_FAILURES = 1_000

_LETTERS_A_CALL = 10  # SQS's own
_CALLS_AT_ONCE = 8
_LETTERS_A_SECOND = 100  # a slow reader's pace: the first letter is to stay hidden until the last one was read
_ROUNDS_WITHOUT_NEWS = 10
_MAX_ATTRIBUTES = 10  # SQS's own, for one message
_RECIPIENT_ATTRIBUTES = frozenset({"user", "context", "contextId"})
# What ingest reads. Whoever set a letter aside has put attributes of its own beside the message's.
_INGEST_ATTRIBUTES = _RECIPIENT_ATTRIBUTES | {
    "contentType",
    *(
        str(field.alias or name)
        for name, field in Envelope.model_fields.items()
        if name not in {"recipient", "payload"}
    ),
}
_TOO_MANY_HIDDEN = frozenset({"OverLimit", "AWS.SimpleQueueService.OverLimit"})
_SQS_HIDES_NO_MORE = (
    f"there are more letters, but SQS hides at most {MAX_HIDDEN:,} of a queue at once, and as many are hidden now. "
    "What was read up to here is done: redrive or purge what you saw, or wait for others who read, and do it again"
)


class DeadLetter(BaseModel):
    """One dead letter; its JSON form is camelCase, with times in UTC as RFC 3339.

    ``letter_id`` is the queue's own name for it. ``readable`` is false if nobody can tell which message it was, and
    then ``body`` is all there is. ``message`` is the envelope as it came.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    letter_id: str
    message_id: str | None = None
    reason: str | None = None
    cause: str | None = None
    attempts: int | None = None
    execution_arn: str | None = None
    dead_lettered_at: Timestamp
    readable: bool
    message: JsonValue = None
    body: str
    attributes: dict[str, str] = Field(default_factory=dict)

    def is_one_of(self, ids: Collection[str]) -> bool:
        """Whether one of these is its id or its message's."""
        return self.letter_id in ids or self.message_id in ids


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of redriving one dead letter. Only a `redriven` one has left the queue.

    - `redriven`: its message is on its way again; ``execution_arn`` is its run
    - `expired`: its life is over; give it a new one
    - `unreadable`: nobody can tell which message it was
    - `refused`: it would fail again at once; ``detail`` says why
    - `conflict`: another message has the name of its next run
    - `unavailable`: a service failed; redriving it again is safe
    - `came_back`: it was put on the queue after this began: one that was redriven and has failed again, or a new one
    """

    letter_id: str
    message_id: str | None
    outcome: Outcome
    execution_arn: str | None = None
    detail: str | None = None


@dataclass(slots=True)
class Summary:
    """What became of redriving: how many had each outcome, and the first thousand that are still on the queue."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    failures: list[Redriven] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many there were."""
        return self.counts.total()

    @property
    def failed(self) -> int:
        """How many of them are still on the queue."""
        return self.total - self.counts["redriven"]

    def add(self, result: Redriven) -> None:
        """Count one more."""
        self.counts[result.outcome] += 1
        if result.outcome != "redriven" and len(self.failures) < MAX_KEPT_FAILURES:
            self.failures.append(result)


@dataclass(frozen=True, slots=True)
class Depth:
    """About how many letters there are: to be seen, and hidden because somebody reads them now."""

    visible: int
    hidden: int


@dataclass(frozen=True, slots=True)
class NewLife:
    """When redriven messages expire: at most one of the two is given, or each keeps the end that it had."""

    ttl_seconds: int | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.ttl_seconds is not None and self.expires_at is not None:
            raise InvalidMessage("give ttl_seconds or expires_at, not both")
        if self.ttl_seconds is not None and not 1 <= self.ttl_seconds <= MAX_TTL_SECONDS:
            raise InvalidMessage(f"ttl_seconds: 1 to {MAX_TTL_SECONDS}")
        if self.expires_at is not None:
            if self.expires_at.tzinfo is None:
                raise InvalidMessage("expires_at: needs a time zone")
            if not timedelta() < self.expires_at - datetime.now(UTC) <= timedelta(seconds=MAX_TTL_SECONDS):
                raise InvalidMessage(f"expires_at: must be in the future, and at most {MAX_TTL_SECONDS} seconds ahead")

    @property
    def fields(self) -> dict[str, Any]:
        """The envelope's fields; none if nothing was given."""
        if self.ttl_seconds is not None:
            return {"ttlSeconds": self.ttl_seconds}
        if self.expires_at is not None:
            return {"expiresAt": _timestamp(self.expires_at)}
        return {}


def open_queue(installation: Installation, queue: Queue = "delivery", **options: Any) -> "DeadLetterQueue":
    """One of an installation's two dead letter queues: of messages that were not delivered, or that were none.

    Raises:
        NotInstalled: the stack does not name it.
    """
    clients = installation.clients
    if queue == "ingest":
        return IngestDeadLetterQueue(
            clients.sqs,
            installation.output("IngestDeadLetterQueueUrl"),
            installation.output("IngestQueueUrl"),
            **options,
        )
    return DeliveryDeadLetterQueue(
        clients.sqs,
        installation.output("DeadLetterQueueUrl"),
        clients.stepfunctions,
        installation.delivery_state_machine_arn,
        **options,
    )


class DeadLetterQueue(ABC):
    """A dead letter queue.

    ``wait_seconds`` is how long SQS looks for a letter before it says that there is none: above 0 it asks all of its
    servers. ``hide_seconds`` is how long a letter is hidden at least, if nobody lets it go. Every method may raise
    `AccessDenied`, `NotAuthenticated`, `NotInstalled` and `Unavailable`, and, where 120,000 letters are hidden and SQS
    hands out no more, `Refused`; what was read up to there is done.
    """

    def __init__(
        self,
        client: "SQSClient",
        url: str,
        *,
        wait_seconds: int = 1,
        hide_seconds: int = HIDE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._url = url
        self._wait_seconds = wait_seconds
        self._hide_seconds = hide_seconds
        self._monotonic = monotonic

    def depth(self) -> Depth:
        """About how many letters there are; SQS counts late."""
        with aws.translated("sqs"):
            attributes = self._client.get_queue_attributes(
                QueueUrl=self._url,
                AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            )["Attributes"]
        return Depth(
            int(attributes["ApproximateNumberOfMessages"]), int(attributes["ApproximateNumberOfMessagesNotVisible"])
        )

    def letters(self) -> Generator[DeadLetter, None, None]:
        """Every letter once that was there when this began. They are hidden until the iterator ends or is closed.

        Of those that come meanwhile it may have some; it ends however many they are.
        """
        until = self._until()
        with self._reading() as reading:
            for batch in reading.batches(until=until):
                yield from map(self.read, batch)

    def find(self, letter_or_message_id: str) -> DeadLetter:
        """One letter, by its own id or its message's.

        Raises:
            LetterNotFound: no such letter was seen.
        """
        until = self._until()
        with self._reading() as reading:
            for batch in reading.batches(until=until):
                for letter in map(self.read, batch):
                    if letter.is_one_of({letter_or_message_id}):
                        return letter
        raise LetterNotFound(_not_found({letter_or_message_id}))

    def purge(self, ids: Collection[str] | None = None, *, on_progress: Callable[[int], None] | None = None) -> int:
        """Delete these letters, by their own ids or their messages', or all there are; answers how many.

        Of all, those stay that were put on the queue after this began.

        Raises:
            LetterNotFound: one of the ids was not seen; the others' letters are deleted.
        """
        purged = 0
        missing = set(ids or ())
        until = self._until()
        with self._reading() as reading:
            for batch in reading.batches(until=until):
                letters = map(self.read, batch)
                doomed = [
                    one for one in letters if (one.dead_lettered_at < until if ids is None else one.is_one_of(ids))
                ]
                purged += reading.delete(letter.letter_id for letter in doomed)
                for letter in doomed:
                    missing -= {letter.letter_id, letter.message_id or ""}
                if on_progress and doomed:
                    on_progress(purged)
        if missing:
            raise LetterNotFound(_not_found(missing))
        return purged

    def redrive(
        self,
        ids: Collection[str] | None = None,
        *,
        life: NewLife | None = None,
        on_result: Callable[[Redriven], None] | None = None,
    ) -> Summary:
        """Send the messages of these letters again, by the letters' own ids or the messages', or of all there are.

        A letter is deleted after its message has been started. Doing it again, also after it was interrupted
        anywhere, starts nothing twice. Only what was there when this began is sent again: what comes back stays.

        Raises:
            LetterNotFound: one of the ids was not seen; the others' letters are redriven.
        """
        summary = Summary()
        missing = set(ids or ())
        this_pass = _Pass(self._time())
        redrive = partial(self._redrive, life=life or NewLife(), this_pass=this_pass)
        with self._reading() as reading, ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="redrive") as pool:
            for batch in reading.batches(until=this_pass.until):
                chosen = [one for one in map(self.read, batch) if ids is None or one.is_one_of(ids)]
                for result in pool.map(partial(redrive, reading=reading), chosen):
                    missing -= {result.letter_id, result.message_id or ""}
                    summary.add(result)
                    if on_result:
                        on_result(result)
        if missing:
            raise LetterNotFound(_not_found(missing))
        return summary

    @abstractmethod
    def read(self, message: Mapping[str, Any]) -> DeadLetter:
        """Read a letter from what SQS handed out."""

    @abstractmethod
    def start(self, letter: DeadLetter, life: NewLife) -> "_Started":
        """Send a readable letter's message again, once however often it is called.

        Raises:
            _Kept: it cannot be; the letter stays.
        """

    def _time(self) -> datetime:
        """What time it is for SQS, in whole seconds: this machine's clock may say another."""
        with aws.translated("sqs"):
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return (parsedate_to_datetime(date) if date else datetime.now(UTC)).replace(microsecond=0)

    def _until(self) -> datetime:
        """What is put on the queue at this time or later is none of what was there."""
        return _Pass(self._time()).until

    def _redrive(self, letter: DeadLetter, *, life: NewLife, reading: "_Reading", this_pass: "_Pass") -> Redriven:
        result = partial(Redriven, letter.letter_id, letter.message_id)
        if not letter.readable:
            return result("unreadable", detail="nobody can tell which message it was; it stays on the queue")
        if this_pass.has_sent(letter):
            return result("came_back", letter.execution_arn, "it was redriven a moment ago, and has failed again")
        if letter.dead_lettered_at >= this_pass.until:
            detail = "it came after this began: one that was redriven and has failed again, or a new one"
            return result("came_back", letter.execution_arn, detail)
        try:
            begun = self.start(letter, life)
        except _Kept as kept:
            return result(kept.outcome, detail=str(kept))
        except Unavailable as error:
            return result("unavailable", detail=str(error))
        except Refused as error:
            return result("refused", detail=str(error))
        if begun.anew:
            this_pass.sent.add(begun.comes_back_as)
        try:
            reading.delete([letter.letter_id])
        except Unavailable as error:
            detail = f"its message is on its way, but the letter could not be deleted ({error}); redrive it again"
            return result("unavailable", begun.arn, detail)
        return result("redriven", begun.arn)

    @contextmanager
    def _reading(self) -> Iterator["_Reading"]:
        reading = _Reading(self._client, self, self._url, self._wait_seconds, self._hide_seconds, self._monotonic)
        try:
            yield reading
        finally:
            reading.release()


class DeliveryDeadLetterQueue(DeadLetterQueue):
    """Where runs put what they could not deliver."""

    def __init__(
        self, client: "SQSClient", url: str, runs_client: "SFNClient", state_machine_arn: str, **options: Any
    ) -> None:
        super().__init__(client, url, **options)
        self._runs = runs_client
        self._state_machine_arn = state_machine_arn

    def read(self, message: Mapping[str, Any]) -> DeadLetter:
        """Read a letter as the state machine writes it."""
        body = _json(message["Body"])
        known: dict[str, Any] = {
            "letter_id": message["MessageId"],
            "body": message["Body"],
            "attributes": _attributes(message),
            "dead_lettered_at": _sent_at(message),
        }
        if not isinstance(body, dict) or not isinstance(body.get("executionArn"), str) or "message" not in body:
            return DeadLetter(**known, readable=False)
        name = body["executionArn"].rpartition(":")[2]
        given = body["message"].get("id") if isinstance(body["message"], dict) else None
        return DeadLetter(
            **known,
            readable=True,
            message=body["message"],
            message_id=given if isinstance(given, str) else name,
            reason=_text(body.get("reason")),
            cause=_text(body.get("cause")),
            attempts=body["attempts"] if isinstance(body.get("attempts"), int) else None,
            execution_arn=body["executionArn"],
        )

    def start(self, letter: DeadLetter, life: NewLife) -> "_Started":
        """Start the run that follows the one that wrote the letter, with the same message under the same id."""
        arn = str(letter.execution_arn)
        message = self._renewed(letter, life)
        try:
            name = redrive_name(arn.rpartition(":")[2])
        except ValueError as error:
            raise _Kept("refused", str(error)) from None
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        with aws.translated("stepfunctions"):
            try:
                answer = self._runs.start_execution(stateMachineArn=self._state_machine_arn, name=name, input=text)
                return _Started(answer["executionArn"], comes_back_as=answer["executionArn"])
            except ClientError as error:
                if aws.code(error) != "ExecutionAlreadyExists":
                    raise
        there = run_arn(self._state_machine_arn, name)
        run = runs.describe(self._runs, there)
        if run is None:
            raise _Kept("unavailable", f"the run {name} cannot be seen yet; redrive it again")
        if identity(run.message) != identity(message):
            raise _Kept("conflict", f"the run {name} carries another message")
        return _Started(there, comes_back_as=there, anew=False)

    def _renewed(self, letter: DeadLetter, life: NewLife) -> dict[str, Any]:
        """The envelope to start again: with its id, and with an end of life that is not over."""
        message: Any = letter.message
        try:
            given = envelope.parse(message)
            same = {**message, "id": envelope.parse({**message, "id": letter.message_id}).id}
        except ValidationError as error:
            raise _Kept(
                "refused", f"it is no message ({describe(error)}): send it anew, and purge the letter"
            ) from None
        if life.fields:
            return {
                name: value for name, value in same.items() if name not in {"expiresAt", "ttlSeconds"}
            } | life.fields
        end = given.expires_at
        if given.ttl_seconds is not None:
            # Counted from the start of the first run, it would be counted anew from the start of the next one.
            run = runs.describe(self._runs, str(letter.execution_arn))
            end = (run.started_at if run else letter.dead_lettered_at) + timedelta(seconds=given.ttl_seconds)
            same = {name: value for name, value in same.items() if name != "ttlSeconds"} | {
                "expiresAt": _timestamp(end)
            }
        if letter.reason == "MessageExpired" or (end is not None and end <= datetime.now(UTC)):
            raise _Kept("expired", "its life is over; give it a new one with ttl_seconds or expires_at")
        return same


class IngestDeadLetterQueue(DeadLetterQueue):
    """Where the ingest queue's function puts what is no message, and the queue what nobody could take."""

    def __init__(self, client: "SQSClient", url: str, ingest_queue_url: str, **options: Any) -> None:
        super().__init__(client, url, **options)
        self._ingest_queue_url = ingest_queue_url

    def read(self, message: Mapping[str, Any]) -> DeadLetter:
        """Read a letter: the body as it came, and the reason as an attribute if somebody has read it."""
        attributes = _attributes(message)
        by_attributes = _by_attributes(attributes)
        value = None if by_attributes else _detail(_json(message["Body"]))
        given = value.get("id") if isinstance(value, dict) else None
        by_attribute = attributes.get("id") if by_attributes else None
        return DeadLetter(
            letter_id=message["MessageId"],
            message_id=by_attribute or (given if isinstance(given, str) else None),
            reason="InvalidMessage" if "reason" in attributes else "NotTaken",
            cause=attributes.get("reason") or attributes.get("ERROR_MESSAGE") or attributes.get("ERROR_CODE"),
            dead_lettered_at=_sent_at(message),
            readable=True,
            body=message["Body"],
            attributes={name: text for name, text in attributes.items() if name != "reason"},
        )

    def start(self, letter: DeadLetter, life: NewLife) -> "_Started":
        """Put the message back to the ingest queue, as it came and under an id, so that twice is once.

        What is put back is what the queue would have got: of an event its detail, and no attribute that is not read.
        """
        if life.fields:
            raise _Kept("refused", "what is no message yet has no life: put it back as it is")
        body = letter.body
        attributes = {name: text for name, text in letter.attributes.items() if name in _INGEST_ATTRIBUTES}
        if _by_attributes(attributes):
            if len(attributes) < _MAX_ATTRIBUTES:
                attributes.setdefault("id", letter.letter_id)
        else:
            attributes = {}
            whole = _json(body)
            value = _detail(whole)
            if isinstance(value, dict) and value.get("id") is None:
                value = {**value, "id": letter.letter_id}
            if value is not whole:
                body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        with aws.translated("sqs"):
            self._client.send_message(
                QueueUrl=self._ingest_queue_url,
                MessageBody=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()
                },
            )
        return _Started(None, comes_back_as=body)


@dataclass(frozen=True, slots=True)
class _Started:
    """What was sent again, and whether only now. Should it fail, its letter is of this run, or has this body."""

    arn: str | None
    comes_back_as: str
    anew: bool = True


@dataclass(frozen=True, slots=True)
class _Pass:
    """One pass over what was there when it began, and what it has sent."""

    began: datetime
    sent: set[str] = field(default_factory=set)

    @property
    def until(self) -> datetime:
        """What is younger is none of it: it began within a second."""
        return self.began + timedelta(seconds=1)

    def has_sent(self, letter: DeadLetter) -> bool:
        """Whether this letter is of a message that was sent. A run has one letter, but many may have one body."""
        if letter.execution_arn:
            return letter.execution_arn in self.sent
        return letter.body in self.sent and letter.dead_lettered_at >= self.began


class _Kept(RingbackError):
    """A letter stays where it is; says why."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class _Held:
    """What a letter can be deleted and hidden with, and until when it is hidden."""

    handle: str
    until: float


class _Reading:
    """One reading of the queue. What it has read is hidden until it is deleted or released."""

    def __init__(
        self,
        client: "SQSClient",
        queue: DeadLetterQueue,
        url: str,
        wait_seconds: int,
        hide_seconds: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._queue = queue
        self._url = url
        self._wait_seconds = wait_seconds
        self._shortest_hide_seconds = hide_seconds
        self._monotonic = monotonic
        # The one that comes back first stands first: letters are hidden for longer and longer.
        self._held: dict[str, _Held] = {}
        self._deleted: set[str] = set()
        self._seen: set[str] = set()

    def batches(self, *, until: datetime | None = None) -> Iterator[list[Mapping[str, Any]]]:
        """Letters that were not there before, until the queue says that there are none.

        Ends also when only known ones come again and again, because somebody lets them come back, or only ones that
        were put on the queue at ``until`` or later. One of these is no end: a queue is in no order.

        Raises:
            Refused: there are more, but SQS hides no more.
        """
        rounds_without_news = 0
        while rounds_without_news < _ROUNDS_WITHOUT_NEWS:
            self._keep_hidden()
            received = self._receive()
            if not received and not self._are_there_more():
                return
            # SQS may hand out once more what was deleted.
            self.delete(letter["MessageId"] for letter in received if letter["MessageId"] in self._deleted)
            news = [letter for letter in received if letter["MessageId"] not in self._seen]
            self._seen.update(letter["MessageId"] for letter in news)
            is_new = any(until is None or _sent_at(letter) < until for letter in news)
            rounds_without_news = 0 if is_new else rounds_without_news + 1
            if news:
                yield list(news)

    def delete(self, letter_ids: Iterable[str]) -> int:
        """Delete these letters for good; answers how many.

        Raises:
            Unavailable: not all of them could be.
        """
        doomed = [letter_id for letter_id in letter_ids if letter_id in self._held]
        if not doomed:
            return 0
        entries: Any = [{"Id": str(n), "ReceiptHandle": self._held[one].handle} for n, one in enumerate(doomed)]
        with aws.translated("sqs"):
            failed = self._client.delete_message_batch(QueueUrl=self._url, Entries=entries).get("Failed", [])
        if failed:
            raise Unavailable(f"DeleteMessageBatch: {failed[0].get('Code')}")
        for letter_id in doomed:
            del self._held[letter_id]
        self._deleted.update(doomed)
        return len(doomed)

    def release(self) -> None:
        """Let everybody see what is left. What cannot be released comes back by itself."""
        with suppress(RingbackError):
            self._change_visibility([held.handle for held in self._held.values()], 0)
        self._held.clear()

    @property
    def _hide_seconds(self) -> int:
        return self._shortest_hide_seconds + len(self._seen) // _LETTERS_A_SECOND

    def _receive(self) -> Sequence[Mapping[str, Any]]:
        seconds, now = self._hide_seconds, self._monotonic()
        with aws.translated("sqs"):
            try:
                received = self._client.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=_LETTERS_A_CALL,
                    VisibilityTimeout=seconds,
                    WaitTimeSeconds=self._wait_seconds,
                    MessageAttributeNames=["All"],
                    MessageSystemAttributeNames=["SentTimestamp"],
                ).get("Messages", [])
            except ClientError as error:
                if aws.code(error) in _TOO_MANY_HIDDEN:
                    raise Refused(_SQS_HIDES_NO_MORE) from None
                raise
        for letter in received:
            self._hold(letter["MessageId"], letter["ReceiptHandle"], now + seconds)
        return received

    def _are_there_more(self) -> bool:
        """Whether the queue counts letters that it has not handed out."""
        depth = self._queue.depth()
        # An answer to a long poll does not say that there are too many: there is nothing in it.
        if depth.visible and max(depth.hidden, len(self._held)) > MAX_HIDDEN - _LETTERS_A_CALL:
            raise Refused(_SQS_HIDES_NO_MORE)
        return depth.visible > 0

    def _hold(self, letter_id: str, handle: str, until: float) -> None:
        self._held.pop(letter_id, None)
        self._held[letter_id] = _Held(handle, until)

    def _keep_hidden(self) -> None:
        """Hide for longer what would come back in the middle of this reading: seldom, and many at once."""
        seconds, now = self._hide_seconds, self._monotonic()
        first = next(iter(self._held.values()), None)
        if first is None or first.until - now >= self._shortest_hide_seconds / 3:
            return
        due = list(takewhile(lambda item: item[1].until - now < seconds * 2 / 3, self._held.items()))
        self._change_visibility([held.handle for _, held in due], seconds)
        for letter_id, held in due:
            self._hold(letter_id, held.handle, now + seconds)

    def _change_visibility(self, handles: Iterable[str], seconds: int) -> None:
        def change(some: Sequence[str]) -> None:
            entries: Any = [
                {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": seconds} for n, handle in enumerate(some)
            ]
            with aws.translated("sqs"):
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

        with ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="hide") as pool:
            calls = [pool.submit(change, some) for some in _by(_LETTERS_A_CALL, handles)]
        for call in calls:  # all of them were made, whatever became of one
            call.result()


def _by(size: int, items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def _not_found(ids: Collection[str]) -> str:
    return (
        f"no dead letter {', '.join(sorted(ids))} was seen. One that somebody else is reading is hidden for a while; "
        "look again in a few minutes"
    )


def _json(text: str) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return None


def _by_attributes(attributes: Mapping[str, str]) -> bool:
    """Whether the attributes are the envelope, and the body is the payload."""
    return not _RECIPIENT_ATTRIBUTES.isdisjoint(attributes)


def _detail(value: Any) -> Any:
    """Of an event its detail, for EventBridge sets events aside as they were put on the bus; of all else itself."""
    return value["detail"] if isinstance(value, dict) and {"detail-type", "detail"} <= value.keys() else value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _attributes(message: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value["StringValue"]
        for name, value in message.get("MessageAttributes", {}).items()
        if "StringValue" in value
    }


def _sent_at(message: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
