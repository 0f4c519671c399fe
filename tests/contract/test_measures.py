"""What the handlers count when a message has arrived, waits or ends, and how long that took."""

import ast
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import lambdas
from lambdas.adapters.tables import CallbackTable, ConnectionTable
from lambdas.core.errors import AttemptsExhausted, ConnectionGone
from lambdas.core.intake import Answer, Intake, Status
from lambdas.core.model import timestamp
from lambdas.core.ports import PostResult
from lambdas.observability import Metric, count_intake, metrics
from lambdas.routes import acknowledge, disconnect
from lambdas.tasks import post_to_connections, wait_for_reconnect
from lambdas.triggers import ended
from tests.builders import NOW, callback, connection, disconnect_event, envelope, message, message_event, task
from tests.contract.conftest import SECRET, Stage
from tests.fakes import FakeClock, FakeConnections, FakeDeliveries, FakeSequences, FakeSockets, FakeTokens

NINETY_SECONDS_AGO = timestamp(NOW - timedelta(seconds=90))


def late_task(**changes: Any) -> dict[str, Any]:
    """A task of a run that was started ninety seconds ago."""
    event = task(envelope(payload=SECRET), **changes)
    event["execution"]["startedAt"] = NINETY_SECONDS_AGO
    return event


@pytest.fixture(autouse=True)
def tables(stage: Stage, connections_table: str, callbacks_table: str) -> None:
    stage.set(
        CONNECTIONS_TABLE_NAME=connections_table,
        CALLBACKS_TABLE_NAME=callbacks_table,
        SEQUENCES_TABLE_NAME="Sequences",
        DEFAULT_TTL_SECONDS=3600,
    )


@pytest.fixture(autouse=True)
def sockets(monkeypatch: pytest.MonkeyPatch) -> FakeSockets:
    sockets = FakeSockets()
    monkeypatch.setattr(post_to_connections, "ManagementApi", lambda: sockets)
    monkeypatch.setattr("lambdas.clock.time.sleep", lambda seconds: None)
    return sockets


def test_a_post_that_a_connection_took_is_a_delivery(stage: Stage) -> None:
    stage.call(post_to_connections.handler, late_task(connections=[connection().to_state()]))

    assert stage.metrics() == {"Posted": 1, "Delivered": 1}
    assert stage.durations() == {"DeliveryTime": ("Milliseconds", [90_000])}


def test_a_post_that_nobody_took_is_none(stage: Stage, sockets: FakeSockets) -> None:
    sockets.answers["gone"] = [PostResult.GONE]
    with pytest.raises(ConnectionGone):
        stage.call(post_to_connections.handler, late_task(connections=[connection("gone").to_state()]))

    assert stage.metrics() == {"Gone": 1}
    assert stage.durations() == {}


def waiting(**changes: Any) -> dict[str, Any]:
    return late_task(
        **{
            "taskToken": f"{SECRET}-token",
            "entry": {"enteredAt": timestamp(NOW), "retry": 0},
            "tried": [],
            "triedAt": NINETY_SECONDS_AGO,
            "unacknowledged": False,
            "maxAttempts": 5,
            **changes,
        }
    )


def test_a_run_that_parks_says_how_long_its_message_has_waited(stage: Stage) -> None:
    stage.call(wait_for_reconnect.handler, waiting())

    assert stage.durations() == {"WaitingTime": ("Seconds", [90])}


def test_a_run_that_has_nothing_to_wait_for_does_not(stage: Stage) -> None:
    with pytest.raises(AttemptsExhausted):
        stage.call(wait_for_reconnect.handler, waiting(attempt=5))

    assert stage.durations() == {}


