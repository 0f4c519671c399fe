"""The console's HTTP interface: the page, the feed for it, and what it can ask for and do."""

import asyncio
import functools
import json
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeGuard, TypeVar, get_args

from aiohttp import WSCloseCode, web

from cdk_app import settings as stages
from local import settings
from local.console import connections, details, files, guards
from local.console.board import Board, Page
from local.console.chats import Chats
from local.console.letters import Letters
from local.console.links import Links
from local.console.numbers import Numbers
from local.console.runs import Machine, Runs
from local.console.watching import Watch
from local.console.ways import Ways
from local.installation import Installation
from local.tokens import Keys
from ringback.dead_letters import Queue
from ringback.errors import InvalidMessage

Json = dict[str, Any]
T = TypeVar("T")

MAX_BODY_BYTES = 4 * 1024 * 1024

_SECONDS_BETWEEN_FRAMES = 0.2
# A page that has not taken a frame by then is gone: it connects again, and gets everything anew.
_SEND_SECONDS = 10.0
_FIRST_READING_SECONDS = 20.0
_PING_SECONDS = 20.0
_CALLS_AT_ONCE = 16

logger = logging.getLogger(__name__)


class Deployed(Protocol):
    """What a console is of: a `local.stack.Stack`, or as much of one."""

    @property
    def installation(self) -> Installation: ...

    @property
    def keys(self) -> Keys: ...


def make_application(stack: Deployed, *, port: int) -> web.Application:
    """The console of this stack, to be served on this port of this machine."""
    application = web.Application(
        middlewares=[guards.errors_as_json, guards.guard(port)], client_max_size=MAX_BODY_BYTES
    )
    console = _Console(stack)
    application[_CONSOLE] = console
    application.add_routes(files.routes())
    application.add_routes(console.routes())
    application.cleanup_ctx.append(_running)
    application.on_shutdown.append(_close_pages)
    application.on_response_prepare.append(_add_headers)
    return application


