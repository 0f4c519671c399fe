"""How results are written: a line for people, or one JSON object a line for scripts; progress goes to stderr."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

_SECONDS_BETWEEN_LINES = 2.0


@dataclass(frozen=True)
class Output:
    """Where results go."""

    as_json: bool

    def result(self, value: Any, line: str) -> None:
        """Write one result: for people the line, for scripts the value."""
        print(_json(value) if self.as_json else printable(line), flush=True)

    def block(self, value: Any, lines: Mapping[str, Any]) -> None:
        """Write one result: for people its fields, one a line and without the empty ones; for scripts the value."""
        if self.as_json:
            print(_json(value), flush=True)
            return
        there = {name: field for name, field in lines.items() if field is not None and field != ""}
        width = max(map(len, there), default=0)
        for name, field in there.items():
            print(
                f"{name:<{width}}  {printable(moment(field) if isinstance(field, datetime) else str(field))}",
                flush=True,
            )

    def note(self, text: str) -> None:
        """Say something to people beside the results."""
        print(printable(text), file=sys.stderr, flush=True)


class Progress:
    """A line on stderr that changes in place on a terminal, and comes anew now and then elsewhere."""

    def __init__(self) -> None:
        self._in_place = sys.stderr.isatty()
        self._last = time.monotonic()
        self._width = 0

    def show(self, text: str) -> None:
        """Say how far it is."""
        now = time.monotonic()
        if self._in_place:
            print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(text)
        elif now - self._last >= _SECONDS_BETWEEN_LINES:
            print(text, file=sys.stderr, flush=True)
        else:
            return
        self._last = now

    def done(self) -> None:
        """Leave the line as it is."""
        if self._in_place and self._width:
            print(file=sys.stderr)

    def wipe(self) -> None:
        """Take the line away: what follows says it all."""
        if self._in_place and self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=sys.stderr, flush=True)


def moment(at: datetime | None) -> str:
    """A time as people read it."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z" if at else ""


def printable(text: str) -> str:
    """Without what would move a terminal's cursor: messages are written by others."""
    return "".join(character if character.isprintable() else " " for character in text)


def _json(value: Any) -> str:
    if hasattr(value, "to_json"):
        value = value.to_json()
    elif isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    elif hasattr(value, "_asdict"):
        value = {to_camel(name): field for name, field in value._asdict().items()}
    elif is_dataclass(value) and not isinstance(value, type):
        value = {to_camel(name): field for name, field in asdict(value).items()}
    # Escaped to ASCII: half of a surrogate pair, which a dead letter may hold, has no UTF-8, and a pipe may have none.
    return json.dumps(value, separators=(",", ":"))
