"""What is left to do when a run has ended and its message was not delivered: the function `ended` is told."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk_app import findings, rules
from cdk_app.encryption import Encryption
from cdk_app.functions import Handler
from cdk_app.queues import accept_from, dead_letter_queue

_ENDINGS = ("FAILED", "ABORTED", "TIMED_OUT")
# Both are the most that Lambda offers: two more tries within minutes of one that failed, and hours for a throttled one.
_TRIES_AGAIN = 2
_MAX_AGE = Duration.hours(6)


class Endings(Construct):
    """A rule on the default bus, where Step Functions says what becomes of runs.

    What cannot be told, or what the function fails on, is kept on a queue of its own.
    """

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
        super().__init__(scope, construct_id)
        self.dead_letter_queue = dead_letter_queue(self, "DeadLetterQueue", encryption=encryption, removal=removal)
        rule = events.CfnRule(
            self,
            "Rule",
            description="Runs that ended without delivering their message",
            event_pattern={
                "source": ["aws.states"],
                "detail-type": ["Step Functions Execution Status Change"],
                "detail": {"stateMachineArn": [state_machine.state_machine_arn], "status": list(_ENDINGS)},
            },
            targets=[rules.target("Ended", ended.function.function_arn, dead_letters=self.dead_letter_queue)],
        )
        accept_from(self.dead_letter_queue, "events.amazonaws.com", rule.attr_arn)
        lambda_.CfnPermission(
            self,
            "Invoke",
            action="lambda:InvokeFunction",
            function_name=ended.function.function_arn,
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
        )
        # EventBridge hands over and is done: from there it is Lambda that tries again.
        ended.allow("sqs:SendMessage", on=self.dead_letter_queue.queue_arn)
        lambda_.CfnEventInvokeConfig(
            self,
            "TryAgain",
            function_name=ended.function.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=_TRIES_AGAIN,
            maximum_event_age_in_seconds=_MAX_AGE.to_seconds(),
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=self.dead_letter_queue.queue_arn)
            ),
        )
        findings.accept(self.dead_letter_queue, "SQS3", because="This is the dead letter queue, of what is told here.")
