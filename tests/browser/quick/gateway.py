"""Ringback's side of the WebSocket, and a page that has the client, on loopback; a test says what is sent."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jwt
from aiohttp import WSMsgType, web

from local.settings import HOST, ROOT

T = TypeVar("T")

_PAGE = '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>A page</title></html>'


@dataclass
class Connection:
    """One connection of a client, and what it sent."""

    socket: web.WebSocketResponse
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    received: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False
    opened_at: float = field(default_factory=time.monotonic)
    closed_at: float | None = None

    @property
    def acknowledged(self) -> list[str]:
        """What it acknowledged, in that order."""
        acks = [frame for frame in self.received if frame["action"] == "ack"]
        return [one for ack in acks for one in ack.get("ids", [ack.get("id")])]


class Gateway:
    """Takes every handshake, answers pings, and keeps what it gets."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.port = 0
        self.connections: list[Connection] = []
        self.app = web.Application()
        self.app.add_routes(
            [
                web.get("/", self._page),
                web.get("/client/ringback.js", self._module),
                web.post("/api/tokens", self._token),
                web.get("/v1", self._serve),
            ]
        )

    @property
    def page(self) -> str:
        return f"http://{HOST}:{self.port}/"

    @property
    def url(self) -> str:
        """As the stack's output `WebSocketUrl`."""
        return f"ws://{HOST}:{self.port}/v1"

    @property
    def open(self) -> list[Connection]:
        """The connections that are not over."""
        return [connection for connection in self.connections if not connection.closed]

    @property
    def acknowledged(self) -> list[str]:
        """What was acknowledged, on whatever connection."""
        return [one for connection in self.connections for one in connection.acknowledged]

    def send(self, *frames: dict[str, Any], to: int = -1) -> None:
        """Send to the newest connection, or to another. What is sent to one that is over is lost."""
        self.do(self._send(self.connections[to], frames))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _send(self, connection: Connection, frames: Iterable[dict[str, Any]]) -> None:
        await connection.ready.wait()
        with contextlib.suppress(ConnectionError, RuntimeError):  # it is over, or has never begun
            for frame in frames:
                await connection.socket.send_json(frame)

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def _module(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(ROOT / "clients" / "js" / "ringback.js", headers={"Content-Type": "text/javascript"})

    async def _token(self, request: web.Request) -> web.Response:
        asked = await request.json()
        now = int(time.time())
        claims = {"sub": asked["user"], "iat": now, "exp": now + asked["ttlSeconds"]}
        return web.json_response({"token": jwt.encode(claims, "", algorithm="none")})

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["bearer"])
        connection = Connection(socket)
        self.connections.append(connection)  # before its client can know that it is open
        try:
            await socket.prepare(request)
        finally:
            connection.ready.set()
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                frame = json.loads(message.data)
                connection.received.append(frame)
                if frame["action"] == "ping":
                    await socket.send_json({"kind": "pong"})
        connection.closed_at = time.monotonic()
        connection.closed = True
        return socket


@contextlib.contextmanager
def running() -> Iterator[Gateway]:
    """Have one on a free port, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="gateway")
    thread.start()
    gateway = Gateway(loop)
    runner = web.AppRunner(gateway.app, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        port: int = runner.addresses[0][1]
        return port

    async def stop() -> None:
        for connection in gateway.open:
            await connection.socket.close()
        await runner.cleanup()

    try:
        gateway.port = gateway.do(start())
        try:
            yield gateway
        finally:
            gateway.do(stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
