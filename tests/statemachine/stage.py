"""One stage of Ringback for a test: the real definition, handlers and adapters on moto; only API Gateway is a fake."""

import importlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.adapters import aws
from lambdas.adapters.runs import DeliveryMachine
from lambdas.adapters.tables import CallbackTable, ConnectionTable, SequenceTable
from lambdas.clock import SystemClock
from lambdas.core.model import Callback, Connection
from lambdas.core.ports import Start
from lambdas.routes import acknowledge
from lambdas.triggers import wake
from ringback.plain import Recipient
from tests import builders
from tests.fakes import FakeClock
from tests.statemachine import definition
from tests.statemachine.history import History
from tests.statemachine.interpreter import Interpreter, TokenWait

ANA = builders.recipient()
MAX_ATTEMPTS = 4
VALUES: dict[str, str | int] = {
    "BackoffBaseSeconds": 5,
    "BackoffCapSeconds": 900,
    "LookAgainSeconds": 600,
    "DefaultAckTimeoutSeconds": 30,
    "DefaultTtlSeconds": builders.DAY_SECONDS,
    "MaxAttempts": MAX_ATTEMPTS,
}


class Answer(Enum):
    """What API Gateway says to a post."""

    POSTED = None
    GONE = ("GoneException", 410)
    THROTTLED = ("LimitExceededException", 429)
    FAILED = ("InternalServerErrorException", 500)
    TOO_LARGE = ("PayloadTooLargeException", 413)


class ApiGateway:
    """API Gateway's side of the connections, as boto3's client shows it. Every post is taken unless told otherwise."""

    def __init__(self) -> None:
        self.posts: list[str] = []
        self.frames: dict[str, list[bytes]] = defaultdict(list)
        self.closed: list[str] = []
        self.on_post: Callable[[str], None] = lambda connection_id: None
        self._answers: dict[str, list[Answer]] = {}

    def answer(self, connection_id: str, *answers: Answer) -> None:
        """Answer the connection's next posts like this; the last answer stays."""
        self._answers[connection_id] = list(answers)

    def received(self, connection_id: str) -> list[dict[str, Any]]:
        """The frames that a client got."""
        return [json.loads(frame) for frame in self.frames[connection_id]]

    def post_to_connection(self, *, ConnectionId: str, Data: bytes) -> None:  # noqa: N803
        """boto3's method of that name."""
        self.posts.append(ConnectionId)
        self.on_post(ConnectionId)
        answers = self._answers.get(ConnectionId, [Answer.POSTED])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer.value is not None:
            code, status = answer.value
            error = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(error, "PostToConnection")  # type: ignore[arg-type]
        self.frames[ConnectionId].append(Data)

    def delete_connection(self, *, ConnectionId: str) -> None:  # noqa: N803
        """boto3's method of that name."""
        self.closed.append(ConnectionId)


class _ReadersNotes(dict[str, Any]):
    """An event that notes which of its keys are read."""

    def __init__(self, event: dict[str, Any], read: set[str]) -> None:
        super().__init__(event)
        self._read = read

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return super().__getitem__(key)


class Functions:
    """The Task states' functions, by the names that the placeholders give them; their modules are in the package."""

    def __init__(self, package: str = "lambdas.tasks") -> None:
        self._package = package
        self.before: dict[str, list[Callable[[], object]]] = defaultdict(list)
        self.after: dict[str, list[Callable[[], object]]] = defaultdict(list)
        self.read: dict[str, set[str]] = defaultdict(set)
        self.late: dict[str, Callable[[], object]] = {}
        self._slow: dict[str, Callable[[], object]] = {}

    def hold_up(self, name: str, *, looks_failed: bool = False) -> None:
        """Have a function's next call do its work only when the test calls ``late[name]``.

        Meanwhile the machine goes on as if it had been called, or as if it had failed.
        """
        self._slow[name] = _crash if looks_failed else lambda: None

    def fail(self, name: str, *, times: int) -> None:
        """Have a function crash before it does anything."""
        self.before[name] += [_crash] * times

    def crash(self, name: str, *, times: int = 1) -> None:
        """Have a function do its work and crash before it returns."""
        self.after[name] += [_crash] * times

    def invoke(self, name: str, event: Any) -> Any:
        """Call the handler, and what the test has to do or to see before and after this call."""
        module = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        handler = importlib.import_module(f"{self._package}.{module}").handler
        work = partial(handler, _ReadersNotes(event, self.read[name]), builders.LAMBDA_CONTEXT)
        if name in self._slow:
            self.late[name] = work
            return self._slow.pop(name)()
        if self.before[name]:
            self.before[name].pop(0)()
        answer = work()
        if self.after[name]:
            self.after[name].pop(0)()
        return answer


def _crash() -> None:
    raise RuntimeError("the function crashed")


class Run:
    """One execution, and the test's hand on it."""

    def __init__(self, interpreter: Interpreter, arn: str) -> None:
        self._interpreter = interpreter
        self.arn = arn

    def wait_in(self, state: str) -> TokenWait:
        """Come back when the run waits on a task token in this state."""
        wait = self._interpreter.until_idle(self.arn)
        assert wait is not None, f"the run ended: {self._description}"
        assert wait.state == state
        return wait

    def time_out_in(self, state: str) -> TokenWait:
        """Let the wait in this state take its full time."""
        wait = self.wait_in(state)
        self._interpreter.time_out(self.arn)
        return wait

    def succeed(self) -> dict[str, Any]:
        """The run's output, when it has succeeded."""
        description = self._end()
        assert description["status"] == "SUCCEEDED", description
        output: dict[str, Any] = json.loads(description["output"])
        return output

    def fail(self) -> tuple[str, str]:
        """The run's error and cause, when it has failed."""
        description = self._end()
        assert description["status"] == "FAILED", description
        return description["error"], description["cause"]

    @property
    def history(self) -> History:
        """What it did up to its end, or to where it waits."""
        self._interpreter.until_idle(self.arn)
        pages = aws.step_functions().get_paginator("get_execution_history").paginate(executionArn=self.arn)
        return History.of(event for page in pages for event in page["events"])

    def _end(self) -> Mapping[str, Any]:
        wait = self._interpreter.until_idle(self.arn)
        assert wait is None, f"the run waits in {wait.state}"
        return self._description

    @property
    def _description(self) -> Mapping[str, Any]:
        return aws.step_functions().describe_execution(executionArn=self.arn)


