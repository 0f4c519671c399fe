"""DynamoDB: what the three tables, their index and their stream stand on."""

import time
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from tests.fidelity.clouds import Cloud, code_of
from tests.fidelity.marks import not_in

Item = dict[str, Any]
FAILED = "ConditionalCheckFailedException"
_INDEX = {
    "IndexName": "ByConversation",
    "KeySchema": [
        {"AttributeName": "conversation", "KeyType": "HASH"},
        {"AttributeName": "caller_id", "KeyType": "RANGE"},
    ],
    "Projection": {"ProjectionType": "ALL"},
}


class Table:
    """One user's partition of a table that all cases share."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.name = cloud.once("table", lambda: cloud.table(GlobalSecondaryIndexes=[_INDEX]))
        self.user = cloud.unique("user")
        self.client = cloud.client("dynamodb")

    def key(self, context: str) -> Item:
        return {"caller_id": {"S": self.user}, "context": {"S": context}}

    def item(self, context: str, **values: Any) -> Item:
        return {**self.key(context), **{name: TypeSerializer().serialize(value) for name, value in values.items()}}

    def put(self, context: str, **values: Any) -> None:
        self.client.put_item(TableName=self.name, Item=self.item(context, **values))

    def get(self, context: str) -> Item | None:
        answer = self.client.get_item(TableName=self.name, Key=self.key(context), ConsistentRead=True)
        return plain(answer["Item"]) if "Item" in answer else None

    def contexts(self, prefix: str | None = None) -> list[str]:
        """The sort keys of a query, page by page."""
        condition = "caller_id = :user" + (" AND begins_with(#sort, :prefix)" if prefix else "")
        request: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": {":user": {"S": self.user}, **({":prefix": {"S": prefix}} if prefix else {})},
            "ConsistentRead": True,
            **({"ExpressionAttributeNames": {"#sort": "context"}} if prefix else {}),
        }
        found: list[str] = []
        self.pages = 0
        while True:
            answer = self.client.query(**request)
            self.pages += 1
            found += [item["context"]["S"] for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return found
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def plain(item: Item) -> Item:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


@pytest.fixture
def table(cloud: Cloud) -> Table:
    return Table(cloud)


@pytest.mark.parametrize(("mine", "answer"), [(2**60 - 1, FAILED), (2**60, ""), (2**60 + 1, "")])
def test_put_may_be_refused_by_what_is_there_and_numbers_are_exact(table: Table, mine: int, answer: str) -> None:
    def put(entry: int) -> str:
        return code_of(
            table.client.put_item,
            TableName=table.name,
            Item=table.item("a", entry=entry),
            ConditionExpression="attribute_not_exists(caller_id) OR entry <= :mine",
            ExpressionAttributeValues={":mine": {"N": str(entry)}},
        )

    assert put(2**60) == ""
    assert put(mine) == answer
    stored = table.get("a")
    assert stored is not None
    assert stored["entry"] == (2**60 if answer else mine)


@pytest.mark.parametrize(("stored", "answer"), [("mine", ""), ("another", FAILED), (None, FAILED)])
def test_delete_may_be_refused_by_what_is_there_or_not(table: Table, stored: str | None, answer: str) -> None:
    if stored:
        table.put("a", task_token=stored)

    refused = code_of(
        table.client.delete_item,
        TableName=table.name,
        Key=table.key("a"),
        ConditionExpression="task_token = :mine",
        ExpressionAttributeValues={":mine": {"S": "mine"}},
    )

    assert refused == answer
    assert (table.get("a") is None) == (stored != "another")


def test_delete_answers_what_was_there(table: Table) -> None:
    table.put("a", n=1)
    first, second = (
        table.client.delete_item(TableName=table.name, Key=table.key("a"), ReturnValues="ALL_OLD") for _ in range(2)
    )

    assert plain(first["Attributes"]) == {"caller_id": table.user, "context": "a", "n": 1}
    assert "Attributes" not in second


def test_update_of_nothing_makes_nothing_where_that_is_the_condition(table: Table) -> None:
    def update(since: int) -> str:
        return code_of(
            table.client.update_item,
            TableName=table.name,
            Key=table.key("a"),
            UpdateExpression="SET stale_since = if_not_exists(stale_since, :since)",
            ConditionExpression="attribute_exists(caller_id)",
            ExpressionAttributeValues={":since": {"N": str(since)}},
        )

    assert update(1) == FAILED
    assert table.get("a") is None
    table.put("a")
    assert (update(2), update(3)) == ("", "")
    assert (table.get("a") or {})["stale_since"] == 2


def test_transaction_that_is_refused_writes_nothing_and_says_why(table: Table) -> None:
    table.put("there")
    absent = "attribute_not_exists(caller_id)"
    puts = [
        {"Put": {"TableName": table.name, "Item": table.item(name), "ConditionExpression": absent}}
        for name in ("new", "there")
    ]

    with pytest.raises(table.client.exceptions.TransactionCanceledException) as raised:
        table.client.transact_write_items(TransactItems=puts)

    assert raised.value.response["Error"]["Code"] == "TransactionCanceledException"
    reasons = raised.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed"]
    assert table.get("new") is None


def test_transaction_counts_on_once(table: Table) -> None:
    def count(last: int) -> str:
        update = {
            "TableName": table.name,
            "Key": table.key("last"),
            "UpdateExpression": "SET #sequence = :next",
            "ConditionExpression": "attribute_not_exists(caller_id) OR #sequence = :last",
            "ExpressionAttributeNames": {"#sequence": "sequence"},
            "ExpressionAttributeValues": {":next": {"N": str(last + 1)}, ":last": {"N": str(last)}},
        }
        return code_of(table.client.transact_write_items, TransactItems=[{"Update": update}])

    assert (count(0), count(1), count(1)) == ("", "", "TransactionCanceledException")
    assert (table.get("last") or {})["sequence"] == 2


def test_two_rows_are_read_at_once_as_they_are(table: Table) -> None:
    table.put("a", n=1)
    keys = {"Keys": [table.key("a"), table.key("b")], "ConsistentRead": True}

    answer = table.client.batch_get_item(RequestItems={table.name: keys})

    assert [plain(item)["n"] for item in answer["Responses"][table.name]] == [1]
    assert not answer.get("UnprocessedKeys")


def test_query_reads_a_megabyte_a_page_and_all_of_it_in_order(table: Table) -> None:
    names = [f"reconnect#chat#42#{n:012}#m" for n in (1, 2, 10, 11)]
    for name in reversed(names):
        table.put(name, text="x" * 350_000)

    assert table.contexts("reconnect#chat#42#") == names
    assert table.pages > 1


def test_beginning_is_compared_character_by_character(table: Table) -> None:
    names = ["ack#M#run", "ack#m#run", "ack#m%#run", "ack#m_#run", "ack#m2#run", "chat#1#c", "chat#12#c"]
    for name in names:
        table.put(name)

    assert table.contexts("ack#m#") == ["ack#m#run"]
    assert table.contexts("chat#1#") == ["chat#1#c"]
    assert table.contexts("nothing") == []
    assert table.contexts() == sorted(names)


def test_row_that_has_expired_may_be_there_yet(table: Table) -> None:
    past = int(time.time()) - 60
    table.cloud.once(
        "expiry",
        lambda: table.client.update_time_to_live(
            TableName=table.name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": "expiration_date"},
        ),
    )

    table.put("a", expiration_date=past)

    assert (table.get("a") or {})["expiration_date"] == past


def in_index(table: Table, condition: str = "", **options: Any) -> Any:
    values = {":conversation": {"S": table.user}, **options.pop("values", {})}
    return table.client.query(
        TableName=table.name,
        IndexName="ByConversation",
        KeyConditionExpression=f"conversation = :conversation{condition}",
        ExpressionAttributeValues=values,
        **options,
    )


def test_index_has_only_rows_with_its_key_and_may_lag(table: Table) -> None:
    table.put("in", conversation=table.user)
    table.put("out")

    def there() -> list[str]:
        return [item["context"]["S"] for item in in_index(table)["Items"]]

    deadline = time.monotonic() + table.cloud.patience_seconds
    while there() != ["in"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert there() == ["in"]


def test_index_gives_no_consistent_read(table: Table) -> None:
    assert code_of(in_index, table=table, ConsistentRead=True) == "ValidationException"


def test_page_of_the_index_is_counted_and_tells_where_it_ended(table: Table) -> None:
    users = [f"user#{name}" for name in ("ana", "ben", "cy")]
    for user in users:
        item = {"caller_id": {"S": user}, "context": {"S": table.user}, "conversation": {"S": table.user}}
        table.client.put_item(TableName=table.name, Item=item)
    deadline = time.monotonic() + table.cloud.patience_seconds
    while in_index(table)["Count"] < 3 and time.monotonic() < deadline:
        time.sleep(0.05)

    page = in_index(table, Limit=2, Select="COUNT")

    assert (page["Count"], page["LastEvaluatedKey"]["caller_id"]["S"]) == (2, "user#ben")
    rest = in_index(table, " AND caller_id >= :first", values={":first": {"S": "user#ben!"}})
    assert [item["caller_id"]["S"] for item in rest["Items"]] == ["user#cy"]


READS = """
    import json
    import boto3

    queue, seen = boto3.client("sqs"), set()

    def handler(event, context):
        told = [
            {{
                "kind": record["eventName"],
                "key": record["dynamodb"]["Keys"]["context"]["S"],
                "images": [name for name in ("NewImage", "OldImage") if name in record["dynamodb"]],
                "at": record["dynamodb"]["ApproximateCreationDateTime"],
                "number": record["dynamodb"]["SequenceNumber"],
            }}
            for record in event["Records"]
        ]
        queue.send_message(QueueUrl="{queue}", MessageBody=json.dumps(told))
        for each in told:
            if each["key"] == "fails" and "fails" not in seen:
                seen.add("fails")
                return {{"batchItemFailures": [{{"itemIdentifier": each["number"]}}]}}
        return {{"batchItemFailures": []}}
