"""The least that posts: it signs, writes, reads the status, and takes the next one. Nothing can go wrong here.

The same signature and the same parser as Ringback's poster, on the same event loop. No time limits, no results, no care
for channels that end: what it reaches is the limit for a client of this kind.
"""

import asyncio
import ssl
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from httptools import HttpResponseParser

from lambdas.adapters.signing import Credentials, Signer
from lambdas.core.ports import Post


class Bare:
    """Posts to one endpoint over connections that stay open.

    Args:
        url: of the endpoint.
        tls: for an ``https`` one.
    """

    def __init__(
        self, url: str, credentials: Credentials, *, region: str, at_once: int, tls: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._tls = parts.hostname or "", parts.port or 0, tls
        self._at_once = at_once
        self._runner = asyncio.Runner()
        self._open: list[_Connection] = []
        self.request = Signer(credentials, region=region, host=parts.netloc, path=parts.path).request
        self.waiting: Iterator[Post] = iter(())
        self.left = 0

    def post(self, posts: Sequence[Post]) -> None:
        """Make these posts."""
        self._runner.run(self._post(posts))

    def close(self) -> None:
        """Close the connections."""
        for connection in self._open:
            connection.transport.abort()
        self._runner.close()

    def answered(self) -> None:
        """One of the posts is done."""
        self.left -= 1
        if not self.left:
            self._done.set_result(None)

    async def _post(self, posts: Sequence[Post]) -> None:
        loop = asyncio.get_running_loop()
        while len(self._open) < min(self._at_once, len(posts)):
            _, connection = await loop.create_connection(
                lambda: _Connection(self), self._host, self._port, ssl=self._tls
            )
            self._open.append(connection)
        self.waiting, self.left, self._done = iter(posts), len(posts), loop.create_future()
        for connection in self._open:
            connection.go_on()
        await self._done


class _Connection(asyncio.Protocol):
    def __init__(self, bare: Bare) -> None:
        self._bare = bare
        self._parser = HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() != 200:
            raise RuntimeError("the stand-in did not take a post")
        self.go_on()
        self._bare.answered()

    def go_on(self) -> None:
        for post in self._bare.waiting:
            self.transport.write(self._bare.request(post.connection_id, post.frame, int(time.time())))
            return
