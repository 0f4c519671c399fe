"""A state machine's own call to a queue: refused, or done and not answered."""

import io
import json
from typing import Any

import pytest
from ministack.services import stepfunctions  # type: ignore[import-untyped]

from tests.chaos.cloud.decisions import DEFAULT_RATES, Chaos, Journal, Orders
from tests.chaos.cloud.subjects import Subjects
from tests.chaos.cloud.tasks import Tasks

SEND = "arn:aws:states:::sqs:sendMessage"
LETTER = {"message": {"recipient": {"user": "ana", "context": "chat", "contextId": "42"}}, "reason": "MessageExpired"}


def sent(rates: dict[str, float], *, resource: str = SEND) -> tuple[int, str | None, list[dict[str, Any]]]:
    """How often it was done, the error that the state machine hears, and what was written down."""
    lines, done = io.StringIO(), []
    chaos = Chaos(Journal(lines))
    chaos.obey(Orders(active=True, rates=rates))
    invoke = Tasks(chaos, subjects=Subjects()).around(lambda name, _: done.append(name))
    error = None
    try:
        invoke(resource, {"QueueUrl": "q", "MessageBody": LETTER})
    except stepfunctions._ExecutionError as raised:
        error = raised.error
    return len(done), error, [json.loads(line) for line in lines.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("fault", "done", "error"),
    [
        ("task_throttled", 0, "SQS.AmazonSQSException"),
        ("task_error", 0, "SQS.AmazonSQSException"),
        ("task_lost_answer", 1, "SQS.SdkClientException"),
    ],
)
def test_a_dead_letter_s_way_fails(fault: str, done: int, error: str) -> None:
    assert DEFAULT_RATES[fault] > 0
    times, heard, (line,) = sent({fault: 1.0})
    assert (times, heard) == (done, error)
    assert (line["fault"], line["function"], line["operation"], line["subject"]) == (
        fault,
        "state_machine",
        "SendMessage",
        "ana",
    )


def test_without_a_fault_it_is_done() -> None:
    assert sent({}) == (1, None, [])


def test_functions_are_no_business_of_this() -> None:
    rates = dict.fromkeys(DEFAULT_RATES, 1.0)
    assert sent(rates, resource="arn:aws:states:::lambda:invoke") == (1, None, [])
