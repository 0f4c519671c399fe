"""A chat and what happens to it. The JSON form is camelCase; times are UTC, as RFC 3339.

What an annotation says beside a field's type is for the API's description.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar

from ringback.forms import Form, to_camel
from ringback.plain import Recipient

T = TypeVar("T")

MAX_TEXT_LENGTH = 4_000
MAX_SUBJECT_LENGTH = 200
MAX_FEEDBACK_LENGTH = 2_000
NOT_IN_JSON = frozenset({"allowance_whole_at"})


class Role(StrEnum):
    """What a person is here, as their token says."""

    CUSTOMER = "customer"
    AGENT = "agent"

    @property
    def context(self) -> str:
        """The context of their connections.

        The agents' desk is one of its own: what opens the customers', all of it even (``chat``, ``chat/*``), does not
        open the desk. Only agents' tokens do (`token.contexts_claim`).
        """
        return "desk" if self is Role.AGENT else "chat"

    @property
    def context_id(self) -> str:
        """The context id of their connections."""
        return "chat" if self is Role.AGENT else "support"


class Status(StrEnum):
    """What a chat is."""

    WAITING = "WAITING"
    ACTIVE = "ACTIVE"
    ENDED = "ENDED"


class EndReason(StrEnum):
    """Who or what ended it."""

    CUSTOMER = "customer"
    AGENT = "agent"
    IDLE = "idle"
    MAX_WAIT = "max_wait"


class EventType(StrEnum):
    """What can happen to a chat; also the `type` of the message that tells it."""

    WAITING = "chat.waiting"
    ACCEPTED = "chat.accepted"
    MESSAGE = "chat.message"
    TRANSFERRED = "chat.transferred"
    REQUEUED = "chat.requeued"
    AGENT_AWAY = "chat.agent_away"
    AGENT_BACK = "chat.agent_back"
    ENDED = "chat.ended"
    RATED = "chat.rated"


class _Form(Form):
    """What is pushed, answered and kept."""

    def as_json(self) -> dict[str, Any]:
        """The JSON form, in which it is pushed and answered: what there is none of is left out."""
        return self._written(name for name in self._in_json() if getattr(self, name) is not None)

    def as_text(self) -> str:
        """The same as text, in which it is kept."""
        return json.dumps(self.as_json(), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Read what `as_json` wrote, or a newer version: what is not known is left out.

        Raises:
            ValueError, TypeError, AttributeError: it is something else.
        """
        there = {name: given.get(to_camel(name)) for name in cls._in_json()}
        return cls(**{name: _read(name, value) for name, value in there.items() if value is not None})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The same of what `as_text` wrote."""
        return cls.from_json(json.loads(text))

    @classmethod
    def _in_json(cls) -> Iterator[str]:
        return (name for name in cls._names if name not in NOT_IN_JSON)


class Person(_Form):
    """Who does something."""

    role: Role
    user: str

    @property
    def recipient(self) -> Recipient:
        """Where messages for them go."""
        return Recipient(user=self.user, context=self.role.context, context_id=self.role.context_id)


class Chat(_Form):
    """One chat, as it is now.

    ``version`` is the number of its last event: whoever changes the chat names the version that they have seen.
    """

    id: str
    status: Status
    customer: str
    version: Annotated[int, "The number of its last event."]
    subject: str | None = None
    agent: Annotated[str | None, "Who has accepted it, or had it when it ended."] = None
    started_at: datetime
    waiting_since: Annotated[datetime, "Since when it has been in the queue, the last time."]
    accepted_at: Annotated[datetime | None, "When its agent got it."] = None
    first_response_at: datetime | None = None
    last_activity_at: Annotated[datetime, "When somebody last did something."]
    agent_away_since: datetime | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    rating: Annotated[int | None, range(1, 6)] = None
    feedback: str | None = None
    # Of each who has sent of late, when they may send a whole minute's messages again. For the rules alone: no answer
    # has it, and the table keeps it beside the chat.
    allowance_whole_at: Mapping[str, datetime] = {}

    @property
    def was_accepted(self) -> bool:
        """Whether an agent ever had it."""
        return self.accepted_at is not None

    @property
    def queue_key(self) -> str:
        """Its place in the queue: first come, first served; who comes back into it has the old place."""
        return f"{self.started_at.isoformat(timespec='milliseconds')}#{self.id}"


class Event(_Form):
    """One thing that happened to a chat; which of the optional fields there are depends on `type`.

    Events of a chat are numbered from 1, without gaps. The same JSON is pushed, listed and kept.
    """

    chat_id: str
    number: int
    type: EventType
    at: datetime
    by: Annotated[Person | None, "Who did it; nobody, if time did."] = None
    subject: Annotated[str | None, "waiting: what it is about"] = None
    agent: Annotated[str | None, "accepted, transferred: who has it now; requeued: who had it"] = None
    id: Annotated[str | None, "message: the id that its sender gave it"] = None
    text: Annotated[str | None, "message: what was said"] = None
    reason: Annotated[
        EndReason | Literal["transfer", "agent_away"] | None, "ended: who or what ended it; requeued: why"
    ] = None
    seconds: Annotated[
        int | None,
        "accepted: how long it was in the queue; message: the time to the first response, if it is that; ended: how "
        "long it was; agent_away: how long the agent has to return",
    ] = None
    can_be_rated: Annotated[bool | None, "ended: whether the customer can rate it"] = None
    rating: Annotated[int | None, "rated: 1 to 5"] = None
    feedback: Annotated[str | None, "rated: in the customer's words"] = None


class Change(Form):
    """What a decision comes to: the chat after it, the event, and who is told of it."""

    chat: Chat
    event: Event
    to: tuple[Person, ...]


def _read(name: str, given: Any) -> Any:
    read: Callable[[Any], Any] = _READ.get(name, _text)
    try:
        return read(given)
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f"{name}: it cannot be read") from None  # what stands there is nothing for a log


def _text(given: Any) -> str:
    return _typed(str, given)


def _number(given: Any) -> int:
    return _typed(int, given)


def _flag(given: Any) -> bool:
    return _typed(bool, given)


def _moment(given: Any) -> datetime:
    return datetime.fromisoformat(given).astimezone(UTC)


def _reason(given: Any) -> str:
    return _text(given) if given in {"transfer", "agent_away"} else EndReason(given)


def _typed(kind: type[T], given: Any) -> T:
    if type(given) is not kind:
        raise ValueError("it is of another type")
    return given


# How a field is read, by its name; the others are texts.
_READ: Mapping[str, Callable[[Any], Any]] = {
    "role": Role,
    "status": Status,
    "type": EventType,
    "end_reason": EndReason,
    "reason": _reason,
    "by": Person.from_json,
    "can_be_rated": _flag,
    **dict.fromkeys(("version", "number", "seconds", "rating"), _number),
    **dict.fromkeys(("at", "started_at", "waiting_since", "accepted_at", "first_response_at"), _moment),
    **dict.fromkeys(("last_activity_at", "agent_away_since", "ended_at"), _moment),
}