async def _running(application: web.Application) -> AsyncIterator[None]:
    console = application[_CONSOLE]
    task = asyncio.create_task(console.watch.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await console.links.close_all()
    console.pool.shutdown(wait=False, cancel_futures=True)


async def _close_pages(application: web.Application) -> None:
    for socket in list(application[_CONSOLE].sockets):
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the console ends")


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    index = files.INDEX.read_text() if request.path == "/" else ""
    response.headers.update(guards.headers(guards.content_security_policy(index)))


class _Console:
    def __init__(self, stack: Deployed) -> None:
        self._installation = stack.installation
        self._sdk = stack.installation.sdk
        self._keys = stack.keys
        self._machines: dict[Machine, str] = {
            "delivery": self._installation.delivery_state_machine_arn,
            "fanOut": self._installation.fan_out_state_machine_arn,
            "chat": self._installation.chat_session_state_machine_arn,
        }
        self._ways = Ways(stack.installation, stack.keys)
        self._letters = {name: Letters(self._sdk, name) for name in get_args(Queue)}
        self._board = Board(Runs({arn: name for name, arn in self._machines.items()}))
        self._details = details.Details(self._sdk, self._machines)
        self.pool = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="console")
        self._chats = Chats(self._installation.chat_api_url, stack.keys)
        self.links = Links(self._installation.websocket_url)
        self.sockets: set[web.WebSocketResponse] = set()
        self.watch = Watch(
            self._board,
            endpoint=self._installation.endpoint,
            connections=connections.Connections(self._sdk),
            letters=self._letters,
            sequences=Numbers(self._sdk),
            pool=self.pool,
        )

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/installation", self._get_installation),
            web.get("/api/feed", self._feed),
            web.get("/api/runs/{arn:.+}", self._get_run),
            web.post("/api/messages", self._send),
            web.delete("/api/messages/{id:.+}", self._cancel),
            web.get("/api/dead-letters/{queue}/{id}", self._get_letter),
            web.post("/api/dead-letters/redrive", self._redrive),
            web.post("/api/dead-letters/purge", self._purge),
            web.post("/api/tokens", self._make_token),
            web.post("/api/connections/close", self._close_connection),
            web.post("/api/links", self._open_link),
            web.post("/api/links/{id}", self._set_fault),
            web.delete("/api/links/{id}", self._close_link),
            *self._chats.routes(),
        ]

    async def _get_installation(self, _request: web.Request) -> web.Response:
        machines = await self._call(self._details.machines)
        return _json(
            {
                "endpoint": self._installation.endpoint,
                "websocketUrl": self._installation.websocket_url,
                "httpApiUrl": self._installation.http_api_url,
                "region": settings.REGION,
                "machines": machines,
                "defaults": defaults(self._keys.stage_settings()),
            }
        )

    async def _feed(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=_PING_SECONDS, compress=False)
        await socket.prepare(request)
        self.sockets.add(socket)
        page = self._board.open_page()
        telling = asyncio.create_task(self._tell(page, socket, request))
        try:
            async for _ in socket:
                pass  # nothing is asked for
        finally:
            self.sockets.discard(socket)
            self._board.close_page(page)
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        return socket

    async def _tell(self, page: Page, socket: web.WebSocketResponse, request: web.Request) -> None:
        async def say(text: str) -> None:
            async with asyncio.timeout(_SEND_SECONDS):
                await socket.send_str(text)

        try:
            with suppress(TimeoutError):  # what cannot be read now comes when it can
                async with asyncio.timeout(_FIRST_READING_SECONDS):
                    await self._board.ready()
            await say(page.snapshot())
            while True:
                await asyncio.sleep(_SECONDS_BETWEEN_FRAMES)
                await page.news()
                await say(page.changes())
        except Exception as error:
            if not isinstance(error, TimeoutError | ConnectionError):
                logger.exception("a page could not be told what there is")
            # It connects again, and would wait for ever if it were only told no more. A farewell may not be taken.
            if request.transport is not None:
                request.transport.abort()

    async def _get_run(self, request: web.Request) -> web.Response:
        found = await self._call(self._details.run, request.match_info["arn"])
        if found is None:
            return guards.error(404, "There is no such run, or not any more.")
        return _json(found)

    async def _send(self, request: web.Request) -> web.Response:
        body = await _body(request)
        return _json(await self._call(self._ways.send, body.get("way"), body.get("message")))

    async def _cancel(self, request: web.Request) -> web.Response:
        status = await self._call(self._ways.cancel, request.match_info["id"])
        return _json(status)

    async def _get_letter(self, request: web.Request) -> web.Response:
        letters = self._letters_of(request.match_info["queue"])
        return _json({"message": await self._call(letters.message, request.match_info["id"])})

    async def _redrive(self, request: web.Request) -> web.Response:
        body = await _body(request)
        letters, ids = self._letters_named(body)
        ttl_seconds = body.get("ttlSeconds")
        if ttl_seconds is not None and not _is_whole(ttl_seconds):
            raise InvalidMessage("ttlSeconds: give a whole number")
        try:
            results = await self._call(letters.redrive, ids, ttl_seconds=ttl_seconds)
        finally:
            self.watch.look(letters.name)
        return _json({"results": results})

    async def _purge(self, request: web.Request) -> web.Response:
        letters, ids = self._letters_named(await _body(request))
        try:
            purged = await self._call(letters.purge, ids)
        finally:
            self.watch.look(letters.name)
        return _json({"purged": purged})

    def _letters_named(self, body: Json) -> tuple[Letters, list[str]]:
        letters, ids = self._letters_of(body.get("queue")), body.get("ids")
        if not ids or not _are_texts(ids):
            raise InvalidMessage("ids: give the letters' ids, in a list")
        return letters, ids

    def _letters_of(self, queue: Any) -> Letters:
        if (letters := self._letters.get(str(queue))) is None:
            raise InvalidMessage(f"queue: give one of {', '.join(self._letters)}")
        return letters

    async def _make_token(self, request: web.Request) -> web.Response:
        body = await _body(request)
        user, ttl_seconds, plan = body.get("user"), body.get("ttlSeconds", 3600), body.get("plan")
        if not isinstance(user, str) or not user:
            raise InvalidMessage("user: say whose token it is")
        if not _is_whole(ttl_seconds) or not 1 <= ttl_seconds <= 86_400:
            raise InvalidMessage("ttlSeconds: 1 to 86400")
        if plan is not None and not isinstance(plan, str):
            raise InvalidMessage("plan: give a text")
        contexts = body.get("contexts")
        if contexts is not None and not _are_texts(contexts):
            raise InvalidMessage("contexts: give a list of texts, such as chat/support")
        claims = {name: value for name, value in {"plan": plan, "contexts": contexts}.items() if value is not None}
        return _json({"token": self._keys.token(user, ttl_seconds=ttl_seconds, **claims)})

    async def _close_connection(self, request: web.Request) -> web.Response:
        connection_id = (await _body(request)).get("connectionId")
        if not isinstance(connection_id, str) or not connection_id:
            raise InvalidMessage("connectionId: say which connection")
        if not await self._call(connections.close, self._sdk, connection_id):
            return guards.error(404, "It is closed already; its row goes with its time, or with the next message.")
        return _json({"closed": True})

    async def _open_link(self, request: web.Request) -> web.Response:
        await _body(request)
        return _json(await self.links.open())

    async def _set_fault(self, request: web.Request) -> web.Response:
        fault = (await _body(request)).get("fault")
        self.links.set_fault(request.match_info["id"], fault)
        return _json({"id": request.match_info["id"], "fault": fault})

    async def _close_link(self, request: web.Request) -> web.Response:
        await self.links.close(request.match_info["id"])
        return _json({"id": request.match_info["id"]})

    async def _call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Have a thread make a call that blocks."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, functools.partial(function, *arguments, **options))


_CONSOLE = web.AppKey("console", _Console)


def defaults(token_settings: Json) -> Json:
    """What the local stage takes where an envelope says nothing, by the envelope's names."""
    given = json.loads((settings.ROOT / "cdk.json").read_text())["context"]["stages"]
    stage = stages.load("local", given, {"token": token_settings})
    return {
        "ttlSeconds": stage.default_ttl_seconds,
        "ackTimeoutSeconds": stage.default_ack_timeout_seconds,
        "retry": {
            "maxAttempts": stage.max_attempts,
            "backoffBaseSeconds": stage.backoff_base_seconds,
            "backoffCapSeconds": stage.backoff_cap_seconds,
        },
    }


async def _body(request: web.Request) -> Json:
    body = await request.read()
    try:
        value = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        raise InvalidMessage("the body is not JSON") from None
    if not isinstance(value, dict):
        raise InvalidMessage("the body is no JSON object")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _json(value: Any) -> web.Response:
    return web.json_response(value)