def test_an_acknowledgement_counts_once_with_the_time_since_acceptance(
    stage: Stage, callbacks_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked = callback("m-1", accepted_at=NOW - timedelta(seconds=60))
    CallbackTable(callbacks_table).park_for_acknowledgement(parked)
    monkeypatch.setattr(acknowledge, "WaitingRuns", lambda: FakeTokens({parked.task_token}))

    for _ in range(2):
        stage.call(acknowledge.handler, message_event(json.dumps({"action": "ack", "id": "m-1"})))

    assert stage.metrics() == {"Acknowledged": 1}
    assert stage.durations() == {"DeliveryTime": ("Milliseconds", [60_000])}


def test_a_connection_that_closes_says_how_long_it_was_open(stage: Stage, connections_table: str) -> None:
    ConnectionTable(connections_table).put(connection(age_seconds=600))

    for _ in range(2):
        stage.call(disconnect.handler, disconnect_event())

    assert stage.metrics() == {"Disconnected": 1, "NotFound": 1}
    assert stage.durations() == {"ConnectionTime": ("Seconds", [600])}


@pytest.mark.parametrize(
    ("status", "error", "counts"),
    [
        ("ABORTED", "Cancelled", {"Cancelled": 1}),
        ("FAILED", "MessageExpired", {"DeadLettered": 1, "Expired": 1}),
        ("FAILED", "AttemptsExhausted", {"DeadLettered": 1}),
        ("TIMED_OUT", None, {"DeadLettered": 1}),
    ],
)
def test_a_run_that_ends_undelivered_is_counted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, status: str, error: str | None, counts: dict[str, int]
) -> None:
    monkeypatch.setattr(ended, "conclude", lambda run, **outside: None)
    stage.set(DELIVERY_STATE_MACHINE_ARN="arn", DEAD_LETTER_QUEUE_URL="url", EVERY_MESSAGE_IS_A_RUN="false")
    arn = "arn:aws:states:eu-central-1:123456789012:execution:Delivery:m-1-r1"
    detail = {
        "executionArn": arn,
        "name": "m-1-r1",
        "status": status,
        "startDate": NOW.timestamp() * 1000,
        "input": json.dumps(envelope(payload=SECRET, correlationId="order-17")),
        "inputDetails": {"included": True},
        "error": error,
        "cause": None,
    }

    stage.call(ended.handler, {"detail": detail})

    assert stage.metrics() == counts
    (line,) = stage.metric_lines()
    assert (line["message_id"], line["correlation_id"], line["execution_arn"]) == ("m-1", "order-17", arn)


def test_each_message_that_comes_in_has_a_line_and_the_delivered_a_time(stage: Stage) -> None:
    intake = Intake(
        every_message_is_a_run=False,
        connections=FakeConnections(),
        sockets=FakeSockets(),
        sequences=FakeSequences(),
        deliveries=FakeDeliveries(),
        clock=FakeClock(NOW + timedelta(milliseconds=250)),
        seconds_left=lambda: 60,
    )
    carried = message(payload=SECRET, correlationId="order-17")
    count_intake(
        intake,
        [
            Answer(Status.DELIVERED, "m-1", message=carried),
            Answer(Status.STARTED, "m-1", "m-1", message=carried),
            Answer(Status.CONFLICT, "m-1", detail="taken", message=carried),
            Answer(Status.MISSED, "m-1", message=carried),
            Answer(Status.INVALID, None, detail="no message"),
        ],
    )
    metrics.flush_metrics()

    assert [(line["status"], line["message_id"], line["correlation_id"]) for line in stage.log()] == [
        (status, "m-1", "order-17") for status in ("delivered", "started", "conflict", "missed")
    ]
    assert stage.metrics() == {"Delivered": 1, "Accepted": 2, "Conflicts": 1, "Missed": 1, "Rejected": 1}
    assert stage.durations() == {"DeliveryTime": ("Milliseconds", [250])}


def test_every_metric_is_emitted_somewhere() -> None:
    """One that is on the dashboard and never counted would read as good news."""
    used: set[str] = set()
    for file in Path(*lambdas.__path__).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and re.fullmatch("count|measure", getattr(node.func, "id", "")):
                used |= {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    assert {metric.name for metric in Metric} <= used
