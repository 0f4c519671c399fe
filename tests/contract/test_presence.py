"""`presence` as DynamoDB's stream calls it, with the rows that `$connect` stores and others remove."""

import json
import string
from typing import Any

import boto3
import pytest

from lambdas.adapters.message_bus import MessageBus, Untold
from lambdas.adapters.tables import ConnectionTable
from lambdas.triggers import presence
from ringback.plain import Recipient
from tests.builders import connection, recipient, removal_record, stream_record
from tests.contract.conftest import Stage, rows

ALL_CHARACTERS = "".join(sorted({*string.ascii_letters, *string.digits, *string.punctuation} - {"#"}))
ODD = {
    "ordinary": recipient(),
    "every character": recipient(user=ALL_CHARACTERS, context=ALL_CHARACTERS[:64], context_id=ALL_CHARACTERS),
    "like a key": recipient(user="user", context="user", context_id="user"),
}


@pytest.fixture(autouse=True)
def queue(stage: Stage, cloud: None) -> str:
    """A queue that all events of the stage's bus are put on."""
    events, sqs = boto3.client("events"), boto3.client("sqs")
    url = sqs.create_queue(QueueName="Heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.create_event_bus(Name="Messages")
    events.put_rule(Name="All", EventBusName="Messages", EventPattern=json.dumps({"source": ["ringback"]}))
    events.put_targets(Rule="All", EventBusName="Messages", Targets=[{"Id": "queue", "Arn": arn}])
    stage.set(MESSAGE_BUS_NAME="Messages")
    return url


def inserts(table: str, *recipients: Recipient) -> list[dict[str, Any]]:
    """The stream's records after a connection of each was stored, the first one with id `c-1`."""
    records = []
    for number, each in enumerate(recipients, start=1):
        ConnectionTable(table).put(connection(f"c-{number}", each))
        (row,) = [row for row in rows(table) if row["connection_id"] == {"S": f"c-{number}"}]
        records.append(stream_record(row, str(number)))
    return records


def heard(queue: str) -> list[tuple[str, dict[str, Any]]]:
    sqs, events = boto3.client("sqs"), []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        events += [json.loads(message["Body"]) for message in messages]
    assert {event["source"] for event in events} <= {"ringback"}
    return [(event["detail-type"], event["detail"]) for event in events]


def failed_at(sequence_number: str | None) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": sequence_number}] if sequence_number else []}


@pytest.mark.parametrize("name", ODD)
def test_both_kinds_of_change_are_told_with_all_that_names_the_connection(
    stage: Stage, connections_table: str, queue: str, name: str
) -> None:
    (insert,) = inserts(connections_table, ODD[name])

    assert stage.call(presence.handler, {"Records": [insert, removal_record(insert, "2")]}) == failed_at(None)

    detail = {
        "user": ODD[name].user,
        "context": ODD[name].context,
        "contextId": ODD[name].context_id,
        "connectionId": "c-1",
        "at": "2030-01-31T12:00:00.000Z",
    }
    assert heard(queue) == [("ringback.connection.opened", detail), ("ringback.connection.closed", detail)]
    assert stage.metrics() == {}
    assert stage.log() == []


def test_what_dynamodb_itself_removes_is_told_alike(stage: Stage, connections_table: str, queue: str) -> None:
    (insert,) = inserts(connections_table, recipient())
    forgotten = removal_record(insert, "2")
    forgotten["userIdentity"] = {"principalId": "dynamodb.amazonaws.com", "type": "Service"}

    stage.call(presence.handler, {"Records": [forgotten]})

    assert [event_type for event_type, _ in heard(queue)] == ["ringback.connection.closed"]


@pytest.mark.parametrize("count", [10, 11, 25])
def test_a_batch_is_told_in_its_order_however_long_it_is(
    stage: Stage, connections_table: str, queue: str, count: int
) -> None:
    records = inserts(connections_table, *[recipient()] * count)

    assert stage.call(presence.handler, {"Records": records}) == failed_at(None)

    # The queue keeps no order, so a set: no event comes twice, or is left out.
    told = [detail["connectionId"] for _, detail in heard(queue)]
    assert sorted(told) == sorted(f"c-{number}" for number in range(1, count + 1))


def test_a_bus_that_does_not_answer_fails_from_the_first_record(stage: Stage, connections_table: str) -> None:
    records = inserts(connections_table, *[recipient()] * 3)
    stage.set(MESSAGE_BUS_NAME="Missing")

    assert stage.call(presence.handler, {"Records": records}) == failed_at("1")
    assert stage.metrics() == {"Errors": 1}
    assert [line["reason"] for line in stage.log()] == ["PutEvents: ResourceNotFoundException"]


@pytest.mark.parametrize("first", [0, 2])
def test_what_the_bus_leaves_out_is_brought_again_with_all_that_follow(
    stage: Stage, connections_table: str, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    records = inserts(connections_table, *[recipient()] * 3)
    monkeypatch.setattr(MessageBus, "tell", lambda self, changes: Untold(first, "PutEvents: ThrottlingException"))

    assert stage.call(presence.handler, {"Records": records}) == failed_at(str(first + 1))
    assert stage.metrics() == {"Errors": 1}
    assert [line["reason"] for line in stage.log()] == ["PutEvents: ThrottlingException"]


def test_what_is_brought_again_is_told_again(stage: Stage, connections_table: str, queue: str) -> None:
    """Nothing is remembered: who listens has to bear it."""
    records = inserts(connections_table, recipient())

    for _ in range(2):
        stage.call(presence.handler, {"Records": records})

    first, second = heard(queue)
    assert first == second
