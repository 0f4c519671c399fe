"""A chat and what happens to it. The JSON form is camelCase; times are UTC, as RFC 3339."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from ringback.envelope import Recipient, Timestamp

MAX_TEXT_LENGTH = 4_000
MAX_SUBJECT_LENGTH = 200
MAX_FEEDBACK_LENGTH = 2_000


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


class _Model(BaseModel):
    # What is wrong with a stored one stands in the log, and what people say does not.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, alias_generator=to_camel, populate_by_name=True
    )

    def as_json(self) -> dict[str, Any]:
        """The JSON form, in which it is pushed and answered: what there is none of is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def as_text(self) -> str:
        """The same as text, in which it is kept."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class Person(_Model):
    """Who does something."""

    role: Role
    user: str

    @property
    def recipient(self) -> Recipient:
        """Where messages for them go."""
        return Recipient(user=self.user, context=self.role.context, context_id=self.role.context_id)


class Chat(_Model):
    """One chat, as it is now.

    ``version`` is the number of its last event: whoever changes the chat names the version that they have seen.
    """

    id: str
    status: Status
    customer: str
    version: Annotated[int, Field(description="The number of its last event.")]
    subject: str | None = None
    agent: Annotated[str | None, Field(description="Who has accepted it, or had it when it ended.")] = None
    started_at: Timestamp
    waiting_since: Annotated[Timestamp, Field(description="Since when it has been in the queue, the last time.")]
    accepted_at: Annotated[Timestamp | None, Field(description="When its agent got it.")] = None
    first_response_at: Timestamp | None = None
    last_activity_at: Annotated[Timestamp, Field(description="When somebody last did something.")]
    agent_away_since: Timestamp | None = None
    ended_at: Timestamp | None = None
    end_reason: EndReason | None = None
    rating: Annotated[int | None, Field(ge=1, le=5)] = None
    feedback: str | None = None
    # Of each who has sent of late, when they may send a whole minute's messages again. For the rules alone: no answer
    # has it, and the table keeps it beside the chat.
    allowance_whole_at: Annotated[Mapping[str, datetime], SkipJsonSchema(), Field(exclude=True)] = {}

    @property
    def was_accepted(self) -> bool:
        """Whether an agent ever had it."""
        return self.accepted_at is not None

    @property
    def queue_key(self) -> str:
        """Its place in the queue: first come, first served; who comes back into it has the old place."""
        return f"{self.started_at.isoformat(timespec='milliseconds')}#{self.id}"


class Event(_Model):
    """One thing that happened to a chat; which of the optional fields there are depends on `type`.

    Events of a chat are numbered from 1, without gaps. The same JSON is pushed, listed and kept.
    """

    chat_id: str
    number: int
    type: EventType
    at: Timestamp
    by: Annotated[Person | None, Field(description="Who did it; nobody, if time did.")] = None
    subject: Annotated[str | None, Field(description="waiting: what it is about")] = None
    agent: Annotated[str | None, Field(description="accepted, transferred: who has it now; requeued: who had it")] = (
        None
    )
    id: Annotated[str | None, Field(description="message: the id that its sender gave it")] = None
    text: Annotated[str | None, Field(description="message: what was said")] = None
    reason: Annotated[
        EndReason | Literal["transfer", "agent_away"] | None,
        Field(description="ended: who or what ended it; requeued: why"),
    ] = None
    seconds: Annotated[
        int | None,
        Field(
            description="accepted: how long it was in the queue; message: the time to the first response, if it is "
            "that; ended: how long it was; agent_away: how long the agent has to return"
        ),
    ] = None
    can_be_rated: Annotated[bool | None, Field(description="ended: whether the customer can rate it")] = None
    rating: Annotated[int | None, Field(description="rated: 1 to 5")] = None
    feedback: Annotated[str | None, Field(description="rated: in the customer's words")] = None


class Change(_Model):
    """What a decision comes to: the chat after it, the event, and who is told of it."""

    chat: Chat
    event: Event
    to: tuple[Person, ...]
