"""How messages come in, beside calls: a topic, a bus of events, and the queue of both that `ingest` empties."""

from typing import cast

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from cdk_app import rules
from cdk_app.encryption import Encryption
from cdk_app.functions import Handler
from cdk_app.queues import accept_from, dead_letter_queue, work_queue

MESSAGE_EVENT = "ringback.message"

# Ingest sets aside by itself what is no message. What it fails on for longer is a good message in bad times, such as
# throttling, and each failure costs it a receive: a few would make a dead letter of it. It comes again within seconds a
# hundred times, and then once in a visibility timeout: about two days in all. SQS counts to 1,000.
_MAX_RECEIVES = 1_000
_BATCH_SIZE = 10


class WaysIn(Construct):
    """Topic, bus, queue, and the dead letter queue of the way in: for what is no message at all."""

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
        accept_from(self.queue, "sns.amazonaws.com", self.topic.topic_arn)
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
        self.bus = self._message_bus()

    def _message_bus(self) -> events.EventBus:
        """A bus of our own: who may put events on it may send messages, and the default bus is everybody's."""
        bus = events.EventBus(self, "MessageBus", kms_key=self._encryption.key)
        rule = events.CfnRule(
            self,
            "Messages",
            description="Messages, as events, to the queue of the topic",
            event_bus_name=bus.event_bus_name,
            event_pattern={"detail-type": [MESSAGE_EVENT]},
            targets=[
                rules.target(
                    "IngestQueue", self.queue.queue_arn, dead_letters=self.dead_letter_queue, input_path="$.detail"
                )
            ],
        )
        for queue in (self.queue, self.dead_letter_queue):
            accept_from(queue, "events.amazonaws.com", rule.attr_arn)
        return bus

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
