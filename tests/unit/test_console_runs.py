"""What the console makes of the runs that it is told of."""

import json
from typing import Any

import pytest

from local.console.runs import Machine, Runs

DELIVERY = "arn:aws:states:us-east-1:000000000000:stateMachine:Delivery"
FAN_OUT = "arn:aws:states:us-east-1:000000000000:stateMachine:FanOut"
CHAT = "arn:aws:states:us-east-1:000000000000:stateMachine:ChatSession"
MACHINES: dict[str, Machine] = {DELIVERY: "delivery", FAN_OUT: "fanOut", CHAT: "chat"}
ENVELOPE = {
    "id": "m-1",
    "recipient": {"user": "ana", "context": "chat", "contextId": "42"},
    "payload": {"text": "a secret"},
    "ack": "client",
    "ordered": True,
}


def told(*events: Any, name: str = "m-1", first: int = 0, machine: str = DELIVERY, **more: Any) -> dict[str, Any]:
    """What the feed tells of a run; the input comes with its beginning."""
    given = more.pop("given", ENVELOPE)
    return {
        "arn": f"{machine.replace('stateMachine', 'execution')}:{name}",
        "machine": machine,
        "name": name,
        "status": "RUNNING",
        "startDate": "2030-01-31T12:00:00.000Z",
        "first": first,
        "events": list(events),
        **({} if first else {"input": given if isinstance(given, str) else json.dumps(given)}),
        **more,
    }


def at(seconds: int) -> str:
    return f"2030-01-31T12:00:{seconds:02}.000Z"


def entered(state: str, seconds: int) -> dict[str, Any]:
    return {"type": "TaskStateEntered", "timestamp": at(seconds), "stateEnteredEventDetails": {"name": state}}


def scheduled(attempt: int, seconds: int, timeout_seconds: int | None = None) -> dict[str, Any]:
    details: dict[str, Any] = {"parameters": json.dumps({"Payload": {"attempt": attempt}})}
    if timeout_seconds:
        details["timeoutInSeconds"] = timeout_seconds
    return {"type": "TaskScheduled", "timestamp": at(seconds), "taskScheduledEventDetails": details}


STARTED = {"type": "ExecutionStarted", "timestamp": at(0), "executionStartedEventDetails": {}}


@pytest.fixture
def runs() -> Runs:
    return Runs(MACHINES)


def known(runs: Runs) -> list[dict[str, Any]]:
    return [json.loads(text) for text in runs.texts()]


def test_a_run_that_waits_is_folded_as_the_package_reads_it(runs: Runs) -> None:
    runs.take(told(STARTED, entered("Resolve Connections", 1), scheduled(1, 1)))
    runs.take(told(entered("Wait For Reconnect", 2), scheduled(1, 3, 40), first=3))

    assert known(runs) == [
        {
            "arn": "arn:aws:states:us-east-1:000000000000:execution:Delivery:m-1",
            "name": "m-1",
            "machine": "delivery",
            "id": "m-1",
            "user": "ana",
            "context": "chat",
            "contextId": "42",
            "type": "message",
            "ack": "client",
            "ordered": True,
            "state": "Wait For Reconnect",
            "startedAt": at(0),
            "events": 5,
            "status": "waiting",
            "attempts": 1,
            "waitingFor": "reconnect",
            "waitingSince": "2030-01-31T12:00:02Z",
            "nextAttemptAt": "2030-01-31T12:00:43Z",
        }
    ]


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        ({"status": "SUCCEEDED", "output": '{"status": "acknowledged"}'}, "acknowledged"),
        ({"status": "FAILED", "error": "MessageExpired", "cause": "too late"}, "dead_lettered"),
        ({"status": "ABORTED", "error": "Cancelled"}, "cancelled"),
    ],
)
def test_how_a_run_ended(runs: Runs, ended: dict[str, str], status: str) -> None:
    runs.take(told(STARTED, entered("Wait For Reconnect", 1)))
    runs.take(told({"type": "ExecutionEnded", "timestamp": at(9)}, first=2, stopDate=at(9), **ended))

    (run,) = known(runs)
    assert (run["status"], run["endedAt"]) == (status, "2030-01-31T12:00:09Z")
    assert (run.get("reason"), run.get("cause")) == (ended.get("error"), ended.get("cause"))
    assert "waitingFor" not in run


@pytest.mark.parametrize("given", ["", "{", "[]", "17", '{"recipient": "ana"}', '{"recipient": {"user": 1}}'])
def test_an_input_that_is_no_message_is_shown_all_the_same(runs: Runs, given: str) -> None:
    runs.take(told(STARTED, given=given))

    (run,) = known(runs)
    assert (run["id"], run["user"], run["status"], run["type"]) == ("m-1", None, "delivering", "message")


