"""The queues of this stack: encrypted, reached over TLS only."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_app.encryption import Encryption

_LONGEST_RETENTION = Duration.days(14)


def dead_letter_queue(
    scope: Construct, construct_id: str, *, encryption: Encryption, removal: RemovalPolicy
) -> sqs.Queue:
    """A queue that somebody looks into some day: it keeps messages as long as SQS can."""
    return sqs.Queue(
        scope,
        construct_id,
        retention_period=_LONGEST_RETENTION,
        encryption=encryption.queue,
        encryption_master_key=encryption.key,
        enforce_ssl=True,
        removal_policy=removal,
    )


def work_queue(
    scope: Construct,
    construct_id: str,
    *,
    encryption: Encryption,
    dead_letters: sqs.Queue,
    max_receives: int,
    handler_timeout: Duration,
) -> sqs.Queue:
    """A queue that a function empties. Invisible for six of its timeouts, as Lambda advises."""
    return sqs.Queue(
        scope,
        construct_id,
        retention_period=_LONGEST_RETENTION,  # a message outlives a function that is switched off
        visibility_timeout=Duration.seconds(6 * handler_timeout.to_seconds()),
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=max_receives),
        encryption=encryption.queue,
        encryption_master_key=encryption.key,
        enforce_ssl=True,
    )


def accept_from(queue: sqs.Queue, service: str, source_arn: str) -> None:
    """Let a service put messages into a queue, on behalf of exactly this topic or rule."""
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal(service)],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={"ArnEquals": {"aws:SourceArn": source_arn}},
        )
    )
