"""How a function hears of what changes in a table: the table's stream."""

from collections.abc import Mapping
from typing import Any, cast

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_app.functions import Handler


def read_stream(
    scope: Construct,
    *,
    of: dynamodb.Table,
    by: Handler,
    only: Mapping[str, Any],
    batch_size: int,
    batches_at_once: int,
    max_age: Duration,
    given_up: sqs.Queue | None = None,
) -> None:
    """Have the function invoked for these changes and for no other, as `Source` in this scope.

    Args:
        scope: what it belongs to.
        of: the table; it has a stream.
        by: the function; it answers which records failed, and those come again, with all that follow.
        only: the filter's pattern.
        batch_size: so many changes at most in one invocation.
        batches_at_once: of one shard of the stream; 1 keeps the whole shard in order, more only the changes of each
            item (partition and sort key).
        max_age: for as long a failed batch is tried again, however often that is; all that follow wait behind it.
        given_up: where Lambda then notes which batch it was.
    """
    stream = of.table_stream_arn
    if stream is None:
        raise ValueError(f"{of.node.path} needs a stream.")
    by.allow(
        "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams", on=stream
    )
    source = lambda_.EventSourceMapping(
        scope,
        "Source",
        target=by.function,
        event_source_arn=stream,
        # Making this takes minutes, and what is stored meanwhile must be heard of, too. On a stream that is there
        # already it begins with what is no older than a record may be.
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        filters=[lambda_.FilterCriteria.filter(dict(only))],
        batch_size=batch_size,
        parallelization_factor=batches_at_once,
        max_record_age=max_age,
        bisect_batch_on_error=True,
        report_batch_item_failures=True,
    )
    if given_up:
        by.allow("sqs:SendMessage", on=given_up.queue_arn)
        # The L2's own way grants more than that, on the queue and on its key.
        cast(
            "lambda_.CfnEventSourceMapping", source.node.default_child
        ).destination_config = lambda_.CfnEventSourceMapping.DestinationConfigProperty(
            on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(destination=given_up.queue_arn)
        )
