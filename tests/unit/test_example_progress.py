"""The long job of `examples/progress`: what it tells, and how each of it may be lost."""

from collections.abc import Iterator
from typing import Any

import pytest

from examples.progress import job
from ringback import Publisher
from tests.sdk import FakeFunctions, sending_to


@pytest.fixture
def functions() -> FakeFunctions:
    return FakeFunctions()


@pytest.fixture
def publisher(functions: FakeFunctions) -> Publisher:
    return Publisher(sending_to(functions), sleep=lambda _: None)


def told(functions: FakeFunctions) -> list[Any]:
    return [message["payload"] for (message,) in functions.calls]


def test_steps_are_for_who_looks_now_and_the_end_waits(publisher: Publisher, functions: FakeFunctions) -> None:
    job.run(publisher, "ana", "job-1", ["some", "work"], 2)

    *steps, end = (message for (message,) in functions.calls)
    assert told(functions) == [
        {"state": "running", "done": 1, "of": 2},
        {"state": "running", "done": 2, "of": 2},
        {"state": "finished", "done": 2, "of": 2},
    ]
    assert {step["durable"] for step in steps} == {False}
    assert (end["id"], end["ack"], end.get("durable", True)) == ("job-1-end", "client", True)
    for message in (*steps, end):
        assert message["recipient"] == {"user": "ana", "context": "job", "contextId": "job-1"}


def test_work_that_fails_has_an_end_too(publisher: Publisher, functions: FakeFunctions) -> None:
    def work() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        job.run(publisher, "ana", "job-1", work(), 2)

    assert told(functions) == [{"state": "running", "done": 1, "of": 2}, {"state": "failed", "done": 1, "of": 2}]


def test_a_step_that_cannot_be_told_does_not_stop_the_work(publisher: Publisher, functions: FakeFunctions) -> None:
    def work() -> Iterator[int]:
        # Nobody takes the first step, however often the publisher asks.
        functions.answers = [lambda _: None] * 100
        yield 1
        functions.answers = []
        yield 2

    job.run(publisher, "ana", "job-1", work(), 2)

    assert told(functions)[-2:] == [{"state": "running", "done": 2, "of": 2}, {"state": "finished", "done": 2, "of": 2}]
