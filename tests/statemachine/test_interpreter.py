"""The interpreter that the machine's tests stand on: what it adds to moto. Where it is held to AWS: tests/fidelity."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest

from lambdas.adapters.runs import WaitingRuns
from tests.builders import NOW
from tests.fakes import FakeClock
from tests.statemachine import interpreter
from tests.statemachine.history import History
from tests.statemachine.interpreter import Interpreter

INVOKE = "arn:aws:states:::lambda:invoke"
NASTY = 'quotes " and \\ and {% $states %} and 👩‍👩‍👧'


class Laboratory:
    """Small machines, whose functions do what the test says."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.events: list[Any] = []
        self.answers: list[Any] = []
        self.interpreter = Interpreter(self.clock, self._invoke)
        self.interpreter.install(patch)
        self._client = boto3.client("stepfunctions")

    def start(self, states: dict[str, Any], value: Any = None) -> str:
        """Start a run of these states; the first comes first."""
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
        machine = self._client.create_state_machine(
            name="small", definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/small"
        )
        arn = machine["stateMachineArn"]
        return self._client.start_execution(stateMachineArn=arn, name="run", input=json.dumps(value))["executionArn"]

    def end(self, execution_arn: str) -> tuple[str, Any]:
        """A run's status, and its output or its error."""
        assert self.interpreter.until_idle(execution_arn) is None
        description = self._client.describe_execution(executionArn=execution_arn)
        if description["status"] == "SUCCEEDED":
            return "SUCCEEDED", json.loads(description["output"])
        return description["status"], description["error"]

    def run(self, states: dict[str, Any], value: Any = None) -> tuple[str, Any]:
        """Start a run that does not wait, and see it end."""
        return self.end(self.start(states, value))

    def history(self, execution_arn: str) -> History:
        """What a run did."""
        return History.of(self._client.get_execution_history(executionArn=execution_arn)["events"])

    def _invoke(self, name: str, event: Any) -> Any:
        self.events.append(event)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def laboratory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    with interpreter.cloud(monkeypatch) as patch:
        yield Laboratory(patch)


def output_of(expression: str) -> dict[str, Any]:
    """One state that answers what an expression does."""
    return {"Only": {"Type": "Pass", "Output": f"{{% {expression} %}}", "End": True}}


def task(payload: Any = None, **fields: Any) -> dict[str, Any]:
    """A state that calls a function."""
    arguments = {"FunctionName": "arn:aws:lambda:eu-central-1:123456789012:function:Function", "Payload": payload or {}}
    return {"Type": "Task", "Resource": INVOKE, "Arguments": arguments, "End": True, **fields}


def token_task(**fields: Any) -> dict[str, Any]:
    """A state that waits on a task token, for a minute unless told otherwise."""
    payload = {"token": "{% $states.context.Task.Token %}"}
    return task(payload, **{"Resource": f"{INVOKE}.waitForTaskToken", "TimeoutSeconds": 60, **fields})


@pytest.mark.parametrize("value", [NASTY, None, [None], [[1]], [], {"a": [None, {"b": None}], "": {}}], ids=repr)
def test_values_in_expressions_are_values(laboratory: Laboratory, value: Any) -> None:
    states = {"First": {"Type": "Pass", "Assign": {"kept": "{% $states.input %}"}, "Next": "Only"}}

    output = laboratory.run({**states, **output_of("{'input': $states.input, 'variable': $kept}")}, value)

    assert output == ("SUCCEEDED", {"input": value, "variable": value})


def test_expressions_go_by_the_clock(laboratory: Laboratory) -> None:
    expected = [NOW.timestamp() * 1000, "2030-01-31T12:00:00.000Z", "2030-01-31T12:00:00.000Z"]

    status, output = laboratory.run(output_of("[$millis(), $now(), $states.context.Execution.StartTime]"))

    assert (status, output) == ("SUCCEEDED", expected)


def test_a_function_gets_its_payload_and_its_answer_is_the_result(laboratory: Laboratory) -> None:
    laboratory.answers = [{"answer": NASTY}]

    output = laboratory.run(
        {"Only": task({"value": "{% $states.input %}"}, Output="{% $states.result.Payload %}")}, NASTY
    )

    assert output == ("SUCCEEDED", {"answer": NASTY})
    assert laboratory.events == [{"value": NASTY}]


def test_an_exception_is_reported_as_lambda_reports_it(laboratory: Laboratory) -> None:
    laboratory.answers = [LookupError(NASTY)]
    catch = [{"ErrorEquals": ["LookupError"], "Output": "{% $states.errorOutput %}", "Next": "Caught"}]

    _, output = laboratory.run({"Only": task(Catch=catch), "Caught": {"Type": "Pass", "End": True}})

    assert output["Error"] == "LookupError"
    cause = json.loads(output["Cause"])
    assert list(cause) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert cause["errorMessage"] == NASTY
    assert cause["errorType"] == "LookupError"


def test_there_is_no_jitter(laboratory: Laboratory) -> None:
    assert laboratory.run(output_of("[$random(), $random()]")) == ("SUCCEEDED", [1, 1])


