"""What goes in and comes out beside the socket: the direct calls and the dead letters.

Like `ringback.protocol`, these models document; the functions and the state machine write the same without them, and
tests hold the two together. A field without a value is not there, unless it says that it may be null.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from ringback.envelope import Envelope, Timestamp

MAX_MESSAGES_A_CALL = 100


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, alias_generator=to_camel, populate_by_name=True)


class AcceptRequest(_Wire):
    """What the function accept is invoked with. What is no envelope is answered as such; the others are taken."""

    messages: Annotated[list[Envelope], Field(max_length=MAX_MESSAGES_A_CALL)]


class AcceptResult(_Wire):
    """What became of one message."""

    id: Annotated[
        str | SkipJsonSchema[None],
        Field(description="The message's id, made up if it had none. Not there if it had none and was invalid."),
    ] = None
    status: Annotated[
        Literal["delivered", "started", "duplicate", "missed", "conflict", "invalid", "unavailable"],
        Field(
            description="`delivered`: posted, without a run; `started`: a run carries it; `duplicate`: the same "
            "message came before; `missed`: it was not durable, and nobody was there to take it; `conflict`: the id "
            "belongs to another message; `invalid`: `detail` says what to do; `unavailable`: try again with the "
            "same id."
        ),
    ]
    execution_arn: Annotated[str | SkipJsonSchema[None], Field(description="The run that carries it.")] = None
    detail: Annotated[
        str | SkipJsonSchema[None],
        Field(description="What is wrong, or was not delivered when it came before, and what to do about it."),
    ] = None


class AcceptAnswer(_Wire):
    """What accept answers: a result for each message, in the messages' order."""

    results: list[AcceptResult]


class PostOnceAnswer(_Wire):
    """What the function postOnce answers. It was posted, or its connection is gone (410), or neither can be said."""

    status: Literal["delivered", "gone", "failed"]
    id: Annotated[str, Field(description="The message's id, made up if it had none.")]
    connection_id: str


class LastError(_Wire):
    """What led to the last wait before the end, or ended it."""

    error: str
    cause: str


class DeadLetterBody(_Wire):
    """A message that was not delivered, as it stands on the dead letter queue."""

    message: Annotated[
        JsonValue, Field(description="The input as it came: an envelope, unless that was wrong with it.")
    ]
    reason: Annotated[str, Field(description="The error's name: `MessageExpired`, `AttemptsExhausted`, …")]
    cause: Annotated[str, Field(description="The error in words.")]
    last_error: LastError
    attempts: Annotated[
        Annotated[int, Field(ge=0)] | None,
        Field(description="How many attempts there were; null if the run was ended from outside."),
    ]
    execution_arn: Annotated[str, Field(description="The run that carried it.")]
    dead_lettered_at: Timestamp
