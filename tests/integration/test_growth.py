"""What the functions take of DynamoDB, counted as it goes out; small here, `make bench-growth` has a million rows."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from benchmarks import growth, paper
from benchmarks.growth import Cost, Stage
from benchmarks.growth.wire import Used, Wire

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEY = {"caller_id": {"S": "user#ana"}, "context": {"S": "chat#42#a"}}


def item(size: int) -> dict[str, Any]:
    """A row of so many bytes."""
    keys = len("caller_id") + len("user#ana") + len("context") + len("chat#42#a")
    return {**KEY, "filler": {"S": "x" * (size - keys - len("filler"))}}


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    with wire.connected():
        yield wire
    wire.close()


@pytest.fixture
def client(wire: Wire) -> "DynamoDBClient":
    return boto3.client("dynamodb")


@pytest.mark.parametrize(
    ("before", "call", "used"),
    [
        (0, lambda c: c.put_item(TableName="Connections", Item=item(1024)), Used(1, 0, 1)),
        (0, lambda c: c.put_item(TableName="Connections", Item=item(1025)), Used(1, 0, 2)),
        (3000, lambda c: c.put_item(TableName="Connections", Item=item(100)), Used(1, 0, 3)),
        (3000, lambda c: c.delete_item(TableName="Connections", Key=KEY), Used(1, 0, 3)),
        (0, lambda c: c.delete_item(TableName="Connections", Key=KEY), Used(1, 0, 1)),
        (
            2040,
            lambda c: c.update_item(
                TableName="Connections",
                Key=KEY,
                UpdateExpression="SET stale_since = :now",
                ExpressionAttributeValues={":now": {"N": "1"}},
            ),
            Used(1, 0, 3),
        ),
        (
            0,
            lambda c: c.transact_write_items(TransactItems=[{"Put": {"TableName": "Connections", "Item": item(1025)}}]),
            Used(1, 0, 4),
        ),
        (4096, lambda c: c.get_item(TableName="Connections", Key=KEY, ConsistentRead=True), Used(1, 1, 0)),
        (4097, lambda c: c.get_item(TableName="Connections", Key=KEY), Used(1, 1, 0)),
        (0, lambda c: c.get_item(TableName="Connections", Key=KEY), Used(1, 0.5, 0)),
        (
            4097,
            lambda c: c.batch_get_item(
                RequestItems={"Connections": {"Keys": [KEY, {**KEY, "context": {"S": "no"}}], "ConsistentRead": True}}
            ),
            Used(1, 3, 0),
        ),
    ],
    ids=[
        "put",
        "put of more than a unit",
        "put in the place of a larger one",
        "delete",
        "delete of nothing",
        "update",
        "transaction",
        "consistent get",
        "get",
        "get of nothing",
        "get of two, of which one is there",
    ],
)
def test_units_are_those_of_the_rows_that_are_read_and_written(
    wire: Wire, client: "DynamoDBClient", before: int, call: Callable[["DynamoDBClient"], object], used: Used
) -> None:
    if before:
        client.put_item(TableName="Connections", Item=item(before))
    wire.used = Used()

    call(client)

    assert wire.used == used


def test_a_query_rounds_its_page_and_not_its_rows(wire: Wire, client: "DynamoDBClient") -> None:
    for number in range(9):
        client.put_item(TableName="Connections", Item={**item(1000), "context": {"S": f"chat#42#{number}"}})
    wire.used = Used()

    client.query(
        TableName="Connections",
        KeyConditionExpression="caller_id = :user",
        ExpressionAttributeValues={":user": KEY["caller_id"]},
        ConsistentRead=True,
    )

    assert wire.used == Used(round_trips=1, reads=3)


def test_a_write_whose_condition_does_not_hold_is_billed_all_the_same(wire: Wire, client: "DynamoDBClient") -> None:
    client.put_item(TableName="Connections", Item=item(1500))
    wire.used = Used()

    with pytest.raises(ClientError):
        client.put_item(TableName="Connections", Item=item(100), ConditionExpression="attribute_not_exists(caller_id)")

    assert wire.used == Used(round_trips=1, writes=2)


def test_what_no_rule_is_there_for_is_an_error(client: "DynamoDBClient") -> None:
    with pytest.raises(NotImplementedError, match="TransactGetItems"):
        client.transact_get_items(TransactItems=[{"Get": {"TableName": "Connections", "Key": KEY}}])


@pytest.fixture
def stage() -> Iterator[Stage]:
    with growth.staged() as stage:
        yield stage


def test_operations_take_the_same_with_more_rows_around_them(stage: Stage) -> None:
    costs = growth.grow(stage, (1, 200), lambda _: None)

    assert len(stage.wire.rows("Connections")) == 200
    assert costs[200] == costs[1]


def test_a_function_that_reads_the_whole_table_breaks_the_promise(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lambdas.tasks import resolve_connections

    resolve = resolve_connections.handler

    def reading_all(event: Any, context: Any) -> Any:
        boto3.client("dynamodb").scan(TableName="Connections")
        return resolve(event, context)

    monkeypatch.setattr(resolve_connections, "handler", reading_all)
    costs = growth.grow(Stage(stage.wire), (1, 200), lambda _: None)

    broken = [ratio for ratio in growth.result(costs, {1: costs[1]}).ratios if not ratio.ok]
    assert [ratio.name.partition(":")[0] for ratio in broken] == ["units and round trips of resolve"]


def test_a_function_that_reads_all_that_waits_for_a_person_is_not_flat(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lambdas.routes import acknowledge

    answer = acknowledge.handler

    def reading_all(event: Any, context: Any) -> Any:
        boto3.client("dynamodb").query(
            TableName="Callbacks",
            KeyConditionExpression="caller_id = :user",
            ExpressionAttributeValues={":user": {"S": "user#carol"}},
        )
        return answer(event, context)

    monkeypatch.setattr(acknowledge, "handler", reading_all)
    costs = growth.pile_up(Stage(stage.wire), (1, 100), lambda _: None)

    grown = {name for name, cost in costs[100].items() if cost.over(costs[1][name]) > 1}
    assert grown == {"acknowledge", "acknowledge, with as many unacknowledged"}


def test_a_message_takes_no_more_when_others_wait_for_the_same_person(stage: Stage) -> None:
    costs = growth.pile_up(stage, (1, 300), lambda _: None)

    assert costs[300]["wake, per message"].over(costs[1]["wake, per message"]) <= 1
    assert costs[300]["wake, per message"].others == {"SendTaskSuccess": 1}
    for name in ("park", "acknowledge", "acknowledge, with as many unacknowledged"):
        assert costs[300][name] == costs[1][name]


def test_a_ratio_is_that_of_what_grew_most() -> None:
    least, most = Cost(1, 2, 2, {}), Cost(1, 3, 8, {})

    assert most.over(least) == 4
    assert least.over(least) == 1
    assert Cost(0, 1, 1, {}).over(Cost(0, 1, 1, {})) == 1
    assert Cost(2, 1, 1, {}).over(Cost(0, 1, 1, {})) > 1


def test_the_paper_reckons_with_what_is_counted_here(stage: Stage) -> None:
    counted = growth.grow(stage, (1,), lambda _: None)[1]
    reckoned = {
        "resolve": paper.RESOLVE,
        "park": paper.PARK,
        "post and await": paper.AWAIT,
        "acknowledge": paper.ACKNOWLEDGE,
    }

    units = {name: (cost.reads, cost.writes) for name, cost in counted.items()}

    assert {name: units[name] for name in reckoned} == {
        name: (takes.connection_reads + takes.callback_reads, takes.connection_writes + takes.callback_writes)
        for name, takes in reckoned.items()
    }
    # A connection that comes has its wake read the callbacks, whether there are any or not.
    come_and_gone = [
        sum(units[name][kind] for name in ("connect", "wake, per message", "disconnect")) for kind in (0, 1)
    ]
    together = paper.CONNECT + paper.WAKE
    assert come_and_gone == [
        together.connection_reads + together.callback_reads,
        together.connection_writes + together.callback_writes,
    ]
