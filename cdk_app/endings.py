"""What is left to do when a run has ended and its message was not delivered: the function `ended` is told."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk_app.encryption import Encryption
from cdk_app.functions import Handler
from cdk_app.rules import Told

_ENDINGS = ("FAILED", "ABORTED", "TIMED_OUT")


class Endings(Told):
    """Step Functions says on the default bus what becomes of runs."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        state_machine: sfn.StateMachine,
        ended: Handler,
        encryption: Encryption,
        removal: RemovalPolicy,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            handler=ended,
            of="Runs that ended without delivering their message",
            pattern={
                "source": ["aws.states"],
                "detail-type": ["Step Functions Execution Status Change"],
                "detail": {"stateMachineArn": [state_machine.state_machine_arn], "status": list(_ENDINGS)},
            },
            encryption=encryption,
            removal=removal,
        )
