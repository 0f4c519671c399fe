"""`ended` as EventBridge calls it."""

import json
from typing import Any

import boto3
import pytest

from lambdas.adapters.runs import DeliveryMachine
from lambdas.adapters.tables import SequenceTable
from lambdas.core.errors import ServiceUnavailable
from lambdas.triggers import ended
from tests.builders import NOW, envelope, recipient
from tests.contract.conftest import SECRET, Stage
from tests.contract.ways_in import Outside, wired

RUN = "arn:aws:states:eu-central-1:123456789012:execution:Delivery:m-1"


@pytest.fixture(autouse=True)
def outside(stage: Stage, connections_table: str, sequences_table: str, monkeypatch: pytest.MonkeyPatch) -> Outside:
    stage.set(DEFAULT_TTL_SECONDS=3600)
    return wired(stage, monkeypatch, connections_table=connections_table, sequences_table=sequences_table)


@pytest.fixture(autouse=True)
def dead_letters(stage: Stage, cloud: None) -> str:
    url = boto3.client("sqs").create_queue(QueueName="DeadLetters")["QueueUrl"]
    stage.set(DEAD_LETTER_QUEUE_URL=url)
    return url


def event(status: str, **detail: Any) -> dict[str, Any]:
    """EventBridge's event, with all the fields that Step Functions fills."""
    started = int(NOW.timestamp() * 1000)
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": "123456789012",
        "time": "2030-01-31T12:00:05Z",
        "region": "eu-central-1",
        "resources": [RUN],
        "detail": {
            "executionArn": RUN,
            "stateMachineArn": "arn:aws:states:eu-central-1:123456789012:stateMachine:Delivery",
            "name": "m-1",
            "status": status,
            "startDate": started,
            "stopDate": started + 5000,
            "input": json.dumps(envelope(payload=SECRET)),
            "output": None,
            "inputDetails": {"included": True},
            "outputDetails": None,
            "error": None,
            "cause": None,
            **detail,
        },
    }


def kept(url: str) -> list[dict[str, Any]]:
    answer = boto3.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(each["Body"]) for each in answer.get("Messages", [])]


def test_a_cancelled_number_is_announced(
    stage: Stage, outside: Outside, dead_letters: str, sequences_table: str
) -> None:
    for name in ("m-0", "m-1"):
        SequenceTable(sequences_table).number(recipient(), name, until=NOW)
    outside.connect()

    stage.call(
        ended.handler, event("ABORTED", error="Cancelled", input=json.dumps(envelope(ordered=True, payload=SECRET)))
    )

    (frame,) = outside.sockets.posts["tab"]
    body = json.loads(frame)
    assert (body["id"], body["type"], body["payload"]) == (
        "skipped-m-1",
        "ringback.skipped",
        {"id": "m-1", "sequence": 2},
    )
    assert outside.deliveries.runs == {}
    assert kept(dead_letters) == []


def test_a_message_whose_run_died_is_kept(stage: Stage, dead_letters: str) -> None:
    stage.call(ended.handler, event("FAILED", error="States.Runtime", cause="no such field"))

    (letter,) = kept(dead_letters)
    assert letter["message"]["payload"] == SECRET
    assert (letter["reason"], letter["cause"], letter["executionArn"]) == ("States.Runtime", "no such field", RUN)


@pytest.mark.parametrize("payload", ["\ud800", "\ufffe", "\uffff", "ü\U0001f44b"], ids=ascii)
def test_a_message_is_kept_whatever_it_holds_that_sqs_does_not_take(
    stage: Stage, dead_letters: str, payload: str
) -> None:
    message = json.dumps(envelope(payload=payload))
    stage.call(ended.handler, event("TIMED_OUT", input=message))

    (stored,) = boto3.client("sqs").receive_message(QueueUrl=dead_letters)["Messages"]
    assert not set(stored["Body"]) & {"\ud800", "\ufffe", "\uffff"}
    assert json.loads(stored["Body"])["message"]["payload"] == payload


def test_a_message_that_was_dead_lettered_is_not_kept_twice(stage: Stage, outside: Outside, dead_letters: str) -> None:
    stage.call(ended.handler, event("FAILED", error="MessageExpired", cause="Dead-lettered after 2 attempts: over"))

    assert kept(dead_letters) == []
    assert outside.deliveries.runs == {}


@pytest.mark.parametrize(
    "left_out",
    [
        {"input": None, "inputDetails": {"included": False}},
        {"input": "", "inputDetails": {"included": False}},
        {"input": None, "inputDetails": None},
    ],
)
def test_a_message_that_was_too_large_for_the_event_is_read_from_its_run(
    stage: Stage, dead_letters: str, monkeypatch: pytest.MonkeyPatch, left_out: dict[str, Any]
) -> None:
    asked: list[str] = []

    def input_of(_machine: Any, arn: str) -> str:
        asked.append(arn)
        return json.dumps(envelope(payload=f"large {SECRET}"))

    monkeypatch.setattr(DeliveryMachine, "input_of", input_of)
    stage.call(ended.handler, event("FAILED", error="States.DataLimitExceeded", **left_out))

    assert asked == [RUN]
    assert [letter["message"]["payload"] for letter in kept(dead_letters)] == [f"large {SECRET}"]


def test_what_cannot_be_kept_now_is_tried_again(stage: Stage) -> None:
    stage.set(DEAD_LETTER_QUEUE_URL="https://sqs.eu-central-1.amazonaws.com/123456789012/Missing")

    with pytest.raises(ServiceUnavailable, match=r"^SendMessage: "):
        stage.call(ended.handler, event("FAILED", error="States.Runtime"))
    assert stage.metrics() == {"Errors": 1}
