"""What every function logs, and what none does."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.core.errors import NoOpenConnection
from lambdas.observability import (
    DURATIONS,
    Metric,
    count,
    count_delivery,
    instrumented,
    logger,
    measure,
    metrics,
    names,
)
from tests.builders import NOW, envelope, message, task
from tests.contract.conftest import SECRET, Stage

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NAMES = {"message_id": "m-1", "correlation_id": "order-17", "traceparent": TRACEPARENT}
RUN = "arn:aws:states:eu-central-1:123456789012:execution:Delivery:execution-name"


@instrumented(NoOpenConnection)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    logger.info("at work")
    if "error" in event:
        raise event["error"]


def test_a_tasks_log_names_the_run_and_the_next_log_does_not(stage: Stage) -> None:
    stage.call(handler, task(envelope(payload=SECRET)))
    stage.call(handler, {"requestContext": {}})

    assert [line.get("execution_arn") for line in stage.log()] == [RUN, None]


@instrumented(NoOpenConnection)
def counting(event: dict[str, Any], context: LambdaContext) -> None:
    count(Metric.POSTED, event.get("posted", 0))


def test_every_line_of_a_task_names_its_message(stage: Stage) -> None:
    carried = envelope(payload=SECRET, correlationId="order-17", traceparent=TRACEPARENT)
    stage.call(handler, task(carried))
    stage.call(counting, task(carried, posted=2))

    expected = {**NAMES, "execution_arn": RUN}
    (logged,) = stage.log()
    (counted,) = stage.metric_lines()
    for line in (logged, counted):
        assert {name: line.get(name) for name in expected} == expected


def test_a_message_without_an_id_has_its_runs_name(stage: Stage) -> None:
    carried = envelope()
    del carried["id"]
    stage.call(handler, task(carried))

    (line,) = stage.log()
    assert line["message_id"] == "execution-name"
    assert "correlation_id" not in line


@pytest.mark.parametrize("carried", [None, [], "text", {"id": ["list"], "correlationId": "x" * 129, "traceparent": ""}])
def test_what_is_no_message_names_nothing(stage: Stage, carried: Any) -> None:
    stage.call(handler, task(carried))

    (line,) = stage.log()
    assert line["message_id"] == "execution-name"
    assert line.keys().isdisjoint({"correlation_id", "traceparent"})


def test_an_invocation_that_counts_nothing_leaves_no_name_to_the_next(stage: Stage) -> None:
    stage.call(counting, task(envelope()))
    stage.call(counting, {"posted": 1})

    (line,) = stage.metric_lines()
    assert line.keys().isdisjoint({*NAMES, "execution_arn"})


def test_one_of_many_messages_is_named_by_the_same_keys(stage: Stage) -> None:
    assert names(message(correlationId="order-17", traceparent=TRACEPARENT)) == NAMES
    assert names(message()) == {"message_id": "m-1"}
    assert names(None) == {}


@pytest.mark.parametrize(("acknowledged", "name"), [(False, "Delivered"), (True, "Acknowledged")])
def test_a_delivery_is_counted_with_the_milliseconds_it_took(stage: Stage, *, acknowledged: bool, name: str) -> None:
    count_delivery(NOW - timedelta(milliseconds=1234), NOW, acknowledged=acknowledged)
    metrics.flush_metrics()

    assert stage.metrics() == {name: 1}
    assert stage.durations() == {"DeliveryTime": ("Milliseconds", [1234])}


def test_durations_are_in_their_units_and_never_negative(stage: Stage) -> None:
    for metric in DURATIONS:
        measure(metric, since=NOW, until=NOW + timedelta(seconds=90))
        measure(metric, since=NOW, until=NOW - timedelta(seconds=1))
    metrics.flush_metrics()

    assert stage.metrics() == {}
    assert stage.durations() == {
        "DeliveryTime": ("Milliseconds", [90_000, 0]),
        "WaitingTime": ("Seconds", [90, 0]),
        "ConnectionTime": ("Seconds", [90, 0]),
    }


@pytest.mark.parametrize(
    ("error", "lines", "metrics"),
    [(NoOpenConnection("nobody"), ["at work"], {}), (KeyError("k"), ["at work", "the function failed"], {"Errors": 1})],
    ids=["an answer", "a failure"],
)
def test_only_a_failure_is_logged_and_only_once(
    stage: Stage, caplog: pytest.LogCaptureFixture, error: Exception, lines: list[str], metrics: dict[str, int]
) -> None:
    powertools = logging.getLogger("aws_lambda_powertools")  # it has no handler unless somebody gives it one
    powertools.addHandler(caplog.handler)
    try:
        with pytest.raises(type(error)):
            stage.call(handler, {"error": error})
    finally:
        powertools.removeHandler(caplog.handler)

    assert [line["message"] for line in stage.log()] == lines
    assert [record.getMessage() for record in caplog.records if record.name.startswith(powertools.name)] == []
    assert stage.metrics() == metrics