class Stage:
    """Tables, queue and machine, and what people do with them: backends send, clients connect and acknowledge."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.gateway = ApiGateway()
        self.functions = Functions()
        self.runs: list[Run] = []
        self.interpreter = Interpreter(self.clock, self.functions.invoke)
        self.interpreter.install(patch)
        patch.setattr(SystemClock, "now", lambda _: self.clock.now())
        patch.setattr(SystemClock, "sleep", lambda _, seconds: self.clock.sleep(seconds))
        patch.setattr(aws, "management_api", lambda endpoint: self.gateway)
        self.step_functions = aws.step_functions()
        self.queue_url = aws.sqs().create_queue(QueueName="dead-letters")["QueueUrl"]
        self.connections = ConnectionTable(_create_table("connections", sort_key="context"))
        self.callbacks = CallbackTable(_create_table("callbacks", sort_key="waits_for"))
        self.sequences = SequenceTable(_create_table("sequences", sort_key="position"))
        self._machine = DeliveryMachine(self._create_machine())
        patch.setenv("CONNECTIONS_TABLE_NAME", self.connections.name)
        patch.setenv("CALLBACKS_TABLE_NAME", self.callbacks.name)
        patch.setenv("SEQUENCES_TABLE_NAME", self.sequences.name)
        patch.setenv("DEFAULT_TTL_SECONDS", str(builders.DAY_SECONDS))

    def send(self, message: Any, name: str = "m-1") -> Run:
        """Start a run for a message."""
        assert self.start(message, name) is Start.STARTED
        run = Run(self.interpreter, self._machine.arn.replace(":stateMachine:", ":execution:") + f":{name}")
        self.runs.append(run)
        return run

    def start(self, message: Any, name: str = "m-1") -> Start:
        """What becomes of starting a run under this name."""
        return self._machine.start(name, json.dumps(message))

    def store(
        self, connection_id: str, recipient: Recipient = ANA, *, age_seconds: float = 60, life_seconds: float = 7200
    ) -> Connection:
        """Have a connection stored whose wake has not happened yet."""
        now = self.clock.now()
        connection = builders.connection(connection_id, recipient)._replace(
            connected_at=now - timedelta(seconds=age_seconds),
            expires_at=now + timedelta(seconds=life_seconds),
        )
        self.connections.put(connection)
        return connection

    def connect(self, connection_id: str, recipient: Recipient = ANA, *, age_seconds: float = 60) -> None:
        """Have a client connect, and the table's stream bring it to `wake`."""
        self.store(connection_id, recipient, age_seconds=age_seconds)
        rows = aws.dynamodb().scan(TableName=self.connections.name)["Items"]
        (row,) = (row for row in rows if row["connection_id"]["S"] == connection_id)
        answer = wake.handler({"Records": [builders.stream_record(row, "1")]}, builders.LAMBDA_CONTEXT)
        assert answer == {"batchItemFailures": []}

    def acknowledge(self, message_id: str, sender: Recipient = ANA, connection_id: str = "c1") -> None:
        """Have a client acknowledge a message."""
        event = builders.message_event(json.dumps({"action": "ack", "id": message_id}), connection_id)
        event["requestContext"]["authorizer"] |= sender.to_wire()
        assert acknowledge.handler(event, builders.LAMBDA_CONTEXT)["statusCode"] == 200

    def connected(self, recipient: Recipient = ANA) -> set[str]:
        """The ids of the stored connections."""
        return {connection.connection_id for connection in self.connections.of_recipient(recipient)}

    def stale(self, recipient: Recipient = ANA) -> set[str]:
        """The ids of the connections that left messages unacknowledged."""
        return {
            connection.connection_id
            for connection in self.connections.of_recipient(recipient)
            if connection.stale_since is not None
        }

    def parked(self, recipient: Recipient = ANA) -> list[Callback]:
        """The callbacks that wait for the recipient to connect."""
        return list(self.callbacks.waiting_for_reconnect(recipient))

    def dead_letter(self) -> dict[str, Any]:
        """The body of the one message on the dead letter queue."""
        (message,) = aws.sqs().receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get("Messages", [])
        body: dict[str, Any] = json.loads(message["Body"])
        return body

    def end(self) -> None:
        """End the runs that still wait, the short way."""
        for run in self.runs:
            while self.interpreter.until_idle(run.arn):
                self.interpreter.abandon(run.arn)

    def _create_machine(self) -> str:
        text = definition.with_values({**VALUES, "DeadLetterQueueUrl": self.queue_url})
        return self.step_functions.create_state_machine(
            name="delivery", definition=text, roleArn="arn:aws:iam::123456789012:role/delivery"
        )["stateMachineArn"]


def _create_table(name: str, *, sort_key: str) -> str:
    aws.dynamodb().create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "caller_id", "KeyType": "HASH"},
            {"AttributeName": sort_key, "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "caller_id", "AttributeType": "S"},
            {"AttributeName": sort_key, "AttributeType": "S"},
        ],
    )
    return name
