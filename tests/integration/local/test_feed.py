"""The feed of a real MiniStack: what its runs do, as they do it, for those who listen and for all the others."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import ClientConnection, connect

from local import settings
from tests.integration.local.laboratory import Laboratory

_PATIENCE_SECONDS = 20


class Ear:
    """Listens, and puts together what it was told of each run."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.runs: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}

    def hear(self, condition: Callable[[], Any]) -> None:
        """Listen until it is so."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            self._hear(deadline - time.monotonic())

    def hear_all_there_is(self) -> None:
        """Listen until everything was told that there was."""
        while self._hear(_PATIENCE_SECONDS):
            pass

    def _hear(self, seconds: float) -> bool:
        frame = json.loads(self._connection.recv(timeout=seconds))
        for run in frame.get("runs", []):
            events = self.events.setdefault(run["arn"], [])
            assert run["first"] == len(events), "something was told twice, or never"
            events += run.pop("events")
            self.runs[run["arn"]] = {**self.runs.get(run["arn"], {}), **run}
        return bool(frame["kind"] != "complete")


@contextmanager
def listening(laboratory: Laboratory) -> Iterator[Ear]:
    url = laboratory.endpoint.replace("http", "ws", 1) + settings.RUNS_PATH
    with connect(url, proxy=None, max_size=None, legacy=False) as connection:
        yield Ear(connection)


def wait_for(seconds: int) -> dict[str, Any]:
    return {"Type": "Wait", "Seconds": seconds}


def history(laboratory: Laboratory, arn: str) -> list[Any]:
    page = laboratory.clients.stepfunctions.get_execution_history(executionArn=arn, maxResults=1000)
    return [(event["id"], event["type"]) for event in page["events"]]


def test_a_run_is_told_from_its_start_to_its_end(corrected: Laboratory) -> None:
    machine = corrected.machine({"Type": "Pass", "Output": {"done": True}})
    with listening(corrected) as ear:
        ear.hear_all_there_is()
        arn = corrected.start(machine, {"given": 1})
        ear.hear(lambda: ear.runs.get(arn, {}).get("status") == "SUCCEEDED")
    run = ear.runs[arn]
    described = corrected.clients.stepfunctions.describe_execution(executionArn=arn)

    assert (run["machine"], run["name"]) == (machine, described["name"])
    assert json.loads(run["input"]) == {"given": 1}
    assert json.loads(run["output"]) == {"done": True}
    assert run["stopDate"] >= run["startDate"]
    assert [(event["id"], event["type"]) for event in ear.events[arn]] == history(corrected, arn)


@pytest.mark.parametrize("end", ["FAILED", "ABORTED"])
def test_a_run_that_ends_badly_is_told_with_its_reasons(corrected: Laboratory, end: str) -> None:
    fails = {"Type": "Fail", "Error": "Late", "Cause": "it was late"}
    with listening(corrected) as ear:
        arn = corrected.start(corrected.machine(fails if end == "FAILED" else wait_for(60)))
        if end == "ABORTED":
            corrected.clients.stepfunctions.stop_execution(executionArn=arn, error="Late", cause="it was late")
        ear.hear(lambda: ear.runs.get(arn, {}).get("status") == end and "cause" in ear.runs[arn])

    assert (ear.runs[arn]["error"], ear.runs[arn]["cause"]) == ("Late", "it was late")
    assert "output" not in ear.runs[arn]


def test_who_connects_again_gets_everything_anew(corrected: Laboratory) -> None:
    arn = corrected.start(corrected.machine(wait_for(60)))
    with listening(corrected) as ear:
        ear.hear(lambda: len(ear.events.get(arn, [])) == 2)
    corrected.clients.stepfunctions.stop_execution(executionArn=arn, error="Cancelled")

    with listening(corrected) as again:
        again.hear_all_there_is()

    assert again.runs[arn]["status"] == "ABORTED"
    assert [(event["id"], event["type"]) for event in again.events[arn]] == history(corrected, arn)
    assert "input" in again.runs[arn]


def test_a_listener_that_never_reads_holds_up_nobody(corrected: Laboratory) -> None:
    """Each run has 200 KB of input: it would fill what a connection takes many times over."""
    address = urlsplit(corrected.endpoint)
    request = (
        f"GET {settings.RUNS_PATH} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    machine = corrected.machine({"Type": "Pass", "Output": "done"})
    with socket.create_connection((address.hostname, address.port), timeout=_PATIENCE_SECONDS) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(request.encode())
        assert deaf.recv(12) == b"HTTP/1.1 101"

        arns = [corrected.start(machine, {"number": number, "fill": "x" * 200_000}) for number in range(60)]

        with listening(corrected) as ear:
            ear.hear(lambda: all(ear.runs.get(arn, {}).get("status") == "SUCCEEDED" for arn in arns))


def test_the_children_of_a_distributed_map_are_left_out(corrected: Laboratory) -> None:
    state = {
        "Type": "Map",
        "Items": [1, 2, 3],
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Each",
            "States": {"Each": {"Type": "Pass", "End": True}},
        },
    }
    with listening(corrected) as ear:
        ear.hear_all_there_is()
        before = set(ear.runs)
        arn = corrected.start(corrected.machine(state))
        ear.hear(lambda: ear.runs.get(arn, {}).get("status") == "SUCCEEDED")

    assert set(ear.runs) - before == {arn}
