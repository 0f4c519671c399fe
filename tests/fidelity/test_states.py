"""Step Functions: how states try again, catch, compute and hand on."""

import json
import re
from typing import Any

import pytest

from tests.fidelity.clouds import Cloud, code_of
from tests.fidelity.marks import differs

PASS: dict[str, Any] = {"Type": "Pass", "End": True}
FULL = {"IntervalSeconds": 1, "BackoffRate": 2, "MaxDelaySeconds": 1, "JitterStrategy": "FULL"}
TOO_LONG = 256 * 1024 + 1


def catching(*errors: str) -> dict[str, Any]:
    return {"Catch": [{"ErrorEquals": list(errors), "Output": "{% $states.errorOutput %}", "Next": "Caught"}]}


def tries(run: Any) -> int:
    return sum(event["type"] == "TaskScheduled" for event in run.history())


def test_function_that_raises_fails_its_state_with_class_and_cause(cloud: Cloud) -> None:
    task = cloud.task({"raise": "InvalidMessage", "message": 'no "recipient"'}, **catching("InvalidMessage"))

    status, output = cloud.run({"Only": task, "Caught": PASS}).end()

    assert (status, output["Error"]) == ("SUCCEEDED", "InvalidMessage")
    cause = json.loads(output["Cause"])
    assert (cause["errorType"], cause["errorMessage"]) == ("InvalidMessage", 'no "recipient"')
    assert output["Cause"].endswith("}")


def test_function_gets_its_payload_and_its_answer_is_the_results_payload(cloud: Cloud) -> None:
    task = cloud.task({"answer": "{% $states.input %}"}, Output="{% $states.result.Payload %}")
    value: dict[str, Any] = {"text": 'quotes " and \\ and {% $x %} and ü', "null": None, "list": [[1]], "empty": {}}

    assert cloud.start(cloud.machine({"Only": task}), value).end() == ("SUCCEEDED", value)


def test_failed_task_is_tried_again_so_often(cloud: Cloud) -> None:
    retry = [{"ErrorEquals": ["States.TaskFailed"], **FULL, "MaxAttempts": 2}]
    run = cloud.run({"Only": cloud.task({"raise": "StoreUnavailable"}, Retry=retry)})

    assert run.end() == ("FAILED", "StoreUnavailable")
    assert tries(run) == 3


@differs("local", "longest-delay-of-retries")
def test_delay_before_a_retry_is_never_longer_than_the_longest(cloud: Cloud) -> None:
    retry = [{"ErrorEquals": ["States.TaskFailed"], **FULL, "MaxAttempts": 2, "BackoffRate": 4}]

    described = cloud.run({"Only": cloud.task({"raise": "StoreUnavailable"}, Retry=retry)}).ended()

    # 1 s and 1 s at most; without the limit, 1 s and 4 s.
    assert (described["stopDate"] - described["startDate"]).total_seconds() < 4.5


def test_error_of_an_earlier_retrier_with_no_attempts_is_not_tried_again(cloud: Cloud) -> None:
    retry = [{"ErrorEquals": ["MessageExpired"], "MaxAttempts": 0}, {"ErrorEquals": ["States.TaskFailed"], **FULL}]
    run = cloud.run({"Only": cloud.task({"raise": "MessageExpired"}, Retry=retry)})

    assert run.end() == ("FAILED", "MessageExpired")
    assert tries(run) == 1


def test_retries_are_counted_anew_at_each_entry(cloud: Cloud) -> None:
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    caught = {"ErrorEquals": ["States.TaskFailed"], "Assign": {"visits": "{% $visits + 1 %}"}, "Next": "Again?"}
    task = cloud.task({"raise": "StoreUnavailable"}, Retry=retry, Catch=[caught], Next="Done")
    again = {"Type": "Choice", "Choices": [{"Condition": "{% $visits < 2 %}", "Next": "Only"}], "Default": "Done"}
    first = {"Type": "Pass", "Assign": {"visits": 0}, "Next": "Only"}
    run = cloud.run({"First": first, "Only": task, "Again?": again, "Done": PASS})

    assert run.end()[0] == "SUCCEEDED"
    assert tries(run) == 4


def test_try_knows_its_number_and_when_its_state_was_entered(cloud: Cloud) -> None:
    queue = cloud.queue()
    payload = {
        "queue": queue,
        "retry": "{% $states.context.State.RetryCount %}",
        "entered": "{% $states.context.State.EnteredTime %}",
        "raise": "StoreUnavailable",
    }
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    cloud.run({"Only": cloud.task(payload, Retry=retry)}).end()

    told = sorted((cloud.told(queue) for _ in range(2)), key=lambda each: int(each["retry"]))

    assert [each["retry"] for each in told] == [0, 1]
    assert told[0]["entered"] == told[1]["entered"]


def test_failed_task_is_any_error_but_a_timeout(cloud: Cloud) -> None:
    task = cloud.task({"raise": "Unheard"}, **catching("States.TaskFailed"))

    assert cloud.run({"Only": task, "Caught": PASS}).end()[1]["Error"] == "Unheard"


@differs("moto", "task-failed-spares-other-states-errors")
def test_failed_task_is_a_failing_expression_too(cloud: Cloud) -> None:
    task = cloud.task({"answer": "{% $sum('text') %}"}, **catching("States.TaskFailed"))

    assert cloud.run({"Only": task, "Caught": PASS}).end()[0] == "SUCCEEDED"


@differs("moto", "failing-expression")
def test_failing_expression_is_an_error_of_its_own(cloud: Cloud) -> None:
    run = cloud.run({"Only": cloud.task({"answer": "{% $sum('text') %}"})})

    assert run.end() == ("FAILED", "States.QueryEvaluationError")


