"""A network link of one's own: a TCP proxy on this machine that can be cut, go silent, be slow or be down.

What is lost in it is lost: nothing is kept for later, and a connection that went silent stays so.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from local.settings import HOST

_CHUNK_BYTES = 16 * 1024
# What `close` then does is a reset, not a farewell.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

T = TypeVar("T")
Hold = Callable[[int, Callable[[], bool]], Awaitable[None]]


class Link:
    """Stands between clients and one endpoint. Everything but `open` and `close` takes effect at once.

    All of it belongs to the event loop in which it was opened.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._wires: set[_Wire] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._down = False
        self._bytes_per_second = float("inf")
        self._delay_seconds = 0.0
        self._changed = asyncio.Event()
        self.accepted = 0  # connections so far, with those it turned away
        self.held = 0  # pieces that a throttled link is about to hand on

    @classmethod
    async def open(cls, target_host: str, target_port: int) -> Self:
        """Listen on a free port of 127.0.0.1, for connections to the target."""
        link = cls(target_host, target_port)
        link._server = await asyncio.start_server(link._accept, HOST, 0)
        return link

    async def close(self) -> None:
        """Reset what is open, and give the port back."""
        assert self._server is not None  # noqa: S101 - `open` has made it
        self._server.close()
        self.go_down()
        while self._tasks:
            await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None  # noqa: S101 - `open` has made it
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def open_connections(self) -> int:
        """How many connections it carries, with those that are silent."""
        return len(self._wires)

    def heal(self) -> None:
        """Be a good link again. Connections that are silent stay so."""
        self._down = False
        self._set_pace(float("inf"), 0.0)

    def cut(self) -> None:
        """Reset what is open now, at both ends; new connections work."""
        for wire in list(self._wires):
            wire.reset()
        self._notify()

    def go_half_open(self) -> None:
        """Make what is open now silent for good: bytes are taken at both ends and lost, and neither end hears of
        the other's going. New connections work.
        """
        for wire in self._wires:
            wire.silent = True
        self._notify()

    def throttle(self, bytes_per_second: float, delay_seconds: float) -> None:
        """Slow each direction of each connection down: so many bytes a second, and what comes is held that long."""
        if bytes_per_second <= 0 or delay_seconds < 0:
            raise ValueError("give a positive number of bytes per second, and a delay of 0 or more seconds")
        self._set_pace(bytes_per_second, delay_seconds)

    def go_down(self) -> None:
        """Reset what is open now, and turn new connections away."""
        self._down = True
        self._drop_if_down()

    async def hold(self, size: int, wanted: Callable[[], bool]) -> None:
        """Let pass the time that so many bytes take at the pace there is, as long as anybody wants them."""
        clock = asyncio.get_running_loop().time
        started = clock()
        self.held += 1
        while wanted():
            left = started + self._delay_seconds + size / self._bytes_per_second - clock()
            if left <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
        self.held -= 1

    def _set_pace(self, bytes_per_second: float, delay_seconds: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._delay_seconds = delay_seconds
        self._notify()

    def _drop_if_down(self) -> None:
        if self._down:
            self.cut()

    def _notify(self) -> None:
        """Have those who hold something look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(_End(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, near: "_End") -> None:
        if self._down:
            near.reset()
            return
        try:
            far = _End(*await asyncio.open_connection(*self._target))
        except OSError:
            near.reset()
            return
        wire = _Wire(near, far, self.hold)
        self._wires.add(wire)
        self._drop_if_down()
        try:
            await wire.carry()
        finally:
            self._wires.discard(wire)


class _End:
    """One end of a connection through the link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def reset(self) -> None:
        reset(self.writer)


class _Wire:
    """Two ends, and the bytes between them."""

    def __init__(self, near: _End, far: _End, hold: Hold) -> None:
        self.silent = False
        self._gone = False
        self._near = near
        self._far = far
        self._hold = hold

    def reset(self) -> None:
        """Drop both ends, without a farewell."""
        self._gone = True
        self._near.reset()
        self._far.reset()

    async def carry(self) -> None:
        """Carry both ways until both ends are gone."""
        await asyncio.gather(self._carry(self._near, self._far), self._carry(self._far, self._near))
        for end in (self._near, self._far):
            end.writer.close()

    def _carries(self) -> bool:
        return not (self.silent or self._gone)

    async def _carry(self, source: _End, sink: _End) -> None:
        try:
            while chunk := await source.reader.read(_CHUNK_BYTES):
                await self._hold(len(chunk), self._carries)
                if self._carries():
                    sink.writer.write(chunk)
                    await sink.writer.drain()
            if self._carries():
                sink.writer.write_eof()
        except OSError:
            if self._carries():
                self.reset()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as one that died: the other end gets a reset instead of an end."""
    connection: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it is gone already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


class LinkThread:
    """A link for code that has no event loop: the same, in a thread of its own."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop) -> None:
        self._link = link
        self._loop = loop

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._call(lambda link: link.port)

    @property
    def open_connections(self) -> int:
        """How many connections it carries, with those that are silent."""
        return self._call(lambda link: link.open_connections)

    @property
    def accepted(self) -> int:
        """How many connections were made to it so far, with those it turned away."""
        return self._call(lambda link: link.accepted)

    def heal(self) -> None:
        """As `Link.heal`."""
        self._call(Link.heal)

    def cut(self) -> None:
        """As `Link.cut`."""
        self._call(Link.cut)

    def go_half_open(self) -> None:
        """As `Link.go_half_open`."""
        self._call(Link.go_half_open)

    def throttle(self, bytes_per_second: float, delay_seconds: float) -> None:
        """As `Link.throttle`."""
        self._call(lambda link: link.throttle(bytes_per_second, delay_seconds))

    def go_down(self) -> None:
        """As `Link.go_down`."""
        self._call(Link.go_down)

    def _call(self, act: Callable[[Link], T]) -> T:
        async def there() -> T:
            return act(self._link)

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result()


@contextlib.contextmanager
def running(target_host: str, target_port: int) -> Iterator[LinkThread]:
    """Have a link in a thread of its own; it is closed at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="link")
    thread.start()
    try:
        link = asyncio.run_coroutine_threadsafe(Link.open(target_host, target_port), loop).result()
        try:
            yield LinkThread(link, loop)
        finally:
            asyncio.run_coroutine_threadsafe(link.close(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def target(websocket_url: str) -> tuple[str, int]:
    """Host and port that a link to this `ws:` URL leads to."""
    parts = urlsplit(websocket_url)
    if parts.scheme != "ws" or parts.hostname is None:
        raise ValueError(f"{websocket_url} is no ws: URL; a link carries no wss:, whose certificate names another host")
    return parts.hostname, parts.port or 80


def websocket_url(link: Link | LinkThread, websocket_url: str) -> str:
    """The same URL through the link."""
    return urlunsplit(urlsplit(websocket_url)._replace(netloc=f"{HOST}:{link.port}"))
