"""Post To Connections: post the message; delivered when one connection took it."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.management_api import ManagementApi
from lambdas.adapters.tables import ConnectionTable, SequenceTable
from lambdas.clock import SystemClock
from lambdas.core import delivery
from lambdas.core.errors import ConnectionGone, InvalidMessage, MessageExpired, PostThrottled
from lambdas.observability import count_delivery, count_posts, instrumented


@instrumented(ConnectionGone, InvalidMessage, MessageExpired, PostThrottled)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the run's output."""
    environment = settings.load(settings.PostToConnections)
    clock = SystemClock()
    attempt = delivery.Attempt.from_task(
        event,
        default_ttl_seconds=environment.default_ttl_seconds,
        sequences=SequenceTable(environment.sequences_table_name),
    )
    receipt = delivery.post(
        attempt,
        attempt.targets(event),
        connections=ConnectionTable(environment.connections_table_name),
        sockets=ManagementApi(),
        clock=clock,
    )
    count_posts(receipt)
    receipt.require_delivery()
    count_delivery(attempt.message.accepted_at, clock.now())
    return {"status": "delivered", "messageId": attempt.message.id, "attempt": attempt.number, **receipt.to_state()}
