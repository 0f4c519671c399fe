"""Post And Await Acknowledgement: post the message; the run goes on when the client acknowledges it."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.management_api import ManagementApi
from lambdas.adapters.tables import CallbackTable, ConnectionTable, SequenceTable
from lambdas.clock import SystemClock
from lambdas.core import delivery
from lambdas.core.errors import ConnectionGone, InvalidMessage, MessageExpired, PostThrottled, Superseded
from lambdas.observability import count_posts, instrumented


@instrumented(ConnectionGone, InvalidMessage, MessageExpired, PostThrottled, Superseded)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Answer nothing: the acknowledgement carries the run's output."""
    environment = settings.load(settings.PostAndAwaitAcknowledgement)
    attempt = delivery.Attempt.from_task(
        event,
        default_ttl_seconds=environment.default_ttl_seconds,
        sequences=SequenceTable(environment.sequences_table_name),
    )
    clock = SystemClock()
    callbacks = CallbackTable(environment.callbacks_table_name)
    with delivery.awaiting_acknowledgement(
        attempt, delivery.Waiting.from_task(event), callbacks=callbacks, clock=clock
    ):
        receipt = delivery.post(
            attempt,
            attempt.targets(event),
            connections=ConnectionTable(environment.connections_table_name),
            sockets=ManagementApi(),
            clock=clock,
        )
        count_posts(receipt)
        receipt.require_delivery()
