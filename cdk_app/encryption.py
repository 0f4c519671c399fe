"""Encryption at rest: with AWS's keys, or with one key of the stage's own."""

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

_READ_AND_WRITE = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
_READ = ("kms:Decrypt", "kms:DescribeKey")
# The plain name: SNS makes this key where an account has none yet. By the alias's ARN, which the CDK would write, it
# may find no key (aws-cdk#22605).
_KEY_OF_SNS = "alias/aws/sns"


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
        self.topic_key_id = self.key.key_arn if self.key else _KEY_OF_SNS

    def allow_writing(self, role: iam.IRole) -> None:
        """Let a role read and write what the key encrypts."""
        if self.key:
            role.add_to_principal_policy(
                iam.PolicyStatement(actions=list(_READ_AND_WRITE), resources=[self.key.key_arn])
            )

    def allow_reading(self, role: iam.IRole) -> None:
        """Let a role read what the key encrypts, and no more: it belongs to another stack."""
        if self.key:
            role.add_to_principal_policy(iam.PolicyStatement(actions=list(_READ), resources=[self.key.key_arn]))

    def _let_services_use(self, key: kms.Key) -> None:
        """CloudWatch Logs for this stack's log groups; SNS and EventBridge for what they put into encrypted queues."""
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
        for service in ("sns.amazonaws.com", "events.amazonaws.com"):
            key.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal(service)],
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=["*"],
                    conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
                )
            )