"""


@not_in("moto", "its functions run in Docker")
def test_stream_tells_of_rows_that_come_and_go_and_brings_again_what_failed(cloud: Cloud) -> None:
    queue, client = cloud.queue(), cloud.client("dynamodb")
    name = cloud.table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
    stream = client.describe_table(TableName=name)["Table"]["LatestStreamArn"]

    def item(context: str, **more: Any) -> Item:
        return {"caller_id": {"S": "user#ana"}, "context": {"S": context}, **more}

    for context in ("before", "fails", "after"):
        client.put_item(TableName=name, Item=item(context))
    client.put_item(TableName=name, Item=item("after", changed={"BOOL": True}))
    client.delete_item(TableName=name, Key=item("before"))
    client.delete_item(TableName=name, Key=item("before"))  # there is nothing to remove any more
    only = '{"eventName": ["INSERT", "REMOVE"]}'
    cloud.read_by(
        cloud.function(READS.format(queue=queue)),
        stream,
        StartingPosition="TRIM_HORIZON",
        BatchSize=10,
        FilterCriteria={"Filters": [{"Pattern": only}]},
    )
    told: list[Item] = []
    while [each["key"] for each in told].count("fails") < 2 or told[-1]["kind"] != "REMOVE":
        told += cloud.told(queue, seconds=10 * cloud.patience_seconds)

    # Nothing is left out, nothing comes before its time, and what failed comes again with all that follow.
    firsts = [each for n, each in enumerate(told) if each["number"] not in {other["number"] for other in told[:n]}]
    assert [(each["kind"], each["key"], each["images"]) for each in firsts] == [
        ("INSERT", "before", ["NewImage"]),
        ("INSERT", "fails", ["NewImage"]),
        ("INSERT", "after", ["NewImage"]),
        ("REMOVE", "before", []),
    ]
    again = [each["key"] for each in told].index("fails", [each["key"] for each in told].index("fails") + 1)
    assert [each["key"] for each in told[again:]] == ["fails", "after", "before"]
    assert all(abs(each["at"] - time.time()) < 600 for each in told)
