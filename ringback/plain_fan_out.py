"""Fan-outs as the functions work with them: read without pydantic where nothing is wrong, as in `ringback.plain`."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ringback import surely
from ringback.errors import InvalidMessage
from ringback.limits import (
    MAX_ATTRIBUTES,
    MAX_CONTEXT_ID_LENGTH,
    MAX_CONTEXT_LENGTH,
    MAX_FAN_OUT_ID_LENGTH,
    MAX_TTL_SECONDS,
    MAX_USER_LENGTH,
    MAX_USERS,
)
from ringback.plain import Retry, read_retry, retry_of_model
from ringback.surely import optional, require

if TYPE_CHECKING:
    from ringback import fan_out


class Conversation(NamedTuple):
    """Everyone in one conversation whose token was allowed into it."""

    context: str
    context_id: str


class Audience(NamedTuple):
    """Who gets it: ``users``, the users of ``stored_list`` (its key), or all in the ``place`` if ``is_conversation``.

    ``place`` is the conversation that the frames go to.
    """

    place: Conversation
    is_conversation: bool = False
    users: tuple[str, ...] | None = None
    stored_list: str | None = None


class Message(NamedTuple):
    """What everyone gets; what each field is, `ringback.fan_out.FanOutMessage` says."""

    payload: Any
    type: str = "message"
    expires_at: datetime | None = None
    ttl_seconds: int | None = None
    correlation_id: str | None = None
    retry: Retry | None = None
    traceparent: str | None = None


class FanOut(NamedTuple):
    """One message to many people; what each field is, `ringback.fan_out.FanOut` says."""

    message: Message
    audience: Audience
    id: str | None = None
    exclude: tuple[str, ...] = ()
    where: Mapping[str, Any] = MappingProxyType({})
    durable: bool = False


def personal_id(fan_out_id: str, user: str) -> str:
    """The id of the message that one person gets: the fan-out's, and 16 digits that are theirs."""
    return f"{fan_out_id}-{hashlib.sha256(user.encode()).hexdigest()[:16]}"


def read(value: object) -> FanOut:
    """Read a fan-out from its JSON form (already decoded), which has the camelCase names only.

    Raises:
        InvalidMessage: what is wrong, in words that are safe to log.
    """
    try:
        return _fan_out(surely.fields(value, {"id", "message", "audience", "exclude", "where", "durable"}))
    except surely.NotSure:
        return _read_by_model(value)


def of_model(model: "fan_out.FanOut") -> FanOut:
    """The same fan-out, from the model."""
    message, audience = model.message, model.audience
    values = {name: getattr(message, name) for name in Message._fields}
    values["retry"] = message.retry and retry_of_model(message.retry)
    return FanOut(
        id=model.id,
        message=Message(**values),
        audience=Audience(
            place=Conversation(audience.place.context, audience.place.context_id),
            is_conversation=audience.conversation is not None,
            users=None if audience.users is None else tuple(audience.users),
            stored_list=None if audience.stored_list is None else audience.stored_list.key,
        ),
        exclude=tuple(model.exclude),
        where=model.where,
        durable=model.durable,
    )


_MESSAGE_FIELDS = frozenset({"type", "payload", "expiresAt", "ttlSeconds", "correlationId", "retry", "traceparent"})
_MOST_VALUES = 100
_LONGEST_VALUE = 1024
_LARGEST_VALUE = 2**53


def _fan_out(given: Mapping[str, Any]) -> FanOut:
    fan_out = FanOut(
        id=optional(surely.identifier, given.get("id"), MAX_FAN_OUT_ID_LENGTH),
        message=_message(surely.fields(given.get("message"), _MESSAGE_FIELDS)),
        audience=_audience(given.get("audience")),
        exclude=_users(given.get("exclude", [])),
        where=_where(given.get("where", {})),
        durable=surely.flag(given.get("durable", False)),
    )
    require(fan_out.durable or not fan_out.message.retry)
    return fan_out


def _message(given: Mapping[str, Any]) -> Message:
    require("payload" in given)
    message = Message(
        type=surely.text(given.get("type", "message")),
        payload=surely.json_value(given["payload"]),
        expires_at=optional(surely.moment, given.get("expiresAt")),
        ttl_seconds=optional(surely.number, given.get("ttlSeconds"), 1, MAX_TTL_SECONDS),
        correlation_id=optional(surely.text, given.get("correlationId")),
        retry=optional(read_retry, given.get("retry")),
        traceparent=optional(surely.traceparent, given.get("traceparent")),
    )
    require(message.expires_at is None or message.ttl_seconds is None)
    return message


def _audience(value: object) -> Audience:
    # A field that is null is as good as not there, and of the combinations only these three are right.
    given = surely.fields(value, {"users", "list", "conversation", "context", "contextId"})
    there = {name: item for name, item in given.items() if item is not None}
    if there.keys() == {"conversation"}:
        place = surely.fields(there["conversation"], {"context", "contextId"})
        return Audience(_place(place), is_conversation=True)
    if there.keys() == {"users", "context", "contextId"}:
        users = _users(there["users"])
        require(users)
        return Audience(_place(there), users=users)
    require(there.keys() == {"list", "context", "contextId"})
    key = surely.text(surely.fields(there["list"], {"key"}).get("key"), most=1024)
    require(key.endswith(".jsonl"))
    return Audience(_place(there), stored_list=key)


def _place(given: Mapping[str, Any]) -> Conversation:
    return Conversation(
        surely.identifier(given.get("context"), MAX_CONTEXT_LENGTH),
        surely.identifier(given.get("contextId"), MAX_CONTEXT_ID_LENGTH),
    )


def _users(value: object) -> tuple[str, ...]:
    return tuple(surely.identifier(user, MAX_USER_LENGTH) for user in _list(value, MAX_USERS))


def _list(value: object, most: int) -> list[Any]:
    if isinstance(value, list) and len(value) <= most:
        return value
    raise surely.NotSure


def _where(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise surely.NotSure
    require(len(value) <= MAX_ATTRIBUTES)
    return {surely.text(name): _values(wanted) for name, wanted in value.items()}


def _values(value: object) -> Any:
    if not isinstance(value, list):
        return _value(value)
    require(0 < len(value) <= _MOST_VALUES)
    return [_value(item) for item in value]


def _value(value: object) -> Any:
    if isinstance(value, str):
        return surely.text(value, 0, _LONGEST_VALUE)
    if isinstance(value, bool):
        return surely.flag(value)
    return surely.number(value, -_LARGEST_VALUE, _LARGEST_VALUE)


def _read_by_model(value: object) -> FanOut:
    from pydantic import ValidationError

    from ringback import fan_out

    try:
        return of_model(fan_out.parse(value))
    except ValidationError as error:
        raise InvalidMessage(fan_out.describe(error)) from None
