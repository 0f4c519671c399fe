"""The timeout of Wait For Reconnect: exponential backoff with full jitter, capped, cut to the message's life."""

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
from ringback.envelope import MAX_TTL_SECONDS
from tests.builders import DAY_SECONDS, NOW, envelope
from tests.statemachine import definition


@dataclass(frozen=True)
class Backoff:
    """The settings of a stage."""

    base_seconds: int
    cap_seconds: int

    def ceiling_seconds(self, attempt: int) -> int:
        """The longest wait after this attempt."""
        return int(min(self.cap_seconds, self.base_seconds * 2 ** (attempt - 1)))

    def timeout_seconds(self, message: dict[str, Any], *, attempt: int, jitter: float, now: datetime) -> Any:
        """Evaluate the definition's own expression, in a run that started at noon."""
        values: dict[str, str | int] = {
            "BackoffBaseSeconds": self.base_seconds,
            "BackoffCapSeconds": self.cap_seconds,
            "DefaultAckTimeoutSeconds": 30,
            "DefaultTtlSeconds": DAY_SECONDS,
            "DeadLetterQueueUrl": "",
            "MaxAttempts": 1000,
        }
        state = json.loads(definition.with_values(values))["States"]["Wait For Reconnect"]
        expression = Jsonata(state["TimeoutSeconds"].removeprefix("{%").removesuffix("%}"))
        expression.register_lambda("random", lambda: jitter)
        expression.register_lambda("millis", lambda: round(now.timestamp() * 1000))
        execution = {"Input": message, "StartTime": timestamp(NOW)}
        return expression.evaluate(None, {"attempt": attempt, "states": {"context": {"Execution": execution}}})


def accepted(message: dict[str, Any]) -> Message:
    """What the functions make of the message of a run that started at noon."""
    return Message.accept(message, fallback_id="m-1", accepted_at=NOW, default_ttl_seconds=DAY_SECONDS)


backoffs = st.builds(
    lambda base, factor: Backoff(base_seconds=base, cap_seconds=base * factor),
    base=st.integers(1, 3600),
    factor=st.integers(1, 100),
)
attempts = st.integers(1, 1000)
jitters = st.floats(0, 1, exclude_max=True)
moments = st.integers(0, 1000 * MAX_TTL_SECONDS).map(lambda later: NOW + timedelta(milliseconds=later))
ends_of_life = st.one_of(
    st.just({}),
    st.just({"expiresAt": None, "ttlSeconds": None}),
    st.builds(lambda seconds: {"ttlSeconds": seconds}, st.integers(1, MAX_TTL_SECONDS)),
    st.builds(lambda moment: {"expiresAt": timestamp(moment)}, moments),
    st.builds(lambda moment: {"expiresAt": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}, moments),
)


@example(backoff=Backoff(2, 3600), attempt=1000, jitter=0.999, end_of_life={}, now=NOW)
@example(backoff=Backoff(2, 3600), attempt=1, jitter=0.0, end_of_life={"ttlSeconds": 1}, now=NOW + timedelta(days=3))
@given(backoff=backoffs, attempt=attempts, jitter=jitters, end_of_life=ends_of_life, now=moments)
def test_a_wait_is_as_long_as_backoff_jitter_and_life_allow(
    backoff: Backoff, attempt: int, jitter: float, end_of_life: dict[str, Any], now: datetime
) -> None:
    message = envelope(**end_of_life)

    timeout_seconds = backoff.timeout_seconds(message, attempt=attempt, jitter=jitter, now=now)

    life_seconds = ceil((accepted(message).expires_at - now) / timedelta(seconds=1))
    backoff_seconds = ceil(jitter * backoff.ceiling_seconds(attempt))
    assert type(timeout_seconds) is int
    assert timeout_seconds == max(1, min(backoff_seconds, life_seconds))


@pytest.mark.parametrize("fraction", ["", ".5", ".123", ".123456", ".123456789"])
def test_every_end_of_life_that_an_envelope_may_name_is_read_alike(fraction: str) -> None:
    message = envelope(expiresAt=f"2030-01-31T13:00:00{fraction}Z")
    patient = Backoff(base_seconds=3600, cap_seconds=86_400)

    timeout_seconds = patient.timeout_seconds(message, attempt=5, jitter=0.999, now=NOW)

    assert timeout_seconds == ceil((accepted(message).expires_at - NOW) / timedelta(seconds=1))


def test_when_the_wait_is_over_so_is_the_life_that_cut_it() -> None:
    message = envelope(ttlSeconds=3)
    now = NOW + timedelta(milliseconds=1500)

    timeout_seconds = Backoff(60, 60).timeout_seconds(message, attempt=1, jitter=0.999, now=now)

    assert now + timedelta(seconds=timeout_seconds) >= accepted(message).expires_at


@pytest.mark.parametrize(
    ("asked", "expected"), [({}, 30), ({"ackTimeoutSeconds": None}, 30), ({"ackTimeoutSeconds": 7}, 7)]
)
def test_the_wait_for_an_acknowledgement_is_the_messages_or_the_stages(asked: dict[str, Any], expected: int) -> None:
    expression = definition.STATES["Post And Await Acknowledgement"]["TimeoutSeconds"]
    text = expression.replace("${DefaultAckTimeoutSeconds}", "30").removeprefix("{%").removesuffix("%}")
    execution = {"Input": envelope(**asked)}

    assert Jsonata(text).evaluate(None, {"states": {"context": {"Execution": execution}}}) == expected
