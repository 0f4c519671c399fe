"""Encryption at rest: with AWS's keys, or with one key of the stage's own."""

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

_READ = ("kms:Decrypt", "kms:DescribeKey")
_READ_AND_WRITE = (*_READ, "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo")


class Encryption(Construct):
    """How everything that keeps data is encrypted, and who may use the key."""

    def __init__(self, scope: Construct, construct_id: str, *, customer_managed: bool, removal: RemovalPolicy) -> None:
        super().__init__(scope, construct_id)
        self.key: kms.Key | None = None
        if customer_managed:
            self.key = kms.Key(
                self,
                "Key",
                description=f"{Stack.of(self).stack_name}: tables, queues, topic and logs",
                enable_key_rotation=True,
                removal_policy=removal,
            )
            self._let_services_use(self.key)
        self.table = (
            dynamodb.TableEncryption.CUSTOMER_MANAGED if customer_managed else dynamodb.TableEncryption.AWS_MANAGED
        )
        self.queue = sqs.QueueEncryption.KMS if customer_managed else sqs.QueueEncryption.SQS_MANAGED
        self.topic_key: kms.IKey = self.key or kms.Alias.from_alias_name(self, "TopicKey", "alias/aws/sns")

    def allow_reading(self, role: iam.IRole) -> None:
        """Let a role read what the key encrypts."""
        self._allow(role, _READ)

    def allow_writing(self, role: iam.IRole) -> None:
        """Let a role read and write what the key encrypts."""
        self._allow(role, _READ_AND_WRITE)

    def _allow(self, role: iam.IRole, actions: tuple[str, ...]) -> None:
        if self.key:
            role.add_to_principal_policy(iam.PolicyStatement(actions=list(actions), resources=[self.key.key_arn]))

    def _let_services_use(self, key: kms.Key) -> None:
        """CloudWatch Logs for this stack's log groups; SNS for what it puts into encrypted queues."""
        stack = Stack.of(self)
        log_groups = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"{stack.stack_name}-*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
                resources=["*"],  # in a key's policy, that is the key
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": log_groups}},
            )
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("sns.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            )
        )
