"""What all pages see, and what each of them has not been told yet. All of it belongs to the console's event loop."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

from local.console import moments
from local.console.runs import Runs

Json = dict[str, Any]


class Page:
    """One page that looks: what has changed since it was last told. It is never more than there is to see."""

    def __init__(self, board: "Board") -> None:
        self._board = board
        self._runs: dict[str, None] = {}
        self._parts: set[str] = set()
        self._news = asyncio.Event()

    def note_run(self, arn: str) -> None:
        """Have it be told of this run."""
        self._runs[arn] = None
        self._news.set()

    def note(self, part: str) -> None:
        """Have it be told all of `connections` or `deadLetters`."""
        self._parts.add(part)
        self._news.set()

    async def news(self) -> None:
        """Come back when there is something to tell."""
        await self._news.wait()

    def snapshot(self) -> str:
        """Everything."""
        self._forget()
        board = self._board
        return _frame("snapshot", board.runs.texts(), board.parts)

    def changes(self) -> str:
        """What it has not been told yet."""
        runs, parts = list(self._runs), {name: self._board.parts[name] for name in sorted(self._parts)}
        self._forget()
        return _frame("changes", self._board.runs.texts(runs), parts)

    def _forget(self) -> None:
        self._runs.clear()
        self._parts.clear()
        self._news.clear()


class Board:
    """Runs, connections and dead letters as they are now. `ready` is set once each was read for the first time."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.parts: dict[str, list[Json]] = {"connections": [], "deadLetters": []}
        self._letters: dict[str, list[Json]] = {}
        self._pages: set[Page] = set()
        self._awaited = {"runs", "connections", "delivery", "ingest"}
        self._is_ready = asyncio.Event()

    async def ready(self) -> None:
        """Come back when everything was read once."""
        await self._is_ready.wait()

    def has_read(self, part: str) -> None:
        """Note that `runs`, `connections` or one of the queues was read."""
        self._awaited.discard(part)
        if not self._awaited:
            self._is_ready.set()

    def open_page(self) -> Page:
        """One more page that looks."""
        page = Page(self)
        self._pages.add(page)
        return page

    def close_page(self, page: Page) -> None:
        """It looks no more."""
        self._pages.discard(page)

    def take_runs(self, told: Iterable[Json]) -> list[Json]:
        """Take in what was told of runs; answers the summaries that are news."""
        news = [made for run in told if (made := self.runs.take(run)) is not None]
        for page in self._pages:
            for made in news:
                page.note_run(made["arn"])
        return news

    def number_runs(self, numbers: Mapping[str, int]) -> None:
        """Take in the numbers of ordered messages, by their runs."""
        for arn, sequence in numbers.items():
            if self.runs.number(arn, sequence):
                for page in self._pages:
                    page.note_run(arn)

    def set_connections(self, connections: list[Json]) -> None:
        """Take in who is connected."""
        self._set("connections", connections)
        self.has_read("connections")

    def set_letters(self, queue: str, letters: list[Json]) -> None:
        """Take in what is on one of the dead letter queues."""
        self._letters[queue] = letters
        self._set("deadLetters", [letter for name in sorted(self._letters) for letter in self._letters[name]])
        self.has_read(queue)

    def _set(self, part: str, values: list[Json]) -> None:
        if self.parts[part] != values:
            self.parts[part] = values
            for page in self._pages:
                page.note(part)


def _frame(kind: str, runs: list[str], parts: dict[str, list[Json]]) -> str:
    # Escaped to ASCII, as all of the console's JSON: half of a surrogate pair, which a message may hold, has no UTF-8.
    fields = {name: json.dumps(values) for name, values in parts.items()}
    if runs or kind == "snapshot":
        fields["runs"] = f"[{','.join(runs)}]"
    head = json.dumps({"kind": kind, "now": moments.now()})
    return head[:-1] + "".join(f", {json.dumps(name)}: {text}" for name, text in fields.items()) + "}"
