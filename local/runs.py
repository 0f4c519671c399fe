"""The runs as the Step Functions console shows them: status, the path taken, what it cost."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringback.names import run_arn

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Run:
    """One execution, as it was when it was read."""

    arn: str
    status: str
    output: dict[str, Any] | None
    error: str | None
    cause: str | None
    events: list[dict[str, Any]]

    @property
    def states(self) -> list[str]:
        """The states entered, in order."""
        entered = [event for event in self.events if event["type"].endswith("StateEntered")]
        return [event["stateEnteredEventDetails"]["name"] for event in entered]

    @property
    def billed_transitions(self) -> int:
        """States entered, and retries: what Step Functions bills a Standard run for."""
        kinds = [str(event["type"]) for event in self.events]
        tasks_entered, tasks_tried = kinds.count("TaskStateEntered"), kinds.count("TaskScheduled")
        return len(self.states) + max(0, tasks_tried - tasks_entered)

    @property
    def outputs(self) -> list[tuple[str, Any]]:
        """The states left, with what they handed on."""
        details = [event["stateExitedEventDetails"] for event in self.events if event["type"].endswith("StateExited")]
        return [(detail["name"], json.loads(detail.get("output", "null"))) for detail in details]

    @property
    def woken_by(self) -> list[str]:
        """How each wait ended that a connection ended: by a `reconnect`, or by the `recheck` while parking."""
        return [
            output["wokenBy"]
            for name, output in self.outputs
            if name == "Wait For Reconnect" and isinstance(output, dict) and "wokenBy" in output
        ]

    @property
    def attempts(self) -> int:
        """How many attempts it took: each ends in a wait or in success, but for what was acknowledged late."""
        late = "Acknowledged Late" in self.states
        return self.states.count("Wait For Reconnect") + (self.status == "SUCCEEDED" and not late)


@dataclass(frozen=True)
class Runs:
    """A state machine's runs."""

    client: "SFNClient"
    state_machine_arn: str

    def start(self, envelope: Any, *, name: str | None = None) -> str:
        """Start a run and answer its ARN."""
        answer = self.client.start_execution(
            stateMachineArn=self.state_machine_arn,
            name=name or f"message-{uuid.uuid4()}",
            input=json.dumps(envelope, ensure_ascii=False),
        )
        return answer["executionArn"]

    def arn_of(self, name: str) -> str:
        """The ARN of the run with this name."""
        return run_arn(self.state_machine_arn, name)

    def exists(self, name: str) -> bool:
        """Whether there is, or was, a run with this name."""
        try:
            self.client.describe_execution(executionArn=self.arn_of(name))
        except self.client.exceptions.ExecutionDoesNotExist:
            return False
        return True

    def read(self, arn: str) -> Run:
        """Read a run and its history."""
        execution = self.client.describe_execution(executionArn=arn)
        events: list[Any] = []
        request: dict[str, Any] = {"executionArn": arn, "maxResults": 1000}
        while True:
            page = self.client.get_execution_history(**request)
            events += page["events"]
            if "nextToken" not in page:
                break
            request["nextToken"] = page["nextToken"]
        return Run(
            arn=arn,
            status=execution["status"],
            output=json.loads(execution["output"]) if execution["status"] == "SUCCEEDED" else None,
            error=execution.get("error"),
            cause=execution.get("cause"),
            events=events,
        )

    def await_run(self, arn: str, condition: Callable[[Run], bool], what: str, *, seconds: float = 60) -> Run:
        """Wait until a run is as it should be; raises `TimeoutError` with where it was instead."""
        deadline = time.monotonic() + seconds
        while True:
            run = self.read(arn)
            if condition(run):
                return run
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {seconds:g} s the run is not {what}: {run.status}, at {run.states[-1:]}")
            time.sleep(_POLL_SECONDS)

    def await_end(self, arn: str) -> Run:
        """Wait until a run has ended."""
        return self.await_run(arn, lambda run: run.status != "RUNNING", "ended")

    def await_state(self, arn: str, state: str) -> Run:
        """Wait until a run has entered this state, and no other since."""
        return self.await_run(arn, lambda run: run.states[-1:] == [state], f"at {state}")

    def await_waiting(self, arn: str) -> Run:
        """Wait until the run of a message is parked, or about to be."""
        return self.await_state(arn, "Wait For Reconnect")
