"""The chat's machine: one execution is one chat."""

from collections.abc import Mapping, Sequence

from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app import assets
from cdk_app.encryption import Encryption
from cdk_app.functions import Handler
from cdk_app.logs import LogGroups
from cdk_app.machines import make_machine

DEFINITION = assets.ROOT / "statemachines" / "chat_session.asl.json"


class ChatSession(Construct):
    """The state machine."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        tasks: Mapping[str, Handler],
        log_groups: LogGroups,
        encryption: Encryption,
    ) -> None:
        super().__init__(scope, construct_id)
        self.state_machine, _role = make_machine(
            self, definition=DEFINITION, tasks=tasks, log_groups=log_groups, encryption=encryption
        )

    def allow_completing(self, handlers: Sequence[Handler]) -> None:
        """Let functions complete what runs wait on.

        A policy of its own: in the roles', AwaitChange would wait for the machine, and the machine for it.
        """
        iam.Policy(
            self,
            "CompleteWaits",
            roles=[handler.role for handler in handlers],
            statements=[
                iam.PolicyStatement(
                    actions=["states:SendTaskSuccess"], resources=[self.state_machine.state_machine_arn]
                )
            ],
        )
