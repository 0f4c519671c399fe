"""The description of the chat's HTTP API. Paths and parameters come from the routes, the bodies from the models.

Only whoever exports it or tests it imports this; the function does without.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from lambdas.chat.core import model, telling
from lambdas.chat.core.errors import TooManyMessages
from lambdas.chat.routes.bodies import NewChat, NewMessage, NewRating, Transfer
from lambdas.chat.routes.chat_api import ROUTES
from lambdas.chat.routes.problems import TRY_AGAIN, Kind
from lambdas.chat.routes.requests import FORMS, MAX_EVENT_NUMBER, MAX_EVENTS
from lambdas.openapi import (
    JSON,
    REFUSAL,
    SCHEMAS,
    Json,
    answer,
    document,
    model_of,
    one_of,
    parameter,
    problem,
    problem_answers,
)
from lambdas.problems import General
from lambdas.problems import Kind as AnyKind


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


if TYPE_CHECKING:  # for whom a model that is made is no type

    class Chat(BaseModel):
        """See `lambdas.chat.core.model`."""

    class Event(BaseModel):
        """See there."""
else:
    Chat, Event = model_of(model.Chat, closed=True, without=model.NOT_IN_JSON), model_of(model.Event, closed=True)


class ShownChat(Chat):
    """A chat, and its place in the queue if it waits."""

    position: Annotated[int | None, Field(ge=1, description="Its place in the queue, from 1.")] = None


class Waiting(_Answer):
    """What an agent can take, and what they have."""

    waiting: Annotated[
        list[ShownChat], Field(description=f"The queue, first come, first served: at most {telling.LISTED} of it.")
    ]
    active: Annotated[list[Chat], Field(description="The chats that the caller has now.")]


class Chats(_Answer):
    """What a customer has."""

    chats: Annotated[list[Chat], Field(max_length=1, description="The chat that they started last.")]


class Messages(_Answer):
    """Some of what happened in a chat, in its order; the same JSON is pushed."""

    messages: list[Event]
    more: Annotated[bool, Field(description="Whether there is more: ask again with `after` as the last `number`.")]


class Typing(_Answer):
    """Whom it was shown to."""

    told: Annotated[bool, Field(description="Whether the other side was connected, and was shown it.")]


class Transcript(_Answer):
    """What was said and done in a chat."""

    chat: Chat
    events: list[Event]
    complete: Annotated[
        bool,
        Field(
            description="Whether that is all: a very long one is cut off (read the rest as messages), and what "
            "happened long ago may not be kept any more."
        ),
    ]


MODELS = (
    ShownChat,
    Chat,
    Event,
    Waiting,
    Chats,
    Messages,
    Typing,
    Transcript,
    NewChat,
    NewMessage,
    Transfer,
    NewRating,
)
"""What goes in and comes out."""

_DESCRIPTION = """\
Live chat on top of Ringback: what customers and agents do. What comes of it is pushed to them over Ringback's
WebSocket, in order, so that nobody has to ask again and again; what can be asked here is the same truth.

Every call has a JSON Web Token of the issuer and audience that the stage names. Its `sub` is the user; a claim says who
is an agent, everybody else is a customer. API Gateway refuses what has no good token by itself, and limits how many
requests there are.

