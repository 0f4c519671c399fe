"""What a run's description and history say of its message."""

import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse, HTTPHeaders
from botocore.exceptions import ClientError

from ringback.cli.output import moment
from ringback.errors import AccessDenied, MessageNotFound, NotCancellable, Refused
from ringback.names import execution_name
from ringback.runs import cancel, describe
from ringback.status import Progress, console_url, read_status
from tests.builders import NOW, envelope
from tests.sdk import arn

MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:Delivery"


class FakeRuns:
    """Step Functions' client with the runs that a test describes; a history is given oldest first."""

    def __init__(self) -> None:
        self.descriptions: dict[str, dict[str, Any]] = {}
        self.histories: dict[str, list[dict[str, Any]]] = {}
        self.stopped: list[dict[str, Any]] = []
        self.ends_meanwhile: dict[str, Any] | None = None
        self.refuses_to_stop = False
        self.pages_read = 0
        self.described: list[str] = []

    def add(self, name: str, status: str = "RUNNING", *history: dict[str, Any], **more: Any) -> None:
        self.descriptions[arn(name)] = {
            "executionArn": arn(name),
            "name": name,
            "status": status,
            "startDate": NOW,
            "input": json.dumps(envelope()),
            **more,
        }
        self.histories[arn(name)] = list(history)

    def describe_execution(self, *, executionArn: str) -> Any:  # noqa: N803
        self.described.append(executionArn)
        if executionArn not in self.descriptions:
            error = {"Error": {"Code": "ExecutionDoesNotExist"}}
            raise ClientError(cast("Any", error), "DescribeExecution")
        return self.descriptions[executionArn]

    def get_execution_history(self, *, executionArn: str, reverseOrder: bool, maxResults: int, **page: Any) -> Any:  # noqa: N803
        assert reverseOrder
        self.pages_read += 1
        start = int(page.get("nextToken", 0))
        events = self.histories[executionArn][::-1]
        more = {"nextToken": str(start + maxResults)} if len(events) > start + maxResults else {}
        return {"events": events[start : start + maxResults], **more}

    def stop_execution(self, *, executionArn: str, error: str, cause: str) -> Any:  # noqa: N803
        self.stopped.append({"arn": executionArn, "error": error})
        self.descriptions[executionArn] |= self.ends_meanwhile or {"status": "ABORTED", "error": error}
        if self.refuses_to_stop:
            refusal: Any = {"Error": {"Code": "ValidationException"}}
            raise ClientError(refusal, "StopExecution")
        return {}


@pytest.fixture
def runs() -> Any:
    return FakeRuns()


def entered(state: str, seconds: float = 0) -> dict[str, Any]:
    kind = "WaitStateEntered" if state == "Wait Out The Failure" else "TaskStateEntered"
    return {"type": kind, "timestamp": at(seconds), "stateEnteredEventDetails": {"name": state}}


def scheduled(attempt: int, seconds: float = 0, timeout_seconds: int | None = None) -> dict[str, Any]:
    parameters = {"FunctionName": "function", "Payload": {"attempt": attempt}}
    details: dict[str, Any] = {"parameters": json.dumps(parameters)}
    if timeout_seconds:
        details["timeoutInSeconds"] = timeout_seconds
    return {"type": "TaskScheduled", "timestamp": at(seconds), "taskScheduledEventDetails": details}


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_it_waits_for_a_reconnect_until_the_backoff_ends(runs: Any) -> None:
    runs.add(
        "m-1",
        "RUNNING",
        entered("Resolve Connections"),
        scheduled(2),
        entered("Wait For Reconnect", 5),
        scheduled(2, 6, timeout_seconds=40),
    )

    status = read_status(runs, MACHINE, "m-1")

    assert status.to_json() == {
        "id": "m-1",
        "state": "waiting",
        "attempts": 2,
        "acceptedAt": "2030-01-31T12:00:00Z",
        "waitingFor": "reconnect",
        "waitingSince": "2030-01-31T12:00:05Z",
        "nextAttemptAt": "2030-01-31T12:00:46Z",
        "endedAt": None,
        "reason": None,
        "cause": None,
        "executionArn": arn("m-1"),
        "consoleUrl": console_url(arn("m-1")),
    }
    assert not status.has_ended


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], ("delivering", None, 1)),
        ([entered("Resolve Connections"), scheduled(1)], ("delivering", None, 1)),
        ([entered("Post To Connections"), scheduled(3)], ("delivering", None, 3)),
        ([entered("Post And Await Acknowledgement"), scheduled(1)], ("waiting", "acknowledgement", 1)),
        ([scheduled(4), entered("Wait Out The Failure")], ("waiting", None, 4)),
        ([entered("Wait For Reconnect"), *([scheduled(7)] * 300)], ("waiting", "reconnect", 7)),
    ],
    ids=["just started", "resolving", "posting", "unacknowledged", "platform failed", "far back"],
)
def test_where_a_running_message_is(runs: Any, history: list[Any], expected: tuple[Any, ...]) -> None:
    runs.add("m-1", "RUNNING", *history)

    status = read_status(runs, MACHINE, "m-1")

    assert (status.state, status.waiting_for, status.attempts) == expected


