"""The targets of EventBridge's rules: tried for as long as there is, and what never arrives is kept."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_sqs as sqs

_LONGEST = Duration.hours(24)
_MOST_RETRIES = 185


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
