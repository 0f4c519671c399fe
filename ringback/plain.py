"""Envelopes as the functions and the publisher work with them: read without pydantic where nothing is wrong.

pydantic takes longer to import than most functions take to do their work. So what is plainly right is read here. All
else, be it wrong or only unusual (5.0 for 5, `messageType`), goes to the models of `ringback.envelope`, which are
imported then: they take it after all, or say in their words what is wrong. The rules stand there; here is only what
is surely within them. A test holds the two together.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from ringback import surely
from ringback.errors import InvalidMessage
from ringback.limits import (
    MAX_ACK_TIMEOUT_SECONDS,
    MAX_ATTEMPTS,
    MAX_BACKOFF_BASE_SECONDS,
    MAX_BACKOFF_CAP_SECONDS,
    MAX_CONTEXT_ID_LENGTH,
    MAX_CONTEXT_LENGTH,
    MAX_ID_LENGTH,
    MAX_TTL_SECONDS,
    MAX_USER_LENGTH,
)
from ringback.surely import optional, require

if TYPE_CHECKING:
    from ringback import envelope

# Named tuples, not data classes: those take seven times as long to define, at every start of a function.


class Recipient(NamedTuple):
    """Who, and which conversation or screen of theirs."""

    user: str
    context: str
    context_id: str

    def to_json(self) -> str:
        """The text that the tables hold."""
        return json.dumps(self._asdict(), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))

    def to_wire(self) -> dict[str, str]:
        """Its form in envelopes and events."""
        return {"user": self.user, "context": self.context, "contextId": self.context_id}


class Retry(NamedTuple):
    """How a message waits for its recipient, where it is not to be as the stage says."""

    max_attempts: int | None = None
    backoff_base_seconds: int | None = None
    backoff_cap_seconds: int | None = None

    def to_wire(self) -> dict[str, int]:
        """Its form in an envelope."""
        return {name: value for name, value in zip(_RETRY_FIELDS, self, strict=True) if value is not None}


class Envelope(NamedTuple):
    """One message for one recipient; what each field is, `ringback.envelope.Envelope` says."""

    recipient: Recipient
    payload: Any
    id: str | None = None
    type: str = "message"
    ack: Literal["none", "client"] = "none"
    ack_timeout_seconds: int | None = None
    expires_at: datetime | None = None
    ttl_seconds: int | None = None
    correlation_id: str | None = None
    ordered: bool = False
    track: bool = False
    durable: bool = True
    retry: Retry | None = None
    traceparent: str | None = None
    sequence: int | None = None
    is_final: bool | None = None

    @property
    def wants_a_run(self) -> bool:
        """Whether it is carried by a run in any case: one that can be looked up, and that can wait for an answer."""
        return self.ack == "client" or self.ordered or self.track


class DirectRecipient(NamedTuple):
    """A connection that the sender knows. ``endpoint`` is its management API's base URL, if it is not the stage's."""

    connection_id: str
    endpoint: str | None = None


class DirectEnvelope(NamedTuple):
    """One message for one connection; what each field is, `ringback.envelope.DirectEnvelope` says."""

    recipient: DirectRecipient
    payload: Any
    id: str | None = None
    type: str = "message"
    correlation_id: str | None = None
    traceparent: str | None = None
    sequence: int | None = None
    is_final: bool | None = None


def read(value: object) -> Envelope:
    """Read an envelope from its JSON form (already decoded), which has the camelCase names only.

    Raises:
        InvalidMessage: what is wrong, in words that are safe to log.
    """
    try:
        return _envelope(surely.fields(value, _FIELDS))
    except surely.NotSure:
        return _read_by_model(value)


def read_direct(value: object) -> DirectEnvelope:
    """Read a direct envelope from its JSON form (already decoded), which has the camelCase names only.

    Raises:
        InvalidMessage: what is wrong, in words that are safe to log.
    """
    try:
        return _direct_envelope(surely.fields(value, _DIRECT_FIELDS))
    except surely.NotSure:
        return _read_direct_by_model(value)


def of_model(model: "envelope.Envelope") -> Envelope:
    """The same envelope, from the model."""
    values = {name: getattr(model, name) for name in Envelope._fields}
    values["recipient"] = Recipient(model.recipient.user, model.recipient.context, model.recipient.context_id)
    values["retry"] = model.retry and retry_of_model(model.retry)
    return Envelope(**values)


def of_direct_model(model: "envelope.DirectEnvelope") -> DirectEnvelope:
    """The same envelope, from the model."""
    values = {name: getattr(model, name) for name in DirectEnvelope._fields}
    values["recipient"] = DirectRecipient(model.recipient.connection_id, model.recipient.endpoint)
    return DirectEnvelope(**values)


def retry_of_model(model: "envelope.RetryPolicy") -> Retry:
    """The same policy, from the model."""
    return Retry(model.max_attempts, model.backoff_base_seconds, model.backoff_cap_seconds)


_RECIPIENT_FIELDS = frozenset({"user", "context", "contextId"})
_RETRY_FIELDS = ("maxAttempts", "backoffBaseSeconds", "backoffCapSeconds")
_DIRECT_FIELDS = frozenset(
    {"id", "recipient", "type", "payload", "correlationId", "traceparent", "sequence", "isFinal"}
)
_FIELDS = _DIRECT_FIELDS | {
    "ack",
    "ackTimeoutSeconds",
    "expiresAt",
    "ttlSeconds",
    "ordered",
    "track",
    "durable",
    "retry",
}
_LARGEST_SEQUENCE = 2**53


def _envelope(given: Mapping[str, Any]) -> Envelope:
    ack = given.get("ack", "none")
    require("payload" in given and ack in ("none", "client"))
    envelope = Envelope(
        id=optional(surely.identifier, given.get("id"), MAX_ID_LENGTH),
        recipient=_recipient(given.get("recipient")),
        type=surely.text(given.get("type", "message")),
        payload=surely.json_value(given["payload"]),
        ack=ack,
        ack_timeout_seconds=optional(surely.number, given.get("ackTimeoutSeconds"), 1, MAX_ACK_TIMEOUT_SECONDS),
        expires_at=optional(surely.moment, given.get("expiresAt")),
        ttl_seconds=optional(surely.number, given.get("ttlSeconds"), 1, MAX_TTL_SECONDS),
        correlation_id=optional(surely.text, given.get("correlationId")),
        ordered=surely.flag(given.get("ordered", False)),
        track=surely.flag(given.get("track", False)),
        durable=surely.flag(given.get("durable", True)),
        retry=optional(read_retry, given.get("retry")),
        traceparent=optional(surely.traceparent, given.get("traceparent")),
        sequence=optional(surely.number, given.get("sequence"), 0, _LARGEST_SEQUENCE),
        is_final=optional(surely.flag, given.get("isFinal")),
    )
    require(envelope.expires_at is None or envelope.ttl_seconds is None)
    require(not envelope.ordered or envelope.sequence is None)
    require(envelope.durable or not (envelope.wants_a_run or envelope.retry))
    return envelope


def _direct_envelope(given: Mapping[str, Any]) -> DirectEnvelope:
    require("payload" in given)
    recipient = surely.fields(given.get("recipient"), {"connectionId", "endpoint"})
    return DirectEnvelope(
        id=optional(surely.identifier, given.get("id"), MAX_ID_LENGTH),
        recipient=DirectRecipient(
            surely.matching(r"[A-Za-z0-9_=-]{1,64}", recipient.get("connectionId")),
            optional(surely.url, recipient.get("endpoint"), 512),
        ),
        type=surely.text(given.get("type", "message")),
        payload=surely.json_value(given["payload"]),
        correlation_id=optional(surely.text, given.get("correlationId")),
        traceparent=optional(surely.traceparent, given.get("traceparent")),
        sequence=optional(surely.number, given.get("sequence"), 0, _LARGEST_SEQUENCE),
        is_final=optional(surely.flag, given.get("isFinal")),
    )


def _recipient(value: object) -> Recipient:
    given = surely.fields(value, _RECIPIENT_FIELDS)
    return Recipient(
        surely.identifier(given.get("user"), MAX_USER_LENGTH),
        surely.identifier(given.get("context"), MAX_CONTEXT_LENGTH),
        surely.identifier(given.get("contextId"), MAX_CONTEXT_ID_LENGTH),
    )


def read_retry(value: object) -> Retry:
    """Read a retry policy; raises `surely.NotSure`."""
    given = surely.fields(value, _RETRY_FIELDS)
    retry = Retry(
        optional(surely.number, given.get("maxAttempts"), 1, MAX_ATTEMPTS),
        optional(surely.number, given.get("backoffBaseSeconds"), 1, MAX_BACKOFF_BASE_SECONDS),
        optional(surely.number, given.get("backoffCapSeconds"), 1, MAX_BACKOFF_CAP_SECONDS),
    )
    base, cap = retry.backoff_base_seconds, retry.backoff_cap_seconds
    require(base is None or cap is None or base <= cap)
    return retry


def _read_by_model(value: object) -> Envelope:
    from pydantic import ValidationError

    from ringback import envelope

    try:
        return of_model(envelope.parse(value))
    except ValidationError as error:
        raise InvalidMessage(envelope.describe(error)) from None


def _read_direct_by_model(value: object) -> DirectEnvelope:
    from pydantic import ValidationError

    from ringback import envelope

    try:
        return of_direct_model(envelope.DirectEnvelope.model_validate(value, by_alias=True, by_name=False))
    except ValidationError as error:
        raise InvalidMessage(envelope.describe(error)) from None
