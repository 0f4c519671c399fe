"""Acknowledgements of messages that are somebody else's. The runs wait on, and nothing in the tables changes."""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from local.demo.stage import envelope
from tests.attacks.conftest import Case
from tests.attacks.target import Attacker, Target

LAYER = "stack"


@dataclass(frozen=True)
class Victim:
    """Somebody who has got a message and has not acknowledged it yet, and everything that there is to know of it."""

    user: str
    message_id: str
    arn: str
    connection_id: str
    task_token: str


@pytest.fixture(scope="module")
def victim(target: Target) -> Iterator[Victim]:
    """Is connected, in conversation 42."""
    stage, user = target.stage, f"victim-{uuid.uuid4()}"
    client = stage.client(user)
    message = envelope(user, "secret", ack="client", ackTimeoutSeconds=3600)
    with stage.connected(client):
        (row,) = stage.await_rows(client, user, 1)
        arn = stage.runs.start(message)
        client.await_message(message["id"])
        rows = stage.installation.clients.dynamodb.scan(TableName=stage.installation.callbacks_table_name)["Items"]
        (callback,) = (row for row in rows if message["id"] in json.dumps(row))
        yield Victim(user, message["id"], arn, row["connection_id"]["S"], callback["task_token"]["S"])
        client.send({"action": "ack", "id": message["id"]})
        stage.runs.await_end(arn)
    stage.await_rows(client, user, 0)


@pytest.fixture(scope="module")
def elsewhere(target: Target, victim: Victim) -> Iterator[Attacker]:
    """The victim's own user, in another conversation: a page that they have open there."""
    with Attacker.of(target, victim.user, "43") as attacker:
        yield attacker


@pytest.fixture(scope="module")
def alike(target: Target, victim: Victim) -> Iterator[Attacker]:
    """Somebody whose name begins like the victim's, in a conversation whose id does."""
    with Attacker.of(target, victim.user[:-1], "4") as attacker:
        yield attacker


def _ack(victim: Victim, **fields: object) -> str:
    return json.dumps({"action": "ack", "id": victim.message_id, **fields})


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


Make = Callable[[Victim], str]
FRAMES: dict[str, Make] = {
    "its id": _ack,
    "its id, among others": lambda v: json.dumps({"action": "ack", "ids": ["a", v.message_id, "b"]}),
    "its id, a hundred times": lambda v: json.dumps({"action": "ack", "ids": [v.message_id] * 100}),
    "its id, and its user": lambda v: _ack(v, user=v.user, context="chat", contextId="42"),
    "its id, and its recipient": lambda v: _ack(v, recipient={"user": v.user, "context": "chat", "contextId": "42"}),
    "its id, and a request context": lambda v: _ack(
        v, requestContext={"authorizer": {"user": v.user, "context": "chat", "contextId": "42"}}
    ),
    "its id, and its connection": lambda v: _ack(v, connectionId=v.connection_id),
    "its id, and its task token": lambda v: _ack(v, taskToken=v.task_token, output={"status": "acknowledged"}),
    "its id, and its run": lambda v: _ack(v, executionArn=v.arn),
    "its id, and a prototype": lambda v: _ack(v, __proto__={"user": v.user}),
    "its id, escaped": lambda v: _ack(v, id="<id>").replace("<id>", _escaped(v.message_id)),
    "its id with its user before": lambda v: _ack(v, id=f"{v.user}#{v.message_id}"),
    "its id with its key before": lambda v: _ack(v, id=f"user#{v.user}#{v.message_id}"),
    "its row's key": lambda v: _ack(v, id=f"message#{v.message_id}"),
    "a blank behind its id": lambda v: _ack(v, id=f"{v.message_id} "),
    "its id in capitals": lambda v: _ack(v, id=v.message_id.upper()),
    "the beginning of its id": lambda v: _ack(v, id=v.message_id[:-1]),
    "its task token as id": lambda v: _ack(v, id=v.task_token[:128]),
    "its run as id": lambda v: _ack(v, id=v.arn.rpartition(":")[2]),
    "everything": lambda v: _ack(v, id="*"),
    "guesses": lambda v: json.dumps({"action": "ack", "ids": [f"{v.message_id[:-2]}{n:02x}" for n in range(99)]}),
}


def _waits(target: Target, victim: Victim) -> str:
    runs = target.stage.runs
    return runs.client.describe_execution(executionArn=victim.arn)["status"]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_by_somebody_else(case: Case, target: Target, victim: Victim, mallory: Attacker, frame: Make) -> None:
    case.answer([mallory.answers([frame(victim)]), _waits(target, victim)], [[], "RUNNING"])


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("frame", list(FRAMES.values())[:10], ids=list(FRAMES)[:10])
def test_from_another_conversation(
    case: Case, target: Target, victim: Victim, elsewhere: Attacker, frame: Make
) -> None:
    case.answer([elsewhere.answers([frame(victim)]), _waits(target, victim)], [[], "RUNNING"])


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("frame", list(FRAMES.values())[:4], ids=list(FRAMES)[:4])
def test_by_a_name_that_begins_alike(case: Case, target: Target, victim: Victim, alike: Attacker, frame: Make) -> None:
    case.answer([alike.answers([frame(victim)]), _waits(target, victim)], [[], "RUNNING"])
