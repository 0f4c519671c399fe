"""Shrinking a script: what is left still fails, and little is left."""

from collections.abc import Collection
from typing import Any

from tests.chaos import plan
from tests.chaos.plan import Go, Script, Send
from tests.chaos.shrink import Shrinker

FAULTS = [("gone", "accept", "POST", "u1", number) for number in range(8)] + [("error", "wake", "Query", "u2", 1)]
CULPRIT = FAULTS[5]


def shrunk(
    fails: Any, *, most_replays: int = 200, concerned: Collection[str] = ("u1", "u3")
) -> tuple[Script, Shrinker]:
    """What is left of a script, and who shrank it."""
    shrinker = Shrinker(fails, lambda _: None, most_replays=most_replays)
    return shrinker.shrink(plan.make(1, 500), concerned=concerned, faults=FAULTS), shrinker


def _numbers(script: Script) -> list[int]:
    return [send.number for user in script.users for send in user.sends]


def test_it_comes_down_to_the_one_user_step_and_fault_that_it_takes() -> None:
    def fails(script: Script) -> Collection[tuple[Any, ...]] | None:
        of_user = [user for user in script.users if user.name == "u1"]
        with_step = any(isinstance(step, Send) and step.number == 3 for user in of_user for step in user.steps)
        return FAULTS if with_step and (script.only is None or CULPRIT in script.only) else None

    script, _ = shrunk(fails)
    assert [user.name for user in script.users] == ["u1"]
    assert _numbers(script) == [3]
    assert {step.move for step in script.users[0].steps if isinstance(step, Go)} <= {"connect"}
    assert script.only == (CULPRIT,)
    assert script.outages == ()


def test_what_fails_without_any_fault_is_left_with_none() -> None:
    script, _ = shrunk(lambda script: FAULTS)
    assert script.only == ()


def test_what_takes_all_of_it_stays_as_it_is() -> None:
    script, _ = shrunk(lambda script: None)
    assert script == plan.make(1, 500)


def test_what_takes_two_users_keeps_both() -> None:
    def fails(script: Script) -> Collection[tuple[Any, ...]] | None:
        return FAULTS if {"u1", "u3"} <= {user.name for user in script.users} else None

    script, _ = shrunk(fails)
    assert [user.name for user in script.users] == ["u1", "u3"]


def test_it_plays_no_more_often_than_it_may() -> None:
    played: list[Script] = []

    def fails(script: Script) -> Collection[tuple[Any, ...]] | None:
        played.append(script)
        return FAULTS if any(user.name == "u1" for user in script.users) else None

    _, shrinker = shrunk(fails, most_replays=5)
    assert len(played) == shrinker.replays == 5


def test_it_begins_no_replay_when_the_time_is_up() -> None:
    shrinker = Shrinker(lambda script: FAULTS, lambda _: None, has_time=lambda: False)
    script = plan.make(1, 100)
    assert shrinker.shrink(script, concerned={"u0"}, faults=FAULTS) == script
