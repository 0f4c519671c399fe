"""How long a run waits: by what led to it, with backoff and jitter, capped, cut to the message's life."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonata import Jsonata  # type: ignore[import-untyped]

from lambdas.core.model import Message, timestamp
from ringback.envelope import MAX_ATTEMPTS as MAX_ATTEMPTS_OF_A_MESSAGE
from ringback.envelope import MAX_BACKOFF_BASE_SECONDS, MAX_BACKOFF_CAP_SECONDS, MAX_TTL_SECONDS
from tests.builders import DAY_SECONDS, NOW, envelope
from tests.statemachine import definition
from tests.statemachine.stage import ANA, MAX_ATTEMPTS, Answer, Stage
from tests.statemachine.test_paths import AWAIT, WAIT

NOBODY_WAS_THERE = ("NoOpenConnection", "ConnectionGone")
SOMEBODY_IS_THERE = ("States.Timeout", "PostThrottled", "ServiceUnavailable", "Lambda.Unknown")


@dataclass(frozen=True)
class Backoff:
    """The settings of a stage."""

    base_seconds: int
    cap_seconds: int
    look_again_seconds: int = 600

    def of(self, message: dict[str, Any], cause: str) -> "Backoff":
        """What a wait for this cause makes of them, and a message, which may say its own."""
        policy = message.get("retry") or {}
        own_cap = policy.get("backoffCapSeconds")
        base_seconds = policy.get("backoffBaseSeconds")
        if base_seconds is None:
            is_seldom = cause in NOBODY_WAS_THERE and not policy.get("maxAttempts")
            base_seconds = self.look_again_seconds if is_seldom else self.base_seconds
            base_seconds = min(base_seconds, own_cap or base_seconds)
        return Backoff(base_seconds, max(base_seconds, own_cap or self.cap_seconds))

    def seconds(self, misses: int, jitter: float) -> int:
        """How long to wait, whatever the message's life."""
        ceiling = min(self.cap_seconds, self.base_seconds << misses)
        return ceil(max(self.base_seconds / 2, jitter * ceiling))

    def timeout_seconds(
        self, message: dict[str, Any], *, misses: int, jitter: float, now: datetime, cause: str = "States.Timeout"
    ) -> Any:
        """Evaluate the definition's own expression, in a run that started at noon."""
        expression = self._expression("Wait For Reconnect", "TimeoutSeconds", jitter)
        expression.register_lambda("millis", lambda: round(now.timestamp() * 1000))
        variables = {
            "misses": misses,
            "lastError": {"Error": cause, "Cause": "…"},
            "states": {"context": {"Execution": {"Input": message, "StartTime": timestamp(NOW)}}},
        }
        return expression.evaluate(None, variables)

    def failure_seconds(self, *, misses: int, jitter: float) -> Any:
        """Evaluate the definition's other expression."""
        expression = self._expression("Wait Out The Failure", "Seconds", jitter)
        return expression.evaluate(None, {"states": {"input": {"misses": misses}}})

    def _expression(self, state: str, field: str, jitter: float) -> Jsonata:
        values: dict[str, str | int] = {
            "BackoffBaseSeconds": self.base_seconds,
            "BackoffCapSeconds": self.cap_seconds,
            "LookAgainSeconds": self.look_again_seconds,
            "DefaultAckTimeoutSeconds": 30,
            "DefaultTtlSeconds": DAY_SECONDS,
            "DeadLetterQueueUrl": "",
            "MaxAttempts": 1000,
        }
        text = json.loads(definition.with_values(values))["States"][state][field]
        expression = Jsonata(text.removeprefix("{%").removesuffix("%}"))
        expression.register_lambda("random", lambda: jitter)
        return expression


def accepted(message: dict[str, Any]) -> Message:
    """What the functions make of the message of a run that started at noon."""
    return Message.accept(message, fallback_id="m-1", accepted_at=NOW, default_ttl_seconds=DAY_SECONDS)


