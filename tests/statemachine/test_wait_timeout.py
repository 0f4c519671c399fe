"""How long a run waits: exponential backoff with jitter, capped, cut to the message's life; and what makes it grow."""

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
from tests.statemachine.stage import MAX_ATTEMPTS, Answer, Stage
from tests.statemachine.test_paths import WAIT


@dataclass(frozen=True)
class Backoff:
    """The settings of a stage."""

    base_seconds: int
    cap_seconds: int

    def of(self, message: dict[str, Any]) -> "Backoff":
        """What a message makes of them, which may say its own."""
        policy = message.get("retry") or {}
        base_seconds = policy.get("backoffBaseSeconds") or self.base_seconds
        cap_seconds = policy.get("backoffCapSeconds") or self.cap_seconds
        return Backoff(base_seconds, max(base_seconds, cap_seconds))

    def seconds(self, misses: int, jitter: float) -> int:
        """How long to wait, whatever the message's life."""
        ceiling = min(self.cap_seconds, self.base_seconds << misses)
        return ceil(max(self.base_seconds / 2, jitter * ceiling))

    def timeout_seconds(self, message: dict[str, Any], *, misses: int, jitter: float, now: datetime) -> Any:
        """Evaluate the definition's own expression, in a run that started at noon."""
        expression = self._expression("Wait For Reconnect", "TimeoutSeconds", jitter)
        expression.register_lambda("millis", lambda: round(now.timestamp() * 1000))
        execution = {"Input": message, "StartTime": timestamp(NOW)}
        return expression.evaluate(None, {"misses": misses, "states": {"context": {"Execution": execution}}})

    def failure_seconds(self, *, misses: int, jitter: float) -> Any:
        """Evaluate the definition's other expression."""
        expression = self._expression("Wait Out The Failure", "Seconds", jitter)
        return expression.evaluate(None, {"states": {"input": {"misses": misses}}})

    def _expression(self, state: str, field: str, jitter: float) -> Jsonata:
        values: dict[str, str | int] = {
            "BackoffBaseSeconds": self.base_seconds,
            "BackoffCapSeconds": self.cap_seconds,
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
    lambda base, factor: Backoff(base_seconds=base, cap_seconds=base * factor),
    base=st.integers(1, 3600),
    factor=st.integers(1, 100),
)
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
        "backoffCapSeconds": _or_none(st.integers(MAX_BACKOFF_BASE_SECONDS, MAX_BACKOFF_CAP_SECONDS)),
    },
)


@example(backoff=Backoff(2, 3600), misses=1000, jitter=0.999, end_of_life={}, retry={}, now=NOW)
@example(
    backoff=Backoff(1, 1), misses=0, jitter=0.0, end_of_life={"ttlSeconds": 1}, retry={}, now=NOW + timedelta(days=3)
)
@example(backoff=Backoff(5, 900), misses=9, jitter=0.999, end_of_life={}, retry={"backoffBaseSeconds": 1_000}, now=NOW)
@example(backoff=Backoff(5, 900), misses=9, jitter=0.999, end_of_life={}, retry={"backoffCapSeconds": 3}, now=NOW)
@given(
    backoff=backoffs, misses=numbers_of_misses, jitter=jitters, end_of_life=ends_of_life, retry=policies, now=moments
)
def test_a_wait_is_as_long_as_backoff_jitter_and_life_allow(
    backoff: Backoff,
    misses: int,
    jitter: float,
    end_of_life: dict[str, Any],
    retry: dict[str, Any] | None,
    now: datetime,
) -> None:
    message = envelope(**end_of_life, retry=retry)

    timeout_seconds = backoff.timeout_seconds(message, misses=misses, jitter=jitter, now=now)

    life_seconds = ceil((accepted(message).expires_at - now) / timedelta(seconds=1))
    assert type(timeout_seconds) is int
    assert timeout_seconds == max(1, min(backoff.of(message).seconds(misses, jitter), life_seconds))


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
    run = stage.send(envelope())

    assert [run.time_out_in(WAIT).timeout_seconds for _ in range(MAX_ATTEMPTS - 1)] == [5, 10, 20]


def test_a_message_may_be_more_patient_than_the_stage(stage: Stage) -> None:
    run = stage.send(envelope(retry={"backoffBaseSeconds": 40, "backoffCapSeconds": 60}))

    assert [run.time_out_in(WAIT).timeout_seconds for _ in range(MAX_ATTEMPTS - 1)] == [40, 60, 60]


def test_who_came_back_is_not_kept_waiting_when_the_post_fails(stage: Stage) -> None:
    run = stage.send(envelope())
    run.time_out_in(WAIT)
    assert run.wait_in(WAIT).timeout_seconds == 10
    stage.gateway.answer("c1", Answer.GONE)

    stage.connect("c1")

    assert run.time_out_in(WAIT).timeout_seconds == 5
    assert run.fail()[0] == "AttemptsExhausted"


def test_who_is_found_but_takes_nothing_is_asked_less_and_less(stage: Stage) -> None:
    """Else a client that never acknowledges would use the attempts up long before the message's life."""
    run = stage.send(envelope())
    run.time_out_in(WAIT)
    stage.gateway.answer("c1", Answer.GONE)
    assert run.wait_in(WAIT).timeout_seconds == 10
    stage.store("c1")

    run.time_out_in(WAIT)

    assert run.wait_in(WAIT).timeout_seconds == 20


def test_a_failure_that_was_waited_out_is_a_miss(stage: Stage) -> None:
    stage.functions.before["ResolveConnections"] = [lambda: None, *[_crash] * 7]
    run = stage.send(envelope())

    run.time_out_in(WAIT)

    assert run.wait_in(WAIT).timeout_seconds == 20
    assert stage.interpreter.waited == [20]


def test_a_wait_that_failed_is_a_miss(stage: Stage) -> None:
    stage.functions.before["WaitForReconnect"] = [lambda: None, *[_crash] * 7]
    run = stage.send(envelope())

    run.time_out_in(WAIT)

    assert run.wait_in(WAIT).timeout_seconds == 20
    assert stage.interpreter.waited == [20]


def _crash() -> None:
    raise RuntimeError("the function crashed")
