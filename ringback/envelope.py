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
    model_validator,
)
from pydantic.alias_generators import to_camel

MAX_TTL_SECONDS = 7 * 24 * 3600
MAX_ACK_TIMEOUT_SECONDS = 3600


# Narrower than `datetime.fromisoformat`, which also reads 2030-W05-4T12Z; JSONata's $toMillis does not.
_RFC3339_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z")


def _rfc3339(value: object) -> object:
    """Let only RFC 3339 text in UTC be a time: a number has no unit, and the state machine reads the same text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value
    if isinstance(value, str) and _RFC3339_UTC.fullmatch(value):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    raise ValueError("give the time in UTC as RFC 3339, for example 2030-01-31T12:00:00Z")


def _as_text(moment: datetime) -> str:
    """Write a time as `_rfc3339` reads it; pydantic would write microseconds."""
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


# Printable ASCII without '#', which joins the parts of a table key. Anything wider invites look-alikes.
_PRINTABLE = r'^[!-"$-~]+$'
User = Annotated[str, StringConstraints(pattern=_PRINTABLE, max_length=255)]
Context = Annotated[str, StringConstraints(pattern=_PRINTABLE, max_length=64)]
ContextId = Annotated[str, StringConstraints(pattern=_PRINTABLE, max_length=128)]
MessageId = Annotated[str, StringConstraints(pattern=_PRINTABLE, max_length=128)]
Timestamp = Annotated[AwareDatetime, BeforeValidator(_rfc3339), PlainSerializer(_as_text, when_used="json-unless-none")]


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

    user: User
    context: Context
    context_id: ContextId


class Envelope(_Strict):
    """One message for one recipient.

    ``expires_at`` (UTC) and ``ttl_seconds`` (from acceptance) exclude each other; with neither, the stage's
    default life applies. ``sequence`` and ``is_final`` travel to the client as they are.
    """

    id: MessageId | None = None
    recipient: Recipient
    # `messageType` is what older WebSocket publishers call it.
    type: Annotated[
        str,
        StringConstraints(min_length=1, max_length=128),
        Field(validation_alias=AliasChoices("type", "messageType")),
    ] = "message"
    payload: JsonValue
    ack: Literal["none", "client"] = "none"
    ack_timeout_seconds: Annotated[int, Field(ge=1, le=MAX_ACK_TIMEOUT_SECONDS)] | None = None
    expires_at: Timestamp | None = None
    ttl_seconds: Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS)] | None = None
    correlation_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    sequence: Annotated[int, Field(ge=0)] | None = None
    is_final: bool | None = None

    @model_validator(mode="after")
    def _one_end_of_life(self) -> Self:
        if self.expires_at is not None and self.ttl_seconds is not None:
            raise ValueError("give expiresAt or ttlSeconds, not both")
        return self


# Where pydantic speaks to whoever wrote the model, not to whoever wrote the message.
_PLAINLY = {
    "extra_forbidden": "there is no such field",
    "missing": "is missing",
    "model_type": "must be a JSON object",
    "string_pattern_mismatch": "must be printable ASCII, without spaces and #",
}


def describe(error: ValidationError) -> str:
    """Say what is wrong with an envelope, field by field, without repeating any of its values."""
    problems = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        # The keys inside a payload are the backend's own words, like its values.
        path = item["loc"][:1] if item["loc"][:1] == ("payload",) else item["loc"]
        field = ".".join(map(_printable, path)) or "envelope"
        problems.append(f"{field}: {_PLAINLY.get(item['type']) or item['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)


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
