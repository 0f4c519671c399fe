"""How a function goes on that was throttled, and what it does with what was."""

import heapq
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from lambdas.core import delivery, pacing
from lambdas.core.errors import ServiceUnavailable, Throttled
from lambdas.core.pacing import Pace, PacedTokens
from tests.builders import NOW, callback, connection
from tests.fakes import FakeCallbacks, FakeClock, FakeTokens

THROTTLED = Throttled("SendTaskSuccess: ThrottlingException")


class Service(FakeTokens):
    """Fails the first calls in these ways."""

    def __init__(self, *failures: ServiceUnavailable, waiting: frozenset[str] = frozenset({"token"})) -> None:
        super().__init__(waiting=set(waiting))
        self.failures = list(failures)
        self.tokens: list[str] = []

    def succeed(self, task_token: str, output: dict[str, Any]) -> bool:
        self.tokens.append(task_token)
        if self.failures:
            raise self.failures.pop(0)
        return super().succeed(task_token, output)


def a_pace(clock: FakeClock, *, seconds: float = 60, jitter: Callable[[], float] = lambda: 1.0) -> Pace:
    """Without a jitter of its own every pause is as long as it may be."""
    return Pace(clock, lambda: seconds - (clock.now() - NOW).total_seconds(), jitter=jitter)


def test_nothing_is_held_back_until_something_is_throttled() -> None:
    pace = a_pace(clock := FakeClock())

    for _ in range(100):
        pace.turn()
        pace.taken()

    assert clock.slept == []


def test_what_was_throttled_pauses_longer_each_time_but_not_too_long() -> None:
    pace = a_pace(clock := FakeClock())

    for _ in range(4):
        pace.throttled(pace.turn())
    pace.turn()

    longest = [0.5, 1.0, pacing.LONGEST_SECONDS, pacing.LONGEST_SECONDS]
    assert clock.slept == [pytest.approx(seconds * (1 + pacing.SPREAD)) for seconds in longest]


def test_what_is_taken_makes_the_next_pause_shorter() -> None:
    pace = a_pace(clock := FakeClock())
    for _ in range(3):
        pace.throttled(pace.turn())
    pace.turn()
    clock.slept.clear()

    for _ in range(10):
        pace.taken()
    pace.throttled(pace.turn())
    pace.turn()
    for _ in range(100):
        pace.taken()
    pace.throttled(pace.turn())
    pace.turn()

    longest = [2 * pacing.LONGEST_SECONDS * 0.9**10, 2 * pacing.SHORTEST_SECONDS]
    assert clock.slept == [pytest.approx(seconds * (1 + pacing.SPREAD)) for seconds in longest]


def test_calls_that_were_under_way_together_pause_once() -> None:
    pace = a_pace(clock := FakeClock())
    turns = [pace.turn() for _ in range(16)]
    clock.time += timedelta(seconds=0.03)

    for turn in turns:
        pace.throttled(turn)
    pace.turn()

    assert clock.slept == [pytest.approx(0.5 * (1 + pacing.SPREAD))]
    assert pace.calls_throttled == 16


def test_all_calls_of_the_function_pause_and_then_come_one_by_one() -> None:
    jitters = iter([1.0, 0.0, 0.5, 1.0])
    pace = a_pace(clock := FakeClock(), jitter=lambda: next(jitters))
    pace.throttled(pace.turn())

    for _ in range(3):
        pace.turn()
        clock.time = NOW

    assert clock.slept == [pytest.approx(0.5), pytest.approx(0.55), pytest.approx(0.6)]


def test_who_was_throttled_while_others_slept_holds_them_up_as_well() -> None:
    clock = FakeClock()
    pace = a_pace(clock)
    begun = pace.turn()
    pace.throttled(begun)

    class Meanwhile(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.slept) == 1:
                pace.throttled(self.time)

    pace._clock = later = Meanwhile(clock.time)
    turn = pace.turn()

    assert len(later.slept) == 2
    assert turn == later.time


def test_a_turn_that_would_come_too_late_is_not_waited_for() -> None:
    pace = a_pace(clock := FakeClock(), seconds=0.6)
    pace.throttled(pace.turn())

    with pytest.raises(ServiceUnavailable, match=r"^the time is up$"):
        pace.turn()
    assert clock.slept == []


