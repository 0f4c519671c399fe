"""Step Functions: names, starts, endings, histories."""

import json
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.fidelity.clouds import Cloud, code_of
from tests.fidelity.marks import differs, not_in

WAIT: dict[str, Any] = {"Only": {"Type": "Wait", "Seconds": 5, "End": True}}
PASS: dict[str, Any] = {"Only": {"Type": "Pass", "End": True}}


def starting(cloud: Cloud, machine: str, name: str, text: str = "{}") -> str:
    return code_of(cloud.client("stepfunctions").start_execution, stateMachineArn=machine, name=name, input=text)


def waiting(cloud: Cloud) -> str:
    """A machine whose runs wait."""
    return cloud.machine({"Only": cloud.task({}, waits=True, TimeoutSeconds=60)})


@pytest.mark.parametrize("name", ["a" * 80, "A-z_09", "sha256-" + 64 * "f"], ids=["80", "all kinds", "hash"])
def test_name_may_have_80_characters(cloud: Cloud, name: str) -> None:
    assert starting(cloud, cloud.machine(PASS), name) == ""


@differs("moto", "names-of-runs")
@differs("local", "names-of-runs")
@pytest.mark.parametrize("name", ["a" * 81, "a#b", "a b", "a:b", 'a"b'])
def test_name_of_another_form_is_refused(cloud: Cloud, name: str) -> None:
    assert starting(cloud, cloud.machine(PASS), name) in {"InvalidName", "ValidationException"}


def test_same_start_again_is_the_same_run(cloud: Cloud) -> None:
    machine, runs = waiting(cloud), cloud.client("stepfunctions")
    first, again = (runs.start_execution(stateMachineArn=machine, name="one", input='{"a": 1}') for _ in range(2))

    assert again["executionArn"] == first["executionArn"]
    assert again["startDate"] == first["startDate"]


@not_in("moto", "an answer in the same process has no date")
def test_answer_to_a_start_tells_when_it_was_given(cloud: Cloud) -> None:
    answer = cloud.client("stepfunctions").start_execution(stateMachineArn=cloud.machine(PASS), name="one")

    served_at = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    assert abs((served_at - answer["startDate"]).total_seconds()) < 30


def test_name_is_taken_for_another_input(cloud: Cloud) -> None:
    machine = waiting(cloud)
    cloud.start(machine, {"a": 1}, name="one")

    assert starting(cloud, machine, "one", '{"a": 2}') == "ExecutionAlreadyExists"


def test_name_stays_taken_when_the_run_has_ended(cloud: Cloud) -> None:
    machine = cloud.machine(PASS)
    cloud.start(machine, {"a": 1}, name="one").end()

    assert starting(cloud, machine, "one", '{"a": 1}') == "ExecutionAlreadyExists"


def test_arn_of_a_run_follows_from_its_name(cloud: Cloud) -> None:
    machine = cloud.machine(PASS)

    assert cloud.start(machine, name="one").arn == machine.replace(":stateMachine:", ":execution:") + ":one"


def test_run_that_never_was_does_not_exist(cloud: Cloud) -> None:
    arn = cloud.machine(PASS).replace(":stateMachine:", ":execution:") + ":nobody"

    assert code_of(cloud.client("stepfunctions").describe_execution, executionArn=arn) == "ExecutionDoesNotExist"


def test_input_may_have_256_kib(cloud: Cloud) -> None:
    text = json.dumps("x" * (256 * 1024 - 2))

    assert starting(cloud, cloud.machine(PASS), "one", text) == ""


@differs("moto", "no-limit-of-payloads")
@differs("local", "no-limit-of-payloads")
def test_larger_input_is_refused(cloud: Cloud) -> None:
    text = json.dumps("x" * (256 * 1024 - 1))

    assert starting(cloud, cloud.machine(PASS), "one", text) in {"InvalidExecutionInput", "ValidationException"}


@differs("moto", "stopped-runs", raises=(AssertionError, KeyError))
def test_stopped_run_says_why(cloud: Cloud) -> None:
    run = cloud.start(waiting(cloud))
    run.stop()

    described = run.ended()
    assert (described["status"], described["error"], described["cause"]) == ("ABORTED", "Cancelled", "by a test")


def test_stopping_what_has_ended_changes_nothing(cloud: Cloud) -> None:
    run = cloud.run(PASS)
    run.end()

    # Whether this is an error, the service's documents do not say; the code takes both.
    assert code_of(run.stop) in {"", "ValidationException"}
    assert run.describe()["status"] == "SUCCEEDED"


def test_history_tells_of_states_and_tasks(cloud: Cloud) -> None:
    run = cloud.run({"Only": cloud.task({"answer": 1})})
    run.end()

    kinds = [event["type"] for event in run.history()]
    assert kinds == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    assert run.history()[1]["stateEnteredEventDetails"]["name"] == "Only"


def test_scheduled_task_tells_its_arguments_and_its_timeout(cloud: Cloud) -> None:
    queue = cloud.queue()
    run = cloud.run({"Only": cloud.task({"queue": queue, "attempt": 3}, waits=True, TimeoutSeconds="{% 60 %}")})
    cloud.told(queue)

    details = run.history()[2]["taskScheduledEventDetails"]
    assert json.loads(details["parameters"])["Payload"]["attempt"] == 3
    assert details["timeoutInSeconds"] == 60


@differs("moto", "pages-of-histories", raises=KeyError)
def test_history_can_be_read_from_its_end(cloud: Cloud) -> None:
    run = cloud.run(PASS)
    run.end()

    read = cloud.client("stepfunctions").get_execution_history
    first = read(executionArn=run.arn, reverseOrder=True, maxResults=2)
    second = read(executionArn=run.arn, reverseOrder=True, maxResults=2, nextToken=first["nextToken"])

    kinds = [event["type"] for event in first["events"] + second["events"]]
    assert kinds == ["ExecutionSucceeded", "PassStateExited", "PassStateEntered", "ExecutionStarted"]
