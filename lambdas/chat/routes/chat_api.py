"""The chat's HTTP API: what customers and agents do. What comes of it is pushed to them.

API Gateway has verified the caller's token before any of this. `openapi.py` describes it all for callers.
"""

import json
import uuid
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.chat.adapters import wiring
from lambdas.chat.core import rules, sessions, telling, transcript
from lambdas.chat.core.model import Chat, Event, Status
from lambdas.chat.routes import problems, requests
from lambdas.chat.routes.requests import FORMS, After, ChatId, Format, Limit
from lambdas.chat.settings import ChatApi
from lambdas.observability import instrumented
from lambdas.problems import nothing_there

app = APIGatewayHttpResolver(enable_validation=True)


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a request; every error is a problem (RFC 9457)."""
    return app.resolve(event, context)


class _Call:
    """One request: who makes it, and the ports that it needs."""

    def __init__(self) -> None:
        environment = settings.load(ChatApi)
        self.by = requests.caller(
            app.current_event, role_claim=environment.role_claim, agent_role=environment.agent_role
        )
        self.chats = wiring.chats(environment)
        self.desk = wiring.desk(environment)
        self.screens = wiring.screens(environment)
        self.limits = wiring.limits(environment)
        self.clock = wiring.clock()

    def readable(self, chat_id: str, *, messages: bool = False) -> Chat:
        """The chat, if the caller may read it."""
        chat = sessions.get(self.chats, chat_id)
        rules.may_read(chat, self.by, messages=messages)
        return chat


@app.post("/chats", operation_id="startChat")
def start_chat() -> Response[str]:
    """Start a chat, or answer the one that the customer has."""
    call, given = _Call(), requests.read(requests.NewChat, app.current_event)
    chat, is_new = sessions.start(
        call.chats, call.by, given.subject, new_id=lambda: str(uuid.uuid4()), clock=call.clock
    )
    answer = _json(HTTPStatus.CREATED if is_new else HTTPStatus.OK, chat)
    answer.headers["Location"] = f"/chats/{chat.id}"
    return answer


@app.get("/chats/waiting", operation_id="listWaiting")
def list_waiting() -> Response[str]:
    """Answer the queue, and the chats that the agent has."""
    call = _Call()
    rules.only_agents(call.by)
    waiting = telling.listed(call.chats.waiting(limit=telling.LISTED))
    found = (call.chats.get(chat_id) for chat_id in call.chats.active_of(call.by.user))
    # Between the two reads it may have gone to somebody else.
    active = [chat for chat in found if chat and chat.status is Status.ACTIVE and chat.agent == call.by.user]
    return _json(HTTPStatus.OK, {"waiting": waiting, "active": [chat.as_json() for chat in active]})


@app.post("/chats/<id>/accept", operation_id="acceptChat")
def accept_chat(id: ChatId) -> Response[str]:  # noqa: A002 - the path's own name for it
    """Take a chat out of the queue."""
    call = _Call()
    return _json(HTTPStatus.OK, sessions.accept(call.chats, call.desk, id, call.by, call.limits, clock=call.clock))


@app.get("/chats/<id>", operation_id="getChat")
def get_chat(id: ChatId) -> Response[str]:  # noqa: A002
    """Answer the chat as it is now, with its place in the queue."""
    call = _Call()
    chat = call.readable(id)
    queue = call.chats.waiting(limit=telling.COUNTED) if chat.status is Status.WAITING else []
    place = sessions.position(chat.id, queue)
    return _json(HTTPStatus.OK, chat.as_json() | ({"position": place} if place else {}))


@app.get("/chats/<id>/messages", operation_id="listMessages")
def list_messages(id: ChatId, after: After = 0, limit: Limit = requests.MAX_EVENTS) -> Response[str]:  # noqa: A002
    """Answer what happened in the chat, as it was pushed."""
    call = _Call()
    call.readable(id, messages=True)
    events = call.chats.events(id, after=after, limit=limit + 1)
    messages = [event.as_json() for event in events[:limit]]
    return _json(HTTPStatus.OK, {"messages": messages, "more": len(events) > limit})


@app.post("/chats/<id>/messages", operation_id="sendMessage")
def send_message(id: ChatId) -> Response[str]:  # noqa: A002
    """Say something, once for each id."""
    call, given = _Call(), requests.read(requests.NewMessage, app.current_event)
    message_id = given.id or str(uuid.uuid4())
    event, is_new = sessions.send(call.chats, id, call.by, message_id, given.text, call.limits, clock=call.clock)
    return _json(HTTPStatus.CREATED if is_new else HTTPStatus.OK, event)


@app.post("/chats/<id>/typing", operation_id="showTyping")
def show_typing(id: ChatId) -> Response[str]:  # noqa: A002
    """Show the other side that one is typing."""
    call = _Call()
    told = telling.show_typing(id, call.by, chats=call.chats, screens=call.screens, clock=call.clock)
    return _json(HTTPStatus.ACCEPTED, {"told": told})


@app.post("/chats/<id>/transfer", operation_id="transferChat")
def transfer_chat(id: ChatId) -> Response[str]:  # noqa: A002
    """Hand the chat on to another agent, or back to the queue."""
    call, given = _Call(), requests.read(requests.Transfer, app.current_event)
    chat = sessions.transfer(call.chats, call.desk, id, call.by, given.agent, call.limits, clock=call.clock)
    return _json(HTTPStatus.OK, chat)


@app.post("/chats/<id>/end", operation_id="endChat")
def end_chat(id: ChatId) -> Response[str]:  # noqa: A002
    """End the chat."""
    call = _Call()
    chat = sessions.change(call.chats, id, lambda chat: rules.end(chat, call.by, call.clock.now()), clock=call.clock)
    return _json(HTTPStatus.OK, chat)


@app.post("/chats/<id>/rating", operation_id="rateChat")
def rate_chat(id: ChatId) -> Response[str]:  # noqa: A002
    """Say how it was, once."""
    call, given = _Call(), requests.read(requests.NewRating, app.current_event)
    chat = sessions.change(
        call.chats,
        id,
        lambda chat: rules.rate(chat, call.by, given.rating, given.feedback, call.limits, call.clock.now()),
        clock=call.clock,
    )
    return _json(HTTPStatus.OK, chat)


@app.get("/chats/<id>/transcript", operation_id="getTranscript")
def get_transcript(id: ChatId, format: Format = None) -> Response[str]:  # noqa: A002
    """Answer what was said and done, to be kept or read."""
    call, form = _Call(), requests.wanted_form(format, app.current_event)
    told = transcript.read(call.chats, call.readable(id, messages=True))
    answer = _json(HTTPStatus.OK, told.as_json())
    if form == FORMS["text"]:
        answer = _answer(HTTPStatus.OK, f"{form}; charset=utf-8", told.as_text())
    answer.headers["Vary"] = "Accept"
    return answer


def _problem(error: Exception) -> Response[str]:
    return (nothing_there(app) if isinstance(error, NotFoundError) else problems.of(error)).answer()


app.exception_handler(Exception)(_problem)


def _json(status_code: HTTPStatus, body: Chat | Event | dict[str, Any]) -> Response[str]:
    value = body if isinstance(body, dict) else body.as_json()
    return _answer(status_code, "application/json", json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _answer(status_code: HTTPStatus, content_type: str, body: str) -> Response[str]:
    # What people say to each other is nothing for a cache.
    headers = {"Cache-Control": "no-store"}
    return Response(status_code=status_code.value, content_type=content_type, body=body, headers=headers)