def test_no_more_history_is_read_than_tells_the_state(runs: Any) -> None:
    runs.add("m-1", "RUNNING", *([scheduled(1)] * 5_000), entered("Wait For Reconnect"), scheduled(99))

    assert read_status(runs, MACHINE, "m-1").attempts == 99
    assert runs.pages_read == 1


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have this machine stand there."""
    with monkeypatch.context() as environment:
        environment.setenv("TZ", "Europe/Berlin")
        time.tzset()
        assert time.timezone == -3600, "this machine does not know the zone"
        yield
    time.tzset()


def answering(answers: dict[str, Any]) -> Any:
    """botocore's own client, which reads these answers, by operation, and calls nobody."""
    session = botocore.session.Session()
    session.set_credentials("id", "key")
    client: Any = session.create_client("stepfunctions", region_name="eu-central-1")

    def answer(event_name: str, **_: Any) -> AWSResponse:
        body = json.dumps(answers[event_name.rpartition(".")[2]]).encode()
        return AWSResponse("https://states.test", 200, HTTPHeaders(), SimpleNamespace(stream=lambda: [body]))

    client.meta.events.register("before-send.sfn.*", answer)
    return client


@pytest.mark.usefixtures("berlin")
def test_times_are_in_utc_wherever_the_machine_stands() -> None:
    noon = NOW.timestamp()
    run = {"executionArn": arn("m-1"), "name": "m-1", "input": json.dumps(envelope()), "startDate": noon + 0.125}
    history = [{**entered("Wait For Reconnect"), "timestamp": noon + 5, "id": 1}]
    history.insert(0, {**scheduled(1, timeout_seconds=40), "timestamp": noon + 6, "id": 2})
    waits = answering({"DescribeExecution": {**run, "status": "RUNNING"}, "GetExecutionHistory": {"events": history}})
    ended = answering({"DescribeExecution": {**run, "status": "ABORTED", "stopDate": noon + 9}})

    status = read_status(waits, MACHINE, "m-1")
    cancelled = describe(ended, arn("m-1"))

    written = status.to_json()
    assert (written["acceptedAt"], written["waitingSince"], written["nextAttemptAt"]) == (
        "2030-01-31T12:00:00.125Z",
        "2030-01-31T12:00:05Z",
        "2030-01-31T12:00:46Z",
    )
    assert moment(status.waiting_since) == "2030-01-31 12:00:05Z"
    assert cancelled
    assert cancelled.stopped_at == at(9)
    times = (status.accepted_at, status.waiting_since, status.next_attempt_at, cancelled.stopped_at)
    assert [each and each.tzinfo for each in times] == [UTC] * 4


@pytest.mark.parametrize(
    ("ended", "state"),
    [
        ({"status": "SUCCEEDED", "output": '{"status": "delivered"}'}, "delivered"),
        ({"status": "SUCCEEDED", "output": '{"status": "acknowledged"}'}, "acknowledged"),
        ({"status": "FAILED", "error": "MessageExpired", "cause": "why"}, "dead_lettered"),
        ({"status": "TIMED_OUT"}, "dead_lettered"),
        ({"status": "ABORTED", "error": "Cancelled"}, "cancelled"),
    ],
)
def test_how_a_message_ended(runs: Any, ended: dict[str, Any], state: str) -> None:
    runs.add("m-1", **ended, stopDate=at(9))

    status = read_status(runs, MACHINE, "m-1")

    assert (status.state, status.ended_at) == (state, at(9))
    assert (status.reason, status.cause) == (ended.get("error"), ended.get("cause"))
    assert status.has_ended


_STATES = [
    "Resolve Connections",
    "Wait For Reconnect",
    "Post And Await Acknowledgement",
    "Acknowledged Late",
    "Undelivered",
]


def test_a_history_read_back_says_the_same_as_one_that_was_followed() -> None:
    any_of = random.Random(1)  # noqa: S311 - the same thousand histories each time

    def any_event() -> dict[str, Any]:
        seconds = any_of.randrange(100)
        if any_of.random() < 0.5:
            return entered(any_of.choice(_STATES), seconds)
        return scheduled(any_of.randrange(4), seconds, any_of.choice([None, 40]))

    for _ in range(1_000):
        history = [any_event() for _ in range(any_of.randrange(12))]
        followed = Progress()
        for event in history:
            followed.add(event)
        read = Progress.read_back(reversed(history))

        for name in ("state", "since", "until", "waits"):
            assert getattr(read, name) == getattr(followed, name), (name, history)
        for ended in (False, True):
            assert read.attempts(ended=ended) == followed.attempts(ended=ended), history


def test_the_attempts_of_a_dead_letter_are_those_it_says(runs: Any) -> None:
    letter = {"taskScheduledEventDetails": {"parameters": '{"MessageBody": {"attempts": 5}}'}, "timestamp": NOW}
    runs.add("m-1", "FAILED", scheduled(4), entered("Send To Dead Letter Queue"), letter, entered("Undelivered"))

    assert read_status(runs, MACHINE, "m-1").attempts == 5


