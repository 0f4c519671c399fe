"""Cut a script that fails down to a short one that still fails: fewer users, then steps, then faults.

Users do not depend on each other, so leaving some out changes nothing for those who stay. A replay is a real run, and
takes its time; there are only so many, and what the last one left is the answer.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tests.chaos import plan
from tests.chaos.plan import Script, Step, User

MOST_REPLAYS = 12

T = TypeVar("T")
# Plays a script; answers the faults that happened if it fails, None if its ledger balances.
Fails = Callable[[Script], Collection[tuple[Any, ...]] | None]


@dataclass
class Shrinker:
    """``fails`` plays scripts, ``has_time`` says whether another replay may begin."""

    fails: Fails
    say: Callable[[str], None]
    most_replays: int = MOST_REPLAYS
    has_time: Callable[[], bool] = lambda: True
    replays: int = 0

    def shrink(self, script: Script, *, concerned: Collection[str], faults: Collection[tuple[Any, ...]]) -> Script:
        """The shortest script that was found to fail.

        Args:
            script: what has failed.
            concerned: the users whom it befell.
            faults: those that happened then.
        """
        best = script
        names = [user.name for user in script.users]
        one = [name for name in names if name in concerned][:1]
        for some in ([name for name in names if name in concerned], one):
            if some and len(some) < len(best.users):
                best, faults = self._try(best, _only_users(best, some), faults)
        best, faults = self._try(best, plan.hurried(best), faults)
        if best.outages:
            best, faults = self._try(best, replace(best, outages=()), faults)
        best, faults = self._with_fewer_steps(best, faults)
        return self._with_fewer_faults(best, faults)

    def _try(
        self, best: Script, smaller: Script, faults: Collection[tuple[Any, ...]]
    ) -> tuple[Script, Collection[tuple[Any, ...]]]:
        if smaller == best or self.replays >= self.most_replays or not self.has_time():
            return best, faults
        self.replays += 1
        self.say(f"replay {self.replays}: {smaller.size}")
        found = self.fails(smaller)
        self.say("it fails still" if found is not None else "it does not fail any more")
        return (best, faults) if found is None else (smaller, found)

    def _with_fewer_steps(
        self, best: Script, faults: Collection[tuple[Any, ...]]
    ) -> tuple[Script, Collection[tuple[Any, ...]]]:
        """Leave out halves, then quarters and so on, of all steps but those in which a device first connects."""
        size = max(1, len(_droppable(best)) // 2)
        while len(_droppable(best)) > 1 and self.replays < self.most_replays and self.has_time():
            before = best
            start = 0
            while start < len(steps := _droppable(best)) and self.replays < self.most_replays:
                smaller, faults = self._try(best, _without(best, steps[start : start + size]), faults)
                start += 0 if smaller != best else size
                best = smaller
            if size == 1 and best == before:
                break
            size = max(1, size // 2)
        return best, faults

    def _with_fewer_faults(self, best: Script, faults: Collection[tuple[Any, ...]]) -> Script:
        """Play exactly the faults that happened, then fewer of them."""
        users = {user.name for user in best.users}
        left: Sequence[tuple[Any, ...]] = [fault for fault in faults if fault[3] in users or not fault[3]]
        smaller, _ = self._try(best, replace(best, only=()), faults)
        if smaller != best:
            return smaller
        best, _ = self._try(best, replace(best, only=tuple(left)), faults)
        if best.only is None:
            return best  # chance has a part in it
        size = max(1, len(left) // 2)
        while left and self.replays < self.most_replays and self.has_time():
            before = best
            start = 0
            while start < len(left) and self.replays < self.most_replays:
                fewer = [*left[:start], *left[start + size :]]
                smaller, _ = self._try(best, replace(best, only=tuple(fewer)), faults)
                if smaller != best:
                    best, left = smaller, fewer
                else:
                    start += size
            if size == 1 and best == before:
                break
            size = max(1, size // 2)
        return best


def _only_users(script: Script, names: Collection[str]) -> Script:
    return plan.with_users(script, [user for user in script.users if user.name in names])


def _droppable(script: Script) -> list[tuple[str, Step]]:
    return [
        (user.name, step)
        for user in script.users
        for step in user.steps
        if not (isinstance(step, plan.Go) and step.move == "connect")
    ]


def _without(script: Script, steps: Sequence[tuple[str, Step]]) -> Script:
    def left(user: User) -> User:
        return replace(user, steps=tuple(step for step in user.steps if (user.name, step) not in steps))

    return plan.with_users(script, [left(user) for user in script.users])