def test_a_wait_state_takes_its_time_on_the_clock(laboratory: Laboratory) -> None:
    states = {"First": {"Type": "Wait", "Seconds": "{% $states.input %}", "Next": "Only"}}

    assert laboratory.run({**states, **output_of("[$states.input, $millis()]")}, 3600) == (
        "SUCCEEDED",
        [3600, (NOW.timestamp() + 3600) * 1000],
    )
    assert laboratory.interpreter.waited == [3600]


def test_a_function_can_be_told_when_its_state_was_entered_and_how_often_it_was_tried_again(
    laboratory: Laboratory,
) -> None:
    laboratory.answers = [RuntimeError()]
    payload = {"at": "{% $states.context.State.EnteredTime %}", "retry": "{% $states.context.State.RetryCount %}"}
    retry = {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1}
    first = {"Type": "Wait", "Seconds": 60, "Next": "Only"}

    laboratory.run({"First": first, "Only": task(payload, Retry=[retry])})

    entered = "2030-01-31T12:01:00.000Z"
    assert laboratory.events == [{"at": entered, "retry": 0}, {"at": entered, "retry": 1}]


def test_retry_intervals_pass_on_the_clock(laboratory: Laboratory) -> None:
    laboratory.answers = [RuntimeError()] * 3
    retry = {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 10, "BackoffRate": 2, "MaxDelaySeconds": 25}

    arn = laboratory.start({"Only": task(Retry=[retry])})

    assert laboratory.end(arn)[0] == "SUCCEEDED"
    assert laboratory.clock.slept == [10, 20, 25]
    assert laboratory.history(arn).billed_transitions == 4


def test_retries_are_counted_anew_at_each_entry(laboratory: Laboratory) -> None:
    laboratory.answers = [RuntimeError(), None] * 2
    retry = [{"ErrorEquals": ["States.TaskFailed"], "MaxAttempts": 1}]
    question = {"Condition": "{% $visits < 2 %}", "Next": "Only"}
    states = {
        "First": {"Type": "Pass", "Assign": {"visits": 0}, "Next": "Only"},
        "Only": task(Retry=retry, Assign={"visits": "{% $visits + 1 %}"}, Next="Again?"),
        "Again?": {"Type": "Choice", "Choices": [question], "Default": "Done"},
        "Done": {"Type": "Pass", "End": True},
    }
    del states["Only"]["End"]

    assert laboratory.run(states)[0] == "SUCCEEDED"


def test_a_success_ends_a_wait(laboratory: Laboratory) -> None:
    arn = laboratory.start({"Only": token_task()})
    wait = laboratory.interpreter.until_idle(arn)
    assert wait is not None
    assert laboratory.events == [{"token": wait.task_token}]

    assert WaitingRuns().succeed(wait.task_token, {"value": NASTY})

    assert laboratory.end(arn) == ("SUCCEEDED", {"value": NASTY})
    assert laboratory.clock.now() == NOW


def test_a_wait_lasts_until_the_test_ends_it(laboratory: Laboratory) -> None:
    arn = laboratory.start({"Only": token_task(TimeoutSeconds="{% 0 %}")})

    laboratory.interpreter.until_idle(arn)
    time.sleep(0.1)

    assert laboratory.interpreter.until_idle(arn) is not None
    laboratory.interpreter.time_out(arn)
    assert laboratory.end(arn) == ("FAILED", "States.Timeout")


def test_a_wait_that_times_out_has_taken_its_time(laboratory: Laboratory) -> None:
    arn = laboratory.start({"Only": token_task(TimeoutSeconds="{% $states.input %}")}, 3600)
    wait = laboratory.interpreter.until_idle(arn)
    assert wait is not None

    laboratory.interpreter.time_out(arn)

    assert laboratory.end(arn) == ("FAILED", "States.Timeout")
    assert laboratory.clock.now() - NOW == timedelta(hours=1)
    assert not WaitingRuns().succeed(wait.task_token, {})


def test_each_try_has_its_own_token_and_the_last_ones_is_closed(laboratory: Laboratory) -> None:
    laboratory.answers = [RuntimeError()]
    arn = laboratory.start({"Only": token_task(Retry=[{"ErrorEquals": ["States.TaskFailed"]}])})
    wait = laboratory.interpreter.until_idle(arn)
    assert wait is not None
    old, new = (event["token"] for event in laboratory.events)
    assert wait.task_token == new != old

    assert not WaitingRuns().succeed(old, {"woken by": "old"})
    assert WaitingRuns().succeed(new, {"woken by": "new"})

    assert laboratory.end(arn) == ("SUCCEEDED", {"woken by": "new"})


def test_a_definition_is_parsed_once(laboratory: Laboratory) -> None:
    arn = laboratory.start(output_of("['a definition of its own']"))

    assert laboratory.end(arn)[0] == "SUCCEEDED"

    assert interpreter._parse.cache_info().hits > 0  # creating the machine parsed it
