"""What a chaos run leaves behind is read as it was written."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.evidence import Noted, waits_of
from tests.chaos.ledger import Wait


def event(at: float, kind: str, state: str = "", **more: Any) -> dict[str, Any]:
    """One event of a history."""
    details = {"stateEnteredEventDetails": {"name": state}} if kind.endswith("StateEntered") else {}
    return {"timestamp": datetime.fromtimestamp(at, UTC), "type": kind, **details, **more}


def failed(at: float, error: str) -> dict[str, Any]:
    """A task failed."""
    return event(at, "TaskFailed", taskFailedEventDetails={"error": error})


ENTERED, SCHEDULED = "TaskStateEntered", "TaskScheduled"


def test_a_wait_lasts_from_parking_to_waking_and_knows_why() -> None:
    history = [
        event(10, ENTERED, "Resolve Connections"),
        event(10, SCHEDULED),
        failed(11, "NoOpenConnection"),
        event(12, ENTERED, "Wait For Reconnect"),
        event(12, SCHEDULED),
        event(12.1, "TaskStarted"),
        event(12.5, "TaskSubmitted"),
        event(20, "TaskSucceeded"),
        event(20, "TaskStateExited"),
        event(21, ENTERED, "Post And Await Acknowledgement"),
        event(21, SCHEDULED),
        event(27, "TaskTimedOut", taskTimedOutEventDetails={"error": "States.Timeout"}),
        event(28, ENTERED, "Wait For Reconnect"),
        event(28, SCHEDULED),
    ]
    assert list(waits_of(history, until=50)) == [
        Wait(12.5, 20, "NoOpenConnection", 0.0, woken=True),
        Wait(28, 50, "States.Timeout", 21),
    ]


def test_the_pauses_between_tries_to_park_are_no_waits() -> None:
    history = [
        failed(11, "ConnectionGone"),
        event(12, ENTERED, "Wait For Reconnect"),
        event(12, SCHEDULED),
        failed(13, "Lambda.Unknown"),
        event(33, SCHEDULED),
        event(40, "TaskSucceeded"),
    ]
    assert list(waits_of(history, until=50)) == [
        Wait(12, 13, "ConnectionGone", 0),
        Wait(33, 40, "ConnectionGone", 0, woken=True),
    ]


def test_notes_are_read_from_the_beginning_of_the_run(tmp_path: Path) -> None:
    file = tmp_path / "faults.jsonl"
    fault = {"fault": "gone", "function": "accept", "operation": "POST", "subject": "u1", "nth": 2}
    lines = [
        {"at": 1.0, **fault},
        {"at": 5.0, **fault},
        {"at": 6.0, "posted": ["m-1", "m-2"], "connection": "c", "user": "u1"},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    noted = Noted.read(file, since=2.0)
    assert noted.faults == {"gone": 1}
    assert noted.places == [("gone", "accept", "POST", "u1", 2)]
    assert noted.posted == [(6.0, "m-1", "u1"), (6.0, "m-2", "u1")]


def test_where_nothing_was_noted_there_is_nothing(tmp_path: Path) -> None:
    assert Noted.read(tmp_path / "none", since=0).posted == []
