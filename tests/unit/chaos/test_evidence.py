"""What a chaos run leaves behind is read as it was written."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.evidence import Noted, note_posts, waits_of
from tests.chaos.ledger import Entry, Wait


def event(at: float, kind: str, state: str = "", **more: Any) -> dict[str, Any]:
    """One event of a history."""
    details = {"stateEnteredEventDetails": {"name": state}} if kind.endswith("StateEntered") else {}
    return {"timestamp": datetime.fromtimestamp(at, UTC), "type": kind, **details, **more}


def failed(at: float, error: str) -> dict[str, Any]:
    """A task failed."""
    return event(at, "TaskFailed", taskFailedEventDetails={"error": error})


def succeeded(at: float, woken_by: str = "reconnect") -> dict[str, Any]:
    """A task succeeded."""
    return event(at, "TaskSucceeded", taskSucceededEventDetails={"output": json.dumps({"wokenBy": woken_by})})


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
        succeeded(20),
        event(20, "TaskStateExited"),
        event(21, ENTERED, "Post And Await Acknowledgement"),
        event(21, SCHEDULED),
        event(27, "TaskTimedOut", taskTimedOutEventDetails={"error": "States.Timeout"}),
        event(28, ENTERED, "Wait For Reconnect"),
        event(28, SCHEDULED),
    ]
    assert list(waits_of(history, until=50)) == [
        Wait(12.5, 20, "NoOpenConnection", 0.0),
        Wait(28, 50, "States.Timeout", 21),
    ]


def test_the_pauses_between_tries_to_park_are_no_waits() -> None:
    history = [
        failed(11, "ConnectionGone"),
        event(12, ENTERED, "Wait For Reconnect"),
        event(12, SCHEDULED),
        failed(13, "Lambda.Unknown"),
        event(33, SCHEDULED),
        succeeded(40),
    ]
    assert list(waits_of(history, until=50)) == [
        Wait(12, 13, "ConnectionGone", 0, parking=True),
        Wait(33, 40, "ConnectionGone", 0),
    ]


@pytest.mark.parametrize(
    ("end", "parking"),
    [
        (succeeded(40, "recheck"), True),
        (succeeded(40), False),
        (failed(40, "Lambda.Unknown"), True),
        (failed(40, "States.Timeout"), False),
        (event(40, "TaskTimedOut", taskTimedOutEventDetails={"error": "States.Timeout"}), False),
    ],
)
def test_a_wait_knows_whether_it_ended_in_the_function_that_parks(end: dict[str, Any], *, parking: bool) -> None:
    (wait,) = waits_of([event(12, ENTERED, "Wait For Reconnect"), event(12, SCHEDULED), end], until=50)
    assert wait.parking is parking


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


def test_a_post_to_somebody_else_is_kept_as_such() -> None:
    entry = Entry("m-1", "u1", "accept", "plain", sent_at=1.0)
    posted = [(6.0, "m-1", "u1"), (7.0, "m-1", "u2"), (8.0, "m-1", ""), (9.0, "m-of-another-run", "u2")]
    note_posts({"m-1": entry}, Noted(posted=posted))
    assert entry.posted == [6.0]
    assert entry.posted_elsewhere == ["u2", ""]


def test_where_nothing_was_noted_there_is_nothing(tmp_path: Path) -> None:
    assert Noted.read(tmp_path / "none", since=0).posted == []