Every other error is a problem (RFC 9457); its `type` stays as it is for good.
"""


def openapi() -> Json:
    """The OpenAPI 3.1 document. Needs no AWS and no environment."""
    return document(
        ROUTES,
        info={
            "title": "Ringback Chat",
            "summary": "Live chat: queue, agents, messages, ratings",
            "description": _DESCRIPTION,
        },
        server={
            "url": "{chatApiUrl}",
            "description": "The stack's output `ChatApiUrl`",
            "variables": {"chatApiUrl": {"default": "https://example.execute-api.eu-central-1.amazonaws.com"}},
        },
        security=[{"jwt": []}],
        components={"schemas": _schemas(), "securitySchemes": _SECURITY_SCHEMES},
        parameters={"id": parameter("id", "The chat's id.", {"type": "string"})},
        operations=_OPERATIONS,
    )


def _schemas() -> Json:
    models: Any = [(model, "validation") for model in MODELS]
    _, definitions = models_json_schema(models, by_alias=True, ref_template=f"{SCHEMAS}{{model}}")
    return {**definitions["$defs"], "Problem": problem([*General, *Kind]), "Refusal": REFUSAL}


_SECURITY_SCHEMES: Json = {
    "jwt": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the issuer and audience that the stage's setting `chat` names.",
    }
}
_REFUSALS = {
    HTTPStatus.UNAUTHORIZED: "there is no good token",
    HTTPStatus.TOO_MANY_REQUESTS: "slow down",
}


def _problems(*kinds: AnyKind) -> dict[str, Json]:
    """The problems of an operation, with those that each can have."""
    general = [Kind.FORBIDDEN, General.INTERNAL_ERROR, Kind.UNAVAILABLE, Kind.UNREADABLE]
    return problem_answers({kind: _DETAILS[kind] for kind in [*kinds, *general]}, _REFUSALS)


def _body(schema: str, example: Json, **more: Any) -> Json:
    content = {JSON: {"schema": one_of(schema), "examples": {"example": {"value": example}}}}
    return {"required": True, "content": content, **more}


_DETAILS: Mapping[AnyKind, str] = {
    General.INVALID_REQUEST: "text: is missing",
    General.NOT_ACCEPTABLE: f"accept {' or '.join(FORMS.values())}",
    General.UNSUPPORTED_MEDIA_TYPE: "send JSON, with the header Content-Type: application/json",
    General.INTERNAL_ERROR: "this is no fault of the request; …",
    Kind.FORBIDDEN: "the token's sub must be up to 255 printable ASCII characters, without spaces and #",
    Kind.AGENTS_ONLY: "only agents can do this",
    Kind.CUSTOMERS_ONLY: "only customers can do this",
    Kind.NOT_YOUR_CHAT: "it is another agent's",
    Kind.CHAT_NOT_FOUND: "there is no such chat, or it is not yours",
    Kind.ALREADY_ACCEPTED: "another agent has accepted it",
    Kind.NOT_ACCEPTED: "no agent has accepted it yet",
    Kind.CHAT_HAS_ENDED: "it is over; start another one",
    Kind.NOT_ENDED: "end it first: a rating is for a chat that is over",
    Kind.NOTHING_TO_RATE: "no agent has ever accepted it",
    Kind.ALREADY_RATED: "it has been rated, and a rating stays as it is",
    Kind.RATING_CLOSED: "the time for a rating is over",
    Kind.TOO_MANY_MESSAGES: str(TooManyMessages(1)),
    Kind.ID_TAKEN: "id: another message of this chat has it; give every message an id of its own",
    Kind.NOT_AT_THE_DESK: "connect to the WebSocket first, with context=desk&contextId=chat",
    Kind.AGENT_NOT_PRESENT: "no agent of that name is at the desk; transfer it to another, or to the queue",
    Kind.UNAVAILABLE: TRY_AGAIN,
    Kind.UNREADABLE: TRY_AGAIN,
}
_BAD_BODY = (General.INVALID_REQUEST, General.UNSUPPORTED_MEDIA_TYPE)
_GOES_ON = (Kind.CHAT_NOT_FOUND, Kind.NOT_YOUR_CHAT, Kind.NOT_ACCEPTED, Kind.CHAT_HAS_ENDED)
_ID = "0b1f3a52-7a3f-4c61-9a55-3d8f3f1f6a10"
_CHAT: Json = {
    "id": _ID,
    "status": "WAITING",
    "customer": "ana",
    "version": 1,
    "subject": "My order",
    "startedAt": "2030-01-31T12:00:00Z",
    "waitingSince": "2030-01-31T12:00:00Z",
    "lastActivityAt": "2030-01-31T12:00:00Z",
}
_ACTIVE: Json = {
    **_CHAT,
    "status": "ACTIVE",
    "version": 2,
    "agent": "bo",
    "acceptedAt": "2030-01-31T12:00:20Z",
    "lastActivityAt": "2030-01-31T12:00:20Z",
}
_ENDED: Json = {
    **_ACTIVE,
    "status": "ENDED",
    "version": 9,
    "endedAt": "2030-01-31T12:07:00Z",
    "endReason": "customer",
}
_MESSAGE: Json = {
    "chatId": _ID,
    "number": 3,
    "type": "chat.message",
    "at": "2030-01-31T12:00:31Z",
    "by": {"role": "agent", "user": "bo"},
    "id": "m-1",
    "text": "Hello Ana, how can I help?",
    "seconds": 11,
}
_LOCATION: Json = {"Location": {"description": "Where the chat is", "schema": {"type": "string"}, "required": True}}
_TEXT = """\
Chat 0b1f3a52-7a3f-4c61-9a55-3d8f3f1f6a10
Customer:  ana
Agent:     bo
Started:   2030-01-31 12:00:00 UTC

