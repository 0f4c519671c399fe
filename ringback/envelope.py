"""The envelope: what a backend hands over, whichever way it comes in.

The JSON form is camelCase. Unknown fields are refused, so that a typing error is an answer and not a lost option.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from ringback.limits import MAX_ACK_TIMEOUT_SECONDS as MAX_ACK_TIMEOUT_SECONDS
from ringback.limits import MAX_ATTEMPTS as MAX_ATTEMPTS
from ringback.limits import MAX_BACKOFF_BASE_SECONDS as MAX_BACKOFF_BASE_SECONDS
from ringback.limits import MAX_BACKOFF_CAP_SECONDS as MAX_BACKOFF_CAP_SECONDS
from ringback.limits import MAX_CONTEXT_ID_LENGTH, MAX_CONTEXT_LENGTH, MAX_ID_LENGTH, MAX_TEXT_LENGTH, MAX_USER_LENGTH
from ringback.limits import MAX_TTL_SECONDS as MAX_TTL_SECONDS
from ringback.surely import RFC3339_UTC, TRACEPARENT


def _rfc3339(value: object) -> object:
    """Let only RFC 3339 text in UTC be a time: a number has no unit, and the state machine reads the same text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value
    if isinstance(value, str) and re.fullmatch(RFC3339_UTC, value):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    raise ValueError("give the time in UTC as RFC 3339, for example 2030-01-31T12:00:00Z")