backoffs = st.builds(
    lambda base, factor, look_again: Backoff(base, base * factor, look_again),
    base=st.integers(1, 3600),
    factor=st.integers(1, 100),
    look_again=st.integers(1, MAX_BACKOFF_CAP_SECONDS),
)
causes = st.sampled_from(NOBODY_WAS_THERE + SOMEBODY_IS_THERE)
numbers_of_misses = st.integers(0, 1000)
jitters = st.floats(0, 1, exclude_max=True)
moments = st.integers(0, 1000 * MAX_TTL_SECONDS).map(lambda later: NOW + timedelta(milliseconds=later))
ends_of_life = st.one_of(
    st.just({}),
    st.just({"expiresAt": None, "ttlSeconds": None}),
    st.builds(lambda seconds: {"ttlSeconds": seconds}, st.integers(1, MAX_TTL_SECONDS)),
    st.builds(lambda moment: {"expiresAt": timestamp(moment)}, moments),
    st.builds(lambda moment: {"expiresAt": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}, moments),
)


def _or_none(seconds: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.none() | seconds


policies = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "maxAttempts": _or_none(st.integers(1, MAX_ATTEMPTS_OF_A_MESSAGE)),
        "backoffBaseSeconds": _or_none(st.integers(1, MAX_BACKOFF_BASE_SECONDS)),
        "backoffCapSeconds": _or_none(st.integers(1, MAX_BACKOFF_CAP_SECONDS)),
    },
).filter(lambda policy: (policy.get("backoffBaseSeconds") or 1) <= (policy.get("backoffCapSeconds") or DAY_SECONDS))


@example(
    backoff=Backoff(1, 1), misses=0, jitter=0.0, end_of_life={"ttlSeconds": 1}, retry={}, now=NOW + timedelta(days=3),
    cause="States.Timeout",
)  # fmt: skip
@example(
    backoff=Backoff(2, 3600), misses=1000, jitter=0.999, end_of_life={}, retry={}, now=NOW, cause="NoOpenConnection"
)
@given(
    backoff=backoffs,
    misses=numbers_of_misses,
    jitter=jitters,
    end_of_life=ends_of_life,
    retry=policies,
    now=moments,
    cause=causes,
)
def test_a_wait_is_as_long_as_its_cause_and_backoff_jitter_and_life_allow(
    backoff: Backoff,
    misses: int,
    jitter: float,
    end_of_life: dict[str, Any],
    retry: dict[str, Any] | None,
    now: datetime,
    cause: str,
) -> None:
    message = envelope(**end_of_life, retry=retry)

    timeout_seconds = backoff.timeout_seconds(message, misses=misses, jitter=jitter, now=now, cause=cause)

    life_seconds = ceil((accepted(message).expires_at - now) / timedelta(seconds=1))
    assert type(timeout_seconds) is int
    assert timeout_seconds == max(1, min(backoff.of(message, cause).seconds(misses, jitter), life_seconds))


