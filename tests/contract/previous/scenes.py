"""Short plays on the real definitions and handlers; what the functions are handed meanwhile is recorded.

Everything that a message, a connection or a chat may have is in them, so that all of it is in the record.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from lambdas.adapters import aws, poster
from lambdas.core.model import timestamp, utc
from lambdas.tasks import hand_over_to_deliveries
from tests.builders import DAY_SECONDS, NOW, envelope, recipient
from tests.chats import ANA, BO
from tests.fakes import FakeDeliveries, FakePoster, FakeSockets
from tests.statemachine.chat_stage import ChatStage
from tests.statemachine.definition import MACHINES
from tests.statemachine.stage import Answer, ApiGateway, Functions, Stage

Json = dict[str, Any]
Rows = dict[str, list[Json]]

BO_AT_HOME, CY_IN_CHAT = recipient("bo", "home", "1"), recipient("cy")
EVERYTHING: Json = {
    "type": "order.shipped",
    "ackTimeoutSeconds": 7,
    "ttlSeconds": 3600,
    "correlationId": "order-4711",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "track": True,
    "isFinal": False,
    "retry": {"maxAttempts": 3, "backoffBaseSeconds": 2, "backoffCapSeconds": 30},
}
ENVIRONMENT = {"TOKENS_NAME_CONVERSATIONS": "true", "DELIVERY_STATE_MACHINE_ARN": "unused"}


@dataclass
class Call:
    """One call of a function: when, with what event, and with what in the tables; and what became of it."""

    function: str
    at: str
    event: Json
    rows: Rows
    outcome: Json


@dataclass
class Record:
    """What a play has left: calls, the tables at moments of interest, and dead letters."""

    calls: list[Call] = field(default_factory=list)
    rows: dict[str, Rows] = field(default_factory=dict)
    dead_letters: list[Json] = field(default_factory=list)


class RecordingFunctions(Functions):
    """Calls the handlers, and writes down every call."""

    def __init__(self, package: str, record: Record, now: Callable[[], datetime]) -> None:
        super().__init__(package)
        self._record = record
        self._now = now

    def invoke(self, name: str, event: Any) -> Any:
        call = Call(name, timestamp(self._now()), event, _without_tokens(stored()), {})
        self._record.calls.append(call)
        try:
            answer = super().invoke(name, event)
        except Exception as error:
            call.outcome = {"error": type(error).__name__}
            raise
        call.outcome = {"answer": json.loads(json.dumps(answer))}
        return answer


def stored() -> Rows:
    """All rows of all tables."""
    client = aws.dynamodb()
    names = sorted(client.list_tables()["TableNames"])
    rows = {name: [dict(item) for item in client.scan(TableName=name)["Items"]] for name in names}
    return {name: sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) for name, items in rows.items()}


def _without_tokens(rows: Rows) -> Rows:
    """Without what waits: whoever ended the state before may be about to remove it, and it means nothing any more."""
    return {name: [item for item in items if "task_token" not in item] for name, items in rows.items()}


def empty() -> None:
    """Take all rows out of all tables."""
    client = aws.dynamodb()
    for name in client.list_tables()["TableNames"]:
        keys = [each["AttributeName"] for each in client.describe_table(TableName=name)["Table"]["KeySchema"]]
        for item in client.scan(TableName=name)["Items"]:
            client.delete_item(TableName=name, Key={key: item[key] for key in keys})


def fill(rows: Mapping[str, list[Json]]) -> None:
    """Put rows into tables of these names."""
    for name, items in rows.items():
        for item in items:
            aws.dynamodb().put_item(TableName=name, Item=item)


def prepared(patch: pytest.MonkeyPatch) -> Stage:
    """A stage on which the fan-out's functions run as well."""
    for name, value in ENVIRONMENT.items():
        patch.setenv(name, value)
    stage = Stage(patch)
    sockets, deliveries = FakeSockets(), FakeDeliveries()
    patch.setattr(poster, "shared", lambda: FakePoster(sockets))
    patch.setattr(hand_over_to_deliveries, "DeliveryMachine", lambda _: deliveries)
    return stage


def recording(stage: Stage | ChatStage, package: str) -> Record:
    """Have everything recorded that the stage's functions are called with."""
    record = Record()
    functions = RecordingFunctions(package, record, stage.clock.now)
    stage.functions = functions
    stage.interpreter._invoke = functions.invoke
    return record