@differs("moto", "no-limit-of-payloads")
@differs("local", "no-limit-of-payloads")
def test_answer_of_more_than_256_kib_is_caught_by_no_catch_all(cloud: Cloud) -> None:
    task = cloud.task({"length": TOO_LONG}, **catching("States.ALL"))

    assert cloud.run({"Only": task, "Caught": PASS}).end() == ("FAILED", "States.DataLimitExceeded")


@differs("moto", "assign-before-output")
@pytest.mark.parametrize("kind", ["Pass", "Task"])
def test_output_sees_variables_as_they_were_before_assign(cloud: Cloud, kind: str) -> None:
    both: dict[str, Any] = {"Assign": {"value": "after"}, "Output": "{% [$value] %}"}
    only = {**PASS, **both} if kind == "Pass" else cloud.task({}, **both)
    first = {"Type": "Pass", "Assign": {"value": "before"}, "Next": "Only"}

    assert cloud.run({"First": first, "Only": only}).end() == ("SUCCEEDED", ["before"])


def test_catcher_assigns_and_hands_on_what_went_wrong(cloud: Cloud) -> None:
    catch = {
        "ErrorEquals": ["NoOpenConnection"],
        "Assign": {"lastError": "{% $states.errorOutput %}"},
        "Output": {"tried": [], "triedAt": "{% $states.context.State.EnteredTime %}"},
        "Next": "Show",
    }
    task = cloud.task({"raise": "NoOpenConnection"}, Catch=[catch])
    show = {**PASS, "Output": {"error": "{% $lastError.Error %}", "tried": "{% $states.input.tried %}"}}

    assert cloud.run({"Only": task, "Show": show}).end() == ("SUCCEEDED", {"error": "NoOpenConnection", "tried": []})


def test_context_tells_of_the_run(cloud: Cloud) -> None:
    show = {
        "id": "{% $states.context.Execution.Id %}",
        "name": "{% $states.context.Execution.Name %}",
        "input": "{% $states.context.Execution.Input %}",
        "started": "{% $states.context.Execution.StartTime %}",
        "age": "{% $millis() - $toMillis($states.context.Execution.StartTime) %}",
    }
    first = {"Type": "Pass", "Output": "something else", "Next": "Only"}
    run = cloud.start(cloud.machine({"First": first, "Only": {**PASS, "Output": show}}), {"a": 1}, name="message-1")

    status, output = run.end()

    assert (status, output["id"], output["name"], output["input"]) == ("SUCCEEDED", run.arn, "message-1", {"a": 1})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", output["started"])
    assert 0 <= output["age"] < 60_000


@pytest.mark.parametrize(("connections", "ids"), [([], []), (["one"], ["one"]), (["one", "two"], ["one", "two"])])
def test_ids_of_none_of_one_and_of_many_are_a_list(cloud: Cloud, connections: list[str], ids: list[str]) -> None:
    value = {"connections": [{"connectionId": each} for each in connections]}
    machine = cloud.machine({"Only": {**PASS, "Output": {"ids": "{% [$states.input.connections.connectionId] %}"}}})

    assert cloud.start(machine, value).end() == ("SUCCEEDED", {"ids": ids})


def test_wait_may_be_computed_and_takes_its_time(cloud: Cloud) -> None:
    wait = {"Type": "Wait", "Seconds": "{% $states.input.seconds %}", "Next": "Only"}
    age = "{% $millis() - $toMillis($states.context.Execution.StartTime) >= 1000 %}"
    machine = cloud.machine({"First": wait, "Only": {**PASS, "Output": age}})

    assert cloud.start(machine, {"seconds": 1}).end() == ("SUCCEEDED", True)


def test_failed_run_says_why_and_has_no_output(cloud: Cloud) -> None:
    fail = {"Type": "Fail", "Error": "{% $states.input.error %}", "Cause": "{% 'because ' & $states.input.error %}"}

    described = cloud.start(cloud.machine({"Only": fail}), {"error": "MessageExpired"}).ended()

    assert (described["status"], described["error"]) == ("FAILED", "MessageExpired")
    assert described["cause"] == "because MessageExpired"
    assert "output" not in described


def test_succeed_state_may_compute_its_output(cloud: Cloud) -> None:
    states = {"Only": {"Type": "Succeed", "Output": "{% $states.input.acknowledgement %}"}}

    assert cloud.start(cloud.machine(states), {"acknowledgement": [1]}).end() == ("SUCCEEDED", [1])


@differs("moto", "text-as-output", raises=ValueError)
def test_output_that_is_a_text_is_json_too(cloud: Cloud) -> None:
    assert cloud.run({"Only": {**PASS, "Output": "{% 'any' & 'thing' %}"}}).end() == ("SUCCEEDED", "anything")


def test_body_for_a_queue_is_written_as_json(cloud: Cloud) -> None:
    queue = cloud.queue()
    body = {"message": "{% $states.input %}", "reason": "MessageExpired"}
    send = {"QueueUrl": queue, "MessageBody": body}
    task = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Arguments": send, "End": True}

    assert cloud.start(cloud.machine({"Only": task}), {"text": "ü"}).end()[0] == "SUCCEEDED"
    assert cloud.told(queue) == {"message": {"text": "ü"}, "reason": "MessageExpired"}


@differs("moto", "names-of-states")
@differs("local", "names-of-states")
def test_no_two_states_of_a_machine_have_one_name(cloud: Cloud) -> None:
    within = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Only", "States": {"Only": PASS}}
    states = {"First": {"Type": "Map", "Items": [1], "ItemProcessor": within, "Next": "Only"}, "Only": PASS}

    assert code_of(cloud.machine, states=states) == "InvalidDefinition"
