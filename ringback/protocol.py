"""What travels on the socket: the frames in both directions, as JSON text.

The models document the frames, and `docs/asyncapi.json` is made of them. The functions build and read the same frames
without them, for speed; contract tests hold the two together.

A field without a value is not there; none is ever null, but within a payload. Fields that are not listed here are to be
ignored, in both directions.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from ringback.envelope import Timestamp
from ringback.names import SKIPPED

MAX_IDS_PER_ACKNOWLEDGEMENT = 100


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


# Wider than `ringback.envelope.MessageId`: a message without an id has its execution's name, and that may be Unicode.
FrameId = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_printable)]


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, alias_generator=to_camel, populate_by_name=True)


class _Carrier(_Frame):
    """What every frame that carries a message has beside the message."""

    kind: Literal["message"]
    id: Annotated[FrameId, Field(description="Keep the ids you have seen: a message may come twice.")]
    sent_at: Annotated[Timestamp, Field(description="When it was posted, in UTC.")]
    attempt: Annotated[int, Field(ge=1, description="Which attempt at the message this is, counted from 1.")]
    correlation_id: Annotated[str | SkipJsonSchema[None], Field(description="As the backend gave it.")] = None
    traceparent: Annotated[
        str | SkipJsonSchema[None], Field(description="W3C Trace Context, as the backend gave it.")
    ] = None
    sequence: Annotated[
        Annotated[int, Field(ge=0)] | SkipJsonSchema[None],
        Field(
            description="With `ordered`, its number among the recipient's ordered messages: contiguous, from 1. Else "
            "the backend's own."
        ),
    ] = None
    ordered: Annotated[
        Literal[True] | SkipJsonSchema[None],
        Field(description="Ringback numbered it: hold it back until the numbers before it have come."),
    ] = None
    is_final: Annotated[bool | SkipJsonSchema[None], Field(description="As the backend gave it.")] = None
    ack: Annotated[
        Literal["client"] | SkipJsonSchema[None],
        Field(description="A run waits for the client to acknowledge it. Without this field nobody does."),
    ] = None


_PLAIN: JsonDict = {
    "kind": "message",
    "id": "order-4711-shipped",
    "type": "order.shipped",
    "payload": {"order": 4711},
    "sentAt": "2030-01-31T12:00:00.250Z",
    "attempt": 1,
}
_ORDERED: JsonDict = {
    "kind": "message",
    "id": "chat-42-17",
    "type": "chat.said",
    "payload": {"text": "Hello"},
    "sentAt": "2030-01-31T12:00:03.000Z",
    "attempt": 2,
    "sequence": 17,
    "ordered": True,
    "ack": "client",
}


class MessageFrame(_Carrier):
    """One message."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PLAIN, _ORDERED]})

    type: Annotated[
        str, Field(min_length=1, max_length=128, description="What to dispatch on; `message` if the backend gave none.")
    ]
    payload: Annotated[JsonValue, Field(description="As the backend gave it.")]


class Skipped(_Frame):
    """Which number will not come: its message was cancelled, or is a dead letter."""

    id: Annotated[FrameId, Field(description="The id of the message that will not come.")]
    sequence: Annotated[int, Field(ge=1, description="The number not to wait for any longer.")]


class SkippedFrame(_Carrier):
    """A message of Ringback's own: an ordered message will not come. Acknowledge it like any other."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "message",
                    "id": "skipped-chat-42-18",
                    "type": SKIPPED,
                    "payload": {"id": "chat-42-18", "sequence": 18},
                    "sentAt": "2030-02-01T12:00:00.000Z",
                    "attempt": 1,
                    "ack": "client",
                }
            ]
        }
    )

    type: Literal["ringback.skipped"]
    payload: Skipped


class BatchFrame(_Frame):
    """Several messages for one recipient, in their order. The whole frame is 128 KiB at most."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kind": "batch", "messages": [_PLAIN, _ORDERED]}]})

    kind: Literal["batch"]
    messages: Annotated[list[MessageFrame], Field(min_length=1)]


class PongFrame(_Frame):
    """The answer to a ping."""

    kind: Literal["pong"]


class ErrorFrame(_Frame):
    """The answer to a frame with an action that there is not."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"kind": "error", "error": "UnknownAction", "message": "There are two actions: ack and ping."}]
        }
    )

    kind: Literal["error"]
    error: Annotated[str, Field(description="The error's name, for programs.")]
    message: Annotated[str, Field(description="What to do about it, for people.")]


class CloseFrame(_Frame):
    """The connection ends now, and why. It may be missing: a connection can end without a word."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "close", "reason": "evicted", "reconnect": False}]}
    )

    kind: Literal["close"]
    reason: Annotated[
        str,
        Field(
            min_length=1,
            description="`evicted`: the user opened more connections than the stage allows, and this was the oldest. "
            "There may be more reasons one day.",
        ),
    ]
    reconnect: Annotated[
        bool, Field(description="Whether the client may come back by itself; if not, only when the person asks for it.")
    ]


class AckFrame(_Frame):
    """The client has one message, or several. It is not answered. With `ids`, an `id` beside it does not count."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["id"]}, {"required": ["ids"]}],
            "examples": [
                {"action": "ack", "id": "order-4711-shipped"},
                {"action": "ack", "ids": ["chat-42-17", "chat-42-18"]},
            ],
        }
    )

    action: Literal["ack"]
    id: Annotated[FrameId | SkipJsonSchema[None], Field(description="The message's id.")] = None
    ids: Annotated[
        Annotated[list[FrameId], Field(min_length=1, max_length=MAX_IDS_PER_ACKNOWLEDGEMENT)] | SkipJsonSchema[None],
        Field(description="The messages' ids."),
    ] = None

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if self.id is None and self.ids is None:
            raise ValueError("give id or ids")
        return self

    @property
    def acknowledged(self) -> list[str]:
        """The ids of the messages that the client has."""
        return self.ids or [str(self.id)]


class PingFrame(_Frame):
    """Asks for a pong, and keeps an idle connection open: API Gateway ends it after ten minutes without a frame."""

    action: Literal["ping"]


FrameToClient = Annotated[MessageFrame | BatchFrame | PongFrame | ErrorFrame | CloseFrame, Field(discriminator="kind")]
FrameFromClient = Annotated[AckFrame | PingFrame, Field(discriminator="action")]
