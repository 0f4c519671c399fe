"""Many clients at once, on one event loop in a thread of its own."""

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

_HANDSHAKES_AT_ONCE = 16


class Crowd:
    """Open sockets of many users in one conversation, and what each got."""

    def __init__(self, websocket_url: str, context_id: str) -> None:
        self._url = f"{websocket_url}?{urlencode({'context': 'chat', 'contextId': context_id})}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._sockets: list[tuple[str, ClientConnection]] = []
        self._news = threading.Condition()
        self._frames: list[list[dict[str, Any]]] = []
        self._readers: set[asyncio.Task[None]] = set()

    @contextmanager
    def there(self) -> Iterator[Self]:
        """Have the loop running, and every socket closed at the end."""
        self._thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(60)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def connect(self, tokens: Iterable[tuple[str, str]], *, seconds: float = 240) -> None:
        """Open a socket for each of these users with their token; a user may be there several times."""
        asyncio.run_coroutine_threadsafe(self._connect_all(list(tokens)), self._loop).result(seconds)

    def received(self, fan_out_id: str) -> dict[str, list[list[str]]]:
        """The ids that came with this fan-out, for each socket of each user."""
        came: dict[str, list[list[str]]] = defaultdict(list)
        with self._news:
            for (user, _), frames in zip(self._sockets, self._frames, strict=True):
                came[user].append([frame["id"] for frame in frames if frame["id"].startswith(f"{fan_out_id}-")])
        return dict(came)

    def await_posts(self, fan_out_id: str, count: int, *, seconds: float = 60) -> None:
        """Wait until so many frames of this fan-out have come, over all sockets."""
        prefix = f"{fan_out_id}-"

        def arrived() -> bool:
            came = [frame for frames in self._frames for frame in frames if frame["id"].startswith(prefix)]
            return len(came) >= count

        with self._news:
            if not self._news.wait_for(arrived, seconds):
                raise TimeoutError(f"{count} posts of {fan_out_id} did not arrive within {seconds:g} s")

    async def _connect_all(self, tokens: list[tuple[str, str]]) -> None:
        limit = asyncio.Semaphore(_HANDSHAKES_AT_ONCE)

        async def open_one(user: str, token: str) -> None:
            async with limit:
                socket = await connect(
                    self._url,
                    additional_headers={"Authorization": f"Bearer {token}"},
                    open_timeout=60,
                    compression=None,
                    ping_interval=None,
                    proxy=None,
                )
            frames: list[dict[str, Any]] = []
            with self._news:
                self._sockets.append((user, socket))
                self._frames.append(frames)
            reader = asyncio.create_task(self._read(socket, frames))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)

        async with asyncio.TaskGroup() as group:
            for user, token in tokens:
                group.create_task(open_one(user, token))

    async def _read(self, socket: ClientConnection, frames: list[dict[str, Any]]) -> None:
        try:
            async for text in socket:
                with self._news:
                    frames.append(json.loads(text))
                    self._news.notify_all()
        except ConnectionClosed:
            return

    async def _close(self) -> None:
        await asyncio.gather(*(socket.close() for _, socket in self._sockets))
        await asyncio.gather(*self._readers)
