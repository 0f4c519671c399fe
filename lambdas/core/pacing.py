"""How to call a service that takes so many calls a second from everybody together.

Nobody here knows how many others call it. So who is throttled pauses, with all calls of the same function, for a time
that is left to chance; the more is throttled, the longer. Between the pauses calls are made as fast as they come: what
the service gives is used up, and when the others are done nobody crawls on.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from lambdas.core.errors import ServiceUnavailable, Throttled
from lambdas.core.ports import Clock, TaskTokens

# The longest that a pause may take: doubled by whatever is throttled, and a tenth less for each call that is taken.
# Longer ones would spare some calls, but at a storm's end the last would sleep while the quota fills.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.25, 1.5
LONGER, SHORTER = 2.0, 0.9
# After a pause the calls come one by one, over so much of its length.
SPREAD = 0.2


class Pace:
    """The pace of one function's calls, which its threads share."""

    def __init__(
        self, clock: Clock, seconds_left: Callable[[], float], *, jitter: Callable[[], float] = random.random
    ) -> None:
        """Begin without a pause.

        Args:
            clock: the time, and how to let it pass.
            seconds_left: how long calls may still begin.
            jitter: from 0 to 1; those who were throttled together must not come again together.
        """
        self.seconds_left = seconds_left
        self.calls_throttled = 0
        self._clock = clock
        self._jitter = jitter
        self._lock = Lock()
        self._longest = SHORTEST_SECONDS
        self._goes_on_at = self._throttled_at = clock.now()

    def turn(self) -> datetime:
        """Wait until calls are made, and say when that is.

        Raises:
            ServiceUnavailable: the time is up by then.
        """
        while True:
            with self._lock:
                now = self._clock.now()
                wait = (self._goes_on_at - now).total_seconds()
                if wait > 0:
                    wait += SPREAD * self._longest * self._jitter()
            if self.seconds_left() <= max(0.0, wait):
                raise ServiceUnavailable("the time is up")
            if wait <= 0:
                return now
            self._clock.sleep(wait)

    def throttled(self, turn: datetime) -> None:
        """Pause, unless that has been done since this call's turn."""
        with self._lock:
            self.calls_throttled += 1
            if turn < self._throttled_at:
                return
            now = self._clock.now()
            self._longest = min(LONGEST_SECONDS, LONGER * self._longest)
            self._throttled_at = now
            self._goes_on_at = now + timedelta(seconds=self._longest * self._jitter())

    def taken(self) -> None:
        """Make the next pause a shorter one."""
        with self._lock:
            self._longest = max(SHORTEST_SECONDS, SHORTER * self._longest)


class PacedTokens:
    """`lambdas.core.ports.TaskTokens` at a pace. What is throttled is tried again as long as there is time."""

    def __init__(self, tokens: TaskTokens, pace: Pace) -> None:
        self._tokens = tokens
        self._pace = pace

    def succeed(self, task_token: str, output: dict[str, Any]) -> bool:
        """Let the run go on with this output; False if it no longer waits on this token.

        Raises:
            ServiceUnavailable: the time is up, or it failed twice otherwise than by being throttled.
        """
        has_failed = False
        while True:
            turn = self._pace.turn()
            try:
                went_on = self._tokens.succeed(task_token, output)
            except Throttled:
                self._pace.throttled(turn)
            except ServiceUnavailable:
                if has_failed:
                    raise
                has_failed = True
            else:
                self._pace.taken()
                return went_on
