"""The chats' runs in Step Functions (`statemachines/chat_session.asl.json`)."""

import json
from typing import Any

from botocore.exceptions import ClientError

from lambdas.chat.adapters import aws

# What Step Functions says of a token whose state has ended: it timed out, was completed before, or its run is over.
_CLOSED = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})


class WaitingRuns:
    """`lambdas.chat.core.ports.WaitingRuns`."""

    def go_on(self, task_token: str, situation: dict[str, Any]) -> None:
        """Complete what a run waits on."""
        with aws.translated():
            try:
                aws.step_functions().send_task_success(taskToken=task_token, output=json.dumps(situation))
            except ClientError as error:
                if aws.code(error) not in _CLOSED:
                    raise


class SessionMachine(WaitingRuns):
    """`lambdas.chat.core.ports.Runs`."""

    def __init__(self, arn: str) -> None:
        self.arn = arn

    def start(self, chat_id: str, situation: dict[str, Any]) -> None:
        """Start the chat's run, which has the chat's id for its name."""
        with aws.translated():
            try:
                aws.step_functions().start_execution(
                    stateMachineArn=self.arn, name=chat_id, input=json.dumps({"chatId": chat_id, **situation})
                )
            except ClientError as error:
                if aws.code(error) != "ExecutionAlreadyExists":
                    raise
