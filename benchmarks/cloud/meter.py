"""Reads what `benchmarks.cloud.metered` has written down, and adds it up."""

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from benchmarks.billing import units
from benchmarks.billing.counts import Counts, invocation, total

FILE = "meter.jsonl"

_BILLED_CALLS = ("reads", "writes", "queue_requests", "frames")
_QUIET_SECONDS = 0.4
_POLL_SECONDS = 0.05

Line = Mapping[str, Any]


def consumed(service: str, operation: str, body: bytes, status: int, answer: bytes) -> dict[str, float]:
    """What one call of a function is billed as, by the fields of `Counts`.

    Written units are those that the service has answered. Read units are reckoned from the items that it has answered:
    MiniStack takes every read for one of 4 KB.
    """
    if service == "dynamodb":
        request = json.loads(body)
        if status != HTTPStatus.OK:
            return {"writes": 1.0}  # a condition did not hold; a failed read would be none
        return _dynamodb(operation, request, json.loads(answer))
    if service == "connections":
        is_frame = operation == "POST" and status == HTTPStatus.OK
        return {"frames": units.websocket_messages(len(body))} if is_frame else {}
    if service == "sqs":
        return {"queue_requests": units.queue_requests(len(body))}
    return {}


def _dynamodb(operation: str, request: Line, answer: Line) -> dict[str, float]:
    if operation in {"Query", "GetItem", "BatchGetItem"}:
        return {"reads": units.read_units(operation, request, answer)}
    capacity = answer["ConsumedCapacity"]
    tables = capacity if isinstance(capacity, list) else [capacity]
    return {"writes": sum(table["CapacityUnits"] for table in tables)}


@dataclass(frozen=True)
class Use:
    """What was used between two moments."""

    counts: Counts
    invoked: Counter[str]
    called: Counter[str]
    log_bytes: int


@dataclass
class Meter:
    """The meter of one run, for some functions: those whose work is a message's."""

    file: Path
    functions: Mapping[str, str]  # name in the cloud → name here
    _read: int = field(default=0)

    def skip(self) -> None:
        """Forget what was used so far, once nothing is used any more."""
        self._settled()

    def start(self) -> None:
        """Forget what was used so far, at once: where `use` was the last that was asked, nothing is left to come."""
        self._read = self.file.stat().st_size

    def use(self, of: Collection[str]) -> Use:
        """What these functions have used since this was last asked, once nothing is used any more."""
        lines = [json.loads(line) for line in self._settled().splitlines()]
        return add_up(lines, {there: name for there, name in self.functions.items() if name in of})

    def await_invocations(self, function: str, count: int, *, seconds: float = 30) -> None:
        """Wait until a function has ended so often since `use` was last asked.

        Raises:
            TimeoutError
        """

        def has_ended() -> bool:
            return [self.functions.get(line.get("function", "")) for line in self._unread()].count(function) >= count

        until(has_ended, f"{count} invocations of {function}", seconds=seconds)

    def await_calls(self, function: str, operation: str, count: int, *, seconds: float = 30) -> None:
        """Wait until a function has made so many of these calls since `use` was last asked.

        Raises:
            TimeoutError
        """

        def has_called() -> bool:
            calls = [line for line in self._unread() if line.get("operation") == operation]
            return [self.functions.get(line["caller"]) for line in calls].count(function) >= count

        until(has_called, f"{count} times {operation} by {function}", seconds=seconds)

    def _unread(self) -> list[Line]:
        with self.file.open("rb") as file:
            file.seek(self._read)
            lines = file.read().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def _settled(self) -> bytes:
        size = self.file.stat().st_size
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < _QUIET_SECONDS:
            time.sleep(_POLL_SECONDS)
            if (now := self.file.stat().st_size) != size:
                size, quiet_since = now, time.monotonic()
        with self.file.open("rb") as file:
            file.seek(self._read)
            content = file.read(size - self._read)
        self._read = size
        return content


def add_up(lines: Iterable[Line], functions: Mapping[str, str]) -> Use:
    """Add up the lines of the meter that are of these functions.

    Lambda's reading of a queue is no call of a function: a receive and a delete for each batch, and the send that has
    brought each message there is its sender's.
    """
    invoked: Counter[str] = Counter()
    called: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    memory: dict[str, int] = {}
    parts: list[Counts] = []
    log_bytes = 0
    for line in lines:
        name = functions.get(line.get("function") or line["caller"])
        if name is None:
            continue
        if "caller" in line:
            calls[name] += 1
            called[f"{name}: {line['service']} {line['operation']}"] += 1
            parts.append(Counts(**{kind: line[kind] for kind in _BILLED_CALLS if kind in line}))
            continue
        invoked[name] += 1
        memory[name] = line["memory_mb"]
        log_bytes += line["log_bytes"]
        if line["source"] == "aws:sqs":
            parts.append(Counts(queue_requests=2))
    if unfinished := calls.keys() - invoked.keys():
        raise RuntimeError(f"calls of functions whose invocations are not there: {', '.join(sorted(unfinished))}")
    for name, times in invoked.items():
        one = invocation(memory_mb=memory[name], calls=0)
        parts.append(one * times)
        parts.append((invocation(memory_mb=memory[name], calls=1) - one) * calls[name])
    return Use(total(parts), invoked, called, log_bytes)


def until(condition: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Wait for something.

    Raises:
        TimeoutError: what it was.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {seconds:g} s")
        time.sleep(_POLL_SECONDS)
