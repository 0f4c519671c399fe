"""HTTP/1.1 for many posts: channels, which are connections to one host that each carry one post at a time.

It stands on asyncio and on httptools, which is llhttp, the parser of Node.js. A whole HTTP client takes longer to load
than all the rest of the function that posts to many. (They are channels, because a connection is a client's here.)
"""

import asyncio
import select
import socket
import ssl
import time
from collections.abc import Callable
from math import inf

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 3.0  # from the post to the end of its answer
# A channel that was idle for longer is not used again: API Gateway may have closed it, and a function is frozen between
# two calls and does not see that. So it goes by time.time(): the loop's clock may stand still meanwhile.
KEEP_ALIVE_SECONDS = 20
ADDRESSES_SECONDS = 60
_LARGEST_HEAD_BYTES = 64 * 1024
_FIRST_FINAL_STATUS = 200  # those below announce an answer


class Channel(asyncio.Protocol):
    """One channel.

    The status is the answer. What comes behind the head says only whether the channel can be used again: a post whose
    answer was cut off, or had something strange behind it, has been taken all the same.
    """

    def __init__(self, opened: "set[Channel]") -> None:
        self.is_free = False
        self.free_since = -inf
        self.late_from = inf
        self._opened = opened
        self._parser = HttpResponseParser(self)
        self._answered: Answered | None = None
        self._status: int | None = None
        self._is_complete = True
        self._is_broken = False
        self._head_bytes = 0

    def post(self, request: bytes, answered: "Answered") -> None:
        """Write a request, whole. The channel has to be free; it is again, or is closed, when the answer is told."""
        self.is_free = self._is_complete = False
        self._status = None
        self._head_bytes = 0
        self._answered = answered
        self.late_from = self._loop.time() + ANSWER_SECONDS
        self._transport.write(request)

    def abort(self) -> None:
        """Close it at once. Whoever waits is told the status, if there was one."""
        self._is_broken = True
        self._end()

    def fileno(self) -> int:
        """Its socket's number."""
        return self._fileno

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open, and secured if it has to be."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's
        self._transport = transport
        self._fileno: int = transport.get_extra_info("socket").fileno()
        self._loop = asyncio.get_running_loop()
        self._opened.add(self)
        self._be_free()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._is_broken = True
        if self._status is None:
            self._head_bytes += len(data)
            self._is_broken |= self._head_bytes > _LARGEST_HEAD_BYTES
        if self._is_complete or self._is_broken:
            self._end()

    def eof_received(self) -> None:
        """Nothing more will come."""
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """It is closed."""
        self.abort()

    def on_message_begin(self) -> None:
        """The parser sees an answer begin."""
        self._is_broken |= self._is_complete  # an answer to nothing

    def on_headers_complete(self) -> None:
        """The parser has read a head."""
        if self._status is None and (status := self._parser.get_status_code()) >= _FIRST_FINAL_STATUS:
            self._status = status

    def on_message_complete(self) -> None:
        """The parser has read an answer."""
        if self._status is not None:
            self._is_complete = True
            self._is_broken |= not self._parser.should_keep_alive()

    def _end(self) -> None:
        """End the post that is under way, if one is; and the channel, if it cannot be used again."""
        transport = self._transport
        # A post that was answered before all of it was sent is still being sent.
        if self._is_broken or transport.is_closing() or transport.get_write_buffer_size():
            self._is_broken = True
            self.is_free = False
            self._opened.discard(self)
            transport.abort()
        else:
            self._be_free()
        self.late_from = inf
        answered, self._answered = self._answered, None
        if answered:
            answered(self, self._status)

    def _be_free(self) -> None:
        self.is_free = True
        self.free_since = time.time()


Answered = Callable[[Channel, int | None], None]
"""Told which channel was answered, and with what status; None if no answer came, or none that can be read."""


class Channels:
    """The channels to one host: those that are open, and those of them that are idle.

    Args:
        host: a name or an address.
        port: where it listens.
        tls: what the channels are secured with, if they are.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.opened: set[Channel] = set()
        self.idle: list[Channel] = []
        self._host, self._port, self._tls = host, port, tls
        self._resolving = asyncio.Lock()
        self._addresses: list[str] = []
        self._known_until = -inf

    def take(self, most: int) -> list[Channel]:
        """Up to so many idle channels, without those that are closed, or were idle for too long."""
        some, self.idle = self.idle[-most:], self.idle[:-most]
        poll = select.poll()
        for channel in some:
            if channel.is_free:
                poll.register(channel, select.POLLIN)
        # There is nothing to read but the end, or what nobody asked for.
        with_news = {fileno for fileno, _ in poll.poll(0)}
        earliest = time.time() - KEEP_ALIVE_SECONDS
        taken = []
        for channel in some:
            if channel.is_free and channel.free_since > earliest and channel.fileno() not in with_news:
                taken.append(channel)
            else:
                channel.abort()
        return taken

    def keep(self, most: int) -> None:
        """Close idle channels that are more than so many."""
        for channel in self.idle[most:]:
            channel.abort()
        del self.idle[most:]

    def give_up_late(self) -> None:
        """End the posts whose answers are late."""
        now = asyncio.get_running_loop().time()
        for channel in tuple(self.opened):
            if channel.late_from <= now:
                channel.abort()

    def close(self) -> None:
        """Close all of them. The loop has to turn once more for that."""
        for channel in tuple(self.opened):
            channel.abort()
        self.idle.clear()

    async def connect(self) -> Channel | None:
        """Open a channel; None if nobody is there, or nobody who can show that they are this host."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                for address in await self._resolve():
                    try:
                        _, channel = await loop.create_connection(
                            lambda: Channel(self.opened),
                            address,
                            self._port,
                            ssl=self._tls,
                            server_hostname=self._host if self._tls else None,
                        )
                    except OSError:  # a certificate that is not right is one, too
                        continue
                    if channel.is_free:  # and not closed since
                        return channel
        except OSError:  # no address, or no time left
            pass
        return None

    async def _resolve(self) -> list[str]:
        """The host's addresses; each time another one is the first."""
        loop = asyncio.get_running_loop()
        async with self._resolving:
            if time.time() > self._known_until:
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                self._addresses = list(dict.fromkeys(str(where[0]) for *_, where in found))
                self._known_until = time.time() + ADDRESSES_SECONDS
            self._addresses = [*self._addresses[1:], *self._addresses[:1]]
            return self._addresses
