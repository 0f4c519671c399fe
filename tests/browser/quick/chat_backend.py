"""Ringback and the chat API on loopback, as the chat page knows them: the rules are the real ones, the rest is a dict.

What is pushed is numbered for each recipient, and comes again with every connection until it is acknowledged.
"""

import asyncio
import contextlib
import itertools
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import jwt
from aiohttp import WSMsgType, web

from lambdas.chat.core import errors, rules
from lambdas.chat.core.model import Change, Chat, Event, Person, Role, Status
from local.settings import HOST

Json = dict[str, Any]
LIMITS = rules.Limits(
    max_wait_seconds=600, idle_seconds=600, agent_away_seconds=600, rating_seconds=600, messages_per_minute=600
)


class Backend:
    """All chats and all connections."""

    def __init__(self) -> None:
        self.port = 0
        self.chats: dict[str, Chat] = {}
        self.logs: dict[str, list[Event]] = {}
        self.skipped: set[str] = set()  # users to whom no event is delivered; they are told that it will not come
        self.deaf: set[str] = set()  # users to whom nothing is posted
        self._sockets: dict[Person, web.WebSocketResponse] = {}
        self._owed: dict[Person, dict[str, Json]] = {}
        self._numbers: dict[Person, Iterator[int]] = {}
        self.app = web.Application()
        self.app.add_routes(
            [
                web.get("/v1", self._serve),
                web.post("/chats", self._start),
                web.get("/chats", self._find),
                web.get("/chats/waiting", self._list),
                web.get("/chats/{id}/messages", self._messages),
                web.get("/chats/{id}/transcript", self._transcript),
                web.post("/chats/{id}/{what}", self._act),
            ]
        )

    def let_all_expire(self) -> None:
        """Whatever somebody has not acknowledged yet is never pushed again."""
        for owed in self._owed.values():
            owed.clear()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        token = request.headers["Sec-WebSocket-Protocol"].split(",")[1].strip()
        role = Role.AGENT if request.query["context"] == Role.AGENT.context else Role.CUSTOMER
        assert request.query["contextId"] == role.context_id
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["contexts"] == [f"{role.context}/{role.context_id}"], (
            "the token opens what it asks for, and no more"
        )
        person = Person(role=role, user=claims["sub"])
        socket = web.WebSocketResponse(protocols=["bearer"])
        await socket.prepare(request)
        self._sockets[person] = socket
        await self._post(person, *self._owed.get(person, {}).values())
        await self._show_queue()
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                frame = json.loads(message.data)
                if frame["action"] == "ping":
                    await socket.send_json({"kind": "pong"})
                for one in frame.get("ids", []):
                    self._owed[person].pop(one, None)
        return socket

    async def _start(self, request: web.Request) -> web.Response:
        person, body = _caller(request), await request.json()
        chat_id = str(uuid.uuid4())
        return await self._change(lambda: rules.start(chat_id, person, body.get("subject"), LIMITS, _now()), status=201)

    async def _find(self, request: web.Request) -> web.Response:
        person = _caller(request)
        assert person.role is Role.CUSTOMER
        theirs = [_json(chat) for chat in self.chats.values() if chat.customer == person.user]
        return web.json_response({"chats": theirs[-1:]})

    async def _list(self, request: web.Request) -> web.Response:
        mine = [chat for chat in self.chats.values() if chat.agent == _caller(request).user]
        active = [_json(chat) for chat in mine if chat.status is Status.ACTIVE]
        return web.json_response({"waiting": self._queue(), "active": active})

    async def _messages(self, request: web.Request) -> web.Response:
        after = int(request.query["after"])
        log = [_json(event) for event in self.logs[request.match_info["id"]] if event.number > after]
        # Two a page: the page of the console has to ask on.
        return web.json_response({"messages": log[:2], "more": len(log) > 2})

    async def _transcript(self, request: web.Request) -> web.Response:
        assert request.query["format"] == "text"
        return web.Response(text="\n".join(event.text or event.type for event in self.logs[request.match_info["id"]]))

    async def _act(self, request: web.Request) -> web.Response:
        person, body = _caller(request), await request.json()
        chat = self.chats[request.match_info["id"]]
        match request.match_info["what"]:
            case "accept":
                return await self._change(lambda: rules.accept(chat, person, _now()))
            case "messages":
                sent = await self._change(lambda: rules.send(chat, person, body["id"], body["text"], LIMITS, _now()))
                return web.json_response(_json(self.logs[chat.id][-1]), status=201) if sent.status == 200 else sent
            case "typing":
                other = rules.type_something(chat, person)
                typing = {"chatId": chat.id, "by": _json(person), "at": _text(_now())}
                await self._post(other, _frame("chat.typing", typing))
                return web.json_response({"told": True}, status=202)
            case "transfer":
                return await self._change(lambda: rules.transfer(chat, person, body.get("agent"), _now()))
            case "end":
                return await self._change(lambda: rules.end(chat, person, _now()))
            case "rating":
                rating, feedback = body["rating"], body.get("feedback")
                return await self._change(lambda: rules.rate(chat, person, rating, feedback, LIMITS, _now()))
        raise web.HTTPNotFound

    async def _change(self, decide: Callable[[], Change | None], *, status: int = 200) -> web.Response:
        try:
            change = decide()
        except errors.ChatError as error:
            return web.json_response({"detail": str(error)}, status=409, content_type="application/problem+json")
        assert change is not None
        self.chats[change.chat.id] = change.chat
        self.logs.setdefault(change.chat.id, []).append(change.event)
        for person in change.to:
            number = next(self._numbers.setdefault(person, itertools.count(1)))
            frame = _frame(change.event.type, _json(change.event), ordered=True, sequence=number, ack="client")
            if person.user in self.skipped:
                frame = _frame("ringback.skipped", {"id": frame["id"], "sequence": number}, ack="client")
            self._owed.setdefault(person, {})[frame["id"]] = frame
            await self._post(person, frame)
        await self._show_queue()
        return web.json_response(_json(change.chat), status=status)

    async def _show_queue(self) -> None:
        queue = self._queue()
        at = _text(_now())
        for place, chat in enumerate(queue, start=1):
            position = {"chatId": chat["id"], "position": place, "waiting": len(queue), "at": at}
            await self._post(Person(role=Role.CUSTOMER, user=chat["customer"]), _frame("chat.position", position))
        for person in list(self._sockets):
            if person.role is Role.AGENT:
                await self._post(person, _frame("chat.queue", {"waiting": queue, "at": at}))

    async def _post(self, person: Person, *frames: Json) -> None:
        if (socket := self._sockets.get(person)) is not None and person.user not in self.deaf:
            with contextlib.suppress(ConnectionError, RuntimeError):  # it is over
                for frame in frames:
                    await socket.send_json(frame)

    def _queue(self) -> list[Json]:
        waiting = sorted((chat for chat in self.chats.values() if chat.status is Status.WAITING), key=_place)
        return [{**_json(chat), "position": place} for place, chat in enumerate(waiting, start=1)]


@contextlib.contextmanager
def running() -> Iterator[Backend]:
    """Have one on a free port, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="chat backend")
    thread.start()
    backend = Backend()
    runner = web.AppRunner(backend.app, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        port: int = runner.addresses[0][1]
        return port

    try:
        backend.port = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
        try:
            yield backend
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _caller(request: web.Request) -> Person:
    token = request.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    return Person(role=Role(claims["role"]), user=claims["sub"])


def _frame(kind: str, payload: Json, **more: Any) -> Json:
    made = {"kind": "message", "id": str(uuid.uuid4()), "type": str(kind), "payload": payload, "attempt": 1}
    return {**made, "sentAt": _text(_now()), **more}


def _place(chat: Chat) -> str:
    return chat.queue_key


def _json(model: Chat | Event | Person) -> Json:
    return model.as_json()


def _now() -> datetime:
    return datetime.now(UTC)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
