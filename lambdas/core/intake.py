"""How messages come in, whichever way: they are read, attempted at once, and handed to a run if that does not do.

A message to someone who is there is posted here, together with the others for them, and is never a run. A run is
started for what missed, and for what asks for one. The order is post, start, answer: who dies in between is asked again
by the queue or by the backend, under the same id. What is not durable is posted here or nowhere.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from lambdas.core.delivery import Receipt, at_once, number_of, open_connections, post_frame
from lambdas.core.errors import InvalidMessage, RingbackError, ServiceUnavailable
from lambdas.core.frames import batch_frames, message_frame
from lambdas.core.model import Message, timestamp
from lambdas.core.ports import Clock, ConnectionStore, Deliveries, Sequences, Sockets, Start
from ringback.limits import MAX_TTL_SECONDS
from ringback.names import execution_name, same_message
from ringback.plain import Recipient

# The run is there to try for longer.
POST_AGAIN_AFTER_SECONDS = (0.1, 0.2)
# What is begun has to come to its end, also when the services do not answer: three posts and then a start, or a start.
SECONDS_FOR_AN_ATTEMPT = 22
SECONDS_FOR_A_START = 9

_RECIPIENT_ATTRIBUTES = ("user", "context", "contextId")
_NUMBERS = frozenset({"ackTimeoutSeconds", "ttlSeconds", "sequence"})
_BOOLEANS = frozenset({"durable", "isFinal", "ordered", "track"})
# What tracing libraries put beside `traceparent` into every message that they see.
_NOT_OURS = frozenset(
    {"tracestate", "baggage", "b3", "x-amzn-trace-id", "awstraceheader", "_datadog", "sentry-trace", "newrelic"}
)


class Accepted(NamedTuple):
    """A message that was read: the name of its run, and the envelope with its id and its end of life filled in."""

    message: Message
    execution_name: str
    envelope_json: str


class Queued(NamedTuple):
    """One message of the queue, as it came."""

    body: str
    attributes: Mapping[str, str]
    message_id: str
    sent_at: datetime


class Status(StrEnum):
    """What became of a message that was handed over."""

    DELIVERED = "delivered"
    STARTED = "started"
    DUPLICATE = "duplicate"
    MISSED = "missed"
    CONFLICT = "conflict"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"


@dataclass(slots=True)
class Answer:
    """The answer for one message. ``execution_name`` is that of the run that carries it, if one does.

    ``message`` is what was read, unless it could not be.
    """

    status: Status
    id: str | None
    execution_name: str | None = None
    detail: str | None = None
    message: Message | None = field(default=None, compare=False, repr=False)


def read(value: Any, *, fallback_id: str, accepted_at: datetime) -> Accepted:
    """Read an envelope in its JSON form.

    Raises:
        InvalidMessage: what is wrong with it.
    """
    # A life that is counted from here, not from the start of the run, includes the time in the queue.
    message = Message.accept(
        value, fallback_id=fallback_id, accepted_at=accepted_at, default_ttl_seconds=MAX_TTL_SECONDS
    )
    message_frame(message, attempt=1, sent_at=accepted_at)
    # The state machine reads the same fields, and for JSONata a null is there.
    given = {name: item for name, item in value.items() if item is not None or name == "payload"}
    envelope = {**given, "id": message.id}
    if envelope.pop("ttlSeconds", None) is not None:
        envelope["expiresAt"] = timestamp(message.expires_at)
    text = json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
    return Accepted(message, execution_name(message.id), text)


def read_queued(queued: Queued) -> Accepted:
    """Read one queue message.

    With a `user`, `context` or `contextId` attribute the body is the payload (JSON if it is JSON, else text) and the
    attributes are the rest of the envelope; without them the body is the whole envelope. A message that comes
    twice gives the same result, so that the second start is recognised.

    Raises:
        InvalidMessage: what is wrong with it.
    """
    by_attributes = not set(_RECIPIENT_ATTRIBUTES).isdisjoint(queued.attributes)
    value = _from_attributes(queued.body, queued.attributes) if by_attributes else _from_body(queued.body)
    return read(value, fallback_id=queued.message_id, accepted_at=queued.sent_at)


@dataclass(eq=False)
class Intake:
    """The way in. ``posts`` tells afterwards what became of the posts, ``errors`` why first attempts could not be made.

    ``seconds_left`` says how much time there is: who is cut off cannot answer for what is done, and all of it would be
    done again. What there is no time to attempt goes to a run, or is missed; what there is no time to start is
    unavailable.
    """

    every_message_is_a_run: bool
    connections: ConnectionStore
    sockets: Sockets
    sequences: Sequences
    deliveries: Deliveries
    clock: Clock
    seconds_left: Callable[[], float]
    posts: Receipt = field(default_factory=Receipt)
    errors: list[str] = field(default_factory=list)

    def take(self, messages: Sequence[Accepted | Answer]) -> list[Answer]:
        """Deliver these messages, or have runs deliver them; the answers are in the messages' order.

        What could not be read stands there with its answer, which stays as it is.
        """
        answers: dict[int, Answer] = {}
        fresh: dict[int, Accepted] = {}
        first: dict[str, int] = {}
        again: dict[int, int] = {}
        for index, message in enumerate(messages):
            if isinstance(message, Answer):
                answers[index] = message
                continue
            earlier = first.setdefault(message.execution_name, index)
            if earlier == index:
                fresh[index] = message
            elif same_message(fresh[earlier].envelope_json, message.envelope_json):
                again[index] = earlier
            else:
                answers[index] = _started(message, Start.ID_TAKEN)
        for index in self._attempt_all(fresh):
            delivered = fresh.pop(index).message
            answers[index] = Answer(Status.DELIVERED, delivered.id, message=delivered)
        for index in [index for index, each in fresh.items() if not each.message.envelope.durable]:
            missed = fresh.pop(index).message
            answers[index] = Answer(Status.MISSED, missed.id, message=missed)
        answers.update(self._start_all(fresh))
        for index, earlier in again.items():
            answer = answers[earlier]
            done = answer.status in {Status.DELIVERED, Status.STARTED}
            answers[index] = replace(answer, status=Status.DUPLICATE) if done else answer
        return [answers[index] for index in range(len(messages))]

    def take_values(self, values: Sequence[Any], new_id: Callable[[], str]) -> list[Answer]:
        """Take envelopes in their JSON form; the answers are in their order."""
        now = self.clock.now()
        return self.take(
            [
                _read_or_why_not(partial(_read_alive, value, fallback_id=new_id(), now=now), _id(value))
                for value in values
            ]
        )

    def take_queued(self, queued: Sequence[Queued]) -> list[Answer]:
        """Take messages of the queue; the answers are in their order."""
        return self.take([_read_or_why_not(partial(read_queued, message)) for message in queued])

    def _attempt_all(self, messages: Mapping[int, Accepted]) -> list[int]:
        """Post what may do without a run; answers what of it a connection took."""
        alone = {
            index: accepted
            for index, accepted in messages.items()
            if not accepted.message.envelope.durable
            or not (self.every_message_is_a_run or accepted.message.envelope.wants_a_run)
        }
        return [index for delivered in at_once(self._attempt, _by_recipient(alone)) for index in delivered]

    def _attempt(self, group: Mapping[int, Accepted]) -> list[int]:
        """Post the messages of one recipient together; answers which of them a connection took.

        Whatever goes wrong is the run's to meet again, and to retry for as long as the message lives; what is not
        durable is missed.
        """
        delivered: list[int] = []
        try:
            for indices in self._posted(group):
                delivered += indices
        except Exception as error:  # noqa: BLE001 - see above
            self.errors.append(_reason(error))
        return delivered

    def _posted(self, group: Mapping[int, Accepted]) -> Iterator[list[int]]:
        now = self.clock.now()
        alive = {index: each.message for index, each in group.items() if now < each.message.expires_at}
        if not alive or not self._has_time_to_attempt():
            return
        recipient = next(iter(alive.values())).recipient
        outside: Any = {"connections": self.connections, "sockets": self.sockets, "clock": self.clock}
        targets = open_connections(recipient, **outside)
        if not targets:
            return
        pending = list(alive)
        for count, frame in batch_frames(message_frame(each, attempt=1, sent_at=now) for each in alive.values()):
            receipt = post_frame(frame, targets, again_after=POST_AGAIN_AFTER_SECONDS, **outside)
            self.posts.add(receipt)
            if not receipt.posted:
                return
            yield pending[:count]
            pending = pending[count:]
            if not self._has_time_to_attempt():
                return

    def _start_all(self, messages: Mapping[int, Accepted]) -> dict[int, Answer]:
        """Start runs: those of ordered messages of one recipient one after the other, all others at once."""
        ordered = {index: each for index, each in messages.items() if each.message.envelope.ordered}
        others = [{index: each} for index, each in messages.items() if index not in ordered]
        answers: dict[int, Answer] = {}
        for some in at_once(self._start_one_by_one, [*_by_recipient(ordered), *others]):
            answers.update(some)
        return answers

    def _start_one_by_one(self, lane: Mapping[int, Accepted]) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        for index, accepted in lane.items():
            try:
                if self.seconds_left() < SECONDS_FOR_A_START:
                    raise ServiceUnavailable("there was no time left to start it")  # noqa: TRY301
                start = self.deliveries.start(accepted.execution_name, accepted.envelope_json)
                answers[index] = _started(accepted, start)
                if start in {Start.STARTED, Start.RUNNING}:
                    # Before the next one starts, so that the numbers have their order. The run would number itself.
                    # Of a duplicate that has ended, the number may be forgotten: a new one would be nobody's.
                    number_of(accepted.message, accepted.execution_name, self.sequences)
            except Exception as error:  # noqa: BLE001 - one message must not hold up the others
                # Also where it was started and has no number: who is answered may send the next one at once.
                answers[index] = _unavailable(accepted, error)
                break
        for index, accepted in lane.items():
            # It has to come after one that could not be started, or that has no number yet.
            answers.setdefault(index, _unavailable(accepted, ServiceUnavailable("an ordered message goes before it")))
        return answers

    def _has_time_to_attempt(self) -> bool:
        return self.seconds_left() > SECONDS_FOR_AN_ATTEMPT


def _read_alive(value: Any, *, fallback_id: str, now: datetime) -> Accepted:
    """Read an envelope from someone who hears the answer; one that came by queue may have expired on its way."""
    accepted = read(value, fallback_id=fallback_id, accepted_at=now)
    if accepted.message.expires_at <= now:
        raise InvalidMessage("expiresAt: is over already")
    return accepted


def _read_or_why_not(read_it: Callable[[], Accepted], given_id: str | None = None) -> Accepted | Answer:
    try:
        return read_it()
    except InvalidMessage as error:
        return Answer(Status.INVALID, given_id, detail=str(error))
    except Exception as error:  # noqa: BLE001 - one message must not hold up the others
        return Answer(Status.UNAVAILABLE, given_id, detail=_reason(error))


def _id(value: Any) -> str | None:
    given = value.get("id") if isinstance(value, dict) else None
    return given if isinstance(given, str) else None


def _started(accepted: Accepted, start: Start) -> Answer:
    message, run = accepted.message, accepted.execution_name
    if start is Start.ID_TAKEN:
        detail = "id: another message has it; an id names one content for one recipient"
        return Answer(Status.CONFLICT, message.id, detail=detail, message=message)
    if start is Start.UNDELIVERED:
        detail = "it came before and was not delivered: ask its status, and redrive it or give it another id"
        return Answer(Status.DUPLICATE, message.id, run, detail, message)
    status = Status.STARTED if start is Start.STARTED else Status.DUPLICATE
    return Answer(status, message.id, run, message=message)


def _unavailable(accepted: Accepted, error: Exception) -> Answer:
    return Answer(Status.UNAVAILABLE, accepted.message.id, detail=_reason(error), message=accepted.message)


def _reason(error: Exception) -> str:
    # Of an error that nobody thought of only the kind is known to be no secret.
    return str(error) if isinstance(error, RingbackError) else type(error).__name__


def _by_recipient(messages: Mapping[int, Accepted]) -> list[dict[int, Accepted]]:
    groups: dict[Recipient, dict[int, Accepted]] = {}
    for index, accepted in messages.items():
        groups.setdefault(accepted.message.recipient, {})[index] = accepted
    return list(groups.values())


def _from_body(body: str) -> dict[str, Any]:
    try:
        value = _json(body)
    except ValueError:
        raise InvalidMessage(
            "the body is not JSON: give a whole envelope, or the attributes user, context and contextId"
        ) from None
    if not isinstance(value, dict):
        raise InvalidMessage("the body is no JSON object: give a whole envelope, or the recipient as attributes")
    return value


def _from_attributes(body: str, attributes: Mapping[str, str]) -> dict[str, Any]:
    rest = {name: text for name, text in attributes.items() if name.lower() not in _NOT_OURS}
    if twice := {"recipient", "payload"} & set(rest):
        raise InvalidMessage(f"{', '.join(sorted(twice))}: no attribute; the body is the payload")
    recipient = {name: rest.pop(name) for name in _RECIPIENT_ATTRIBUTES if name in rest}
    payload: Any = body
    # `contentType: text/plain` keeps a text that happens to be JSON, such as 42, a text.
    if rest.pop("contentType", "application/json") != "text/plain":
        try:
            payload = _json(body)
        except ValueError:
            payload = body
    return {"recipient": recipient, "payload": payload, **{name: _typed(name, text) for name, text in rest.items()}}


def _typed(name: str, text: str) -> Any:
    # An attribute that cannot be read stays text, and the envelope's own rules say what is wrong with it.
    if name in _NUMBERS and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if name in _BOOLEANS and text in {"true", "false"}:
        return text == "true"
    return text


def _json(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise InvalidMessage("the body is nested too deep") from None
