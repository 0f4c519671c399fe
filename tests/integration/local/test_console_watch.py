"""The console follows a real MiniStack, and finds its way back when the connection to it is lost."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.console.board import Board
from local.console.connections import Connections
from local.console.letters import Letters
from local.console.numbers import Numbers
from local.console.runs import Runs
from local.console.watching import Watch
from local.links import Link
from ringback import installation as backends
from ringback.errors import LetterNotFound
from tests.integration.local.laboratory import Laboratory, unique
from tests.waiting import async_until

_PATIENCE_SECONDS = 20


def row(user: str, connection: str, *, expires: int = 4_000_000_000, **more: Any) -> dict[str, Any]:
    recipient = {"user": user, "context": "chat", "context_id": "42"}
    return {
        "caller_id": {"S": f"user#{user}"},
        "context": {"S": f"chat#42#{connection}"},
        "recipient": {"S": json.dumps(recipient)},
        "connection_id": {"S": connection},
        "connected_at": {"N": "1900000000000"},
        "expiration_date": {"N": str(expires)},
        **more,
    }


def tables(laboratory: Laboratory) -> backends.Installation:
    """An installation with as much as the console follows."""
    name = unique("table")
    laboratory.clients.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "caller_id", "KeyType": "HASH"}, {"AttributeName": "context", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "caller_id", "AttributeType": "S"},
            {"AttributeName": "context", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    outputs = {
        "ConnectionsTableName": name,
        "DeadLetterQueueUrl": laboratory.queue(),
        "IngestDeadLetterQueueUrl": laboratory.queue(),
        "IngestQueueUrl": laboratory.queue(),
        "DeliveryStateMachineArn": "machine",
        "SequencesTableName": "none",
    }
    return backends.Installation("here", outputs, backends.Clients.of_local(laboratory.endpoint))


def test_connections_come_from_the_stream_alone(corrected: Laboratory) -> None:
    installation = tables(corrected)
    put = corrected.clients.dynamodb.put_item
    table_name = installation.output("ConnectionsTableName")
    connections = Connections(installation)

    def shown() -> list[tuple[str, Any]]:
        return [(one["connectionId"], one["attributes"]) for one in connections.read()]

    assert shown() == []
    put(TableName=table_name, Item=row("ana", "c-1", attributes={"M": {"plan": {"S": "gold"}}}))
    put(TableName=table_name, Item=row("ben", "c-2"))
    put(TableName=table_name, Item=row("ben", "expired", expires=1_000))
    put(TableName=table_name, Item=row("ben", "token over", token_expires_at={"N": "1000"}))
    put(TableName=table_name, Item={"caller_id": {"S": "somebody"}, "context": {"S": "else's"}})
    assert shown() == [("c-1", {"plan": "gold"}), ("c-2", {})]

    corrected.clients.dynamodb.delete_item(
        TableName=table_name,
        Key={name: value for name, value in row("ana", "c-1").items() if name in {"caller_id", "context"}},
    )
    put(TableName=table_name, Item=row("ben", "c-2", attributes={"M": {"plan": {"S": "free"}}}))
    assert shown() == [("c-2", {"plan": "free"})]
    assert [(one["connectionId"]) for one in Connections(installation).read()] == ["c-2"]


def test_it_comes_back_when_the_feed_breaks(corrected: Laboratory) -> None:
    installation = tables(corrected)
    machine = corrected.machine({"Type": "Pass", "Output": {"status": "delivered"}})
    board = Board(Runs({machine: "delivery"}))

    def status(arn: str) -> Any:
        return {run["arn"]: run["status"] for run in map(json.loads, board.runs.texts())}.get(arn)

    until = partial(async_until, seconds=_PATIENCE_SECONDS)

    async def follow() -> None:
        address = urlsplit(corrected.endpoint)
        link = await Link.open(str(address.hostname), int(address.port or 80))
        with ThreadPoolExecutor(4) as pool:
            watch = Watch(
                board,
                endpoint=f"http://127.0.0.1:{link.port}",
                connections=Connections(installation),
                letters={name: Letters(installation, name) for name in ("delivery", "ingest")},
                sequences=Numbers(installation),
                pool=pool,
            )
            following = asyncio.create_task(watch.run())
            await asyncio.wait_for(board.ready(), _PATIENCE_SECONDS)

            before = await asyncio.to_thread(corrected.start, machine)
            await until(lambda: status(before) == "delivered")
            link.go_down()
            meanwhile = await asyncio.to_thread(corrected.start, machine)
            await asyncio.to_thread(corrected.outcome, meanwhile)
            assert status(meanwhile) is None
            link.heal()
            await until(lambda: status(meanwhile) == status(before) == "delivered")

            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        await link.close()

    asyncio.run(follow())


def test_a_long_letter_is_read_when_it_is_opened(corrected: Laboratory) -> None:
    """All letters go to each page at each change."""
    installation = tables(corrected)
    bodies = {
        "short": '{"id": "short"}',
        "long": json.dumps({"id": "long", "payload": "x" * 100_000, "recipient": {"user": "u" * 50_000}}),
        "text": "no JSON" * 10_000,
        "number": '{"id": "number", "payload": NaN}',
    }
    for body in bodies.values():
        corrected.clients.sqs.send_message(
            QueueUrl=installation.output("IngestDeadLetterQueueUrl"),
            MessageBody=body,
            MessageAttributes={"reason": {"DataType": "String", "StringValue": "r" * 50_000}},
        )
    letters = Letters(installation, "ingest")

    shown = {letter["id"]: letter for letter in letters.read()}

    assert len(json.dumps(shown)) < 20_000
    assert shown["short"]["message"] == {"id": "short"}
    assert {name for name, letter in shown.items() if "message" not in letter} == {"long", None}
    assert letters.message(shown["long"]["letterId"]) == json.loads(bodies["long"])
    assert letters.message(shown[None]["letterId"]) == bodies["text"]
    # Python reads it as JSON, and no browser does: the page could not read what has it.
    assert shown["number"]["message"] == bodies["number"]
    with pytest.raises(LetterNotFound):
        letters.message("another")
    assert len(letters.read()) == 4


def test_letters_are_seen_when_they_come_and_when_they_went(corrected: Laboratory) -> None:
    installation = tables(corrected)
    queue = installation.output("IngestDeadLetterQueueUrl")
    letters = Letters(installation, "ingest")
    assert (letters.count(), letters.read()) == (0, [])

    corrected.clients.sqs.send_message(
        QueueUrl=queue,
        MessageBody='{"id": "m-1", "recipient": {"user": "ana", "context": "chat", "contextId": "42"}}',
        MessageAttributes={"reason": {"DataType": "String", "StringValue": "payload: is missing"}},
    )
    corrected.clients.sqs.send_message(QueueUrl=queue, MessageBody="no JSON")
    found = {
        letter["message"] if isinstance(letter["message"], str) else letter["id"]: letter for letter in letters.read()
    }

    assert letters.count() == 2
    first, second = found["m-1"], found["no JSON"]
    assert (first["user"], first["context"], first["contextId"]) == ("ana", "chat", "42")
    assert (first["reason"], first["cause"]) == ("InvalidMessage", "payload: is missing")
    assert (second["id"], second["reason"], "user" in second) == (None, "NotTaken", False)
    assert len(letters.read()) == 2  # looking hides nothing from the next who looks
    assert letters.purge([first["letterId"], "another"]) == 1
    assert [letter["letterId"] for letter in letters.read()] == [second["letterId"]]
