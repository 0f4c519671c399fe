"""What somebody has used of AWS, and what that costs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Self

from benchmarks.billing import times
from benchmarks.billing.prices import PRICES

_GB = 1024**3

_BILLED = {
    "transitions": "transition",
    "invocations": "lambda_request",
    "gb_seconds": "lambda_gb_second",
    "reads": "dynamodb_read",
    "writes": "dynamodb_write",
    "queue_requests": "sqs_request",
    "publishes": "sns_publish",
    "frames": "websocket_message",
}


@dataclass(frozen=True)
class Counts:
    """Amounts of what is billed, each in the unit that it is billed by. ``calls`` of functions are not billed, and
    ``log_bytes`` are beside the bill: everybody logs what they like.
    """

    transitions: float = 0
    invocations: float = 0
    gb_seconds: float = 0
    reads: float = 0
    writes: float = 0
    queue_requests: float = 0
    publishes: float = 0
    frames: float = 0
    calls: float = 0
    log_bytes: float = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in NAMES})

    def __sub__(self, other: Self) -> Self:
        return self + other * -1

    def __mul__(self, times: float) -> Self:
        return type(self)(**{name: getattr(self, name) * times for name in NAMES})

    def __truediv__(self, parts: float) -> Self:
        return self * (1 / parts)

    def usd(self, prices: Mapping[str, float] = PRICES) -> float:
        """What it costs, without logs."""
        return sum(float(getattr(self, name)) * prices[price] for name, price in _BILLED.items())

    def logs_usd(self, prices: Mapping[str, float] = PRICES) -> float:
        """What CloudWatch takes for the logs."""
        return self.log_bytes / _GB * prices["log_gb"]


NAMES = tuple(field.name for field in fields(Counts))


def total(parts: Iterable[Counts]) -> Counts:
    """All of these together."""
    return sum(parts, start=Counts())


def invocation(*, memory_mb: int, calls: int) -> Counts:
    """One invocation of a function with this memory, which makes so many calls."""
    seconds = times.seconds(memory_mb, calls=calls)
    return Counts(invocations=1, gb_seconds=memory_mb / 1024 * seconds, calls=calls)


def mix(online: Counts, absent: Counts, *, share_online: float) -> Counts:
    """One message of many of which this share (0 to 1) finds its recipient there."""
    return online * share_online + absent * (1 - share_online)
