"""An AWS of moto's that holds an installation."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from ringback.installation import DEFAULT_STACK, Installation
from tests.builders import envelope
from tests.sdk import REGION, FakeClients, FakeFunctions, cloud, session

_ROLE = "arn:aws:iam::123456789012:role/delivery"
_MACHINE = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})


@dataclass
class Place:
    """An installation in moto's AWS, and a test's hand on what is in it. Runs are started, but do not run."""

    installation: Installation
    functions: FakeFunctions
    started: list[tuple[str, Any]] = field(default_factory=list)

    def put_letter(self, name: str = "m-1", *, queue: str = "DeadLetterQueueUrl", **changes: Any) -> None:
        """Have a run dead-letter its message, as the state machine does."""
        letter = {
            "message": envelope(id=name),
            "reason": "AttemptsExhausted",
            "cause": "nobody was there",
            "lastError": {"error": "NoOpenConnection", "cause": ""},
            "attempts": 3,
            "executionArn": self.run_arn(name),
            "deadLetteredAt": "2030-01-31T12:00:00.000Z",
        }
        self.put(json.dumps({**letter, **changes}), queue=queue)

    def put(self, body: str, *, queue: str = "DeadLetterQueueUrl", **attributes: str) -> None:
        """Put a body on a queue."""
        self.installation.clients.sqs.send_message(
            QueueUrl=self.installation.output(queue),
            MessageBody=body,
            MessageAttributes={name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()},
        )

    def bodies(self, queue: str = "DeadLetterQueueUrl") -> list[Any]:
        """What everybody can see on a queue; it is taken off."""
        return [message["Body"] for message in self.take(queue)]

    def take(self, queue: str = "DeadLetterQueueUrl") -> list[Any]:
        """The messages that everybody can see on a queue; they are taken off."""
        found: list[Any] = []
        url = self.installation.output(queue)
        while messages := self.installation.clients.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=60
        ).get("Messages"):
            found += messages
        return found

    def run_arn(self, name: str) -> str:
        """The ARN of a delivery run."""
        return f"{self.installation.delivery_state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"

    def runs(self) -> dict[str, Any]:
        """The runs there are, by name, with their input."""
        client = self.installation.clients.stepfunctions
        pages = client.get_paginator("list_executions").paginate(
            stateMachineArn=self.installation.delivery_state_machine_arn
        )
        listed = [one for page in pages for one in page["executions"]]
        return {
            one["name"]: json.loads(client.describe_execution(executionArn=one["executionArn"])["input"])
            for one in listed
        }


@pytest.fixture
def place() -> Iterator[Place]:
    with cloud():
        functions = FakeFunctions()
        yield Place(Installation("here", deploy(), FakeClients(functions)), functions)


def deploy(region: str = REGION) -> dict[str, str]:
    """Have what a stack makes in a region of moto's, and answer its outputs."""
    here = session(region)
    table = _table(
        here, "Connections", "context", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    )
    machine = here.client("stepfunctions").create_state_machine(name="Delivery", definition=_MACHINE, roleArn=_ROLE)
    sqs = here.client("sqs")
    return {
        "WebSocketUrl": f"wss://abcdefabcd.execute-api.{region}.amazonaws.com/v1",
        "DeliveryStateMachineArn": machine["stateMachineArn"],
        "DeadLetterQueueUrl": sqs.create_queue(QueueName="DeadLetters")["QueueUrl"],
        "IngestQueueUrl": sqs.create_queue(QueueName="Messages")["QueueUrl"],
        "IngestDeadLetterQueueUrl": sqs.create_queue(QueueName="IngestDeadLetters")["QueueUrl"],
        "ConnectionsTableName": table,
        "CallbacksTableName": _table(here, "Callbacks", "waits_for"),
        "AcceptFunctionName": "Accept",
    }


def name_stack(outputs: dict[str, str], region: str = REGION, stack_name: str = DEFAULT_STACK) -> None:
    """Have a CloudFormation stack with these outputs in a region of moto's."""
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    session(region).client("cloudformation").create_stack(StackName=stack_name, TemplateBody=json.dumps(template))


def _table(where: boto3.Session, name: str, sort_key: str, *, partition_key: str = "caller_id", **more: Any) -> str:
    where.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": partition_key, "KeyType": "HASH"},
            {"AttributeName": sort_key, "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": partition_key, "AttributeType": "S"},
            {"AttributeName": sort_key, "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
        **more,
    )
    return name


def now() -> datetime:
    return datetime.now(UTC)
