"""How often machines look in vain: against their definitions, and against many draws."""

import json
import random

import pytest
from jsonata import Jsonata  # type: ignore[import-untyped]

from benchmarks.baselines import stack
from benchmarks.billing.schedules import WHILE_AWAY, FullJitter, next_poll, next_retry, poll_seconds
from cdk_app.delivery import DEFINITION
from cdk_app.settings import StageSettings

NOBODY_WAS_THERE = {"Error": "NoOpenConnection", "Cause": "…"}


def test_who_is_away_is_looked_for_as_the_settings_say() -> None:
    defaults = {name: field.default for name, field in StageSettings.model_fields.items()}
    assert FullJitter(defaults["look_again_seconds"], defaults["backoff_cap_seconds"]) == WHILE_AWAY


@pytest.mark.parametrize("backoff", [WHILE_AWAY, FullJitter(10, 7200), FullJitter(1, 1), FullJitter(7, 60)])
@pytest.mark.parametrize("jitter", [0.0, 0.05, 0.5, 0.77, 0.999999])
def test_waits_are_those_of_the_delivery_machine(backoff: FullJitter, jitter: float) -> None:
    text = json.loads(DEFINITION.read_text("utf-8"))["States"]["Wait For Reconnect"]["TimeoutSeconds"]
    for name, value in {
        "LookAgainSeconds": backoff.base_seconds,
        "BackoffBaseSeconds": 1_000_000,
        "BackoffCapSeconds": backoff.cap_seconds,
        "DefaultTtlSeconds": 86_400,
    }.items():
        text = text.replace(f"${{{name}}}", str(value))
    expression = Jsonata(text.removeprefix("{%").removesuffix("%}"))
    expression.register_lambda("random", lambda: jitter)
    expression.register_lambda("millis", lambda: 0)
    execution = {"Input": {}, "StartTime": "1970-01-01T00:00:00.000Z"}
    for misses in (0, 1, 3, 9, 10, 30):
        variables = {"misses": misses, "lastError": NOBODY_WAS_THERE, "states": {"context": {"Execution": execution}}}
        assert backoff.seconds(misses, jitter) == expression.evaluate(None, variables)


@pytest.mark.parametrize(
    "backoff", [FullJitter(10, 7200), FullJitter(2, 60), FullJitter(20, 20), FullJitter(300, 7200)]
)
@pytest.mark.parametrize("absent_seconds", [1, 10, 60, 600])
def test_the_expectation_is_what_many_draws_come_to(backoff: FullJitter, absent_seconds: int) -> None:
    draw = random.Random(7)  # noqa: S311 - the same in every run
    runs = 2000
    looks = 0
    for _ in range(runs):
        misses = second = 0
        while (second := second + backoff.seconds(misses, draw.random())) <= absent_seconds:
            misses += 1
        looks += misses
    expected = backoff.expected_looks(absent_seconds)
    assert expected == pytest.approx(looks / runs, rel=0.05, abs=0.05)


def test_a_wait_that_cannot_end_in_time_is_no_look() -> None:
    assert FullJitter(20, 60).expected_looks(9) == 0
    assert FullJitter(1, 1).expected_looks(9) == pytest.approx(9)
    assert WHILE_AWAY.expected_looks(21_599) == 0
    assert WHILE_AWAY.expected_looks(36_000) == pytest.approx(36_000 / 43_200, abs=1e-4)


def test_polls_are_those_of_the_polling_machine() -> None:
    catch = json.loads(stack.MACHINE.read_text("utf-8"))["States"]["Post"]["Catch"][0]
    expression = Jsonata(catch["Output"]["waitSeconds"].removeprefix("{%").removesuffix("%}"))
    looks = [0]
    state: dict[str, int] = {}
    while looks[-1] < 300:
        state = {"waitSeconds": expression.evaluate(None, {"states": {"input": state}})}
        looks.append(looks[-1] + state["waitSeconds"])
    assert looks == poll_seconds(looks[-1]) == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303]


@pytest.mark.parametrize(
    ("after", "look"), [(0, 1), (0.5, 1), (1, 3), (3.2, 7), (62.9, 63), (63, 123), (36_000, 36_003)]
)
def test_the_next_poll_comes_after_the_return(after: float, look: int) -> None:
    assert next_poll(after) == look


@pytest.mark.parametrize(("after", "retry"), [(0, 60), (59.9, 60), (60, 180), (179, 180), (180, None), (3600, None)])
def test_after_two_retries_there_is_none(after: float, retry: int | None) -> None:
    assert next_retry(after) == retry
