"""Events in, as messages, and events out, as receipts and of presence: the bus and the rules as they are deployed."""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from local import settings
from local.demo.stage import Stage, envelope

DOCUMENT = (settings.ROOT / "docs" / "events.md").read_text("utf-8")


def put(stage: Stage, detail: Any, *, detail_type: str = "ringback.message") -> None:
    answer = stage.installation.clients.events.put_events(
        Entries=[
            {
                "EventBusName": stage.installation.message_bus_name,
                "Source": "shop.orders",
                "DetailType": detail_type,
                "Detail": json.dumps(detail),
            }
        ]
    )
    assert answer["FailedEntryCount"] == 0


def shown(about: str) -> dict[str, Any]:
    """The pattern of the document that speaks of this."""
    (example,) = (block for block in re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL) if about in block)
    pattern: dict[str, Any] = json.loads(example)
    return pattern


@contextmanager
def heard(stage: Stage, pattern: dict[str, Any], *, bus: str = "default") -> Iterator[str]:
    """A queue that a rule on this bus fills."""
    clients, name = stage.installation.clients, f"heard-{uuid.uuid4()}"
    url = clients.sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    clients.events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
    clients.events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    try:
        yield url
    finally:
        clients.events.remove_targets(Rule=name, EventBusName=bus, Ids=["queue"])
        clients.events.delete_rule(Name=name, EventBusName=bus)
        clients.sqs.delete_queue(QueueUrl=url)


@contextmanager
def receipts(stage: Stage) -> Iterator[str]:
    """A queue that hears what becomes of runs."""
    pattern = shown("aws.states")
    pattern["detail"]["stateMachineArn"] = [stage.installation.delivery_state_machine_arn]
    with heard(stage, pattern) as url:
        yield url


def receipt(stage: Stage, queue_url: str, run: str) -> dict[str, Any]:
    """Wait for what is said of this run."""
    body = json.loads(stage.dead_letter(queue_url, holds=run)["Body"])
    detail: dict[str, Any] = body["detail"]
    assert (body["detail-type"], detail["executionArn"]) == ("Step Functions Execution Status Change", run)
    return detail


def test_an_event_is_a_message(stage: Stage, user: str) -> None:
    client = stage.client(user)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    message = envelope(user, {"text": "by event"}, correlationId="order-4711", traceparent=trace)
    with stage.connected(client):
        put(stage, {**message, "id": f"other-{uuid.uuid4()}"}, detail_type="shop.order")
        put(stage, message)
        frame = client.await_message(message["id"])
    assert frame.body["payload"] == {"text": "by event"}
    assert (frame.body["correlationId"], frame.body["traceparent"]) == ("order-4711", trace)
    assert [each.body["id"] for each in client.frames] == [message["id"]]


def test_an_event_that_is_no_message_is_set_aside_with_its_reason(stage: Stage, user: str) -> None:
    put(stage, {"for": user})
    letter = stage.dead_letter(stage.installation.ingest_dead_letter_queue_url, holds=user)
    assert json.loads(letter["Body"]) == {"for": user}
    assert "recipient: is missing" in letter["MessageAttributes"]["reason"]["StringValue"]


def test_step_functions_tells_what_became_of_a_message(stage: Stage, user: str) -> None:
    client, message = stage.client(user), envelope(user, "with a receipt", track=True)
    with receipts(stage) as queue_url:
        with stage.connected(client):
            put(stage, message)
            client.await_message(message["id"])
            delivered = receipt(stage, queue_url, stage.runs.arn_of(message["id"]))
        away = envelope("nobody-there", "cancelled")
        run = stage.runs.start(away, name=away["id"])
        stage.runs.await_waiting(run)
        stage.installation.clients.stepfunctions.stop_execution(executionArn=run, error="Cancelled")
        cancelled = receipt(stage, queue_url, run)
    assert (delivered["name"], delivered["status"]) == (message["id"], "SUCCEEDED")
    assert json.loads(delivered["output"])["status"] == "delivered"
    assert (cancelled["name"], cancelled["status"]) == (away["id"], "ABORTED")


def test_the_bus_tells_who_comes_and_who_goes(stage: Stage, user: str) -> None:
    client, bus = stage.client(user), stage.installation.message_bus_name
    with heard(stage, shown("ringback.connection"), bus=bus) as queue_url, stage.connected(client):
        (row,) = stage.await_rows(client, user, 1)
        opened = json.loads(stage.dead_letter(queue_url, holds=user)["Body"])
        client.drop()
        closed = json.loads(stage.dead_letter(queue_url, holds=user)["Body"])
    times = [datetime.fromisoformat(each["detail"].pop("at")) for each in (opened, closed)]
    connection_id = row["connection_id"]["S"]
    named = {"user": user, "context": "chat", "contextId": "42", "connectionId": connection_id}
    assert (opened["source"], opened["detail-type"], opened["detail"]) == (
        "ringback",
        "ringback.connection.opened",
        named,
    )
    assert (closed["source"], closed["detail-type"], closed["detail"]) == (
        "ringback",
        "ringback.connection.closed",
        named,
    )
    assert times[0] <= times[1] <= datetime.now(UTC)
