"""The scenes that handlers are measured in: what is usual happens in them, and not some failure that costs less."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import handlers, scenes
from benchmarks.handlers import overhead

DYNAMODB, POSTS, RUNS = "dynamodb", "apigatewaymanagementapi", "sfn"
CALLS = {
    "calls.accept": [(DYNAMODB, "Query"), (POSTS, "PostToConnection")],
    "tasks.resolve_connections": [(DYNAMODB, "Query")],
    "tasks.post_to_connections": [(POSTS, "PostToConnection")],
    "tasks.post_and_await_acknowledgement": [(DYNAMODB, "PutItem"), (POSTS, "PostToConnection")],
    "tasks.wait_for_reconnect": [(DYNAMODB, "PutItem"), (DYNAMODB, "Query")],
    "triggers.wake": [(DYNAMODB, "Query"), (RUNS, "SendTaskSuccess"), (DYNAMODB, "DeleteItem")],
    "triggers.ingest": [(DYNAMODB, "Query"), (POSTS, "PostToConnection")],
    "routes.acknowledge": [(DYNAMODB, "Query"), (RUNS, "SendTaskSuccess"), (DYNAMODB, "DeleteItem")],
    "routes.connect": [(DYNAMODB, "Query"), (DYNAMODB, "PutItem")],
    "routes.disconnect": [(DYNAMODB, "DeleteItem")],
    "routes.authorizer": [],
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One round of it, in a process of its own: what it does to botocore's session would stay."""
    result = tmp_path_factory.mktemp("report") / "report.json"
    subprocess.run(  # noqa: S603 - our own interpreter, our own module
        [sys.executable, "-m", overhead.__name__, str(result), "1"],
        cwd=Path(overhead.__file__).parents[1],
        env=scenes.environment(),
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    measured: dict[str, Any] = json.loads(result.read_text())
    return measured


def test_every_handler_makes_its_usual_calls(report: dict[str, Any]) -> None:
    made = {module: [tuple(call.split(":")) for call in sides["calls"]] for module, sides in report.items()}
    assert made == CALLS


def test_every_handler_answers_as_usual(report: dict[str, Any]) -> None:
    answers = {module: sides["answer"] for module, sides in report.items()}
    assert answers["calls.accept"]["results"][0]["status"] == "delivered"
    assert answers["tasks.post_to_connections"]["status"] == "delivered"
    assert len(answers["tasks.resolve_connections"]["connections"]) == 1
    assert {answers[f"routes.{name}"]["statusCode"] for name in ("connect", "disconnect", "acknowledge")} == {200}
    assert answers["routes.authorizer"]["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    assert [answers[f"triggers.{name}"]["batchItemFailures"] for name in ("wake", "ingest")] == [[], []]


def test_what_is_measured_took_time(report: dict[str, Any]) -> None:
    assert all(sides["handler"][0] > 0 for sides in report.values())
    assert {module for module, sides in report.items() if sides["raw"][0] == 0} <= {"routes.authorizer"}


def test_memory_makes_the_processors_part_shorter_and_the_waiting_dearer() -> None:
    (row, alone) = handlers.memory_table({"calls.accept": 1.0, "routes.authorizer": 1.0}).rows
    assert row[2:] == ("33.8 ms, 4.2 GB-ms", "26.9 ms, 6.7 GB-ms", "23.5 ms, 11.7 GB-ms", "21.0 ms, 36.3 GB-ms")
    assert {str(cell).partition(", ")[2] for cell in alone[2:]} == {"1.7 GB-ms"}
