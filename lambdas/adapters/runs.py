"""The runs in Step Functions: starting them, and completing the ones that wait."""

import json
from collections.abc import Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from lambdas.adapters import aws
from lambdas.core.errors import Throttled
from lambdas.core.ports import Start
from ringback.names import run_arn, same_message

_UNDELIVERED = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})
# How long after the start of a run its own start may be answered.
_ANSWERED_WITHIN = timedelta(seconds=2)
# What Step Functions says of a token whose state has ended: it timed out, was completed before, or its run is over.
_CLOSED = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})


class WaitingRuns:
    """`lambdas.core.ports.TaskTokens` on Step Functions."""

    def __init__(self, *, tries_again: bool = True) -> None:
        """Complete runs; what fails is tried again once, unless the caller does that."""
        self._tries_again = tries_again

    def succeed(self, task_token: str, output: dict[str, Any]) -> bool:
        """Let the run go on with this output; False if it no longer waits on this token.

        Raises:
            Throttled: Step Functions takes no more a second.
        """
        client = aws.step_functions(tries_again=self._tries_again)
        with aws.translated():
            try:
                client.send_task_success(taskToken=task_token, output=json.dumps(output))
            except ClientError as error:
                if aws.code(error) in _CLOSED:
                    return False
                if aws.code(error) == "ThrottlingException":
                    raise Throttled(f"{error.operation_name}: {aws.code(error)}") from None
                raise
        return True


class DeliveryMachine:
    """`lambdas.core.ports.Deliveries` on Step Functions."""

    def __init__(self, arn: str) -> None:
        self.arn = arn

    def start(self, name: str, envelope_json: str) -> Start:
        """Start a run; if the name is taken, say whether it is by the same message."""
        with aws.translated():
            try:
                answer = aws.step_functions().start_execution(stateMachineArn=self.arn, name=name, input=envelope_json)
            except ClientError as error:
                if aws.code(error) != "ExecutionAlreadyExists":
                    raise
                there = aws.step_functions().describe_execution(executionArn=self.execution_arn(name))
                if not same_message(there["input"], envelope_json):
                    return Start.ID_TAKEN
                if there["status"] == "RUNNING":
                    return Start.RUNNING
                return Start.UNDELIVERED if there["status"] in _UNDELIVERED else Start.DUPLICATE
        return Start.RUNNING if _started_before(answer) else Start.STARTED

    def execution_arn(self, name: str) -> str:
        """The ARN of the run with this name."""
        return run_arn(self.arn, name)

    def input_of(self, execution_arn: str) -> str:
        """What a run was started with."""
        with aws.translated():
            return aws.step_functions().describe_execution(executionArn=execution_arn)["input"]


def _started_before(answer: Mapping[str, Any]) -> bool:
    """Whether StartExecution answered with a run that was under way already, for the same input once more is no error.

    Both times are the service's own.
    """
    served_at = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if not served_at:
        return False
    age: timedelta = parsedate_to_datetime(served_at) - answer["startDate"]
    return age > _ANSWERED_WITHIN
