"""`ingest` as SQS calls it: posts and runs for what it can read, the dead letter queue for what it cannot."""

import json
from typing import Any

import boto3
import pytest

from lambdas.adapters import queues
from lambdas.core import intake
from lambdas.core.intake import Queued
from lambdas.triggers import ingest
from tests.builders import NOW, envelope, queue_record
from tests.contract.conftest import SECRET, Stage
from tests.contract.ways_in import Outside, complaints, wired
from tests.fakes import FakeDeliveries

ANA: dict[str, Any] = {"user": "ana", "context": "chat", "contextId": "42"}


@pytest.fixture(autouse=True)
def outside(stage: Stage, connections_table: str, sequences_table: str, monkeypatch: pytest.MonkeyPatch) -> Outside:
    return wired(stage, monkeypatch, connections_table=connections_table, sequences_table=sequences_table)


@pytest.fixture
def deliveries(outside: Outside) -> FakeDeliveries:
    return outside.deliveries


@pytest.fixture(autouse=True)
def dead_letters(stage: Stage, cloud: None) -> str:
    url = boto3.client("sqs").create_queue(QueueName="IngestDeadLetters")["QueueUrl"]
    stage.set(INGEST_DEAD_LETTER_QUEUE_URL=url)
    return url


@pytest.fixture(autouse=True)
def messages(stage: Stage, cloud: None) -> str:
    url = boto3.client("sqs").create_queue(QueueName="Messages")["QueueUrl"]
    stage.set(INGEST_QUEUE_URL=url)
    return url


def take(stage: Stage, *records: dict[str, Any], **context: Any) -> list[str]:
    """The ids of the messages that the queue has to bring again."""
    answer = stage.call(ingest.handler, {"Records": list(records)}, **context)
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def kept(url: str) -> list[tuple[str, str]]:
    answer = boto3.client("sqs").receive_message(QueueUrl=url, MessageAttributeNames=["All"], MaxNumberOfMessages=10)
    return [(each["Body"], each["MessageAttributes"]["reason"]["StringValue"]) for each in answer.get("Messages", [])]


def test_a_run_for_each_message_in_whichever_form(stage: Stage, deliveries: FakeDeliveries, dead_letters: str) -> None:
    whole = envelope(id="order/17", payload=SECRET)
    records = [queue_record(json.dumps(whole)), queue_record(f'{{"text":"{SECRET}"}}', "q-2", **ANA, ttlSeconds="90")]

    assert take(stage, *records) == []

    hashed, plain = sorted(deliveries.runs, reverse=True)
    assert hashed.startswith("sha256-")
    assert json.loads(deliveries.runs[hashed]) == whole
    assert plain == "q-2"
    assert json.loads(deliveries.runs[plain]) == {
        "recipient": ANA,
        "payload": {"text": SECRET},
        "expiresAt": "2030-01-31T12:01:30.000Z",
        "id": "q-2",
    }
    assert kept(dead_letters) == []
    assert stage.metrics() == {"Accepted": 2}


def test_a_batch_for_someone_online_is_one_frame_and_no_run(stage: Stage, outside: Outside) -> None:
    outside.connect()
    records = [queue_record(json.dumps(envelope(id=f"m-{n}", payload=SECRET)), f"q-{n}") for n in range(3)]
    records[2]["attributes"]["SentTimestamp"] = str(int(NOW.timestamp() * 1000) - 250)

    assert take(stage, *records) == []

    (frame,) = outside.sockets.posts["tab"]
    assert [each["id"] for each in json.loads(frame)["messages"]] == ["m-0", "m-1", "m-2"]
    assert outside.deliveries.runs == {}
    assert stage.metrics() == {"Accepted": 3, "Delivered": 3, "Posted": 1}
    assert stage.durations() == {"DeliveryTime": ("Milliseconds", [0, 0, 250])}


