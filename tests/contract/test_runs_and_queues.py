"""Starting runs, completing them, and rejecting messages: what holds for the fakes holds for the services."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.adapters import aws
from lambdas.adapters.queues import DeadLetterQueue, IngestDeadLetterQueue, IngestQueue
from lambdas.adapters.runs import DeliveryMachine, WaitingRuns
from lambdas.core.ports import DeadLetters, Deliveries, RejectedMessages, Start, TaskTokens
from tests.builders import NOW
from tests.contract.conftest import mocked_aws
from tests.fakes import FakeDeadLetters, FakeDeliveries, FakeRejectedMessages, FakeTokens
from tests.waiting import until

ROLE = "arn:aws:iam::123456789012:role/states"


@pytest.fixture
def interpreter() -> Iterator[None]:
    """A Step Functions that runs what it is given."""
    with mocked_aws(stepfunctions={"execute_state_machine": True}):
        yield


# Deliveries


@dataclass
class Started:
    """Deliveries, and ways to see what was started and to end it."""

    deliveries: Deliveries
    runs: Callable[[], dict[str, str]]
    end: Callable[[str], object]


@pytest.fixture(params=["fake", "machine"])
def started(request: pytest.FixtureRequest) -> Started:
    if request.param == "fake":
        fake = FakeDeliveries()
        return Started(fake, lambda: fake.runs, fake.ended.add)
    request.getfixturevalue("cloud")
    client = boto3.client("stepfunctions")
    definition = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}})
    arn = client.create_state_machine(name="Delivery", definition=definition, roleArn=ROLE)["stateMachineArn"]

    def runs() -> dict[str, str]:
        executions = client.list_executions(stateMachineArn=arn)["executions"]
        return {
            each["name"]: client.describe_execution(executionArn=each["executionArn"])["input"] for each in executions
        }

    machine = DeliveryMachine(arn)
    return Started(machine, runs, lambda name: client.stop_execution(executionArn=machine.execution_arn(name)))


def test_a_run_has_the_name_and_the_envelope_it_was_started_with(started: Started) -> None:
    assert started.deliveries.start("m-1", '{"payload":"né 🚀"}') is Start.STARTED

    assert started.runs() == {"m-1": '{"payload":"né 🚀"}'}


@pytest.mark.parametrize(
    ("again", "answer"),
    [
        pytest.param('{"payload":1,"expiresAt":"2030-01-01T00:00:00Z"}', Start.STARTED, id="the very same start"),
        pytest.param('{"expiresAt":"2031-01-01T00:00:00Z","payload":1}', Start.RUNNING, id="its life counted anew"),
        pytest.param('{"payload":1,"ttlSeconds":60}', Start.RUNNING, id="its life said otherwise"),
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


@pytest.mark.parametrize(
    ("again", "answer"),
    [
        pytest.param('{"payload":1}', Start.UNDELIVERED, id="the very same start"),
        pytest.param('{"payload":1,"ttlSeconds":60}', Start.UNDELIVERED, id="its life said otherwise"),
        pytest.param('{"payload":2}', Start.ID_TAKEN, id="another message"),
    ],
)
def test_a_name_stays_taken_when_its_run_has_ended_undelivered(started: Started, again: str, answer: Start) -> None:
    started.deliveries.start("m-1", '{"payload":1}')
    started.end("m-1")

    assert started.deliveries.start("m-1", again) is answer
    assert started.runs() == {"m-1": '{"payload":1}'}


def test_a_name_stays_taken_when_its_run_has_delivered() -> None:
    machine = DeliveryMachine("arn:aws:states:eu-central-1:123456789012:stateMachine:Delivery")
    there = {"executionArn": machine.execution_arn("m-1"), "stateMachineArn": machine.arn, "startDate": NOW}
    with Stubber(aws.step_functions()) as stub:
        stub.add_client_error("start_execution", "ExecutionAlreadyExists")
        stub.add_response("describe_execution", {**there, "status": "SUCCEEDED", "input": '{"payload":1}'})

        assert machine.start("m-1", '{"payload":1}') is Start.DUPLICATE


# Task tokens


@pytest.mark.parametrize(
    ("seconds_ago", "answer"), [(0, Start.STARTED), (1, Start.STARTED), (3, Start.RUNNING), (3600, Start.RUNNING)]
)
def test_a_run_that_was_under_way_already_was_not_started_now(seconds_ago: int, answer: Start) -> None:
    """To Step Functions, the same input once more is the same start; its two times tell the difference."""
    stub = Stubber(aws.step_functions())
    stub.add_response(
        "start_execution",
        {
            "executionArn": "arn:aws:states:eu-central-1:123456789012:execution:Delivery:m-1",
            "startDate": NOW - timedelta(seconds=seconds_ago),
            "ResponseMetadata": {"HTTPHeaders": {"date": format_datetime(NOW, usegmt=True)}},
        },
    )
    with stub:
        assert (
            DeliveryMachine("arn:aws:states:eu-central-1:123456789012:stateMachine:Delivery").start("m-1", "{}")
            is answer
        )


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
        ended = until(lambda: client.describe_execution(executionArn=run).get("output", ""), "its end", seconds=5)
        return dict(json.loads(ended))

    (message,) = until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"), "a message", seconds=5)
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


# Messages that come again


def test_messages_come_again_within_twenty_seconds_and_not_all_at_once(cloud: None) -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="Messages")["QueueUrl"]
    handles = []
    for number in range(25):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
        handles += [each["ReceiptHandle"] for each in sqs.receive_message(QueueUrl=url)["Messages"]]
    asked_for: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        asked_for.extend(params["Entries"])

    event = "before-parameter-build.sqs.ChangeMessageVisibilityBatch"
    aws.sqs().meta.events.register(event, note)
    try:
        IngestQueue(url).bring_again_soon(handles)
    finally:
        aws.sqs().meta.events.unregister(event, note)

    assert [entry["ReceiptHandle"] for entry in asked_for] == handles
    seconds = {entry["VisibilityTimeout"] for entry in asked_for}
    assert seconds <= set(range(5, 21))
    assert len(seconds) > 1


def test_what_has_gone_is_no_reason_not_to_bring_the_others_again(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambdas.adapters.queues.SOON_SECONDS", (0, 0))
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="Messages")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="there")
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]

    IngestQueue(url).bring_again_soon(["gone", message["ReceiptHandle"]])

    assert [each["Body"] for each in sqs.receive_message(QueueUrl=url)["Messages"]] == ["there"]


# Dead letters


@dataclass
class Kept:
    """DeadLetters, and a way to see what was kept."""

    letters: DeadLetters
    kept: Callable[[], list[dict[str, Any]]]


@pytest.fixture(params=["fake", "queue"])
def dead_letters(request: pytest.FixtureRequest) -> Kept:
    if request.param == "fake":
        fake = FakeDeadLetters()
        return Kept(fake, lambda: fake.kept)
    request.getfixturevalue("cloud")
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="DeadLetters")["QueueUrl"]
    return Kept(
        DeadLetterQueue(url),
        lambda: [json.loads(message["Body"]) for message in sqs.receive_message(QueueUrl=url)["Messages"]],
    )


def test_a_dead_letter_is_kept_as_it_was_put(dead_letters: Kept) -> None:
    letter = {"message": {"payload": "né 🚀\u0000"}, "attempts": None}

    dead_letters.letters.put(letter)

    assert dead_letters.kept() == [letter]
