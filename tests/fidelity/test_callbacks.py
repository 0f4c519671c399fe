"""Step Functions: states that wait for a task token."""

import json
from typing import Any

from tests.fidelity.clouds import Cloud, Run
from tests.fidelity.marks import differs

# What the code takes for "nobody waits on this token any more"; AWS has three words for it.
CLOSED = {"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"}


def parked(cloud: Cloud, **fields: Any) -> tuple[Run, str]:
    """A run that waits, and its token."""
    queue = cloud.queue()
    run = cloud.run({"Only": cloud.task({"queue": queue}, waits=True, **fields)})
    return run, cloud.told(queue)["token"]


def test_function_that_raises_fails_the_state_at_once(cloud: Cloud) -> None:
    run = cloud.run({"Only": cloud.task({"raise": "ConnectionGone", "message": "all of them"}, waits=True)})

    described = run.ended()
    assert (described["status"], described["error"]) == ("FAILED", "ConnectionGone")
    cause = json.loads(described["cause"])
    assert (cause["errorType"], cause["errorMessage"]) == ("ConnectionGone", "all of them")
    assert "TaskTimedOut" not in [event["type"] for event in run.history()]


def test_what_the_function_returns_is_not_the_result(cloud: Cloud) -> None:
    queue = cloud.queue()
    run = cloud.run({"Only": cloud.task({"queue": queue, "answer": {"by": "the function"}}, waits=True)})
    token = cloud.told(queue)["token"]

    assert run.succeed(token, {"by": "the token"}) == ""
    assert run.end() == ("SUCCEEDED", {"by": "the token"})


def test_function_may_answer_its_own_token(cloud: Cloud) -> None:
    run = cloud.run({"Only": cloud.task({"succeed": {"by": "itself"}, "answer": "ignored"}, waits=True)})

    assert run.end() == ("SUCCEEDED", {"by": "itself"})


def test_token_has_room_in_a_row(cloud: Cloud) -> None:
    _, token = parked(cloud)

    assert 0 < len(token) <= 2048


def test_second_answer_to_a_token_is_refused(cloud: Cloud) -> None:
    run, token = parked(cloud)
    assert run.succeed(token, ["first"]) == ""
    assert run.end() == ("SUCCEEDED", ["first"])

    assert run.succeed(token, "second") in CLOSED


def test_answer_after_the_timeout_is_refused_as_timed_out(cloud: Cloud) -> None:
    run, token = parked(cloud, TimeoutSeconds=1)
    assert run.end() == ("FAILED", "States.Timeout")

    assert run.succeed(token) == "TaskTimedOut"


@differs("moto", "stopped-runs")
def test_answer_to_a_stopped_run_is_refused(cloud: Cloud) -> None:
    run, token = parked(cloud)
    run.stop()

    assert run.succeed(token) in CLOSED


def test_answer_to_what_was_never_a_token_is_refused(cloud: Cloud) -> None:
    run, _ = parked(cloud)

    assert run.succeed("what?") in CLOSED


def test_each_try_has_its_own_token_and_that_of_the_last_one_is_closed(cloud: Cloud) -> None:
    queue = cloud.queue()
    first_time = "{% $states.context.State.RetryCount = 0 %}"
    payload = {"queue": queue, "first": first_time}
    retry = [{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    run = cloud.run({"Only": cloud.task(payload, waits=True, TimeoutSeconds=5, Retry=retry)})
    old = cloud.told(queue)
    cloud.pass_time(run)
    new = cloud.told(queue)

    assert (old["first"], new["first"]) == (True, False)
    assert old["token"] != new["token"]
    assert run.succeed(old["token"], "old") in CLOSED
    assert run.succeed(new["token"], ["new"]) == ""
    assert run.end() == ("SUCCEEDED", ["new"])


def test_timeout_may_be_an_expression(cloud: Cloud) -> None:
    task = cloud.task({}, waits=True, TimeoutSeconds="{% $states.input.seconds %}")

    run = cloud.start(cloud.machine({"Only": task}), {"seconds": 1})

    assert run.end() == ("FAILED", "States.Timeout")


def test_timeout_is_no_failed_task(cloud: Cloud) -> None:
    catch = [
        {"ErrorEquals": ["States.TaskFailed"], "Next": "Failed"},
        {"ErrorEquals": ["States.Timeout"], "Output": "{% $states.errorOutput %}", "Next": "Timed Out"},
    ]
    end = {"Type": "Pass", "End": True}
    task = cloud.task({}, waits=True, TimeoutSeconds=1, Catch=catch)

    run = cloud.run({"Only": task, "Failed": {**end, "Output": {"Error": "failed"}}, "Timed Out": end})

    status, output = run.end()
    assert (status, output["Error"]) == ("SUCCEEDED", "States.Timeout")


@differs("moto", "cause-of-send-task-failure")
def test_failure_told_by_token_has_its_error_and_cause(cloud: Cloud) -> None:
    queue = cloud.queue()
    catch = [{"ErrorEquals": ["Refused"], "Output": "{% $states.errorOutput %}", "Next": "Caught"}]
    task = cloud.task({"queue": queue}, waits=True, Catch=catch)
    run = cloud.run({"Only": task, "Caught": {"Type": "Pass", "End": True}})
    token = cloud.told(queue)["token"]

    cloud.client("stepfunctions").send_task_failure(taskToken=token, error="Refused", cause="by hand")

    assert run.end() == ("SUCCEEDED", {"Error": "Refused", "Cause": "by hand"})
