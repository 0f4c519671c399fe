"""What a quota lets through: a bucket of tokens, full at first, that fills at an even rate."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Quota:
    """So many calls at once after a rest, and so many a second for good."""

    burst: float
    per_second: float

    def of(self, scale: int) -> "Quota":
        """The same for an account that is so many times smaller."""
        return Quota(self.burst / scale, self.per_second / scale)


class Bucket:
    """A quota in use. Who comes when it is empty is refused, which costs nothing."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._level = quota.burst
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Whether a call at this time, in seconds, is let through; times do not run backwards."""
        if self._at is not None:
            self._level = min(self._quota.burst, self._level + (now - self._at) * self._quota.per_second)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


def at_best(arrivals: Sequence[float], quota: Quota, *, calls: int = 1) -> list[float]:
    """When each of these could be through at best, if all who wait stand in line and none knocks in vain.

    That is the exact bound: nobody can take a token before it is there, and none is left that somebody waits for.

    Args:
        arrivals: seconds, in order.
        quota: full at the first arrival.
        calls: so many for each arrival, one after the other.
    """
    through: list[float] = []
    level, now = quota.burst, arrivals[0] if arrivals else 0.0
    for arrival in arrivals:
        for _ in range(calls):
            start = max(now, arrival)
            level = min(quota.burst, level + (start - now) * quota.per_second)
            now = start
            if level < 1:
                now += (1 - level) / quota.per_second
                level = 1
            level -= 1
        through.append(now)
    return through
