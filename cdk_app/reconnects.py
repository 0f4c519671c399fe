"""How a reconnect becomes a wake: the stream of the connections table."""

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app.functions import Handler

_BATCH_SIZE = 100
_BATCHES_AT_ONCE = 10
# A failed batch is tried again for as long, however often that is: the waiting run's own timeout may be two hours away.
# Then it has to go, because all later reconnects of its users wait behind it.
_MAX_AGE = Duration.hours(1)


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
            # Making this takes minutes, and a connection stored meanwhile must wake, too. The stream is as new as this.
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            filters=[lambda_.FilterCriteria.filter({"eventName": lambda_.FilterRule.is_equal("INSERT")})],
            batch_size=_BATCH_SIZE,
            parallelization_factor=_BATCHES_AT_ONCE,
            max_record_age=_MAX_AGE,
            bisect_batch_on_error=True,
            report_batch_item_failures=True,
        )