def _as_text(moment: datetime) -> str:
    """Write a time as `_rfc3339` reads it; pydantic would write microseconds."""
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def _whole(value: object) -> object:
    """Take 5.0 for 5: in JSON, and in JSONata, it is the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Printable ASCII without '#', which joins the parts of a table key. Anything wider invites look-alikes.
_PRINTABLE = r'^[!-"$-~]+$'
User = Annotated[str, StringConstraints(pattern=_PRINTABLE, max_length=MAX_USER_LENGTH)]
Context = Annotated[str, StringConstraints(pattern=_PRINTABLE, max_length=MAX_CONTEXT_LENGTH)]
ContextId = Annotated[str, StringConstraints(pattern=_PRINTABLE, max_length=MAX_CONTEXT_ID_LENGTH)]
MessageId = Annotated[str, StringConstraints(pattern=_PRINTABLE, max_length=MAX_ID_LENGTH)]
# Comes after the limits of a number: pydantic would not know the others for limits of an integer.
WHOLE = BeforeValidator(_whole)
Timestamp = Annotated[
    AwareDatetime,
    BeforeValidator(_rfc3339),
    PlainSerializer(_as_text, when_used="json-unless-none"),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": f"^{RFC3339_UTC}$"}),
]


_TRACEPARENT = f"^{TRACEPARENT}$"


class _Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        populate_by_name=True,
    )


class Recipient(_Strict):
    """Who, and which conversation or screen of theirs."""

    user: Annotated[User, Field(description="Who: the subject (`sub`) of the token that they connect with.")]
    context: Annotated[Context, Field(description="What kind of conversation or screen it is.")]
    context_id: Annotated[ContextId, Field(description="Which one of its kind.")]


class RetryPolicy(_Strict):
    """How a message waits for its recipient, where it is not to be as the stage says.

    The n-th wait in vain is followed by `random * min(cap, base * 2^n)` seconds; a reconnect ends any wait at once.
    A message that says nothing here looks for somebody who is away every few hours only: each look costs, and finds
    nothing.
    """

    max_attempts: Annotated[
        Annotated[int, Field(ge=1, le=MAX_ATTEMPTS), WHOLE] | None,
        Field(
            description="How often it is tried before it is dead-lettered. With it, the first wait is a short one also "
            "where nobody is there."
        ),
    ] = None
    backoff_base_seconds: Annotated[
        Annotated[int, Field(ge=1, le=MAX_BACKOFF_BASE_SECONDS), WHOLE] | None,
        Field(description="How long the first wait is at most."),
    ] = None
    backoff_cap_seconds: Annotated[
        Annotated[int, Field(ge=1, le=MAX_BACKOFF_CAP_SECONDS), WHOLE] | None,
        Field(description="How long any wait is at most; no less than the base."),
    ] = None

    @model_validator(mode="after")
    def _cap_is_no_lower_than_base(self) -> Self:
        if (
            self.backoff_base_seconds
            and self.backoff_cap_seconds
            and self.backoff_cap_seconds < self.backoff_base_seconds
        ):
            raise ValueError("backoffCapSeconds must not be lower than backoffBaseSeconds")
        return self


# The rules between fields, as the validators below have them: a null is as good as a field that is not there.
_BETWEEN_FIELDS: dict[str, Any] = {
    "allOf": [
        {"title": "type or messageType, not both", "not": {"required": ["type", "messageType"]}},
        {
            "title": "expiresAt or ttlSeconds, not both",
            "not": {
                "required": ["expiresAt", "ttlSeconds"],
                "properties": {"expiresAt": {"type": "string"}, "ttlSeconds": {"type": "integer"}},
            },
        },
        {
            "title": "ordered or sequence, not both",
            "not": {
                "required": ["ordered", "sequence"],
                "properties": {"ordered": {"const": True}, "sequence": {"type": "integer"}},
            },
        },
        {
            "title": "durable: false without ack client, ordered, track and retry",
            "not": {
                "required": ["durable"],
                "properties": {"durable": {"const": False}},
                "anyOf": [
                    {"required": ["ack"], "properties": {"ack": {"const": "client"}}},
                    {"required": ["ordered"], "properties": {"ordered": {"const": True}}},
                    {"required": ["track"], "properties": {"track": {"const": True}}},
                    {"required": ["retry"], "properties": {"retry": {"type": "object"}}},
                ],
            },
        },
    ]
}
_EXAMPLES: dict[str, Any] = {
    "examples": [
        {
            "id": "order-4711-shipped",
            "recipient": {"user": "ana", "context": "shop", "contextId": "orders"},
            "type": "order.shipped",
            "payload": {"order": 4711},
            "ttlSeconds": 86_400,
        },
        {
            "id": "call-17-invite",
            "recipient": {"user": "ana", "context": "chat", "contextId": "42"},
            "type": "call.invite",
            "payload": {"from": "bo"},
            "ack": "client",
            "ackTimeoutSeconds": 10,
            "expiresAt": "2030-01-31T12:00:00Z",
            "retry": {"maxAttempts": 5, "backoffBaseSeconds": 2, "backoffCapSeconds": 30},
        },
        {"recipient": {"user": "ana", "context": "chat", "contextId": "42"}, "payload": "Hello", "ordered": True},
        {
            "recipient": {"user": "ana", "context": "chat", "contextId": "42"},
            "type": "chat.typing",
            "payload": {"from": "bo"},
            "durable": False,
        },
    ],
}


def _complete(schema: dict[str, Any]) -> None:
    """Say in the JSON Schema what pydantic cannot know."""
    type_too = {"deprecated": True, "description": "What older WebSocket publishers call `type`."}
    schema["properties"]["messageType"] = {**schema["properties"]["type"], **type_too}
    schema["properties"]["messageType"].pop("default")
    schema.update(_BETWEEN_FIELDS | _EXAMPLES)


class Envelope(_Strict):
    """One message for one recipient."""

    model_config = ConfigDict(json_schema_extra=_complete)

    id: Annotated[
        MessageId | None,
        Field(
            description="Names one message for one recipient, for good, and makes it safe to send twice. Without one, "
            "whoever accepts the message names it."
        ),
    ] = None
    recipient: Recipient
    # `messageType` is what older WebSocket publishers call it.
    type: Annotated[
        str,
        StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH),
        Field(
            validation_alias=AliasChoices("type", "messageType"),
            description="What the client dispatches on. `messageType` is taken for it, too.",
        ),
    ] = "message"
    payload: Annotated[JsonValue, Field(description="Any JSON value. The frame that carries it may be 128 KiB in all.")]
    ack: Annotated[
        Literal["none", "client"],
        Field(
            description="When it counts as delivered: `none`, when it is posted; `client`, when the client says that "
            "it has it."
        ),
    ] = "none"
    ack_timeout_seconds: Annotated[
        Annotated[int, Field(ge=1, le=MAX_ACK_TIMEOUT_SECONDS), WHOLE] | None,
        Field(description="How long one post waits for its acknowledgement. Default: the stage's."),
    ] = None
    expires_at: Annotated[
        Timestamp | None,
        Field(
            description="The end of its life, in UTC, at most 7 days ahead. Give this or `ttlSeconds`; with neither, "
            "the stage's default counts."
        ),
    ] = None
    ttl_seconds: Annotated[
        Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS), WHOLE] | None,
        Field(description="The length of its life, from acceptance."),
    ] = None
    correlation_id: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH)] | None,
        Field(description="Goes along into logs and frames."),
    ] = None
    ordered: Annotated[
        bool, Field(description="Whether Ringback numbers it among the recipient's ordered messages.")
    ] = False
    track: Annotated[bool, Field(description="Whether a run carries it in any case, so that it can be looked up.")] = (
        False
    )
    durable: Annotated[
        bool,
        Field(
            description="Whether it waits for a recipient who is not there. If not, it is posted to whoever is "
            "connected now; if nobody is, it is dropped, and answered `missed`: no run, no waiting, no dead letter. "
            "Not together with `ack` `client`, `ordered`, `track` or `retry`."
        ),
    ] = True
    retry: RetryPolicy | None = None
    traceparent: Annotated[
        Annotated[str, StringConstraints(pattern=_TRACEPARENT)] | None,
        Field(description="W3C Trace Context; goes along into logs and frames."),
    ] = None
    sequence: Annotated[
        Annotated[int, Field(ge=0), WHOLE] | None,
        Field(description="The backend's own number; travels to the client as it is."),
    ] = None
    is_final: Annotated[
        bool | None, Field(description="Whether it is the last of its kind; travels to the client as it is.")
    ] = None

    @property
    def wants_a_run(self) -> bool:
        """Whether it is carried by a run in any case: one that can be looked up, and that can wait for an answer."""
        return self.ack == "client" or self.ordered or self.track

    @model_validator(mode="after")
    def _one_end_of_life(self) -> Self:
        if self.expires_at is not None and self.ttl_seconds is not None:
            raise ValueError("give expiresAt or ttlSeconds, not both")
        return self

    @model_validator(mode="after")
    def _one_who_numbers(self) -> Self:
        if self.ordered and self.sequence is not None:
            raise ValueError("give ordered or sequence, not both: Ringback numbers ordered messages itself")
        return self

    @model_validator(mode="after")
    def _only_the_durable_wait(self) -> Self:
        if not self.durable and (self.wants_a_run or self.retry is not None):
            raise ValueError(
                "give durable false without ack client, ordered, track and retry: it is posted now or not at all"
            )
        return self


class DirectRecipient(_Strict):
    """A connection that the sender knows. ``endpoint`` is its management API's base URL, if it is not the stage's."""

    connection_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_=-]+$", max_length=64)]
    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[!-~]+$", max_length=512)] | None = None


class DirectEnvelope(_Strict):
    """One message for one connection: posted once, at once or not at all."""

    id: MessageId | None = None
    recipient: DirectRecipient
    type: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH)] = "message"
    payload: JsonValue
    correlation_id: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH)] | None = None
    traceparent: Annotated[str, StringConstraints(pattern=_TRACEPARENT)] | None = None
    sequence: Annotated[int, Field(ge=0), WHOLE] | None = None
    is_final: bool | None = None


# Where pydantic speaks to whoever wrote the model, not to whoever wrote the message.
_PLAINLY = {
    "extra_forbidden": "there is no such field",
    "missing": "is missing",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be a JSON object",
    "string_pattern_mismatch": "must be printable ASCII, without spaces and #",
}
# The same, where the words have a number or a choice in them.
_REWORDED = (
    (r"^\w+ should have at least 1 (character|item).*", "must not be empty"),
    (r"^\w+ should (be|have) ", r"must \1 "),
    (" greater than or equal to ", " at least "),
    (" less than or equal to ", " at most "),
)
# Fields whose pattern is another one.
_PATTERNS_PLAINLY = {
    "traceparent": "must be W3C Trace Context, for example 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "connectionId": "must be a connection's id, as API Gateway writes it",
    "endpoint": "must be an http or https URL",
}


def describe(error: ValidationError, *, whole: str = "envelope") -> str:
    """Say what is wrong with an envelope, field by field, without repeating any of its values.

    Args:
        error: what pydantic says.
        whole: what to call the envelope, where it is wrong as a whole.
    """
    problems = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        # The keys inside a payload are the backend's own words, like its values.
        path = item["loc"][:1] if item["loc"][:1] == ("payload",) else item["loc"]
        field = ".".join(map(_printable, path)) or whole
        problems.append(f"{field}: {plainly(item['type'], path[-1:], item['msg'])}")
    return "; ".join(problems)


def plainly(error_type: str, field: tuple[int | str, ...], message: str) -> str:
    """Say what pydantic found in the last part of a field's path to whoever wrote the message."""
    if error_type == "string_pattern_mismatch" and field and field[0] in _PATTERNS_PLAINLY:
        return _PATTERNS_PLAINLY[str(field[0])]
    if error_type == "value_error":
        return message.removeprefix("Value error, ")
    for found, said in _REWORDED:
        message = re.sub(found, said, message)
    return _PLAINLY.get(error_type) or message


def _printable(name: object) -> str:
    """Name a field that somebody else named, in a text that logs and queue attributes take."""
    text = "".join(character if character.isprintable() else "?" for character in str(name)[:65])
    return text if len(text) < 65 else f"{text[:64]}…"


def parse(value: Any) -> Envelope:
    """Read an envelope from its JSON form (already decoded), which has the camelCase names only.

    Raises:
        pydantic.ValidationError: what is wrong; `describe` puts it into words that are safe to log.
    """
    return Envelope.model_validate(value, by_alias=True, by_name=False)
