"""The log groups of this stack: kept as long as the stage says."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_app.encryption import Encryption

RETENTION = {
    1: logs.RetentionDays.ONE_DAY,
    3: logs.RetentionDays.THREE_DAYS,
    5: logs.RetentionDays.FIVE_DAYS,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    60: logs.RetentionDays.TWO_MONTHS,
    90: logs.RetentionDays.THREE_MONTHS,
    120: logs.RetentionDays.FOUR_MONTHS,
    150: logs.RetentionDays.FIVE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    400: logs.RetentionDays.THIRTEEN_MONTHS,
    545: logs.RetentionDays.EIGHTEEN_MONTHS,
    731: logs.RetentionDays.TWO_YEARS,
    1096: logs.RetentionDays.THREE_YEARS,
    1827: logs.RetentionDays.FIVE_YEARS,
    3653: logs.RetentionDays.TEN_YEARS,
}


class LogGroups:
    """Makes every log group the same way."""

    def __init__(self, *, retention_days: int, encryption: Encryption, removal: RemovalPolicy) -> None:
        self._retention = RETENTION[retention_days]
        self._encryption = encryption
        self._removal = removal

    def make(self, scope: Construct, construct_id: str = "LogGroup") -> logs.LogGroup:
        """Make one."""
        return logs.LogGroup(
            scope,
            construct_id,
            retention=self._retention,
            encryption_key=self._encryption.key,
            removal_policy=self._removal,
        )
