"""What the meter's lines come to."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.billing.counts import Counts, invocation
from benchmarks.cloud.meter import Meter, add_up, consumed

FUNCTIONS = {"stack-Ingest-1": "Ingest", "stack-Wake-2": "Wake"}
ROW = {"caller_id": {"S": "user#ana"}, "text": {"S": "x" * 5000}}


def invoked(function: str, *, source: str | None = None) -> dict[str, Any]:
    return {"function": function, "memory_mb": 256, "source": source, "failed": False, "log_bytes": 100}


def called(caller: str, service: str, operation: str, **used: float) -> dict[str, Any]:
    return {"caller": caller, "service": service, "operation": operation, "status": 200, **used}


def test_invocations_and_their_calls_are_added_up() -> None:
    use = add_up(
        [
            called("stack-Ingest-1", "dynamodb", "Query", reads=1.0),
            called("stack-Ingest-1", "connections", "POST", frames=1),
            invoked("stack-Ingest-1"),
            called("stack-Wake-2", "dynamodb", "DeleteItem", writes=1.0),
            invoked("stack-Wake-2"),
        ],
        FUNCTIONS,
    )
    invocations = invocation(memory_mb=256, calls=2) + invocation(memory_mb=256, calls=1)
    assert asdict(use.counts) == pytest.approx(asdict(invocations + Counts(reads=1, writes=1, frames=1)))
    assert use.invoked == {"Ingest": 1, "Wake": 1}
    assert use.called["Wake: dynamodb DeleteItem"] == 1
    assert use.log_bytes == 200


def test_functions_that_nobody_asked_for_do_not_count() -> None:
    lines = [called("stack-Connect-3", "dynamodb", "PutItem", writes=2.0), invoked("stack-Connect-3")]
    assert add_up(lines, FUNCTIONS).counts == Counts()


def test_a_batch_from_a_queue_is_a_receive_and_a_delete() -> None:
    assert add_up([invoked("stack-Ingest-1", source="aws:sqs")], FUNCTIONS).counts.queue_requests == 2
    assert add_up([invoked("stack-Ingest-1", source="aws:sns")], FUNCTIONS).counts.queue_requests == 0


def test_calls_without_their_invocation_are_no_count() -> None:
    with pytest.raises(RuntimeError, match="Wake"):
        add_up([called("stack-Wake-2", "dynamodb", "Query", reads=1.0)], FUNCTIONS)


@pytest.mark.parametrize(
    ("operation", "request_", "answer", "used"),
    [
        ("Query", {"ConsistentRead": True}, {"Items": [ROW]}, {"reads": 2}),
        ("Query", {}, {"Items": []}, {"reads": 0.5}),
        ("GetItem", {"ConsistentRead": True}, {}, {"reads": 1}),
        (
            "BatchGetItem",
            {"RequestItems": {"T": {"Keys": [{}, {}], "ConsistentRead": True}}},
            {"Responses": {"T": [ROW]}},
            {"reads": 3},
        ),
        ("PutItem", {}, {"ConsumedCapacity": {"CapacityUnits": 2.0}}, {"writes": 2}),
        ("TransactWriteItems", {}, {"ConsumedCapacity": [{"CapacityUnits": 4.0}]}, {"writes": 4}),
    ],
)
def test_tables_are_billed_by_what_they_answered(operation: str, request_: Any, answer: Any, used: Any) -> None:
    body = json.dumps(request_).encode()
    assert consumed("dynamodb", operation, body, 200, json.dumps(answer).encode()) == used


def test_a_condition_that_does_not_hold_is_billed_as_a_write() -> None:
    assert consumed("dynamodb", "PutItem", b"{}", 400, b"{}") == {"writes": 1}


def test_a_frame_is_billed_when_it_was_taken() -> None:
    assert consumed("connections", "POST", b"x" * 40_000, 200, b"") == {"frames": 2}
    assert consumed("connections", "POST", b"x", 410, b"") == {}
    assert consumed("connections", "DELETE", b"", 200, b"") == {}


def test_calls_of_other_services_cost_nothing_by_themselves() -> None:
    assert consumed("sqs", "SendMessage", b"x" * 70_000, 200, b"") == {"queue_requests": 2}
    assert consumed("stepfunctions", "StartExecution", b"{}", 200, b"{}") == {}


def test_the_meter_tells_what_came_since_it_was_last_asked(tmp_path: Path) -> None:
    file = tmp_path / "meter.jsonl"
    file.write_text(json.dumps(invoked("stack-Ingest-1")) + "\n")
    meter = Meter(file, FUNCTIONS)
    meter.skip()
    with file.open("a") as more:
        more.write(json.dumps(called("stack-Wake-2", "dynamodb", "Query", reads=1.0)) + "\n")
        more.write(json.dumps(invoked("stack-Wake-2")) + "\n")
        more.write(json.dumps(invoked("stack-Ingest-1")) + "\n")
    meter.await_invocations("Wake", 1)
    with pytest.raises(TimeoutError, match="2 invocations of Wake"):
        meter.await_invocations("Wake", 2, seconds=0)
    meter.await_calls("Wake", "Query", 1)
    with pytest.raises(TimeoutError, match="2 times Query by Wake"):
        meter.await_calls("Wake", "Query", 2, seconds=0)
    assert meter.use(["Wake"]).invoked == {"Wake": 1}
    assert meter.use(["Wake", "Ingest"]).invoked == {}
    with file.open("a") as more:
        more.write(json.dumps(invoked("stack-Wake-2")) + "\n")
    meter.start()
    with pytest.raises(TimeoutError, match="1 invocations of Wake"):
        meter.await_invocations("Wake", 1, seconds=0)
