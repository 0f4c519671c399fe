"""The storm's own parts together: the real `wake` in a process of its own, against the services' stand-ins."""

from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.storm import cloud
from benchmarks.storm.environment import Environment, TimedOut
from benchmarks.storm.quotas import Quota


@pytest.fixture(scope="module")
def services() -> Iterator[cloud.Client]:
    with cloud.running() as services:
        yield services


@pytest.fixture(scope="module")
def environment(services: cloud.Client) -> Iterator[Environment]:
    environment = Environment(services.url)
    with closing(SimpleNamespace(close=environment.end)):
        environment.do("warm")
        yield environment


def storm(services: cloud.Client, environment: Environment, quota: Quota) -> dict[str, Any]:
    """Have two runs wait for Ana and one for Bo, who both come back."""
    services.reset(quota)
    environment.do("park", runs=[("ana", 0), ("ana", 1), ("bo", 0)])
    environment.do("store", users=["ana", "bo"])
    rows = services.connections()
    return {
        "Records": [{"dynamodb": {"NewImage": row, "SequenceNumber": str(at)}} for at, row in enumerate(rows, start=1)]
    }


def test_who_comes_back_wakes_all_that_waits(services: cloud.Client, environment: Environment) -> None:
    event = storm(services, environment, Quota(10, 10))

    assert environment.do("wake", event=event) == {"batchItemFailures": []}

    report = services.report()
    assert {token.rstrip("x").rstrip("-") for token in report.woken} == {"ana-0", "ana-1", "bo-0"}
    assert (report.waiting, report.throttled) == (0, [])
    assert report.calls == {"PutItem": 5, "Query": 2, "SendTaskSuccess": 3, "DeleteItem": 3}


def test_what_is_throttled_arrives_in_the_same_invocation(services: cloud.Client, environment: Environment) -> None:
    event = storm(services, environment, Quota(1, 4))

    assert environment.do("wake", event=event) == {"batchItemFailures": []}

    report = services.report()
    assert (len(report.woken), report.waiting) == (3, 0)
    assert report.calls["SendTaskSuccess"] == 3 + len(report.throttled) > 3


def test_a_function_that_fails_says_so_and_goes_on(environment: Environment) -> None:
    with pytest.raises(RuntimeError, match=r"^KeyError: "):
        environment.do("wake", event={})
    assert environment.do("warm") is None


def test_a_function_that_takes_too_long_is_ended_and_the_next_is_a_new_one(services: cloud.Client) -> None:
    hasty = Environment(services.url, timeout_seconds=-1)
    try:
        with pytest.raises(TimedOut):
            hasty.do("warm")
        assert hasty.process is None
        hasty.timeout_seconds = 60
        assert hasty.do("warm") is None
    finally:
        hasty.end()
