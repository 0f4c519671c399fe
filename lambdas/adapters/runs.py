"""The runs in Step Functions: starting them, and completing the ones that wait."""

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from lambdas.adapters import aws
from lambdas.core.intake import same_message
from lambdas.core.ports import Start

# What Step Functions says of a token whose state has ended: it timed out, was completed before, or its run is over.
_CLOSED = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})


class WaitingRuns:
    """`lambdas.core.ports.TaskTokens` on Step Functions."""

    def succeed(self, task_token: str, output: dict[str, Any]) -> bool:
        """Let the run go on with this output; False if it no longer waits on this token."""
        with aws.translated():
            try:
                aws.step_functions().send_task_success(taskToken=task_token, output=json.dumps(output))
            except ClientError as error:
                if aws.code(error) in _CLOSED:
                    return False
                raise
        return True


@dataclass(frozen=True)
class DeliveryMachine:
    """`lambdas.core.ports.Deliveries` on Step Functions."""

    arn: str

    def start(self, name: str, envelope_json: str) -> Start:
        """Start a run; if the name is taken, say whether it is by the same message."""
        with aws.translated():
            try:
                aws.step_functions().start_execution(stateMachineArn=self.arn, name=name, input=envelope_json)
            except ClientError as error:
                if aws.code(error) != "ExecutionAlreadyExists":
                    raise
                arn = f"{self.arn.replace(':stateMachine:', ':execution:')}:{name}"
                there = aws.step_functions().describe_execution(executionArn=arn)["input"]
                return Start.DUPLICATE if same_message(there, envelope_json) else Start.ID_TAKEN
        return Start.STARTED