def test_no_call_begins_when_the_time_is_up() -> None:
    service = Service()

    with pytest.raises(ServiceUnavailable, match=r"^the time is up$"):
        PacedTokens(service, a_pace(FakeClock(), seconds=0)).succeed("token", {})
    assert service.tokens == []


def test_what_is_throttled_is_tried_again_until_it_is_taken() -> None:
    service, clock = Service(*[THROTTLED] * 4), FakeClock()

    assert PacedTokens(service, a_pace(clock)).succeed("token", {"woken": "yes"})

    assert service.outputs == {"token": {"woken": "yes"}}
    assert (len(service.tokens), len(clock.slept)) == (5, 4)


def test_a_run_that_waits_no_more_is_no_failure() -> None:
    assert not PacedTokens(Service(), a_pace(FakeClock())).succeed("another", {})


def test_what_fails_otherwise_is_tried_twice_and_at_once() -> None:
    down = ServiceUnavailable("SendTaskSuccess: 503")
    clock = FakeClock()

    assert PacedTokens(Service(down), a_pace(clock)).succeed("token", {})
    with pytest.raises(ServiceUnavailable, match="503"):
        PacedTokens(service := Service(down, down), a_pace(clock)).succeed("token", {})

    assert (len(service.tokens), clock.slept) == (2, [])


def test_being_throttled_ends_with_the_time() -> None:
    service, clock = Service(*[THROTTLED] * 1_000), FakeClock()

    with pytest.raises(ServiceUnavailable, match=r"^the time is up$"):
        PacedTokens(service, a_pace(clock, seconds=30)).succeed("token", {})

    assert 30 - pacing.LONGEST_SECONDS * (1 + pacing.SPREAD) <= sum(clock.slept) < 30
    assert len(service.tokens) < 25


def test_ordered_messages_keep_their_order_when_one_is_throttled() -> None:
    callbacks, tokens = FakeCallbacks(), [f"token-{number}" for number in (1, 2, 3)]
    for number in (1, 2, 3):
        callbacks.park_for_reconnect(callback(f"m-{number}", entry=number, sequence=number))
    service = Service(THROTTLED, THROTTLED, waiting=frozenset(tokens))
    paced = PacedTokens(service, a_pace(FakeClock()))

    assert delivery.wake([connection()], callbacks=callbacks, tokens=paced, has_time=lambda: True) == 3

    assert list(service.outputs) == tokens
    assert service.tokens == ["token-1", "token-1", *tokens]


@pytest.mark.parametrize(("callers", "in_vain"), [(40, 0.2), (400, 0.5)])
def test_together_they_use_nearly_all_that_there_is_and_knock_seldom_in_vain(callers: int, in_vain: float) -> None:
    """Each makes one call of 30 ms after the other, and knows of nobody else: 500 a second are taken, none saved up."""
    clocks = [FakeClock() for _ in range(callers)]
    paces = [a_pace(clock, jitter=_chances(number)) for number, clock in enumerate(clocks)]
    begin, end = NOW + timedelta(seconds=2), NOW + timedelta(seconds=12)
    level, at, taken, refused = 0.0, NOW, 0, 0
    coming: list[tuple[datetime, int]] = [(NOW, number) for number in range(callers)]
    while coming[0][0] < end:
        now, number = heapq.heappop(coming)
        clock, pace = clocks[number], paces[number]
        level, at = min(50, level + (now - at).total_seconds() * 500), now
        clock.time += timedelta(seconds=0.03)
        if level >= 1:
            level -= 1
            taken += now >= begin
            pace.taken()
        else:
            refused += now >= begin
            pace.throttled(now)
        heapq.heappush(coming, (pace.turn(), number))

    assert taken > 0.95 * 500 * 10
    assert refused / (taken + refused) < in_vain


def _chances(seed: int) -> Callable[[], float]:
    """As good as chance, and the same in every run."""
    numbers = itertools.accumulate(
        itertools.repeat(0), lambda last, _: (last * 1_103_515_245 + 12_345) % 2**31, initial=seed
    )
    next(numbers)
    return lambda: next(numbers) / 2**31