def test_attempts_are_counted_where_the_history_was_told_to_hide_its_data(runs: Any) -> None:
    hidden = {"taskScheduledEventDetails": {"resource": "invoke"}, "timestamp": NOW}
    wait, posting = entered("Wait For Reconnect"), entered("Post To Connections")
    runs.add("m-1", "RUNNING", entered("Resolve Connections"), hidden, wait, hidden, wait, hidden, posting, hidden)

    assert read_status(runs, MACHINE, "m-1").attempts == 3


@pytest.mark.parametrize(
    ("end", "attempts"),
    [
        (["Acknowledgement Wanted?", "Acknowledged Late"], 1),
        (["Acknowledgement Wanted?", "Post And Await Acknowledgement"], 2),
    ],
    ids=["acknowledged late", "acknowledged in time, after a reconnect"],
)
def test_a_late_acknowledgement_is_no_attempt_where_the_history_hides_its_data(
    runs: Any, end: list[str], attempts: int
) -> None:
    states = ["Resolve Connections", "Post And Await Acknowledgement", "Wait For Reconnect", *end]
    runs.add("m-1", "SUCCEEDED", *map(entered, states), output='{"status": "acknowledged"}')

    status = read_status(runs, MACHINE, "m-1")

    assert (status.state, status.attempts) == ("acknowledged", attempts)


def test_a_redrive_is_looked_for_only_when_the_run_has_ended(runs: Any) -> None:
    runs.add("m-1", "FAILED")
    runs.add("m-1-r1", "RUNNING")

    read_status(runs, MACHINE, "m-1")

    assert runs.described == [arn("m-1"), arn("m-1-r1")]


def test_a_redriven_message_is_where_its_last_redrive_is(runs: Any) -> None:
    runs.add("m-1", "FAILED")
    runs.add("m-1-r1", "FAILED")
    runs.add("m-1-r2", "RUNNING")

    assert read_status(runs, MACHINE, "m-1").execution_arn == arn("m-1-r2")


def test_an_id_that_is_no_name_is_found_by_its_hash(runs: Any) -> None:
    runs.add(execution_name("a/b"), "RUNNING", input=json.dumps(envelope(id="a/b")))

    assert read_status(runs, MACHINE, "a/b").id == "a/b"


@pytest.mark.parametrize("there", [None, "other"], ids=["no run", "a run named so that carries another"])
def test_what_has_no_run_says_how_to_get_one(runs: Any, there: str | None) -> None:
    if there:
        runs.add("m-1", input=json.dumps(envelope(id=there)))

    with pytest.raises(MessageNotFound, match="track"):
        read_status(runs, MACHINE, "m-1")


def test_cancelling_ends_the_newest_run_once(runs: Any) -> None:
    runs.add("m-1", "FAILED")
    runs.add("m-1-r1")

    cancel(runs, MACHINE, "m-1")
    cancel(runs, MACHINE, "m-1")

    assert runs.stopped == [{"arn": arn("m-1-r1"), "error": "Cancelled"}]


@pytest.mark.parametrize("meanwhile", [False, True], ids=["before", "between the calls"])
@pytest.mark.parametrize("refuses", [False, True], ids=["without a word", "and that is an error"])
def test_what_has_ended_cannot_be_cancelled(runs: Any, meanwhile: bool, refuses: bool) -> None:  # noqa: FBT001
    runs.add("m-1", "RUNNING" if meanwhile else "SUCCEEDED")
    runs.ends_meanwhile = {"status": "SUCCEEDED"}
    runs.refuses_to_stop = refuses

    with pytest.raises(NotCancellable, match="delivered"):
        cancel(runs, MACHINE, "m-1")


def test_what_cannot_be_stopped_is_not_cancelled(runs: Any) -> None:
    runs.add("m-1")
    runs.ends_meanwhile = {"status": "RUNNING"}
    runs.refuses_to_stop = True

    with pytest.raises(Refused, match="StopExecution: ValidationException"):
        cancel(runs, MACHINE, "m-1")


def test_a_denied_caller_is_told_which_action_to_be_granted(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    message = (
        f"User: arn:aws:iam::1:user/x is not authorized to perform: states:DescribeExecution on resource: {MACHINE}"
    )
    error: Any = {"Error": {"Code": "AccessDeniedException", "Message": message}}

    def deny(**_: Any) -> None:
        raise ClientError(error, "DescribeExecution")

    monkeypatch.setattr(runs, "describe_execution", deny)

    with pytest.raises(AccessDenied) as raised:
        read_status(runs, MACHINE, "m-1")
    assert (raised.value.action, raised.value.resource) == ("states:DescribeExecution", MACHINE)


def test_the_console_is_that_of_the_run_s_own_region_and_partition() -> None:
    assert console_url(arn("m-1")) == (
        f"https://eu-central-1.console.aws.amazon.com/states/home?region=eu-central-1#/v2/executions/details/{arn('m-1')}"
    )
    assert "console.amazonaws.cn/" in console_url("arn:aws-cn:states:cn-north-1:1:execution:Delivery:m-1")