def test_what_is_not_durable_and_nobody_takes_is_dropped(
    stage: Stage, deliveries: FakeDeliveries, dead_letters: str
) -> None:
    whole = queue_record(json.dumps(envelope(durable=False, payload=SECRET)))
    by_attributes = queue_record(SECRET, "q-2", **ANA, durable="false")

    assert take(stage, whole, by_attributes) == []

    assert deliveries.runs == {}
    assert kept(dead_letters) == []
    assert [(line["message_id"], line["status"]) for line in stage.log()] == [("m-1", "missed"), ("q-2", "missed")]
    assert stage.metrics() == {"Missed": 2}


def test_a_message_that_was_accepted_before_is_success(stage: Stage, deliveries: FakeDeliveries) -> None:
    again = json.dumps(envelope(payload="first", ttlSeconds=60))
    take(stage, queue_record(again))

    later = queue_record(again)
    later["attributes"]["SentTimestamp"] = str(int(NOW.timestamp() + 60) * 1000)
    assert take(stage, later) == []
    assert deliveries.runs.keys() == {"m-1"}
    assert stage.metrics() == {"Accepted": 1, "Duplicates": 1}


@pytest.mark.parametrize("other", [{"payload": "other"}, {"recipient": {**ANA, "user": "ben"}}])
def test_an_id_that_another_message_has_is_rejected(
    stage: Stage, deliveries: FakeDeliveries, dead_letters: str, other: dict[str, Any]
) -> None:
    take(stage, queue_record(json.dumps(envelope(payload="first"))))
    taken = json.dumps(envelope(payload="first") | other)

    assert take(stage, queue_record(taken)) == []

    assert json.loads(deliveries.runs["m-1"])["payload"] == "first"
    assert kept(dead_letters) == [(taken, "id: another message has it; an id names one content for one recipient")]
    assert stage.metrics() == {"Accepted": 1, "Conflicts": 1}


def test_only_what_could_not_be_started_is_brought_again(stage: Stage, deliveries: FakeDeliveries) -> None:
    deliveries.unreachable = {"m-2"}
    records = [
        queue_record(json.dumps(envelope(id=f"m-{number}", payload=SECRET)), f"q-{number}") for number in (1, 2, 3)
    ]

    assert take(stage, *records) == ["q-2"]

    assert deliveries.runs.keys() == {"m-1", "m-3"}
    assert stage.metrics() == {"Accepted": 2, "Errors": 1}
    assert [line["reason"] for line in complaints(stage)] == ["StartExecution: ThrottlingException"]


def test_what_nobody_thought_of_fails_its_own_message_and_only_its_kind_is_logged(
    stage: Stage, deliveries: FakeDeliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_queued = intake.read_queued

    def read(queued: Queued) -> Any:
        if "m-2" in queued.body:
            raise LookupError(SECRET)
        return read_queued(queued)

    monkeypatch.setattr(intake, "read_queued", read)
    records = [queue_record(json.dumps(envelope(id=f"m-{number}")), f"q-{number}") for number in (1, 2, 3)]

    assert take(stage, *records) == ["q-2"]

    assert deliveries.runs.keys() == {"m-1", "m-3"}
    assert stage.metrics() == {"Accepted": 2, "Errors": 1}
    assert [line["reason"] for line in complaints(stage)] == ["LookupError"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            queue_record(f'{{"broken": {SECRET}'),
            "the body is not JSON: give a whole envelope, or the attributes user, ",
        ),
        (queue_record("[" * 100_000), "the body is nested too deep"),
        (queue_record(json.dumps(envelope(ack=SECRET))), "ack: must be 'none' or 'client'"),
        (queue_record(json.dumps(envelope(payload=SECRET, **{"p\x00": 1}))), "p?: there is no such field"),
        (queue_record(SECRET, **ANA, payload=SECRET), "payload: no attribute; the body is the payload"),
        (queue_record(f'{{"{SECRET}": 1e999}}', **ANA), "payload: it holds a number or a text that JSON cannot carry"),
    ],
    ids=["no JSON", "too deep", "bad field", "unprintable name", "two payloads", "no number"],
)
def test_what_cannot_be_read_is_dead_lettered_with_its_reason_which_alone_is_logged(
    stage: Stage, deliveries: FakeDeliveries, dead_letters: str, record: dict[str, Any], reason: str
) -> None:
    good = queue_record(json.dumps(envelope()), "q-2")

    assert take(stage, record, good) == []

    ((body, given_reason),) = kept(dead_letters)
    assert body == record["body"]
    assert given_reason.startswith(reason)
    (line,) = complaints(stage)
    assert (line["level"], line["reason"], line["queue_message_id"]) == ("ERROR", given_reason, record["messageId"])
    assert deliveries.runs.keys() == {"m-1"}
    assert stage.metrics() == {"Accepted": 1, "Rejected": 1}


