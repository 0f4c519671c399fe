"""The delivery machine: one execution carries one message."""

from collections.abc import Mapping

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app import assets, findings
from cdk_app.encryption import Encryption
from cdk_app.functions import Handler
from cdk_app.logs import LogGroups
from cdk_app.machines import make_machine
from cdk_app.queues import dead_letter_queue

DEFINITION = assets.ROOT / "statemachines" / "delivery.asl.json"


class Delivery(Construct):
    """The state machine, and the queue for what it could not deliver."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        tasks: Mapping[str, Handler],
        parameters: Mapping[str, int],
        log_groups: LogGroups,
        encryption: Encryption,
        removal: RemovalPolicy,
    ) -> None:
        """Make them.

        Args:
            scope: the stack.
            construct_id: the name below it.
            tasks: the functions that the states call; the definition has `${<name>FunctionArn}` for each.
            parameters: the numbers that the definition has placeholders for.
            log_groups: make its log.
            encryption: of the queue and the log.
            removal: what becomes of the dead letters with the stack.
        """
        super().__init__(scope, construct_id)
        self.dead_letter_queue = dead_letter_queue(self, "DeadLetterQueue", encryption=encryption, removal=removal)
        self.state_machine, role = make_machine(
            self,
            definition=DEFINITION,
            tasks=tasks,
            substitutions={
                "DeadLetterQueueUrl": self.dead_letter_queue.queue_url,
                **{name: str(value) for name, value in parameters.items()},
            },
            log_groups=log_groups,
            encryption=encryption,
        )
        role.add_to_principal_policy(
            iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[self.dead_letter_queue.queue_arn])
        )
        findings.accept(self.dead_letter_queue, "SQS3", because="This is the dead letter queue, of the state machine.")

    def allow_describing(self, handler: Handler) -> None:
        """Let a function read what a run was started with."""
        self._allow_on_runs(handler, "states:DescribeExecution")

    def allow_tracking(self, handler: Handler) -> None:
        """Let a function read how a run goes, and stop it."""
        self._allow_on_runs(handler, "states:DescribeExecution", "states:GetExecutionHistory", "states:StopExecution")

    def _allow_on_runs(self, handler: Handler, *actions: str) -> None:
        stack = Stack.of(self)
        name = self.state_machine.state_machine_name
        runs = stack.format_arn(
            service="states",
            resource="execution",
            resource_name=f"{name}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        handler.allow(*actions, on=runs)
        machine = "<" + ".".join(stack.resolve(name)["Fn::GetAtt"]) + ">"
        findings.accept(
            handler.role,
            f"IAM5[Resource::arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:{machine}:*]",
            because="Runs come and go, named after their messages; the machine is exact.",
        )
