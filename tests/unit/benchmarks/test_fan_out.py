"""How the fan-out's benchmark goes about it: everybody in turn, every connection in the end, and ratios by round."""

from collections.abc import Callable, Sequence

import pytest

from benchmarks.fan_out import CONNECTIONS, ROUNDS, Figures, Side, measure
from lambdas.core.ports import Post

SOME, MANY = 250, 5_000


@pytest.mark.parametrize("count", CONNECTIONS)
def test_who_is_fast_posts_to_every_connection_and_who_is_slow_to_some(count: int) -> None:
    reached: dict[str, list[str]] = {"slow": [], "fast": []}

    def noting(name: str) -> Callable[[Sequence[Post]], None]:
        return lambda posts: reached[name].extend(post.connection_id for post in posts)

    sides = [Side("slow", noting("slow"), SOME), Side("fast", noting("fast"), MANY, reaches_all=True)]
    slow, fast = measure(sides, "http://h/prod", count)

    assert {name: len(set(ids)) for name, ids in reached.items()} == {
        "slow": min(count, ROUNDS * SOME),
        "fast": count,
    }
    assert len(slow.per_cpu_second) == len(fast.per_second) == ROUNDS
    posted = len(reached["slow"]) - min(count, SOME)  # the first ones only open sockets
    assert SOME - count < posted / ROUNDS <= SOME


def test_the_sides_take_turns() -> None:
    turns: list[str] = []

    sides = [Side(name, lambda _, name=name: turns.append(name), SOME) for name in "ab"]  # type: ignore[misc]
    measure(sides, "http://h/prod", SOME)

    assert "".join(turns) == "ab" * (1 + ROUNDS)


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    ours, theirs = Figures("ours", 10, [10, 40, 20]), Figures("theirs", 10, [10, 10, 1])

    assert (ours.over(theirs), ours.median / theirs.median) == (4, 2)
