"""SQS and SNS: how messages come in, come again, and end on a dead letter queue."""

import json
from typing import Any

import pytest

from tests.fidelity.clouds import Cloud, code_of
from tests.fidelity.marks import differs, not_in

KILOBYTE = 1024
MEGABYTE = 1024 * KILOBYTE


def attributes(count: int) -> Any:
    return {f"a{n}": {"DataType": "String", "StringValue": f"ü{n}"} for n in range(count)}


@differs("moto", "more-than-ten-attributes")
def test_message_with_more_than_ten_attributes_is_discarded_and_another_comes_as_it_was(cloud: Cloud) -> None:
    queue = cloud.queue()
    topic, publish = cloud.topic(queue), cloud.client("sns").publish
    publish(TopicArn=topic, Message="discarded", MessageAttributes=attributes(11))
    publish(TopicArn=topic, Message='{"text": "ü"}', MessageAttributes=attributes(10))

    came = cloud.received(queue)

    sent, received = (
        {name: value["StringValue"] for name, value in each.items()}
        for each in (attributes(10), came["MessageAttributes"])
    )
    assert (came["Body"], received) == ('{"text": "ü"}', sent)


def test_message_of_a_queue_may_have_a_mebibyte(cloud: Cloud) -> None:
    queue = cloud.queue()

    assert code_of(cloud.client("sqs").send_message, QueueUrl=queue, MessageBody="x" * MEGABYTE) == ""


def test_larger_message_is_refused(cloud: Cloud) -> None:
    queue = cloud.queue()

    refused = code_of(cloud.client("sqs").send_message, QueueUrl=queue, MessageBody="x" * (MEGABYTE + 1))
    assert refused in {"InvalidParameterValue", "InvalidMessageContents"}


@pytest.mark.parametrize(("length", "code"), [(256 * KILOBYTE, ""), (256 * KILOBYTE + 1, "InvalidParameter")])
def test_message_of_a_topic_may_have_256_kilobytes(cloud: Cloud, length: int, code: str) -> None:
    topic = cloud.topic(cloud.queue())

    assert code_of(cloud.client("sns").publish, TopicArn=topic, Message="x" * length) == code


def test_message_tells_when_it_was_sent_and_how_often_it_was_received(cloud: Cloud) -> None:
    queue = cloud.queue()
    cloud.client("sqs").send_message(QueueUrl=queue, MessageBody="any")

    told = cloud.received(queue)["Attributes"]

    assert told["ApproximateReceiveCount"] == "1"
    assert 10**12 < int(told["SentTimestamp"]) < 10**13


def test_message_comes_again_when_it_is_told_to(cloud: Cloud) -> None:
    queue, client = cloud.queue(VisibilityTimeout="600"), cloud.client("sqs")
    client.send_message(QueueUrl=queue, MessageBody="any")
    first = client.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"][0]

    entry = {"Id": "0", "ReceiptHandle": first["ReceiptHandle"], "VisibilityTimeout": 0}
    client.change_message_visibility_batch(QueueUrl=queue, Entries=[entry])

    again = cloud.received(queue)
    assert again["MessageId"] == first["MessageId"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"


def test_message_that_is_received_too_often_goes_as_it_is_to_the_dead_letter_queue(cloud: Cloud) -> None:
    letters = cloud.queue()
    policy = json.dumps({"deadLetterTargetArn": cloud.queue_arn(letters), "maxReceiveCount": 1})
    queue, client = cloud.queue(VisibilityTimeout="0", RedrivePolicy=policy), cloud.client("sqs")
    client.send_message(QueueUrl=queue, MessageBody="any", MessageAttributes=attributes(1))
    first = client.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"][0]

    assert not client.receive_message(QueueUrl=queue, WaitTimeSeconds=2).get("Messages")

    letter = cloud.received(letters)
    assert (letter["Body"], letter["MessageId"]) == ("any", first["MessageId"])
    assert letter["MessageAttributes"]["a0"]["StringValue"] == "ü0"


FAILS_IN_PART = """
    import json
    import boto3

    queue, seen = boto3.client("sqs"), set()

    def handler(event, context):
        failed = []
        for record in event["Records"]:
            told = {{
                "body": record["body"],
                "attributes": {{name: value["stringValue"] for name, value in record["messageAttributes"].items()}},
                "sent": record["attributes"]["SentTimestamp"],
                "count": record["attributes"]["ApproximateReceiveCount"],
                "handle": bool(record["receiptHandle"]),
            }}
            queue.send_message(QueueUrl="{queue}", MessageBody=json.dumps(told))
            if record["body"] == "b" and record["messageId"] not in seen:
                seen.add(record["messageId"])
                failed.append({{"itemIdentifier": record["messageId"]}})
        return {{"batchItemFailures": failed}}
"""


@not_in("moto", "its functions run in Docker")
def test_only_what_failed_of_a_batch_comes_again(cloud: Cloud) -> None:
    told, source = cloud.queue(), cloud.queue(VisibilityTimeout="2")
    entries = [{"Id": body, "MessageBody": body, "MessageAttributes": attributes(1)} for body in "abc"]
    cloud.client("sqs").send_message_batch(QueueUrl=source, Entries=entries)
    function = cloud.function(FAILS_IN_PART.format(queue=told), timeout_seconds=2)
    cloud.read_by(function, cloud.queue_arn(source), BatchSize=10)

    came = [cloud.told(told, seconds=2 * cloud.patience_seconds) for _ in range(4)]

    assert sorted(each["body"] for each in came) == ["a", "b", "b", "c"]
    assert came[-1]["body"] == "b"
    assert int(came[-1]["count"]) == 2
    assert all(each["attributes"] == {"a0": "ü0"} and each["handle"] and int(each["sent"]) > 10**12 for each in came)
