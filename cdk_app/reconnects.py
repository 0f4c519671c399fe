"""How a reconnect becomes a wake: the stream of the connections table."""

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app.functions import Handler

_BATCH_SIZE = 100
_BATCHES_AT_ONCE = 10
# A wake that comes later than this is of no use: the waiting run's own timeout has looked by then.
_MAX_AGE = Duration.minutes(5)


class Reconnects(Construct):
    """Every connection that is stored invokes `wake`; deletions and updates do not."""

    def __init__(self, scope: Construct, construct_id: str, *, connections: dynamodb.Table, wake: Handler) -> None:
        super().__init__(scope, construct_id)
        stream = connections.table_stream_arn
        if stream is None:
            raise ValueError("The connections table needs a stream.")
        wake.allow(
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
            on=stream,
        )
        lambda_.EventSourceMapping(
            self,
            "Source",
            target=wake.function,
            event_source_arn=stream,
            starting_position=lambda_.StartingPosition.LATEST,
            filters=[lambda_.FilterCriteria.filter({"eventName": lambda_.FilterRule.is_equal("INSERT")})],
            batch_size=_BATCH_SIZE,
            parallelization_factor=_BATCHES_AT_ONCE,
            max_record_age=_MAX_AGE,
            bisect_batch_on_error=True,
            report_batch_item_failures=True,
        )
