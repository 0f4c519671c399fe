"""The chat's HTTP API: what customers and agents do. What comes of it is pushed to them.

API Gateway has verified the caller's token before any of this. `openapi.py` describes it all for callers.
"""

import json
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.chat.adapters import wiring
from lambdas.chat.core import rules, sessions, telling, transcript
from lambdas.chat.core.model import Chat, Event, Status
from lambdas.chat.routes import problems, requests
from lambdas.chat.routes.requests import FORMS
from lambdas.chat.settings import ChatApi
from lambdas.observability import instrumented
from lambdas.routing import Request, Response, Routes

ROUTES = Routes()


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a request; every error is a problem (RFC 9457)."""
    return ROUTES.answer(event, context, problem=lambda error: problems.of(error).answer())


class _Call:
    """One request: who makes it, and the ports that it needs."""

    def __init__(self, request: Request) -> None:
        environment = settings.load(ChatApi)
        self.by = requests.caller(request.event, role_claim=environment.role_claim, agent_role=environment.agent_role)
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


@ROUTES.add("POST", "/chats", "startChat")
def start_chat(request: Request) -> Response:
    """Start a chat, or answer the one that the customer has."""
    call, given = _Call(request), requests.body(requests.NewChat, request.event)
    chat, is_new = sessions.start(
        call.chats, call.by, given.subject, call.limits, new_id=lambda: str(uuid.uuid4()), clock=call.clock
    )
    return _json(HTTPStatus.CREATED if is_new else HTTPStatus.OK, chat, {"Location": f"/chats/{chat.id}"})


@ROUTES.add("GET", "/chats", "listChats")
def list_chats(request: Request) -> Response:
    """Answer the chat that the customer started last, if there is one."""
    call = _Call(request)
    rules.only_customers(call.by)
    chat = sessions.last_of(call.chats, call.by.user)
    return _json(HTTPStatus.OK, {"chats": [chat.as_json()] if chat else []})


@ROUTES.add("GET", "/chats/waiting", "listWaiting")
def list_waiting(request: Request) -> Response:
    """Answer the queue, and the chats that the agent has."""
    call = _Call(request)
    rules.only_agents(call.by)
    waiting = telling.listed(call.chats.waiting(limit=telling.LISTED))
    active = sessions.active_of(call.chats, call.by.user)
    return _json(HTTPStatus.OK, {"waiting": waiting, "active": [chat.as_json() for chat in active]})


@ROUTES.add("POST", "/chats/{id}/accept", "acceptChat")
def accept_chat(request: Request, name: str) -> Response:
    """Take a chat out of the queue."""
    chat_id, call = requests.chat_id(name), _Call(request)
    return _json(HTTPStatus.OK, sessions.accept(call.chats, call.desk, chat_id, call.by, call.limits, clock=call.clock))


@ROUTES.add("GET", "/chats/{id}", "getChat")
def get_chat(request: Request, name: str) -> Response:
    """Answer the chat as it is now, with its place in the queue."""
    chat_id, call = requests.chat_id(name), _Call(request)
    chat = call.readable(chat_id)
    queue = call.chats.waiting(limit=telling.COUNTED) if chat.status is Status.WAITING else []
    place = sessions.position(chat.id, queue)
    return _json(HTTPStatus.OK, chat.as_json() | ({"position": place} if place else {}))


@ROUTES.add("GET", "/chats/{id}/messages", "listMessages")
def list_messages(request: Request, name: str) -> Response:
    """Answer what happened in the chat, as it was pushed."""
    chat_id = requests.chat_id(name)
    page, call = requests.parameters(requests.Page, request.query), _Call(request)
    call.readable(chat_id, messages=True)
    events = call.chats.events(chat_id, after=page.after, limit=page.limit + 1)
    messages = [event.as_json() for event in events[: page.limit]]
    return _json(HTTPStatus.OK, {"messages": messages, "more": len(events) > page.limit})


@ROUTES.add("POST", "/chats/{id}/messages", "sendMessage")
def send_message(request: Request, name: str) -> Response:
    """Say something, once for each id."""
    chat_id = requests.chat_id(name)
    call, given = _Call(request), requests.body(requests.NewMessage, request.event)
    message_id = given.id or str(uuid.uuid4())
    event, is_new = sessions.send(call.chats, chat_id, call.by, message_id, given.text, call.limits, clock=call.clock)
    return _json(HTTPStatus.CREATED if is_new else HTTPStatus.OK, event)


@ROUTES.add("POST", "/chats/{id}/typing", "showTyping")
def show_typing(request: Request, name: str) -> Response:
    """Show the other side that one is typing."""
    chat_id, call = requests.chat_id(name), _Call(request)
    told = telling.show_typing(chat_id, call.by, chats=call.chats, screens=call.screens, clock=call.clock)
    return _json(HTTPStatus.ACCEPTED, {"told": told})


@ROUTES.add("POST", "/chats/{id}/transfer", "transferChat")
def transfer_chat(request: Request, name: str) -> Response:
    """Hand the chat on to another agent, or back to the queue."""
    chat_id = requests.chat_id(name)
    call, given = _Call(request), requests.body(requests.Transfer, request.event)
    chat = sessions.transfer(call.chats, call.desk, chat_id, call.by, given.agent, call.limits, clock=call.clock)
    return _json(HTTPStatus.OK, chat)


@ROUTES.add("POST", "/chats/{id}/end", "endChat")
def end_chat(request: Request, name: str) -> Response:
    """End the chat."""
    chat_id, call = requests.chat_id(name), _Call(request)
    ended = sessions.change(
        call.chats, chat_id, lambda chat: rules.end(chat, call.by, call.clock.now()), clock=call.clock
    )
    return _json(HTTPStatus.OK, ended)


@ROUTES.add("POST", "/chats/{id}/rating", "rateChat")
def rate_chat(request: Request, name: str) -> Response:
    """Say how it was, once."""
    chat_id = requests.chat_id(name)
    call, given = _Call(request), requests.body(requests.NewRating, request.event)
    chat = sessions.change(
        call.chats,
        chat_id,
        lambda chat: rules.rate(chat, call.by, given.rating, given.feedback, call.limits, call.clock.now()),
        clock=call.clock,
    )
    return _json(HTTPStatus.OK, chat)


@ROUTES.add("GET", "/chats/{id}/transcript", "getTranscript")
def get_transcript(request: Request, name: str) -> Response:
    """Answer what was said and done, to be kept or read."""
    chat_id = requests.chat_id(name)
    wanted, call = requests.parameters(requests.Form, request.query), _Call(request)
    form = requests.wanted_form(wanted.format, request.event)
    told = transcript.read(call.chats, call.readable(chat_id, messages=True))
    if form == FORMS["text"]:
        return _answer(HTTPStatus.OK, f"{form}; charset=utf-8", told.as_text(), {"Vary": "Accept"})
    return _json(HTTPStatus.OK, told.as_json(), {"Vary": "Accept"})


def _json(
    status_code: HTTPStatus, body: Chat | Event | dict[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    value = body if isinstance(body, dict) else body.as_json()
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _answer(status_code, "application/json", text, headers)


def _answer(
    status_code: HTTPStatus, content_type: str, body: str, headers: Mapping[str, str] | None = None
) -> Response:
    # What people say to each other is nothing for a cache.
    return Response(status_code, body, content_type, {"Cache-Control": "no-store", **(headers or {})})
