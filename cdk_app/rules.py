"""EventBridge's rules: their targets are tried for as long as there is, and what never arrives is kept."""

from collections.abc import Mapping, Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_app import findings
from cdk_app.encryption import Encryption
from cdk_app.functions import Handler
from cdk_app.queues import accept_from, dead_letter_queue

_LONGEST = Duration.hours(24)
_MOST_RETRIES = 185
# Both are the most that Lambda offers: two more tries within minutes of one that failed, and hours for a throttled one.
_TRIES_AGAIN = 2
_MAX_AGE = Duration.hours(6)

Pattern = Mapping[str, Sequence[str] | Mapping[str, Sequence[str]]]


def target(
    target_id: str, arn: str, *, dead_letters: sqs.Queue, input_path: str | None = None
) -> events.CfnRule.TargetProperty:
    """A target. Without an input path it gets the whole event."""
    return events.CfnRule.TargetProperty(
        id=target_id,
        arn=arn,
        input_path=input_path,
        dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=dead_letters.queue_arn),
        retry_policy=events.CfnRule.RetryPolicyProperty(
            maximum_event_age_in_seconds=_LONGEST.to_seconds(), maximum_retry_attempts=_MOST_RETRIES
        ),
    )


class Told(Construct):
    """A rule that tells one function of events, and the queue for what it cannot be told or fails on."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        handler: Handler,
        of: str,
        pattern: Pattern,
        bus_name: str | None = None,
        encryption: Encryption,
        removal: RemovalPolicy,
    ) -> None:
        """Make them.

        Args:
            scope: the stack.
            construct_id: the name below it.
            handler: the function.
            of: what these events are, for people.
            pattern: which events.
            bus_name: where they are put; the default bus, where services speak, unless told.
            encryption: of the queue.
            removal: what becomes of the queue with the stack.
        """
        super().__init__(scope, construct_id)
        self.dead_letter_queue = dead_letter_queue(self, "DeadLetterQueue", encryption=encryption, removal=removal)
        arn = handler.function.function_arn
        rule = events.CfnRule(
            self,
            "Rule",
            description=of,
            event_bus_name=bus_name,
            event_pattern=pattern,
            targets=[target(handler.node.id, arn, dead_letters=self.dead_letter_queue)],
        )
        accept_from(self.dead_letter_queue, "events.amazonaws.com", rule.attr_arn)
        lambda_.CfnPermission(
            self,
            "Invoke",
            action="lambda:InvokeFunction",
            function_name=arn,
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
        )
        # EventBridge hands over and is done: from there it is Lambda that tries again.
        handler.allow("sqs:SendMessage", on=self.dead_letter_queue.queue_arn)
        lambda_.CfnEventInvokeConfig(
            self,
            "TryAgain",
            function_name=handler.function.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=_TRIES_AGAIN,
            maximum_event_age_in_seconds=_MAX_AGE.to_seconds(),
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=self.dead_letter_queue.queue_arn)
            ),
        )
        findings.accept(self.dead_letter_queue, "SQS3", because="This is the dead letter queue, of what is told here.")
