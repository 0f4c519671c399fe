"""The corrections of what starts a function or reaches a queue, with them and without."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.local.laboratory import Laboratory, Matters, unique

# Says on a queue what it was given, and fails on what is in `fails`, the first time.
READS_A_STREAM = """
    import boto3, json

    queue = boto3.client("sqs")
    failed = set()

    def handler(event, context):
        keys = [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
        queue.send_message(QueueUrl="{queue}", MessageBody=json.dumps(keys))
        for key, record in zip(keys, event["Records"]):
            if key in {fails} and key not in failed:
                failed.add(key)
                return {{"batchItemFailures": [{{"itemIdentifier": {identifier}}}]}}
"""
ITS_NUMBER = 'record["dynamodb"]["SequenceNumber"]'


@dataclass
class Stream:
    """A table's stream, and a function that reads it."""

    laboratory: Laboratory
    fails: tuple[str, ...] = ()
    identifier: str = ITS_NUMBER

    def __post_init__(self) -> None:
        self.queue = self.laboratory.queue()
        self.table = unique("table")
        created = self.laboratory.clients.dynamodb.create_table(
            TableName=self.table,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        self.arn = created["TableDescription"]["LatestStreamArn"]

    def put(self, *keys: str) -> None:
        for key in keys:
            self.laboratory.clients.dynamodb.put_item(TableName=self.table, Item={"id": {"S": key}})

    def read_by(self, function: str, **options: Any) -> None:
        self.laboratory.clients.functions.create_event_source_mapping(
            EventSourceArn=self.arn,
            FunctionName=function,
            StartingPosition="TRIM_HORIZON",
            FunctionResponseTypes=["ReportBatchItemFailures"],
            **options,
        )

    def keys_read(self, **options: Any) -> list[str]:
        """All that the function was given of a, b, c and d, and of z, which is stored when it has seen them."""
        source = READS_A_STREAM.format(queue=self.queue, fails=repr(self.fails), identifier=self.identifier)
        self.put("hidden", "a", "b", "c", "d")
        self.read_by(self.laboratory.function(source), BatchSize=5, **options)
        keys: list[str] = json.loads(self.laboratory.message(self.queue))
        self.put("z")
        while keys[-1] != "z":
            keys += json.loads(self.laboratory.message(self.queue))
        return keys


NOT_HIDDEN = {"Filters": [{"Pattern": json.dumps({"dynamodb": {"Keys": {"id": {"S": [{"anything-but": "hidden"}]}}}})}]}


@pytest.mark.parametrize(
    ("identifier", "read"),
    [(ITS_NUMBER, [*"abcd", *"cdz"]), ('"of no record"', [*"abcd", *"abcdz"])],
    ids=["from the failure on", "all of it"],
)
def test_failure_within_a_stream_batch_brings_it_again(matters: Matters, identifier: str, read: list[str]) -> None:
    def observe(laboratory: Laboratory) -> object:
        stream = Stream(laboratory, fails=("c",), identifier=identifier)
        return stream.keys_read(FilterCriteria=NOT_HIDDEN)

    matters(observe, read)


def test_stream_batch_without_failures_comes_once(corrected: Laboratory) -> None:
    assert Stream(corrected).keys_read(FilterCriteria=NOT_HIDDEN) == [*"abcdz"]


def test_reader_of_a_stream_hears_what_it_filters_for_and_of_a_removal_the_key_alone(corrected: Laboratory) -> None:
    """As MiniStack comes; `presence` and `wake` live on it."""
    stream, queues = Stream(corrected), (corrected.queue(), corrected.queue())
    for queue, kinds in zip(queues, (["INSERT", "REMOVE"], ["INSERT"]), strict=True):
        source = """
            import boto3, json

            def handler(event, context):
                for record in event["Records"]:
                    told = {{name: record["dynamodb"].get(name) for name in ("Keys", "NewImage", "OldImage")}}
                    body = json.dumps([record["eventName"], told])
                    boto3.client("sqs").send_message(QueueUrl="{queue}", MessageBody=body)
        """
        filters = {"Filters": [{"Pattern": json.dumps({"eventName": kinds})}]}
        stream.read_by(corrected.function(source.format(queue=queue)), FilterCriteria=filters)
    table, key = corrected.clients.dynamodb, {"id": {"S": "a"}}
    changed = {**key, "by": {"S": "an update"}}

    stream.put("a")
    table.put_item(TableName=stream.table, Item=changed)
    table.delete_item(TableName=stream.table, Key=key)
    table.delete_item(TableName=stream.table, Key=key)  # there is nothing to remove any more
    stream.put("z")

    def insert(name: str) -> object:
        key = {"id": {"S": name}}
        return ["INSERT", {"Keys": key, "NewImage": key, "OldImage": None}]

    both, inserts = (
        [json.loads(corrected.message(queue)) for _ in range(n)] for queue, n in ((queues[0], 3), (queues[1], 2))
    )
    assert both == [insert("a"), ["REMOVE", {"Keys": key, "NewImage": None, "OldImage": None}], insert("z")]
    assert inserts == [insert("a"), insert("z")]


@pytest.mark.parametrize("other", ["queue", "stream"])
def test_slow_reader_of_a_stream_holds_up_nothing_else(matters: Matters, other: str) -> None:
    def observe(laboratory: Laboratory) -> object:
        seen = laboratory.queue()
        says = """
            import boto3, time

            def handler(event, context):
                for pause, word in {words}:
                    time.sleep(pause)
                    boto3.client("sqs").send_message(QueueUrl="{queue}", MessageBody=word)
        """
        slow = laboratory.function(says.format(queue=seen, words=[(0, "slow begins"), (5, "slow ends")]))
        quick = laboratory.function(says.format(queue=seen, words=[(0, "quick")]))
        streams, queue = [Stream(laboratory) for _ in range(2)], laboratory.queue()
        streams[0].read_by(slow)
        if other == "stream":
            streams[1].read_by(quick)
        else:
            laboratory.clients.functions.create_event_source_mapping(
                EventSourceArn=laboratory.queue_arn(queue), FunctionName=quick
            )
        streams[0].put("a")
        assert laboratory.message(seen) == "slow begins"
        if other == "stream":
            streams[1].put("b")
        else:
            laboratory.clients.sqs.send_message(QueueUrl=queue, MessageBody="any")
        return laboratory.message(seen)

    matters(observe, "quick")


@pytest.mark.parametrize("count", [10, 11])
def test_raw_delivery_takes_ten_attributes(matters: Matters, corrected: Laboratory, count: int) -> None:
    def observe(laboratory: Laboratory) -> object:
        queue = laboratory.queue()
        topic = laboratory.clients.sns.create_topic(Name=unique("topic"))["TopicArn"]
        laboratory.clients.sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=laboratory.queue_arn(queue),
            Attributes={"RawMessageDelivery": "true"},
        )
        attributes: Any = {f"a{n}": {"DataType": "String", "StringValue": "x"} for n in range(count)}
        laboratory.clients.sns.publish(TopicArn=topic, Message="with attributes", MessageAttributes=attributes)
        laboratory.clients.sns.publish(TopicArn=topic, Message="without")
        return [laboratory.message(queue) for _ in range(2 if count == 10 else 1)]

    if count == 10:
        assert observe(corrected) == ["with attributes", "without"]
    else:
        matters(observe, ["without"])


def test_event_tries_a_function_again(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        queue, name = laboratory.queue(), unique("rule")
        function = laboratory.function(
            f"""
            import boto3

            calls = 0

            def handler(event, context):
                global calls
                calls += 1
                if calls == 1 and event["source"] == "fails":
                    raise ValueError
                boto3.client("sqs").send_message(QueueUrl="{queue}", MessageBody=event["source"])
            """
        )
        laboratory.events.put_rule(Name=name, EventPattern=json.dumps({"detail-type": [name]}))
        laboratory.events.put_targets(Rule=name, Targets=[{"Id": "function", "Arn": function}])
        laboratory.events.put_events(Entries=[{"Source": "fails", "DetailType": name, "Detail": "{}"}])
        return laboratory.message(queue, or_none_within=8)

    matters(observe, "fails")
