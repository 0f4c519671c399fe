"""The meter of the benchmarks, around MiniStack's process: what functions do is written down, and nothing else."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from benchmarks.billing.counts import Counts, invocation
from benchmarks.cloud.meter import FILE, Meter, Use
from benchmarks.cloud.metered import with_long_tokens
from local import cloud
from tests.integration.local.laboratory import Laboratory, unique

READS_AND_WRITES = """
    import json, boto3
    table = boto3.client("dynamodb")

    def handler(event, context):
        if "Records" in event:
            event = json.loads(event["Records"][0]["Sns"]["Message"])
        key = {"id": {"S": "one"}}
        table.put_item(TableName=event["table"], Item={**key, "text": {"S": "x" * 1500}})
        table.get_item(TableName=event["table"], Key=key, ConsistentRead=True)
        if event.get("fails"):
            raise ValueError("as told")
"""
USED = Counts(writes=2, reads=1)


@dataclass(frozen=True)
class Metered:
    """A MiniStack with a meter, and a table."""

    laboratory: Laboratory
    meter_file: Path
    table: str

    def use(self, function: str, *, after: int) -> Use:
        meter = Meter(self.meter_file, {function.rpartition(":")[2]: "one"})
        meter.await_invocations("one", after)
        return meter.use(["one"])


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metered]:
    with cloud.running(tmp_path_factory.mktemp("metered"), server="benchmarks.cloud.metered") as started:
        laboratory, table = Laboratory(started.endpoint), unique("table")
        laboratory.clients.dynamodb.create_table(
            TableName=table,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield Metered(laboratory, started.directory / FILE, table)


def test_task_tokens_are_as_long_as_those_of_aws() -> None:
    read = with_long_tokens(lambda state, _input, context: (state, context.get("Task", {}).get("Token")))
    context = {"Task": {"Token": "short"}}
    state, token = read({"Type": "Task"}, {}, context)
    assert (state, len(token), token[:5]) == ({"Type": "Task"}, 800, "short")
    # It is the one that the run waits for; tried again, it stays what it is.
    assert context["Task"]["Token"] == token == read({}, {}, context)[1]
    assert read({}, {}, {}) == ({}, None)


def test_an_invocation_and_its_calls_are_counted_and_those_of_others_are_not(metered: Metered) -> None:
    function = metered.laboratory.function(READS_AND_WRITES)
    metered.laboratory.clients.dynamodb.put_item(TableName=metered.table, Item={"id": {"S": "by hand"}})
    assert metered.laboratory.invoke(function, {"table": metered.table}) == (None, None)
    use = metered.use(function, after=1)
    assert asdict(use.counts) == pytest.approx(asdict(invocation(memory_mb=128, calls=2) + USED))
    assert use.called == {"one: dynamodb PutItem": 1, "one: dynamodb GetItem": 1}


def test_a_topic_has_a_function_that_fails_tried_three_times(metered: Metered) -> None:
    sns = metered.laboratory.clients.sns
    function = metered.laboratory.function(READS_AND_WRITES)
    topic = sns.create_topic(Name=unique("topic"))["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)
    sns.publish(TopicArn=topic, Message=json.dumps({"table": metered.table, "fails": True}))
    use = metered.use(function, after=3)
    assert use.invoked == {"one": 3}
    assert (use.counts.writes, use.counts.reads) == (6, 3)
