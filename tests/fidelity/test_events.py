"""EventBridge: events that reach queues and functions, and those that Step Functions tells."""

import json
from typing import Any

import pytest

from tests.fidelity.clouds import Cloud, code_of
from tests.fidelity.marks import not_in

pytestmark = not_in("moto", "it neither tells of runs nor delivers events to functions")


def status_events(cloud: Cloud, machine: str) -> str:
    """A queue (URL) that hears how this machine's runs end without success."""
    queue = cloud.queue()
    cloud.let_write("events.amazonaws.com", queue)
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"status": ["FAILED", "ABORTED", "TIMED_OUT"], "stateMachineArn": [machine]},
    }
    cloud.rule(pattern, {"Arn": cloud.queue_arn(queue)})
    return queue


def test_stopped_run_is_told_with_its_reasons_and_its_input(cloud: Cloud) -> None:
    machine = cloud.machine({"Only": {"Type": "Wait", "Seconds": 60, "End": True}})
    queue = status_events(cloud, machine)
    run = cloud.start(machine, {"id": "x"}, name="message-1")
    run.stop()

    event = cloud.told(queue)

    detail = event["detail"]
    assert (detail["executionArn"], detail["stateMachineArn"], detail["name"]) == (run.arn, machine, "message-1")
    assert (detail["status"], detail["error"], detail["cause"]) == ("ABORTED", "Cancelled", "by a test")
    assert json.loads(detail["input"]) == {"id": "x"}
    assert detail["inputDetails"]["included"] is True
    assert detail["output"] is None
    assert detail["stopDate"] >= detail["startDate"] > 10**12  # milliseconds
    assert (event["source"], event["detail-type"]) == ("aws.states", "Step Functions Execution Status Change")


def test_failed_run_is_told_with_its_reasons(cloud: Cloud) -> None:
    machine = cloud.machine({"Only": {"Type": "Fail", "Error": "MessageExpired", "Cause": "too late"}})
    queue = status_events(cloud, machine)
    cloud.start(machine)

    detail = cloud.told(queue)["detail"]

    assert (detail["status"], detail["error"], detail["cause"]) == ("FAILED", "MessageExpired", "too late")


def test_run_that_took_too_long_is_told(cloud: Cloud) -> None:
    machine = cloud.machine({"Only": {"Type": "Wait", "Seconds": 30, "End": True}}, TimeoutSeconds=1)
    queue = status_events(cloud, machine)
    run = cloud.start(machine)

    assert cloud.told(queue)["detail"]["status"] == "TIMED_OUT"
    assert run.end()[0] == "TIMED_OUT"


def test_event_reaches_a_queue_as_its_detail(cloud: Cloud) -> None:
    bus, queue = cloud.bus(), cloud.queue()
    cloud.let_write("events.amazonaws.com", queue)
    target = {"Arn": cloud.queue_arn(queue), "InputPath": "$.detail"}
    cloud.rule({"detail-type": ["ringback.message"]}, target, bus=bus)

    entry = {"Source": "shop", "EventBusName": bus, "Detail": json.dumps({"id": "ü"})}
    answer = cloud.client("events").put_events(
        Entries=[{**entry, "DetailType": "another"}, {**entry, "DetailType": "ringback.message"}]
    )

    assert answer["FailedEntryCount"] == 0
    assert json.loads(cloud.received(queue)["Body"]) == {"id": "ü"}


def putting(cloud: Cloud, count: int) -> str:
    entry = {"Source": "ringback", "DetailType": "any", "Detail": "{}"}
    return code_of(cloud.client("events").put_events, Entries=[entry] * count)


def test_ten_events_may_be_put_at_once(cloud: Cloud) -> None:
    assert putting(cloud, 10) == ""


def test_eleven_may_not(cloud: Cloud) -> None:
    assert putting(cloud, 11) == "ValidationException"


@pytest.fixture
def fails_twice(cloud: Cloud) -> tuple[str, str]:
    """A function that fails at an event the first two times, and the queue that hears of each."""
    queue = cloud.queue()
    source = f"""
        import json
        import boto3

        queue, calls = boto3.client("sqs"), []

        def handler(event, context):
            calls.append(event)
            queue.send_message(QueueUrl="{queue}", MessageBody=json.dumps(event))
            if len(calls) < 3:
                raise ValueError("not yet")
    """
    return cloud.function(source), queue


def told_thrice(cloud: Cloud, queue: str) -> list[Any]:
    return [cloud.told(queue, seconds=5 * cloud.patience_seconds) for _ in range(3)]


def test_function_that_fails_at_an_event_is_tried_twice_more(cloud: Cloud, fails_twice: tuple[str, str]) -> None:
    function, queue = fails_twice
    bus = cloud.bus()
    cloud.rule({"source": ["shop"]}, {"Arn": function}, bus=bus)
    entry = {"Source": "shop", "DetailType": "any", "Detail": '{"id": 1}', "EventBusName": bus}
    cloud.client("events").put_events(Entries=[entry])

    assert [event["detail"] for event in told_thrice(cloud, queue)] == [{"id": 1}] * 3
