"""When machines look again while nobody is there, and how often that is in vain: by their own formulas."""

import itertools
import math
from dataclasses import dataclass

_LONGEST_SECONDS = 60
_MAX_EXPONENT = 20
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class FullJitter:
    """The wait of Ringback's machine that nobody ends: `TimeoutSeconds` of "Wait For Reconnect".

    ``base_seconds`` is the stage's `look_again_seconds` where nobody was there, or the message's own. The wait is drawn
    from 0 to a ceiling that doubles with each wait in vain up to the cap; at least half the base, and in whole seconds.
    """

    base_seconds: int
    cap_seconds: int

    def seconds(self, misses: int, random: float) -> int:
        """The wait after so many in vain, for this random number from 0 to 1."""
        return max(1, math.ceil(max(self.base_seconds / 2, random * self._ceiling(misses))))

    def expected_looks(self, absent_seconds: int) -> float:
        """How many waits have run their full time when somebody comes back: the expectation, not a draw."""
        at = [1.0] + [0.0] * absent_seconds  # how likely it is that the last look was made in this second
        expected = 0.0
        for misses in itertools.count():
            at = self._next(at, misses)
            likely = sum(at)
            expected += likely
            if likely < _NEGLIGIBLE:
                break
        return expected

    def _ceiling(self, misses: int) -> int:
        return min(max(self.base_seconds, self.cap_seconds), self.base_seconds << min(misses, _MAX_EXPONENT))

    def _next(self, at: list[float], misses: int) -> list[float]:
        """The same of the next look. What would come after the list's end is not in it."""
        ceiling, shortest = self._ceiling(misses), self.seconds(misses, 0.0)
        sums = [0.0, *itertools.accumulate(at)]
        following = []
        for second in range(len(at)):
            likely = at[second - shortest] * shortest if second >= shortest else 0.0
            # Of the longer waits each is as likely as the others.
            latest, earliest = second - shortest, max(0, second - ceiling)
            if latest > earliest:
                likely += sums[latest] - sums[earliest]
            following.append(likely / ceiling)
        return following


WHILE_AWAY = FullJitter(base_seconds=43_200, cap_seconds=7_200)
"""How a message looks for somebody who is away, if neither it nor the stage says anything of that."""


def poll_seconds(until: float) -> list[int]:
    """When baseline (b) looks, in seconds from its start, up to then: waits of 1 s, doubled, a minute at most."""
    looks, wait = [0], 1
    while looks[-1] + wait <= until:
        looks.append(looks[-1] + wait)
        wait = min(_LONGEST_SECONDS, 2 * wait)
    return looks


def next_poll(after: float) -> int:
    """The first look of baseline (b) after that second."""
    return next(second for second in poll_seconds(after + _LONGEST_SECONDS) if second > after)


RETRY_SECONDS = (60, 180)
"""When Lambda tries a failed asynchronous invocation again, from the first: after a minute, and after two more."""


def next_retry(after: float) -> int | None:
    """The first retry of baseline (a) after that second; None where there is none left, and the message is lost."""
    return next((second for second in RETRY_SECONDS if second > after), None)