2030-01-31 12:00:00 UTC  ana (customer) started the chat
2030-01-31 12:00:20 UTC  bo (agent) accepted it, after 20 seconds in the queue
2030-01-31 12:00:31 UTC  bo (agent): Hello Ana, how can I help?
"""
_OPERATIONS: Mapping[str, Json] = {
    "startChat": {
        "summary": "Start a chat",
        "description": "The customer has to be connected to the WebSocket with `context=chat` and `contextId=support` "
        "to hear what comes of it. A customer has one open chat: while there is one, it is the answer. To start one is "
        "to say something: who has said as much as they may in a minute is told to wait.",
        "tags": ["customers"],
        "requestBody": _body("NewChat", {"subject": "My order"}, required=False),
        "responses": {
            "200": answer("The one that is open already", "Chat", _CHAT, _LOCATION),
            "201": answer("It waits for an agent", "Chat", _CHAT, _LOCATION),
            **_problems(*_BAD_BODY, Kind.CUSTOMERS_ONLY, Kind.TOO_MANY_MESSAGES),
        },
    },
    "listChats": {
        "summary": "The customer's chat",
        "description": "The one that they started last, whether it goes on or not: no other one of theirs does. So a "
        "page that knows of none finds it.",
        "tags": ["customers"],
        "responses": {
            "200": answer("It, or nothing", "Chats", {"chats": [_ACTIVE]}),
            **_problems(Kind.CUSTOMERS_ONLY),
        },
    },
    "listWaiting": {
        "summary": "The queue, and the agent's own chats",
        "description": "The same queue is shown on the WebSocket as `chat.queue` whenever it changes.",
        "tags": ["agents"],
        "responses": {
            "200": answer("As it is now", "Waiting", {"waiting": [{**_CHAT, "position": 1}], "active": []}),
            **_problems(Kind.AGENTS_ONLY),
        },
    },
    "acceptChat": {
        "summary": "Take a chat out of the queue",
        "description": "Of several agents who do at once, one gets it. The agent has to be connected to the WebSocket "
        "with `context=desk` and `contextId=chat`. To accept it again is no error.",
        "tags": ["agents"],
        "responses": {
            "200": answer("The agent has it", "Chat", _ACTIVE),
            **_problems(
                Kind.AGENTS_ONLY,
                Kind.CHAT_NOT_FOUND,
                Kind.NOT_AT_THE_DESK,
                Kind.ALREADY_ACCEPTED,
                Kind.CHAT_HAS_ENDED,
            ),
        },
    },
    "getChat": {
        "summary": "A chat as it is now",
        "description": "For its customer and its agent; while it waits, for all agents.",
        "tags": ["chats"],
        "responses": {
            "200": answer("The chat", "ShownChat", {**_CHAT, "position": 1}),
            **_problems(Kind.CHAT_NOT_FOUND, Kind.NOT_YOUR_CHAT),
        },
    },
    "listMessages": {
        "summary": "What happened in a chat",
        "description": "Everything that happened, messages and all else, as it was pushed. Who knows all up to some "
        "number asks for what came after it.",
        "tags": ["chats"],
        "parameters": [
            parameter(
                "after",
                "The number of the last event that is known.",
                {"type": "integer", "maximum": MAX_EVENT_NUMBER, "minimum": 0, "default": 0},
                where="query",
            ),
            parameter(
                "limit",
                "How many are wanted at most.",
                {"type": "integer", "maximum": MAX_EVENTS, "minimum": 1, "default": MAX_EVENTS},
                where="query",
            ),
        ],
        "responses": {
            "200": answer("In its order", "Messages", {"messages": [_MESSAGE], "more": False}),
            **_problems(General.INVALID_REQUEST, Kind.CHAT_NOT_FOUND, Kind.NOT_YOUR_CHAT),
        },
    },
    "sendMessage": {
        "summary": "Say something",
        "description": "It is pushed to everybody in the chat, the sender's other tabs too. With an id, it is safe to "
        "send it again. A person may say as much in a minute as the stage allows; who is told to wait sends it again "
        "then.",
        "tags": ["chats"],
        "requestBody": _body("NewMessage", {"id": "m-1", "text": "Hello Ana, how can I help?"}),
        "responses": {
            "200": answer("It was said before, under this id", "Event", _MESSAGE),
            "201": answer("It is said", "Event", _MESSAGE),
            **_problems(*_BAD_BODY, *_GOES_ON, Kind.ID_TAKEN, Kind.TOO_MANY_MESSAGES),
        },
    },
    "showTyping": {
        "summary": "Show the other side that one is typing",
        "description": "Nothing is kept of it: who is not connected never hears of it.",
        "tags": ["chats"],
        "responses": {
            "202": answer("As far as the other side is there", "Typing", {"told": True}),
            **_problems(*_GOES_ON),
        },
    },
    "transferChat": {
        "summary": "Hand a chat on",
        "description": "To another agent, who has to be at the desk, or into the queue, where it has its old place.",
        "tags": ["agents"],
        "requestBody": _body("Transfer", {"agent": "cy"}),
        "responses": {
            "200": answer("It is handed on", "Chat", {**_ACTIVE, "version": 4, "agent": "cy"}),
            **_problems(*_BAD_BODY, Kind.AGENTS_ONLY, *_GOES_ON, Kind.AGENT_NOT_PRESENT),
        },
    },
    "endChat": {
        "summary": "End a chat",
        "description": "From either side; the customer can end it while it waits, too. Who has ended it may ask again.",
        "tags": ["chats"],
        "responses": {"200": answer("It is over", "Chat", _ENDED), **_problems(*_GOES_ON)},
    },
    "rateChat": {
        "summary": "Say how it was",
        "description": "Once, for a chat that is over and that an agent had accepted, as long as the stage allows. The "
        "same again changes nothing.",
        "tags": ["customers"],
        "requestBody": _body("NewRating", {"rating": 5, "feedback": "That was quick!"}),
        "responses": {
            "200": answer("Thank you", "Chat", {**_ENDED, "version": 10, "rating": 5, "feedback": "That was quick!"}),
            **_problems(
                *_BAD_BODY,
                Kind.CUSTOMERS_ONLY,
                Kind.CHAT_NOT_FOUND,
                Kind.NOT_ENDED,
                Kind.NOTHING_TO_RATE,
                Kind.ALREADY_RATED,
                Kind.RATING_CLOSED,
            ),
        },
    },
    "getTranscript": {
        "summary": "What was said and done",
        "description": "As JSON or as plain text: the parameter `format` says which, or the header `Accept`.",
        "tags": ["chats"],
        "parameters": [
            parameter(
                "format",
                "The form of the answer; goes before the header `Accept`.",
                {"type": "string", "enum": list(FORMS)},
                where="query",
            )
        ],
        "responses": {
            "200": {
                "description": "From the beginning",
                "content": {
                    JSON: {
                        "schema": one_of("Transcript"),
                        "examples": {"json": {"value": {"chat": _ACTIVE, "events": [_MESSAGE], "complete": True}}},
                    },
                    FORMS["text"]: {"schema": {"type": "string"}, "examples": {"text": {"value": _TEXT}}},
                },
            },
            **_problems(General.INVALID_REQUEST, General.NOT_ACCEPTABLE, Kind.CHAT_NOT_FOUND, Kind.NOT_YOUR_CHAT),
        },
    },
}
