"""The fan-out: one message to many people, as a backend hands it over.

The JSON form is camelCase, and unknown fields are refused, as in `ringback.envelope`.
"""

from typing import Annotated, Any, Self

from pydantic import AliasChoices, ConfigDict, Field, JsonValue, StringConstraints, ValidationError, model_validator

from ringback.envelope import (
    _PRINTABLE,
    _TRACEPARENT,
    WHOLE,
    Context,
    ContextId,
    RetryPolicy,
    Timestamp,
    User,
    _printable,
    _Strict,
    plainly,
)
from ringback.limits import (
    MAX_ATTRIBUTES,
    MAX_FAN_OUT_ID_LENGTH,
    MAX_TEXT_LENGTH,
    MAX_TTL_SECONDS,
)
from ringback.limits import MAX_USERS as MAX_USERS
from ringback.plain_fan_out import personal_id as personal_id

FanOutId = Annotated[str, StringConstraints(pattern=_PRINTABLE, max_length=MAX_FAN_OUT_ID_LENGTH)]
AttributeName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH)]
AttributeValue = Annotated[str, StringConstraints(max_length=1024)] | bool | int | float
AttributeValues = Annotated[list[AttributeValue], Field(min_length=1, max_length=100)]


# The rules between fields, in JSON Schema, as the validators below have them: a null is as good as a field that is not
# there.
_NAMED_PEOPLE: dict[str, Any] = {
    "context": {"type": "string"},
    "contextId": {"type": "string"},
    "conversation": {"type": "null"},
}
_ONE_OF_THREE: dict[str, Any] = {
    "oneOf": [
        {
            "title": "these users",
            "required": ["users", "context", "contextId"],
            "properties": {"users": {"type": "array"}, "list": {"type": "null"}, **_NAMED_PEOPLE},
        },
        {
            "title": "the users of a list",
            "required": ["list", "context", "contextId"],
            "properties": {"users": {"type": "null"}, "list": {"type": "object"}, **_NAMED_PEOPLE},
        },
        {
            "title": "everyone in a conversation",
            "required": ["conversation"],
            "properties": {
                "conversation": {"type": "object"},
                **{name: {"type": "null"} for name in ("users", "list", "context", "contextId")},
            },
        },
    ]
}
_ONE_END_OF_LIFE: dict[str, Any] = {
    "not": {
        "required": ["expiresAt", "ttlSeconds"],
        "properties": {"expiresAt": {"type": "string"}, "ttlSeconds": {"type": "integer"}},
    }
}
_RETRIES_ARE_FOR_THE_DURABLE: dict[str, Any] = {
    "anyOf": [
        {"required": ["durable"], "properties": {"durable": {"const": True}}},
        {"properties": {"message": {"properties": {"retry": {"type": "null"}}}}},
    ]
}


class Conversation(_Strict):
    """Everyone in one conversation whose token was allowed into it."""

    context: Context
    context_id: ContextId


class StoredList(_Strict):
    """A list of users in the stage's bucket: JSON Lines, each line ``{"user": …}``."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"\.jsonl$")]


class Audience(_Strict):
    """Who gets it: exactly one of three.

    ``users`` and ``list`` name people, and ``context`` and ``context_id`` say in which conversation of theirs.
    ``conversation`` is everyone who is connected there now.
    """

    model_config = ConfigDict(json_schema_extra=_ONE_OF_THREE)

    users: Annotated[list[User], Field(min_length=1, max_length=MAX_USERS)] | None = None
    stored_list: Annotated[StoredList | None, Field(alias="list")] = None
    conversation: Conversation | None = None
    context: Context | None = None
    context_id: ContextId | None = None

    @model_validator(mode="after")
    def _is_one_of_three(self) -> Self:
        given = [item for item in (self.users, self.stored_list, self.conversation) if item is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of users, list and conversation")
        named = self.context is not None and self.context_id is not None
        if self.conversation is None and not named:
            raise ValueError("give context and contextId beside users or list: in which conversation of theirs")
        if self.conversation is not None and (self.context is not None or self.context_id is not None):
            raise ValueError("give context and contextId inside conversation, not beside it")
        return self

    @property
    def place(self) -> Conversation:
        """The conversation that the frames go to."""
        if self.conversation is not None:
            return self.conversation
        return Conversation.model_validate({"context": self.context, "context_id": self.context_id}, by_name=True)


class FanOutMessage(_Strict):
    """What everyone gets. ``retry`` says how it waits for those who missed it, with ``durable``."""

    model_config = ConfigDict(json_schema_extra=_ONE_END_OF_LIFE)

    type: Annotated[
        str,
        StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH),
        Field(validation_alias=AliasChoices("type", "messageType")),
    ] = "message"
    payload: JsonValue
    expires_at: Timestamp | None = None
    ttl_seconds: Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS), WHOLE] | None = None
    correlation_id: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH)] | None = None
    retry: RetryPolicy | None = None
    traceparent: Annotated[str, StringConstraints(pattern=_TRACEPARENT)] | None = None

    @model_validator(mode="after")
    def _one_end_of_life(self) -> Self:
        if self.expires_at is not None and self.ttl_seconds is not None:
            raise ValueError("give expiresAt or ttlSeconds, not both")
        return self


class FanOut(_Strict):
    """One message to many people.

    ``exclude`` names users who do not get it. ``where`` keeps to connections with these attributes: each must have
    the value, or one of the values. With ``durable``, whoever missed it gets a delivery of their own.
    """

    model_config = ConfigDict(json_schema_extra=_RETRIES_ARE_FOR_THE_DURABLE)

    id: FanOutId | None = None
    message: FanOutMessage
    audience: Audience
    exclude: list[User] = Field(default_factory=list, max_length=MAX_USERS)
    where: dict[AttributeName, AttributeValue | AttributeValues] = Field(
        default_factory=dict, max_length=MAX_ATTRIBUTES
    )
    durable: bool = False

    @model_validator(mode="after")
    def _retries_are_for_the_durable(self) -> Self:
        if self.message.retry is not None and not self.durable:
            raise ValueError("give message.retry with durable only: nothing else waits")
        return self


def describe(error: ValidationError) -> str:
    """Say what is wrong with a fan-out, field by field, without repeating any of its values."""
    problems: dict[str, None] = {}
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        # The keys inside a payload and the attributes are the backend's own words, like its values.
        place = [part for part in item["loc"] if not (isinstance(part, str) and part.startswith(_OF_PYDANTIC))]
        path = place[: 2 if place[:2] == ["message", "payload"] else 1 if place[:1] == ["where"] else None]
        field = ".".join(map(_printable, path)) or "fan-out"
        said = plainly(item["type"], tuple(place[-1:]), item["msg"])
        if path == ["message", "durable"]:
            said = "give it beside message: whether whoever missed it gets a delivery"
        elif path == ["where"]:
            said = f"at most {MAX_ATTRIBUTES} attributes, each with a text, number or boolean, or a list of up to 100"
        elif path == ["audience", "list", "key"] and item["type"] == "string_pattern_mismatch":
            said = 'must name JSON Lines, {"user": …} a line, and end in .jsonl'
        problems[f"{field}: {said}"] = None
    return "; ".join(problems)


# How pydantic names the branches of a union in the place of an error.
_OF_PYDANTIC = ("constrained-", "function-", "lax-or-strict", "json-or-python", "nullable")


def parse(value: Any) -> FanOut:
    """Read a fan-out from its JSON form (already decoded), which has the camelCase names only.

    Raises:
        pydantic.ValidationError: what is wrong; `describe` puts it into words that are safe to log.
    """
    return FanOut.model_validate(value, by_alias=True, by_name=False)
