"""The alarms: each names what to look at and what to do, in full in `docs/runbook.md` under the alarm's own name."""

from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True)
class Rule:
    """When there is an alarm: `datapoints` of the last `periods` are at the threshold or above."""

    metric: cloudwatch.IMetric
    threshold: float = 1
    datapoints: int = 1
    periods: int = 1


class Alarms(Construct):
    """Makes every alarm the same way: no data is good news, and a topic hears of the end as well."""

    def __init__(self, scope: Construct, construct_id: str, *, topic_arn: str | None) -> None:
        super().__init__(scope, construct_id)
        self.made: list[cloudwatch.Alarm] = []
        self._topic = sns.Topic.from_topic_arn(self, "Topic", topic_arn) if topic_arn else None

    def add(self, name: str, rule: Rule, text: str) -> None:
        """Add one.

        Args:
            name: of the construct, and of its entry in the runbook.
            rule: when.
            text: what it means and what to do.
        """
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=rule.metric,
            threshold=rule.threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            datapoints_to_alarm=rule.datapoints,
            evaluation_periods=rule.periods,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=f"{text} See {RUNBOOK}, {name}.",
        )
        if self._topic:
            action = actions.SnsAction(self._topic)
            alarm.add_alarm_action(action)
            alarm.add_ok_action(action)
        self.made.append(alarm)
