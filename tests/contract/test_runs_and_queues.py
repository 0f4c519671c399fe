"""Starting runs, completing them, and rejecting messages: what holds for the fakes holds for the services."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

import boto3
import pytest

from lambdas.adapters.queues import IngestDeadLetterQueue
from lambdas.adapters.runs import DeliveryMachine, WaitingRuns
from lambdas.core.ports import Deliveries, RejectedMessages, Start, TaskTokens
from tests.contract.conftest import mocked_aws
from tests.fakes import FakeDeliveries, FakeRejectedMessages, FakeTokens

ROLE = "arn:aws:iam::123456789012:role/states"


@pytest.fixture
def interpreter() -> Iterator[None]:
    """A Step Functions that runs what it is given."""
    with mocked_aws(stepfunctions={"execute_state_machine": True}):
        yield


# Deliveries


@dataclass
class Started:
    """Deliveries, and a way to see what was started."""

    deliveries: Deliveries
    runs: Callable[[], dict[str, str]]


@pytest.fixture(params=["fake", "machine"])
def started(request: pytest.FixtureRequest) -> Started:
    if request.param == "fake":
        fake = FakeDeliveries()
        return Started(fake, lambda: fake.runs)
    request.getfixturevalue("cloud")
    client = boto3.client("stepfunctions")
    definition = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}})
    arn = client.create_state_machine(name="Delivery", definition=definition, roleArn=ROLE)["stateMachineArn"]

    def runs() -> dict[str, str]:
        executions = client.list_executions(stateMachineArn=arn)["executions"]
        return {
            each["name"]: client.describe_execution(executionArn=each["executionArn"])["input"] for each in executions
        }

    return Started(DeliveryMachine(arn), runs)


def test_a_run_has_the_name_and_the_envelope_it_was_started_with(started: Started) -> None:
    assert started.deliveries.start("m-1", '{"payload":"né 🚀"}') is Start.STARTED

    assert started.runs() == {"m-1": '{"payload":"né 🚀"}'}


@pytest.mark.parametrize(
    ("again", "answer"),
    [
        pytest.param('{"payload":1,"expiresAt":"2030-01-01T00:00:00Z"}', Start.STARTED, id="the very same start"),
        pytest.param('{"expiresAt":"2031-01-01T00:00:00Z","payload":1}', Start.DUPLICATE, id="its life counted anew"),
        pytest.param('{"payload":1,"ttlSeconds":60}', Start.DUPLICATE, id="its life said otherwise"),
        pytest.param('{"payload":2,"expiresAt":"2030-01-01T00:00:00Z"}', Start.ID_TAKEN, id="another message"),
        pytest.param('{"payload":true,"expiresAt":"2030-01-01T00:00:00Z"}', Start.ID_TAKEN, id="nearly the same"),
        pytest.param("2", Start.ID_TAKEN, id="no envelope"),
    ],
)
def test_a_name_that_is_taken_starts_nothing(started: Started, again: str, answer: Start) -> None:
    first = '{"payload":1,"expiresAt":"2030-01-01T00:00:00Z"}'
    started.deliveries.start("m-1", first)

    assert started.deliveries.start("m-1", again) is answer
    assert started.runs() == {"m-1": first}


# Task tokens


@dataclass
class Waiting:
    """A run that waits on a token, and a way to wait until it has gone on, with what."""

    tokens: TaskTokens
    token: str
    output: Callable[[], dict[str, Any]]


@pytest.fixture(params=["fake", "run"])
def waiting(request: pytest.FixtureRequest) -> Waiting:
    if request.param == "fake":
        fake = FakeTokens(waiting={"token"})
        return Waiting(fake, "token", lambda: fake.outputs["token"])
    request.getfixturevalue("interpreter")
    client, sqs = boto3.client("stepfunctions"), boto3.client("sqs")
    queue = sqs.create_queue(QueueName="Tokens")["QueueUrl"]
    wait = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": queue, "MessageBody.$": "$$.Task.Token"},
        "End": True,
    }
    machine = client.create_state_machine(
        name="Waits", definition=json.dumps({"StartAt": "Wait", "States": {"Wait": wait}}), roleArn=ROLE
    )
    run = client.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]

    def output() -> dict[str, Any]:
        ended = eventually(lambda: client.describe_execution(executionArn=run).get("output"))
        return dict(json.loads(ended))

    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    return Waiting(WaitingRuns(), message["Body"], output)


def test_a_run_goes_on_with_the_output_it_is_given(waiting: Waiting) -> None:
    assert waiting.tokens.succeed(waiting.token, {"wokenBy": "reconnect"}) is True

    assert waiting.output() == {"wokenBy": "reconnect"}


def test_a_run_that_has_gone_on_waits_no_more(waiting: Waiting) -> None:
    waiting.tokens.succeed(waiting.token, {"first": True})
    assert waiting.output() == {"first": True}

    assert waiting.tokens.succeed(waiting.token, {"first": False}) is False
    assert waiting.output() == {"first": True}


def test_nobody_waits_on_an_unknown_token(waiting: Waiting) -> None:
    assert waiting.tokens.succeed("unknown", {}) is False


def eventually(condition: Callable[[], Any]) -> Any:
    """What the condition gives once it is true; the interpreter works in a thread of its own."""
    until = monotonic() + 5
    while not (result := condition()):
        assert monotonic() < until
        sleep(0.005)
    return result


# Rejected messages


@dataclass
class Rejected:
    """RejectedMessages, and a way to see what was kept."""

    messages: RejectedMessages
    kept: Callable[[], list[tuple[str, str]]]


@pytest.fixture(params=["fake", "queue"])
def rejected(request: pytest.FixtureRequest) -> Rejected:
    if request.param == "fake":
        fake = FakeRejectedMessages()
        return Rejected(fake, lambda: fake.kept)
    request.getfixturevalue("cloud")
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="IngestDeadLetters")["QueueUrl"]

    def kept() -> list[tuple[str, str]]:
        messages = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
        return [(message["Body"], message["MessageAttributes"]["reason"]["StringValue"]) for message in messages]

    return Rejected(IngestDeadLetterQueue(url), kept)


def test_what_is_rejected_is_kept_as_it_came_with_the_reason(rejected: Rejected) -> None:
    rejected.messages.put('{"broken', "the body is not JSON")

    assert rejected.kept() == [('{"broken', "the body is not JSON")]
