"""The corrections of Step Functions, with them and without."""

import json
from typing import Any

from botocore.exceptions import ClientError

from tests.integration.local.laboratory import Laboratory, Matters, unique

ECHOES = "def handler(event, context): return event"
SENDS_ITS_TOKEN = """
    import boto3

    def handler(event, context):
        boto3.client("sqs").send_message(QueueUrl=event["queue"], MessageBody=event["token"])
"""
WAITS = {"Type": "Wait", "Seconds": 60}


def code_of(call: Any, **arguments: object) -> str:
    """What a call is answered with: an error's code, or nothing."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


class Parked:
    """A run that waits for its task token."""

    def __init__(self, laboratory: Laboratory, **state: object) -> None:
        self.laboratory = laboratory
        self.runs = laboratory.clients.stepfunctions
        queue = laboratory.queue()
        task = {
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Arguments": {
                "FunctionName": laboratory.function(SENDS_ITS_TOKEN),
                "Payload": {"token": "{% $states.context.Task.Token %}", "queue": queue},
            },
            **state,
        }
        self.arn = laboratory.start(laboratory.machine(task))
        self.token = laboratory.message(queue)

    def stop(self) -> None:
        self.runs.stop_execution(executionArn=self.arn, error="Cancelled", cause="by a test")

    def succeed(self) -> str:
        return code_of(self.runs.send_task_success, taskToken=self.token, output="{}")

    def settled(self) -> tuple[str, str | None]:
        """How it ended, once its thread has nothing to add any more."""
        outcome = self.laboratory.outcome(self.arn)
        return outcome["status"], outcome.get("error")


def history(laboratory: Laboratory, arn: str) -> list[Any]:
    answer = laboratory.clients.stepfunctions.get_execution_history(executionArn=arn, maxResults=1000)
    return list(answer["events"])


def kinds(laboratory: Laboratory, arn: str) -> list[str]:
    return [event["type"] for event in history(laboratory, arn)]


def test_same_start_again_is_the_same_run(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        machine = laboratory.machine(WAITS)
        start = laboratory.clients.stepfunctions.start_execution
        first = start(stateMachineArn=machine, name="one", input='{"a": 1}')
        if code := code_of(start, stateMachineArn=machine, name="one", input='{"a": 1}'):
            return code
        again = start(stateMachineArn=machine, name="one", input='{"a": 1}')
        return [again[name] == first[name] for name in ("executionArn", "startDate")]

    matters(observe, [True, True])


def test_stopped_run_stays_aborted(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        stopped = Parked(laboratory, TimeoutSeconds=1)
        stopped.stop()
        # Parked later, for as long: when it has timed out, the other's wait is over, too.
        assert Parked(laboratory, TimeoutSeconds=1).settled() == ("FAILED", "States.Timeout")
        return stopped.settled(), kinds(laboratory, stopped.arn)[-1]

    matters(observe, (("ABORTED", "Cancelled"), "ExecutionAborted"))


def test_run_that_is_stopped_says_why(corrected: Laboratory) -> None:
    parked = Parked(corrected)
    parked.stop()

    described = parked.runs.describe_execution(executionArn=parked.arn)
    assert (described["status"], described["error"], described["cause"]) == ("ABORTED", "Cancelled", "by a test")
    newest = parked.runs.get_execution_history(executionArn=parked.arn, reverseOrder=True, maxResults=1)["events"][0]
    assert newest["executionAbortedEventDetails"] == {"error": "Cancelled", "cause": "by a test"}


def test_token_of_a_stopped_run_is_closed(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        parked = Parked(laboratory)
        parked.stop()
        return parked.succeed()

    matters(observe, "TaskTimedOut")


def test_token_that_was_answered_is_closed(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        parked = Parked(laboratory)
        first = parked.succeed()
        parked.settled()
        return first, parked.succeed()

    matters(observe, ("", "TaskTimedOut"))


def test_each_try_has_a_token_of_its_own(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        queue = laboratory.queue()
        task = {
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Arguments": {
                "FunctionName": laboratory.function(SENDS_ITS_TOKEN),
                "Payload": {"token": "{% $states.context.Task.Token %}", "queue": queue},
            },
            "TimeoutSeconds": 1,
            "Retry": [{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1, "MaxAttempts": 1}],
        }
        laboratory.start(laboratory.machine(task))
        return len({laboratory.message(queue) for _ in range(2)})

    matters(observe, 2)


def test_token_that_never_was_is_invalid(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        return code_of(laboratory.clients.stepfunctions.send_task_success, taskToken="what?", output="{}")

    matters(observe, "InvalidToken")


def status_events(laboratory: Laboratory, machine: str) -> str:
    """A function that sends each status event of this machine's ended runs to a queue; returns the queue's URL."""
    queue = laboratory.queue()
    function = laboratory.function(
        f"""
        import boto3, json

        def handler(event, context):
            boto3.client("sqs").send_message(QueueUrl="{queue}", MessageBody=json.dumps(event))
        """
    )
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"status": ["FAILED", "ABORTED", "TIMED_OUT"], "stateMachineArn": [machine]},
    }
    rule = unique("rule")
    laboratory.events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    laboratory.events.put_targets(Rule=rule, Targets=[{"Id": "function", "Arn": function}])
    return queue


def test_status_event_of_a_stopped_run_says_why(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        machine = laboratory.machine(WAITS)
        queue = status_events(laboratory, machine)
        arn = laboratory.start(machine, {"id": "x"})
        laboratory.clients.stepfunctions.stop_execution(executionArn=arn, error="Cancelled", cause="by a test")
        detail = json.loads(laboratory.message(queue))["detail"]
        assert (detail["executionArn"], detail["stateMachineArn"]) == (arn, machine)
        assert (detail["name"], detail["output"]) == (arn.rpartition(":")[2], None)
        assert json.loads(detail["input"]) == {"id": "x"}
        assert detail["inputDetails"] == {"included": True}
        assert detail["stopDate"] >= detail["startDate"] > 10**12  # milliseconds
        return detail["status"], detail["error"], detail["cause"]

    matters(observe, ("ABORTED", "Cancelled", "by a test"))


def test_machine_that_takes_too_long_times_out(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        definition = {"StartAt": "Only", "TimeoutSeconds": 1, "States": {"Only": WAITS | {"Seconds": 3, "End": True}}}
        machine = laboratory.machine_of(definition)
        queue = status_events(laboratory, machine)
        outcome = laboratory.outcome(laboratory.start(machine), patience_seconds=2.5)
        if outcome["status"] == "RUNNING":
            return "RUNNING"
        detail = json.loads(laboratory.message(queue))["detail"]
        return outcome["status"], outcome["error"], detail["status"], detail["error"]

    matters(observe, ("TIMED_OUT", "States.Timeout", "TIMED_OUT", "States.Timeout"))


def test_failed_run_has_no_output(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        return laboratory.run({"Type": "Fail", "Error": "Any"}).get("output")

    matters(observe, None)


def test_history_tells_a_task_as_the_console_does(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        parked = Parked(laboratory, TimeoutSeconds="{% 30 %}")
        seen = kinds(laboratory, parked.arn)
        scheduled = history(laboratory, parked.arn)[2]["taskScheduledEventDetails"]
        parked.succeed()
        parked.settled()
        if "parameters" not in scheduled:
            return seen
        assert json.loads(scheduled["parameters"])["Payload"]["token"] == parked.token
        resource = [scheduled[name] for name in ("resourceType", "resource", "region", "timeoutInSeconds")]
        return seen[:4], resource, kinds(laboratory, parked.arn)[4:]

    matters(
        observe,
        (
            ["ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted"],
            ["lambda", "invoke.waitForTaskToken", "us-east-1", 30],
            ["TaskSubmitted", "TaskSucceeded", "TaskStateExited", "ExecutionSucceeded"],
        ),
    )


def test_history_tells_a_timeout_from_a_failure(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        parked = Parked(laboratory, TimeoutSeconds=1)
        parked.settled()
        event = history(laboratory, parked.arn)[-2]
        return event["type"], event.get("taskTimedOutEventDetails", {}).get("error")

    matters(observe, ("TaskTimedOut", "States.Timeout"))


def test_output_of_a_succeed_state(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        definition = {
            "QueryLanguage": "JSONata",
            "StartAt": "Done",
            "States": {"Done": {"Type": "Succeed", "Output": "{% $states.input.a %}"}},
        }
        return laboratory.outcome(laboratory.start(laboratory.machine_of(definition), {"a": 1}))["output"]

    matters(observe, "1")


EACH = {"StartAt": "Double", "States": {"Double": {"Type": "Pass", "Output": "{% $states.input.n * 2 %}", "End": True}}}


def test_history_has_the_states_within_a_map(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        state = {"Type": "Map", "Items": [{"n": 1}, {"n": 2}], "ItemProcessor": EACH}
        arn = laboratory.start(laboratory.machine(state))
        laboratory.outcome(arn)
        return kinds(laboratory, arn).count("PassStateEntered"), kinds(laboratory, arn).count("PassStateExited")

    matters(observe, (2, 2))


def distributed(**fields: object) -> dict[str, object]:
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Show",
        "States": {
            "Show": {
                "Type": "Pass",
                "Output": {"input": "{% $states.input %}", "own": "{% $states.context.Execution.Input %}"},
                "End": True,
            }
        },
    }
    return {"Type": "Map", "ItemProcessor": processor, "Output": "{% $states.result %}", **fields}


def test_distributed_map_reads_lines_and_makes_batches(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        bucket = unique("list")
        laboratory.s3.create_bucket(Bucket=bucket)
        laboratory.s3.put_object(Bucket=bucket, Key="users.jsonl", Body='"ana"\n"ben"\n"ü"\n'.encode())
        state = distributed(
            ItemReader={
                "Resource": "arn:aws:states:::s3:getObject",
                "ReaderConfig": {"InputType": "JSONL"},
                "Arguments": {"Bucket": "{% $states.input.bucket %}", "Key": "users.jsonl"},
            },
            ItemSelector={"user": "{% $states.context.Map.Item.Value %}"},
            ItemBatcher={"MaxItemsPerBatch": 2, "BatchInput": {"text": "{% $states.input.text %}"}},
            MaxConcurrency="{% 5 %}",
        )
        outcome = laboratory.run(state, {"bucket": bucket, "text": "Hello"})
        return json.loads(outcome["output"]) if outcome["status"] == "SUCCEEDED" else outcome["error"]

    batches = [
        {"BatchInput": {"text": "Hello"}, "Items": [{"user": "ana"}, {"user": "ben"}]},
        {"BatchInput": {"text": "Hello"}, "Items": [{"user": "ü"}]},
    ]
    matters(observe, [{"input": batch, "own": batch} for batch in batches])


def test_distributed_map_takes_its_items_from_the_input(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        state = distributed(Items="{% $states.input.users %}", Output="{% $count($states.result) %}")
        return laboratory.run(state, {"users": ["ana", "ben"]}).get("output")

    matters(observe, "2")


def test_child_of_a_distributed_map_has_a_history(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        arn = laboratory.start(laboratory.machine(distributed(Items=["ana"])))
        laboratory.outcome(arn)
        runs = laboratory.clients.stepfunctions
        (map_run,) = runs.list_map_runs(executionArn=arn)["mapRuns"]
        (child,) = runs.list_executions(mapRunArn=map_run["mapRunArn"])["executions"]
        return kinds(laboratory, child["executionArn"])

    matters(observe, ["PassStateEntered", "PassStateExited"])


def test_unreadable_list_fails_the_map(corrected: Laboratory) -> None:
    bucket = unique("list")
    corrected.s3.create_bucket(Bucket=bucket)
    corrected.s3.put_object(Bucket=bucket, Key="users.jsonl", Body=b"no JSON")
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSONL"},
        "Arguments": {"Bucket": bucket, "Key": "{% $states.input.key %}"},
    }
    machine = corrected.machine(distributed(ItemReader=reader))

    errors = [
        corrected.outcome(corrected.start(machine, {"key": key}))["error"] for key in ("users.jsonl", "nothing.jsonl")
    ]
    assert errors == ["States.ItemReaderFailed", "States.ItemReaderFailed"]
