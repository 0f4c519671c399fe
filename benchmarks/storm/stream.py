"""What brings the connections table's changes to `wake`: an event source mapping, with the settings of the stack.

A shard is looked at four times a second. What came is put into the shard's lanes, by item; a lane has one invocation
at a time, and brings what failed again, in order, before all that follow.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, takewhile
from typing import Any
from zlib import crc32

Json = dict[str, Any]
Invoke = Callable[[list[Json]], Json]
"""Hands records to the function. Raises whatever is no answer of its."""

POLL_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class EventSource:
    """The mapping's settings. There is no bound to how often a batch is tried, only to its age."""

    batch_size: int = 100
    lanes_a_shard: int = 10
    max_age_seconds: float = 3600
    bisects: bool = True


@dataclass(frozen=True)
class Change:
    """A record of the stream, and when it was written, in seconds of the monotonic clock."""

    record: Json
    written_at: float

    @property
    def number(self) -> str:
        """Its sequence number."""
        return str(self.record["dynamodb"]["SequenceNumber"])


@dataclass
class Counts:
    """What the mapping did."""

    invocations: int = 0
    failed: int = 0
    brought: int = 0
    given_up: int = 0


@dataclass
class Lane:
    """What waits in a lane, and what is to be done about an answer."""

    source: EventSource
    waiting: deque[Change] = field(default_factory=deque)
    counts: Counts = field(default_factory=Counts)
    _largest: int = 0
    _pause: float = 0

    def take(self, now: float) -> list[Change]:
        """The next batch; those that are too old are given up."""
        while self.waiting and now - self.waiting[0].written_at > self.source.max_age_seconds:
            self.waiting.popleft()
            self.counts.given_up += 1
        size = self._largest or self.source.batch_size
        return [self.waiting.popleft() for _ in range(min(size, len(self.waiting)))]

    def answered(self, batch: Sequence[Change], answer: Json | None) -> float:
        """Look at what the function answered, None if it failed; says how long to pause before the next batch."""
        self.counts.invocations += 1
        self.counts.brought += len(batch)
        if answer is None:
            self._largest = max(1, len(batch) // 2) if self.source.bisects else 0
            return self._again(batch, batch)
        self._largest = 0
        failures = {failure["itemIdentifier"] for failure in answer.get("batchItemFailures", [])}
        if not failures:
            self._pause = 0
            return 0
        numbers = [change.number for change in batch]
        first = min(numbers.index(number) if number in numbers else 0 for number in failures)
        return self._again(batch[first:], batch)

    def _again(self, left: Sequence[Change], batch: Sequence[Change]) -> float:
        self.counts.failed += 1
        self.waiting.extendleft(reversed(left))
        came_on = len(left) < len(batch)
        self._pause = FIRST_PAUSE_SECONDS if came_on or not self._pause else min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return self._pause


class Mapping:
    """Brings changes to the function, each lane in a thread of its own."""

    def __init__(self, source: EventSource, *, shards: int, invokers: Sequence[Invoke], cold_seconds: float) -> None:
        """Have a lane for each invoker, the same number in each shard."""
        self._lanes = [_Runner(Lane(source), invoke, cold_seconds) for invoke in invokers]
        self._shards = shards

    def bring(self, changes: Sequence[Change], *, until: float) -> Counts:
        """Bring all of these as they are written, and end when all is done, or at this time."""
        for lane in self._lanes:
            lane.start()
        to_come = deque(sorted(changes, key=lambda change: change.written_at))
        turns = cycle(range(self._shards))
        try:
            while time.monotonic() < until and (to_come or not all(lane.is_idle() for lane in self._lanes)):
                time.sleep(POLL_SECONDS / self._shards)
                self._hand_out(to_come, time.monotonic(), next(turns))
        finally:
            for lane in self._lanes:
                lane.stop()
        counts = [lane.lane.counts for lane in self._lanes]
        return Counts(*(sum(getattr(each, name) for each in counts) for name in vars(Counts())))

    def _hand_out(self, changes: deque[Change], now: float, turn: int) -> None:
        written = list(takewhile(lambda change: change.written_at <= now, changes))
        others = [change for change in written if self._shard(change) != turn]
        a_shard = len(self._lanes) // self._shards
        for change in written:
            if (shard := self._shard(change)) == turn:
                item = repr(change.record["dynamodb"]["Keys"]).encode()
                self._lanes[shard * a_shard + crc32(item) % a_shard].put(change)
        for _ in written:
            changes.popleft()
        changes.extendleft(reversed(others))

    def _shard(self, change: Change) -> int:
        return crc32(b"shard" + change.record["dynamodb"]["Keys"]["caller_id"]["S"].encode()) % self._shards


class _Runner:
    """A lane and the thread that empties it."""

    def __init__(self, lane: Lane, invoke: Invoke, cold_seconds: float) -> None:
        self.lane = lane
        self._invoke = invoke
        self._cold_seconds = cold_seconds
        self._changed = threading.Condition()
        self._is_busy = False
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join()

    def put(self, change: Change) -> None:
        with self._changed:
            self.lane.waiting.append(change)
            self._changed.notify()

    def is_idle(self) -> bool:
        with self._changed:
            return not self._is_busy and not self.lane.waiting

    def _run(self) -> None:
        while batch := self._next():
            time.sleep(self._cold_seconds)
            self._cold_seconds = 0
            answer: Json | None
            try:
                answer = self._invoke([change.record for change in batch])
            except Exception:  # noqa: BLE001 - whatever it is, the function failed
                answer = None
            with self._changed:
                pause = self.lane.answered(batch, answer)
                if pause and not self._is_over:
                    self._changed.wait_for(lambda: self._is_over, timeout=pause)
                self._is_busy = False

    def _next(self) -> list[Change]:
        with self._changed:
            while not self._is_over:
                if batch := self.lane.take(time.monotonic()):
                    self._is_busy = True
                    return batch
                self._changed.wait()
        return []
