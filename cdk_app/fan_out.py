"""The fan-out machine: one execution posts one message to many people."""

from collections.abc import Mapping

from aws_cdk import ArnFormat, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_app import assets, findings
from cdk_app.encryption import Encryption
from cdk_app.functions import Handler
from cdk_app.logs import LogGroups
from cdk_app.machines import make_machine

DEFINITION = assets.ROOT / "statemachines" / "fan_out.asl.json"

# As the definition labels the state that works on a stored list: its executions' names begin with it.
STORED_LIST_LABEL = "StoredList"
_LISTS_ARE_KEPT = Duration.days(30)
_RUNS_ARE_NAMED_AFTER_FAN_OUTS = "Runs come and go, named after their fan-outs; the machine is exact."


class FanOut(Construct):
    """The state machine, and the bucket for lists of users."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        tasks: Mapping[str, Handler],
        log_groups: LogGroups,
        encryption: Encryption,
        removal: RemovalPolicy,
    ) -> None:
        """Make them.

        Args:
            scope: the stack.
            construct_id: the name below it.
            tasks: the functions that the states call; the definition has `${<name>FunctionArn}` for each.
            log_groups: make its log.
            encryption: of the bucket and the log.
            removal: what becomes of the bucket with the stack.
        """
        super().__init__(scope, construct_id)
        self.audiences = s3.Bucket(
            self,
            "Audiences",
            encryption=s3.BucketEncryption.KMS if encryption.key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=encryption.key,
            bucket_key_enabled=True if encryption.key else None,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            lifecycle_rules=[
                s3.LifecycleRule(expiration=_LISTS_ARE_KEPT, abort_incomplete_multipart_upload_after=Duration.days(1))
            ],
            removal_policy=removal,
        )
        self.state_machine, self._role = make_machine(
            self,
            definition=DEFINITION,
            tasks=tasks,
            substitutions={"AudienceBucketName": self.audiences.bucket_name},
            log_groups=log_groups,
            encryption=encryption,
        )
        self._role.add_to_principal_policy(
            iam.PolicyStatement(actions=["s3:GetObject"], resources=[self.audiences.arn_for_objects("*")])
        )
        self._let_it_start_its_own()
        self._accept_findings()

    def allow_starting(self, handler: Handler) -> None:
        """Let a function start a run, and read what one of that name was started with."""
        handler.allow("states:StartExecution", on=self.state_machine.state_machine_arn)
        handler.allow("states:DescribeExecution", on=self._runs())
        findings.accept(handler.role, self._finding(), because=_RUNS_ARE_NAMED_AFTER_FAN_OUTS)

    def _let_it_start_its_own(self) -> None:
        """A stored list is worked on in executions of the same machine, with the grants that CDK gives for that.

        A policy of its own: in the role's, the machine would wait for the role, and the role for the machine.
        """
        label = f"/{STORED_LIST_LABEL}"
        policy = iam.Policy(
            self,
            "StartItsOwn",
            roles=[self._role],
            statements=[
                iam.PolicyStatement(
                    actions=["states:StartExecution"], resources=[self.state_machine.state_machine_arn]
                ),
                iam.PolicyStatement(
                    actions=["states:DescribeExecution", "states:StopExecution"], resources=[self._runs()]
                ),
                iam.PolicyStatement(actions=["states:RedriveExecution"], resources=[self._runs(label)]),
            ],
        )
        findings.accept(policy, self._finding(), because=_RUNS_ARE_NAMED_AFTER_FAN_OUTS)
        findings.accept(
            policy,
            self._finding(label),
            because="Step Functions names the executions that work on a stored list; machine and state are exact.",
        )

    def _runs(self, label: str = "") -> str:
        """The ARN of all executions, or of those that a state with a label starts."""
        return Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self.state_machine.state_machine_name}{label}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )

    def _finding(self, label: str = "") -> str:
        """What cdk-nag calls a grant on them."""
        machine = "<" + ".".join(Stack.of(self).resolve(self.state_machine.state_machine_name)["Fn::GetAtt"]) + ">"
        runs = f"arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:{machine}{label}:*"
        return f"IAM5[Resource::{runs}]"

    def _accept_findings(self) -> None:
        bucket = f"<{Stack.of(self).resolve(self.audiences.bucket_arn)['Fn::GetAtt'][0]}.Arn>"
        findings.accept(
            self._role,
            f"IAM5[Resource::{bucket}/*]",
            because="Backends name the lists they put there; the bucket is exact, and holds nothing else.",
        )
        findings.accept(
            self.audiences,
            "S1",
            because="Lists are written by the account's own backends and gone after a month; CloudTrail has who did.",
        )