def test_what_cannot_even_be_dead_lettered_is_brought_again(stage: Stage) -> None:
    stage.set(INGEST_DEAD_LETTER_QUEUE_URL="https://sqs.eu-central-1.amazonaws.com/123456789012/Missing")

    assert take(stage, queue_record(f"{SECRET}, no JSON")) == ["059f36b4"]
    assert stage.metrics() == {"Rejected": 1, "Errors": 1}
    assert [line["level"] for line in complaints(stage)] == ["WARNING"]


@pytest.fixture
def brought(messages: str, deliveries: FakeDeliveries, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Two messages that the queue has handed out: the first one can be started, the second one cannot.

    What is to come again soon does so at once.
    """
    monkeypatch.setattr(queues, "SOON_SECONDS", (0, 0))
    deliveries.unreachable = {"m-2"}
    sqs = boto3.client("sqs")
    for number in (1, 2):
        sqs.send_message(QueueUrl=messages, MessageBody=json.dumps(envelope(id=f"m-{number}")))
    received = sqs.receive_message(QueueUrl=messages, MaxNumberOfMessages=10, VisibilityTimeout=180)["Messages"]
    records = [queue_record(each["Body"], each["MessageId"]) for each in received]
    for record, each in zip(records, received, strict=True):
        record["receiptHandle"] = each["ReceiptHandle"]
    return sorted(records, key=lambda record: str(record["body"]))


def visible(url: str) -> list[str]:
    received = boto3.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [each["MessageId"] for each in received]


def test_what_failed_comes_again_before_its_visibility_timeout_ends(
    stage: Stage, messages: str, brought: list[dict[str, Any]]
) -> None:
    failed = take(stage, *brought)

    assert failed == [brought[1]["messageId"]]
    assert visible(messages) == failed


@pytest.mark.parametrize(("receives", "soon"), [(100, True), (101, False)])
def test_what_failed_for_long_comes_at_the_queue_s_own_pace(
    stage: Stage,
    messages: str,
    brought: list[dict[str, Any]],
    receives: int,
    soon: bool,  # noqa: FBT001
) -> None:
    brought[1]["attributes"]["ApproximateReceiveCount"] = str(receives)

    failed = take(stage, *brought)

    assert failed == [brought[1]["messageId"]]
    assert visible(messages) == (failed if soon else [])


def test_a_queue_that_cannot_be_asked_to_hurry_brings_it_all_the_same(
    stage: Stage, messages: str, brought: list[dict[str, Any]]
) -> None:
    stage.set(INGEST_QUEUE_URL=f"{messages}Missing")

    assert take(stage, *brought) == [brought[1]["messageId"]]
    assert visible(messages) == []


def test_who_is_about_to_be_cut_off_answers_at_once(stage: Stage, messages: str, brought: list[dict[str, Any]]) -> None:
    def left() -> int:
        return 8_000

    failed = take(stage, *brought, get_remaining_time_in_millis=left)

    assert failed == [each["messageId"] for each in brought]
    assert visible(messages) == []