@pytest.mark.parametrize(
    ("retry", "away", "there"),
    [
        ({}, (43_200, 43_200), (10, 40)),
        ({"maxAttempts": 3}, (10, 40), (10, 40)),
        ({"maxAttempts": 3, "backoffCapSeconds": 5}, (5, 5), (5, 5)),
        ({"maxAttempts": None}, (43_200, 43_200), (10, 40)),
        ({"backoffBaseSeconds": 20}, (20, 80), (20, 80)),
        ({"backoffBaseSeconds": 3_600}, (3_600, 7_200), (3_600, 7_200)),
        ({"backoffCapSeconds": 60}, (60, 60), (10, 40)),
        ({"backoffCapSeconds": 3}, (3, 3), (3, 3)),
        ({"backoffCapSeconds": 86_400}, (43_200, 86_400), (10, 40)),
        ({"backoffBaseSeconds": 5, "backoffCapSeconds": 15}, (5, 15), (5, 15)),
        ({"backoffBaseSeconds": None, "backoffCapSeconds": None}, (43_200, 43_200), (10, 40)),
    ],
)
def test_the_longest_waits_at_first_and_after_two_in_vain(
    retry: dict[str, Any], away: tuple[int, int], there: tuple[int, int]
) -> None:
    """In a stage that says nothing: written out, where the other test reckons."""
    stage = Backoff(base_seconds=10, cap_seconds=7_200, look_again_seconds=43_200)
    message = envelope(retry=retry, ttlSeconds=MAX_TTL_SECONDS)
    for causes_of_it, expected in ((NOBODY_WAS_THERE, away), (SOMEBODY_IS_THERE, there)):
        for cause in causes_of_it:
            waits = [
                stage.timeout_seconds(message, misses=misses, jitter=0.999_999, now=NOW, cause=cause)
                for misses in (0, 2)
            ]
            assert tuple(waits) == expected, cause


@example(backoff=Backoff(3600, 86_400), misses=0, jitter=0.0)
@example(backoff=Backoff(1, 1), misses=1000, jitter=0.0)
@given(backoff=backoffs, misses=numbers_of_misses, jitter=jitters)
def test_a_failure_is_waited_out_for_five_minutes_at_most(backoff: Backoff, misses: int, jitter: float) -> None:
    seconds = backoff.failure_seconds(misses=misses, jitter=jitter)

    assert type(seconds) is int
    assert 1 <= seconds <= 300
    assert seconds == Backoff(min(backoff.base_seconds, 300), 300).seconds(misses, jitter)


@pytest.mark.parametrize("fraction", ["", ".5", ".25", ".123"])
def test_every_end_of_life_that_an_envelope_may_name_is_read_alike(fraction: str) -> None:
    message = envelope(expiresAt=f"2030-01-31T13:00:00{fraction}Z")
    patient = Backoff(base_seconds=3600, cap_seconds=86_400)

    timeout_seconds = patient.timeout_seconds(message, misses=5, jitter=0.999, now=NOW)

    assert timeout_seconds == ceil((accepted(message).expires_at - NOW) / timedelta(seconds=1))


def test_when_the_wait_is_over_so_is_the_life_that_cut_it() -> None:
    message = envelope(ttlSeconds=3)
    now = NOW + timedelta(milliseconds=1500)

    timeout_seconds = Backoff(60, 60).timeout_seconds(message, misses=1, jitter=0.999, now=now)

    assert now + timedelta(seconds=timeout_seconds) >= accepted(message).expires_at


@pytest.mark.parametrize(
    ("asked", "expected"), [({}, 30), ({"ackTimeoutSeconds": None}, 30), ({"ackTimeoutSeconds": 7}, 7)]
)
def test_the_wait_for_an_acknowledgement_is_the_messages_or_the_stages(asked: dict[str, Any], expected: int) -> None:
    expression = definition.STATES["Post And Await Acknowledgement"]["TimeoutSeconds"]
    text = expression.replace("${DefaultAckTimeoutSeconds}", "30").removeprefix("{%").removesuffix("%}")
    execution = {"Input": envelope(**asked)}

    assert Jsonata(text).evaluate(None, {"states": {"context": {"Execution": execution}}}) == expected


# What is a miss: a wait that ran its full time, or a failure that was waited out, since the recipient last connected.


def test_each_wait_in_vain_doubles_the_next(stage: Stage) -> None:
    stage.connect("c1")
    run = stage.send(envelope(ack="client"))
    waits = []

    for _ in range(MAX_ATTEMPTS - 1):
        run.time_out_in(AWAIT)
        waits.append(run.time_out_in(WAIT).timeout_seconds)

    assert waits == [5, 10, 20]


