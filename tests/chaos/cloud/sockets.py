"""The TCP connections that the server has, so that they can be cut."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer

_RESET = struct.pack("ii", 1, 0)  # linger, for no time: what is closed then is reset

_current: ContextVar[asyncio.StreamWriter] = ContextVar("current_tcp_connection")


class Sockets:
    """All that are open. For the server's own thread."""

    def __init__(self) -> None:
        self._open: set[asyncio.StreamWriter] = set()
        self._of_connections: dict[str, asyncio.StreamWriter] = {}

    def install(self) -> None:
        """Hear of every TCP connection."""

        def running(upstream: Callable[[TCPServer], Coroutine[Any, Any, None]]) -> Callable[[TCPServer], Any]:
            async def run(server: TCPServer) -> None:
                _current.set(server.writer)
                self._open.add(server.writer)
                try:
                    await upstream(server)
                finally:
                    self._open.discard(server.writer)

            return run

        vars_of: Any = TCPServer
        vars_of.run = running(vars_of.run)

    def belongs_to(self, connection_id: str) -> None:
        """The WebSocket in whose handling this is called is this connection's."""
        self._of_connections[connection_id] = _current.get()

    def closed(self, connection_id: str) -> None:
        """This connection is over."""
        self._of_connections.pop(connection_id, None)

    def reset_current(self) -> None:
        """Reset the TCP connection in whose handling this is called."""
        _reset(_current.get())

    def reset_connection(self, connection_id: str) -> None:
        """Reset a WebSocket, if it is open."""
        if writer := self._of_connections.get(connection_id):
            _reset(writer)

    def reset_all_but_current(self) -> None:
        """Reset every TCP connection, except for the one in whose handling this is called."""
        for writer in self._open - {_current.get()}:
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