@pytest.mark.parametrize(
    ("audience", "place"),
    [
        ({"users": ["ana", "ben"], "context": "chat", "contextId": "7"}, ("chat", "7")),
        ({"conversation": {"context": "chat", "contextId": "9"}}, ("chat", "9")),
    ],
)
@pytest.mark.parametrize(
    ("status", "shown"),
    [("RUNNING", "running"), ("SUCCEEDED", "succeeded"), ("FAILED", "failed"), ("ABORTED", "failed")],
)
def test_a_fan_out(runs: Runs, audience: Any, place: tuple[str, str], status: str, shown: str) -> None:
    given = {"id": "f-1", "message": {"type": "news", "payload": 1}, "audience": audience}

    runs.take(told(STARTED, entered("Plan Fan Out", 1), machine=FAN_OUT, given=given, status=status))

    (run,) = known(runs)
    assert (run["machine"], run["id"], run["status"], run["type"]) == ("fanOut", "f-1", shown, "news")
    assert (run["context"], run["contextId"], run["state"]) == (*place, "Plan Fan Out")


def test_a_chat(runs: Runs) -> None:
    given = {"chatId": "c-1", "phase": "Waiting", "seconds": 600}

    runs.take(told(STARTED, entered("Waiting", 1), machine=CHAT, name="c-1", given=given))

    (run,) = known(runs)
    assert (run["machine"], run["id"], run["status"], run["type"]) == ("chat", "c-1", "running", "chat")
    assert (run["state"], "user" in run) == ("Waiting", False)


def test_what_a_message_says_is_not_kept(runs: Runs) -> None:
    runs.take(told(STARTED, {**scheduled(1, 1), "stateEnteredEventDetails": {"name": "x", "input": "a secret"}}))

    assert "a secret" not in repr(vars(runs))


def test_only_what_is_new_is_news(runs: Runs) -> None:
    assert runs.take(told(STARTED)) is not None
    assert runs.take(told(first=1)) is None
    assert runs.take(told(entered("Resolve Connections", 1), first=1)) is not None


def test_runs_of_other_machines_are_none_of_its_business(runs: Runs) -> None:
    assert runs.take(told(STARTED, machine="arn:aws:states:us-east-1:000000000000:stateMachine:Other")) is None
    assert known(runs) == []


def test_only_the_newest_runs_are_kept() -> None:
    runs = Runs(MACHINES, most=2)
    for name in ("m-1", "m-2", "m-3"):
        runs.take(told(STARTED, name=name))

    assert [run["name"] for run in known(runs)] == ["m-2", "m-3"]
    assert runs.take(told(entered("Resolve Connections", 1), name="m-1", first=1)) is None
    assert [run["name"] for run in known(runs)] == ["m-2", "m-3"]


def ended(name: str, seconds: int, **more: Any) -> dict[str, Any]:
    return told(STARTED, name=name, status="SUCCEEDED", stopDate=at(seconds), **more)


def test_what_ended_longest_ago_makes_room_first() -> None:
    runs = Runs(MACHINES, most=3)
    runs.take(told(STARTED, name="waits for days"))
    runs.take(ended("ended late", 9))
    runs.take(ended("ended early", 1))

    runs.take(told(STARTED, name="m-4"))
    assert [run["name"] for run in known(runs)] == ["waits for days", "ended late", "m-4"]
    runs.take(told(STARTED, name="m-5"))
    assert [run["name"] for run in known(runs)] == ["waits for days", "m-4", "m-5"]
    assert runs.take(ended("m-6", 10)) is None, "it is no news that is not kept"
    assert [run["name"] for run in known(runs)] == ["waits for days", "m-4", "m-5"]
    assert runs.take(told(entered("Resolve Connections", 1), name="waits for days", first=1)) is not None


def test_a_run_that_was_told_twice_makes_room_once() -> None:
    runs = Runs(MACHINES, most=2)
    runs.take(ended("twice", 1, error="before"))
    runs.take(ended("twice", 1, error="Late"))
    runs.take(told(STARTED, name="m-2"))
    runs.take(told(STARTED, name="m-3"))
    runs.take(told(STARTED, name="m-4"))

    assert [run["name"] for run in known(runs)] == ["m-3", "m-4"]


def test_a_run_that_is_told_anew_is_not_counted_twice(runs: Runs) -> None:
    runs.take(told(STARTED, entered("Resolve Connections", 1)))
    runs.take(told(STARTED, entered("Resolve Connections", 1), entered("Wait For Reconnect", 2)))

    (run,) = known(runs)
    assert run["events"] == 3


def test_what_is_told_again_by_a_feed_that_begins_anew_keeps_its_order() -> None:
    runs = Runs(MACHINES, most=2)
    for name in ("m-1", "m-2", "m-3"):
        runs.take(told(STARTED, name=name))
    runs.forget()
    for name in ("m-1", "m-2", "m-3"):
        runs.take(told(STARTED, name=name))

    assert [run["name"] for run in known(runs)] == ["m-2", "m-3"]
