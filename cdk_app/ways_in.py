"""How messages come in, beside StartExecution: a topic, and the queue that `ingest` empties."""

from typing import cast

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from cdk_app.encryption import Encryption
from cdk_app.functions import Handler
from cdk_app.queues import dead_letter_queue, work_queue

# Ingest sets aside by itself what is no message. What it fails on for longer is a good message in bad times, such as
# throttling, and each failure costs it a receive: a few would make a dead letter of it.
_MAX_RECEIVES = 100
_BATCH_SIZE = 10


class WaysIn(Construct):
    """Topic, queue, and the dead letter queue of the way in: for what is no message at all."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        handler_timeout: Duration,
        encryption: Encryption,
        removal: RemovalPolicy,
    ) -> None:
        super().__init__(scope, construct_id)
        self._encryption = encryption
        self.dead_letter_queue = dead_letter_queue(
            self, "IngestDeadLetterQueue", encryption=encryption, removal=removal
        )
        self.queue = work_queue(
            self,
            "IngestQueue",
            encryption=encryption,
            dead_letters=self.dead_letter_queue,
            max_receives=_MAX_RECEIVES,
            handler_timeout=handler_timeout,
        )
        self.topic = sns.Topic(self, "MessageTopic", enforce_ssl=True)
        # The L2 topic takes no name of a key.
        cast("sns.CfnTopic", self.topic.node.default_child).kms_master_key_id = encryption.topic_key_id
        self.queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("sns.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": self.topic.topic_arn}},
            )
        )
        # Not the topic's own add_subscription: with one key for both ends it ties a knot (key, topic, key).
        sns.Subscription(
            self,
            "Subscription",
            topic=self.topic,
            protocol=sns.SubscriptionProtocol.SQS,
            endpoint=self.queue.queue_arn,
            raw_message_delivery=True,
            dead_letter_queue=self.dead_letter_queue,
        )

    def feed(self, ingest: Handler, *, max_concurrency: int) -> None:
        """Let this function empty the queue."""
        ingest.allow(
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
            on=self.queue.queue_arn,
        )
        self._encryption.allow_writing(ingest.role)
        lambda_.EventSourceMapping(
            self,
            "Source",
            target=ingest.function,
            event_source_arn=self.queue.queue_arn,
            batch_size=_BATCH_SIZE,
            report_batch_item_failures=True,
            max_concurrency=max_concurrency,
        )
