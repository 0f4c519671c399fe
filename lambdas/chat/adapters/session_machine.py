"""The chats' runs in Step Functions (`statemachines/chat_session.asl.json`)."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from lambdas.chat.adapters import aws

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# What Step Functions says of a token whose state has ended: it timed out, was completed before, or its run is over.
_CLOSED = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})


@dataclass(frozen=True)
class WaitingRuns:
    """`lambdas.chat.core.ports.WaitingRuns`."""

    client: "SFNClient"

    def go_on(self, task_token: str, situation: dict[str, Any]) -> None:
        """Complete what a run waits on."""
        with aws.translated():
            try:
                self.client.send_task_success(taskToken=task_token, output=json.dumps(situation))
            except ClientError as error:
                if aws.code(error) not in _CLOSED:
                    raise


@dataclass(frozen=True)
class SessionMachine(WaitingRuns):
    """`lambdas.chat.core.ports.Runs`."""

    arn: str

    def start(self, chat_id: str, situation: dict[str, Any]) -> None:
        """Start the chat's run, which has the chat's id for its name."""
        with aws.translated():
            try:
                self.client.start_execution(
                    stateMachineArn=self.arn, name=chat_id, input=json.dumps({"chatId": chat_id, **situation})
                )
            except ClientError as error:
                if aws.code(error) != "ExecutionAlreadyExists":
                    raise
