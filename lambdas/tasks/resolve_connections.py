"""Resolve Connections: read the message, find the recipient's open connections."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.management_api import ManagementApi
from lambdas.adapters.tables import ConnectionTable, SequenceTable
from lambdas.clock import SystemClock
from lambdas.core import delivery
from lambdas.core.errors import InvalidMessage, MessageExpired, NoOpenConnection
from lambdas.observability import instrumented


@instrumented(InvalidMessage, MessageExpired, NoOpenConnection)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the open connections."""
    environment = settings.load(settings.ResolveConnections)
    attempt = delivery.Attempt.from_task(
        event,
        default_ttl_seconds=environment.default_ttl_seconds,
        sequences=SequenceTable(environment.sequences_table_name),
    )
    found = delivery.resolve(
        attempt,
        connections=ConnectionTable(environment.connections_table_name),
        sockets=ManagementApi(),
        clock=SystemClock(),
    )
    return {"connections": [connection.to_state() for connection in found]}
