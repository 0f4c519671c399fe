"""Which fault happens when: decided by a hash, so that nothing depends on who comes first among many users.

A place where a fault may happen has four coordinates. `function` is the module of the function's handler, such as
`wait_for_reconnect`. `operation` is what it calls, such as `PutItem`, or what is delivered to it, such as `aws:sqs`.
`subject` is the user it is about, "" if none can be told. `nth` counts from 1 what came up with these three.
"""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, TextIO

FILE = "faults.jsonl"

# Most messages get through soon: what a fault makes of one call is mostly one more call. A process that dies costs half
# a second of a processor here, so that is rare.
DEFAULT_RATES: Mapping[str, float] = {
    "gone": 0.02,
    "young_410": 0.2,
    "throttled": 0.01,
    "error": 0.01,
    "lost_answer": 0.01,
    "slow": 0.003,
    "delayed": 0.03,
    "done_late": 0.002,
    "killed_before": 0.0015,
    "killed_after": 0.0015,
    "timed_out": 0.001,
    "duplicate_batch": 0.06,
    "reordered_batch": 0.1,
    "duplicate_records": 0.05,
    "late_records": 0.01,
    "disconnect_lost": 0.1,
    "disconnect_late": 0.2,
    "disconnect_doubled": 0.1,
    "skewed_clock": 1.0,
    # The state machine's own calls, of which there is one for each dead letter.
    "task_throttled": 0.2,
    "task_error": 0.25,
    "task_lost_answer": 0.4,
}


class Place(NamedTuple):
    """Where a fault may happen."""

    function: str
    operation: str
    subject: str
    nth: int


def share(seed: int, what: str, place: Place) -> float:
    """A number in [0, 1) that follows from these alone, and looks like chance."""
    digest = hashlib.blake2b(json.dumps([seed, what, *place]).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def happens(seed: int, fault: str, function: str, operation: str, subject: str, nth: int, rate: float) -> bool:
    """Whether this fault happens here."""
    return share(seed, fault, Place(function, operation, subject, nth)) < rate


def rate_of(rates: Mapping[str, float], fault: str, function: str, operation: str, subject: str) -> float:
    """The rate for this place: `fault:function:operation` goes before `fault:function`, and that before `fault`.

    Before all of them go those for some subjects alone, by how their names begin: `fault:function:operation@prefix`.
    """
    names = (f"{fault}:{function}:{operation}", f"{fault}:{function}", fault)
    for end in range(len(subject), 0, -1):
        for name in names:
            if (rate := rates.get(f"{name}@{subject[:end]}")) is not None:
                return rate
    for name in names:
        if name in rates:
            return rates[name]
    return 0.0


class ControlError(ValueError):
    """What was asked for cannot be; says why."""


class Orders(NamedTuple):
    """What is to happen. `only`: exactly these faults, as `(fault, function, operation, subject, nth)`."""

    seed: int = 0
    active: bool = False
    rates: Mapping[str, float] = DEFAULT_RATES
    only: Collection[tuple[str, str, str, str, int]] | None = None

    @classmethod
    def read(cls, body: bytes) -> "Orders":
        """Read them from JSON.

        Raises:
            ControlError: they cannot be read.
        """
        try:
            values = json.loads(body)
            rates = DEFAULT_RATES if values.get("rates") is None else values["rates"]
            _refuse_unknown(values, rates)
            only = values.get("only")
            return cls(
                seed=int(values.get("seed", 0)),
                active=bool(values.get("active", False)),
                rates={str(name): float(rate) for name, rate in rates.items()},
                only=None
                if only is None
                else frozenset((str(f), str(n), str(o), str(s), int(t)) for f, n, o, s, t in only),
            )
        except ControlError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ControlError(f"not the form of orders: {error}") from None

    def want(self, fault: str, place: Place) -> bool:
        """Whether this fault is to happen here."""
        if not self.active:
            return False
        if self.only is not None:
            return (fault, *place) in self.only
        rate = rate_of(self.rates, fault, place.function, place.operation, place.subject)
        return happens(self.seed, fault, *place, rate)


def _refuse_unknown(values: Iterable[str], rates: Iterable[str]) -> None:
    strange = {name for name in rates if name.partition("@")[0].partition(":")[0] not in DEFAULT_RATES}
    unknown = {*values} - {*Orders._fields} | strange
    if unknown:
        raise ControlError(f"unknown: {', '.join(sorted(unknown))}")


class Journal:
    """Writes down what happened. Any thread may."""

    def __init__(self, file: TextIO, now: Callable[[], float] = time.time) -> None:
        self._file = file
        self._now = now
        self._lock = threading.Lock()
        self.faults: Counter[str] = Counter()

    def fault(self, fault: str, place: Place) -> None:
        """A fault was injected."""
        with self._lock:
            self.faults[fault] += 1
            self._write({"at": self._now(), "fault": fault, **place._asdict()})

    def posted(self, message_ids: Iterable[str], connection_id: str, user: str) -> None:
        """The cloud took a frame with these messages for a connection."""
        with self._lock:
            self._write({"at": self._now(), "posted": list(message_ids), "connection": connection_id, "user": user})

    def heard(self, connected_at: float, user: str) -> None:
        """`wake` has done what it does for a connection of this user."""
        with self._lock:
            self._write({"at": self._now(), "heard": connected_at, "user": user})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


class Chaos:
    """What is to happen, and what has. Any thread may ask."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.orders = Orders()
        self.calls = 0
        self.invocations = 0
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def obey(self, orders: Orders) -> None:
        """Go by these from now on, and count anew when they begin."""
        with self._lock:
            if orders.active and not self.orders.active:
                self._counts.clear()
            self.orders = orders

    def place(self, function: str, operation: str, subject: str) -> Place:
        """Come to a place where something may happen."""
        with self._lock:
            self._counts[function, operation, subject] += 1
            return Place(function, operation, subject, self._counts[function, operation, subject])

    def called(self) -> None:
        """A function called the cloud."""
        with self._lock:
            self.calls += 1

    def invoked(self) -> None:
        """A function was invoked."""
        with self._lock:
            self.invocations += 1

    def happens(self, fault: str, place: Place) -> bool:
        """Whether this fault happens here; if it does, that is written down."""
        if not self.orders.want(fault, place):
            return False
        self.journal.fault(fault, place)
        return True

    def between(self, shortest: float, longest: float, what: str, place: Place) -> float:
        """So many seconds, or whatever is measured."""
        return shortest + (longest - shortest) * share(self.orders.seed, f"how {what}", place)
