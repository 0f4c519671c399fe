"""How a function hears of connections that come and go: the stream of the connections table."""

from typing import Literal

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app.functions import Handler
from cdk_app.streams import read_stream

Kind = Literal["INSERT", "REMOVE"]

_BATCH_SIZE = 100
_BATCHES_AT_ONCE = 10
# A failed batch is tried again for as long, however often that is: the waiting run's own timeout may be two hours away.
# Then it has to go, because all later changes of its users wait behind it.
_MAX_AGE = Duration.hours(1)


class ConnectionChanges(Construct):
    """Every change of these kinds to the connections table invokes the function; no other does.

    A stream has two readers at most. `wake` is one of them, and `presence` the other: a third would slow both down.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        connections: dynamodb.Table,
        kinds: tuple[Kind, ...],
        handler: Handler,
    ) -> None:
        super().__init__(scope, construct_id)
        read_stream(
            self,
            of=connections,
            by=handler,
            only={"eventName": lambda_.FilterRule.or_(*kinds)},
            batch_size=_BATCH_SIZE,
            batches_at_once=_BATCHES_AT_ONCE,
            max_age=_MAX_AGE,
        )