def delivery(stage: Stage, record: Record) -> None:
    """Messages that arrive, that wait, that are acknowledged late, and that do not arrive."""
    stage.connect("tab")
    assert stage.send(envelope(), "m-1").succeed()["status"] == "delivered"

    # Everything a message may ask for; and a client that is half-open, and acknowledges late.
    stage.connect("phone", BO_AT_HOME)
    rich = envelope(id="m-2", recipient=BO_AT_HOME.to_wire(), ack="client", ordered=True, **EVERYTHING)
    run = stage.send(rich, "m-2")
    run.wait_in("Post And Await Acknowledgement")
    record.rows["awaits an acknowledgement"] = stored()
    run.time_out_in("Post And Await Acknowledgement")
    run.wait_in("Wait For Reconnect")
    record.rows["waits for a reconnect after that"] = stored()
    stage.acknowledge("m-2", sender=BO_AT_HOME, connection_id="phone")
    assert run.succeed()["status"] == "acknowledged"
    record.rows["was acknowledged late"] = stored()

    # Nobody is there; the platform looks again; somebody comes.
    run = stage.send(envelope(id="m-3", recipient=CY_IN_CHAT.to_wire()), "m-3")
    run.time_out_in("Wait For Reconnect")
    run.wait_in("Wait For Reconnect")
    record.rows["waits for a reconnect"] = stored()
    stage.connect("tablet", CY_IN_CHAT)
    assert run.succeed()["status"] == "delivered"

    # A connection is gone, and the message's life ends.
    stage.gateway.answer("tablet", Answer.GONE)
    run = stage.send(envelope(id="m-4", recipient=CY_IN_CHAT.to_wire(), ttlSeconds=60), "m-4")
    run.time_out_in("Wait For Reconnect")
    assert run.fail()[0] == "MessageExpired"
    record.dead_letters.append(stage.dead_letter())
    assert stage.send({"no": "message"}, "m-5").fail()[0] == "InvalidMessage"


def fan_out(stage: Stage, record: Record) -> None:
    """A durable fan-out to two people, one of whom is not there."""
    stage.connect("tab")
    machine = MACHINES["fan_out"].without_what_moto_lacks()
    values = {name: f"arn:aws:lambda:eu-central-1:123456789012:function:{name}" for name in machine.placeholders}
    values = {name: value.removesuffix("FunctionArn") for name, value in values.items()}
    client = stage.step_functions
    machine_arn = client.create_state_machine(
        name="fan-out", definition=machine.with_values(values), roleArn="arn:aws:iam::123456789012:role/fan-out"
    )["stateMachineArn"]
    wanted = {
        "id": "news-7",
        "message": {"type": "news", "payload": {"text": "hello"}, "ttlSeconds": 3600, "correlationId": "news"},
        "audience": {"users": ["ana", "ben", "cleo"], "context": "chat", "contextId": "42"},
        "exclude": ["cleo"],
        "durable": True,
    }
    arn = client.start_execution(stateMachineArn=machine_arn, name="news-7", input=json.dumps(wanted))["executionArn"]
    assert stage.interpreter.until_idle(arn) is None
    output = json.loads(client.describe_execution(executionArn=arn)["output"])
    assert (output["people"], output["posted"], output["handedOver"]) == (2, 1, 1)


def chat(stage: ChatStage, record: Record) -> None:
    """A chat through all its phases, with an agent who goes and one who does not come back in time."""
    stage.start()
    stage.run.wait_in("Waiting")
    record.rows["waits for an agent"] = stored()
    stage.accept(BO)
    stage.run.wait_in("Active")
    stage.say(BO)
    stage.say(ANA)
    stage.leave(BO)
    stage.run.wait_in("Agent Away")
    record.rows["the agent is away"] = stored()
    stage.run.time_out_in("Agent Away")
    stage.run.wait_in("Waiting")
    stage.accept(BO)
    stage.run.wait_in("Active")
    stage.end(ANA)
    stage.run.wait_in("Rating")
    record.rows["can be rated"] = stored()
    stage.rate(5)
    assert stage.run.succeed()["endReason"] == "customer"


def plain(record: Record) -> Json:
    """The record in JSON, with a name in place of each task token."""
    calls = [vars(call) for call in record.calls]
    text = json.dumps({"calls": calls, "rows": record.rows, "deadLetters": record.dead_letters})
    tokens = [call.event["taskToken"] for call in record.calls if "taskToken" in call.event]
    for number, token in enumerate(dict.fromkeys(tokens), start=1):
        text = text.replace(json.dumps(token)[1:-1], f"task-token-{number}")
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "made-up", text)
    text = re.sub(r'("expiration_date": {"N": ")(\d+)', _by_our_clock, text)
    result: Json = json.loads(text)
    return result


def _by_our_clock(found: re.Match[str]) -> str:
    """The end of a row's life; those that were reckoned by this machine's clock are long over at our noon."""
    end = int(found[2])
    return found[1] + str(end if end > NOW.timestamp() else int(NOW.timestamp()) + 30 * DAY_SECONDS)


def replay(call: Json, stage: Stage | ChatStage, package: str) -> Json:
    """Call today's function with what it was called with then, the tables as they were then; what becomes of it."""
    empty()
    fill(call["rows"])
    stage.clock.time = utc(call["at"])
    if isinstance(stage, Stage):
        stage.gateway = ApiGateway()
    if call["outcome"] == {"error": "ConnectionGone"} and isinstance(stage, Stage):
        for connection in call["event"]["connections"]:
            stage.gateway.answer(connection["connectionId"], Answer.GONE)
    record = Record()
    functions = RecordingFunctions(package, record, stage.clock.now)
    with suppress(Exception):  # the outcome has it
        functions.invoke(call["function"], call["event"])
    (replayed,) = record.calls
    return replayed.outcome


def holds(answer: Any, expected: Any) -> bool:
    """Whether an answer has all that is expected; it may have more."""
    match expected:
        case dict():
            return isinstance(answer, dict) and all(
                name in answer and holds(answer[name], value) for name, value in expected.items()
            )
        case list():
            return (
                isinstance(answer, list)
                and len(answer) == len(expected)
                and all(holds(*pair) for pair in zip(answer, expected, strict=True))
            )
        case _:
            return bool(answer == expected)
