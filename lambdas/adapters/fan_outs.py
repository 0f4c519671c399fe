"""The fan-outs in Step Functions."""

import json

from botocore.exceptions import ClientError

from lambdas.adapters import aws
from lambdas.core.errors import ServiceUnavailable
from lambdas.core.ports import Start
from ringback.names import identity, run_arn


class FanOutMachine:
    """The machine that carries one message to many people."""

    def __init__(self, arn: str) -> None:
        self.arn = arn

    def execution_arn(self, name: str) -> str:
        """The ARN of the run with this name."""
        return run_arn(self.arn, name)

    def start(self, name: str, fan_out_json: str) -> Start:
        """Start a run; if the name is taken, say whether it is by the same fan-out.

        Raises:
            ServiceUnavailable: it is not known whether it started; the same call may be made again.
        """
        with aws.translated():
            # To the service, the same once more while it runs is the same start: so this is asked first.
            there = self._input(name)
            if there is None:
                try:
                    aws.step_functions().start_execution(stateMachineArn=self.arn, name=name, input=fan_out_json)
                except ClientError as error:
                    if aws.code(error) != "ExecutionAlreadyExists":
                        raise
                    there = self._input(name)
                else:
                    return Start.STARTED
        if there is None:
            # It has just been started by somebody else, and cannot be read yet.
            raise ServiceUnavailable("DescribeExecution: ExecutionDoesNotExist")
        return Start.DUPLICATE if _identity(there) == _identity(fan_out_json) else Start.ID_TAKEN

    def _input(self, name: str) -> str | None:
        try:
            return aws.step_functions().describe_execution(executionArn=self.execution_arn(name))["input"]
        except ClientError as error:
            if aws.code(error) != "ExecutionDoesNotExist":
                raise
        return None


def _identity(fan_out_json: str) -> str:
    fan_out = json.loads(fan_out_json)
    if isinstance(fan_out, dict) and isinstance(fan_out.get("message"), dict):
        fan_out = {**fan_out, "message": identity(fan_out["message"])}
    return json.dumps(fan_out, sort_keys=True)  # as text: in Python, true is 1