def test_for_somebody_who_is_away_it_looks_seldom(stage: Stage) -> None:
    run = stage.send(envelope())

    assert [run.time_out_in(WAIT).timeout_seconds for _ in range(MAX_ATTEMPTS - 1)] == [600, 900, 900]


@pytest.mark.parametrize("ack", ["none", "client"])
@pytest.mark.parametrize(("answer", "seconds"), [(Answer.GONE, 600), (Answer.THROTTLED, 5), (Answer.FAILED, 5)])
def test_who_is_there_and_did_not_take_it_is_tried_again_soon(
    stage: Stage, answer: Answer, seconds: int, ack: str
) -> None:
    stage.connect("c1")
    stage.gateway.answer("c1", answer)

    run = stage.send(envelope(ack=ack))

    assert run.wait_in(WAIT).timeout_seconds == seconds


def test_each_wait_is_as_long_as_what_led_to_it_says(stage: Stage) -> None:
    """Not what led to the one before, whether that ended in vain or by a reconnect."""
    stage.connect("c1")
    run = stage.send(envelope(ack="client"))
    run.time_out_in(AWAIT)
    assert run.wait_in(WAIT).timeout_seconds == 5
    stage.connections.delete(ANA, "c1")

    run.time_out_in(WAIT)
    assert run.wait_in(WAIT).timeout_seconds == 900  # 600, doubled, is more than the cap

    stage.connect("c2")
    run.time_out_in(AWAIT)
    assert run.wait_in(WAIT).timeout_seconds == 5


@pytest.mark.parametrize(
    ("retry", "waits"),
    [
        ({"backoffBaseSeconds": 40, "backoffCapSeconds": 60}, [40, 60, 60]),
        ({"backoffBaseSeconds": 40}, [40, 80, 160]),
        ({"backoffCapSeconds": 60}, [60, 60, 60]),
    ],
)
def test_a_message_may_have_a_patience_of_its_own(stage: Stage, retry: dict[str, int], waits: list[int]) -> None:
    run = stage.send(envelope(retry=retry))

    assert [run.time_out_in(WAIT).timeout_seconds for _ in range(MAX_ATTEMPTS - 1)] == waits


def test_who_came_back_is_not_kept_waiting_when_the_post_fails(stage: Stage) -> None:
    run = stage.send(envelope())
    run.time_out_in(WAIT)
    assert run.wait_in(WAIT).timeout_seconds == 900
    stage.gateway.answer("c1", Answer.FAILED)

    stage.connect("c1")

    assert run.time_out_in(WAIT).timeout_seconds == 5
    assert run.fail()[0] == "AttemptsExhausted"


def test_who_is_found_but_takes_nothing_is_asked_less_and_less(stage: Stage) -> None:
    """Else a client that takes nothing would use the attempts up long before the message's life."""
    run = stage.send(envelope())
    run.wait_in(WAIT)
    stage.gateway.answer("c1", Answer.FAILED)
    stage.store("c1")

    run.time_out_in(WAIT)
    assert run.time_out_in(WAIT).timeout_seconds == 10
    assert run.wait_in(WAIT).timeout_seconds == 20


def test_a_failure_that_was_waited_out_is_a_miss(stage: Stage) -> None:
    stage.functions.before["ResolveConnections"] = [lambda: None, *[_crash] * 7]
    run = stage.send(envelope(retry={"backoffBaseSeconds": 5}))

    run.time_out_in(WAIT)

    assert run.wait_in(WAIT).timeout_seconds == 20
    assert stage.interpreter.waited == [20]


def test_a_wait_that_failed_is_a_miss(stage: Stage) -> None:
    stage.functions.before["WaitForReconnect"] = [lambda: None, *[_crash] * 7]
    run = stage.send(envelope(retry={"backoffBaseSeconds": 5}))

    run.time_out_in(WAIT)

    assert run.wait_in(WAIT).timeout_seconds == 20
    assert stage.interpreter.waited == [20]


def _crash() -> None:
    raise RuntimeError("the function crashed")
