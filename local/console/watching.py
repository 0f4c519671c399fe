"""Keeps the board true: follows the runs, the connections and the dead letter queues."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import aiohttp

from local import settings
from local.console import numbers
from local.console.board import Board
from local.console.connections import Connections
from local.console.letters import Letters
from local.console.numbers import Numbers
from ringback.errors import RingbackError

T = TypeVar("T")
Json = dict[str, Any]

_PAUSE_SECONDS = 0.5
_LOOK_SECONDS = 0.5
_COUNT_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Watch:
    """Follows everything at once."""

    def __init__(
        self,
        board: Board,
        *,
        endpoint: str,
        connections: Connections,
        letters: Mapping[str, Letters],
        sequences: Numbers,
        pool: Executor,
    ) -> None:
        self._board = board
        self._feed_url = endpoint.replace("http://", "ws://", 1) + settings.RUNS_PATH
        self._connections = connections
        self._letters = letters
        self._numbers = sequences
        self._pool = pool
        self._unnumbered: dict[str, Json] = {}
        self._asked = {name: asyncio.Event() for name in letters}

    def look(self, queue: str) -> None:
        """Have a dead letter queue read again, whatever its count says."""
        self._asked[queue].set()

    async def run(self) -> None:
        """Follow, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_runs())
            group.create_task(self._follow_connections())
            group.create_task(self._follow_numbers())
            for letters in self._letters.values():
                group.create_task(self._follow_letters(letters))

    async def _follow_runs(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                with _noted("the runs"):
                    await self._listen(session)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(self._feed_url, max_msg_size=0) as socket:
            self._board.runs.forget()
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                self._take(json.loads(message.data))

    def _take(self, told: Any) -> None:
        if told["kind"] == "complete":
            self._board.has_read("runs")
            return
        news = self._board.take_runs(told["runs"])
        self._unnumbered |= {run["arn"]: run for run in news if numbers.is_missing(run)}
        if any(run["status"] == "dead_lettered" for run in news):
            self.look("delivery")  # one may have come for one that went, and the count is the same

    async def _follow_connections(self) -> None:
        while True:
            with _noted("the connections"):
                self._board.set_connections(await self._call(self._connections.read))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _follow_numbers(self) -> None:
        while True:
            with _noted("the numbers of ordered messages"):
                some = list(islice(self._unnumbered.values(), numbers.MAX_RUNS_A_READING))
                found = await self._call(partial(self._numbers.read, some))
                for run in some:
                    self._unnumbered.pop(run["arn"], None)
                self._board.number_runs(found)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _follow_letters(self, letters: Letters) -> None:
        asked, counted = self._asked[letters.name], -1
        while True:
            with _noted(f"the dead letters of {letters.name}"):
                count = await self._call(letters.count)
                if asked.is_set() or count != counted:
                    asked.clear()
                    self._board.set_letters(letters.name, await self._call(letters.read))
                    counted = count
            with suppress(TimeoutError):
                async with asyncio.timeout(_COUNT_SECONDS):
                    await asked.wait()

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)


@contextmanager
def _noted(what: str) -> Iterator[None]:
    """Go on, whatever became of one look: the next one is near."""
    try:
        yield
    except (RingbackError, aiohttp.ClientError, OSError) as error:
        logger.debug("%s cannot be read now: %s", what, error)
    except Exception:
        logger.exception("%s could not be read", what)
