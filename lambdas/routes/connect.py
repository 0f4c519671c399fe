"""$connect: store the connection. The recipient is what the authorizer verified, never what the client says."""

from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.management_api import ManagementApi
from lambdas.adapters.tables import ConnectionTable
from lambdas.clock import SystemClock
from lambdas.core import presence
from lambdas.core.errors import ServiceUnavailable
from lambdas.observability import Metric, count, instrumented
from lambdas.routes import requests


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the handshake: 200, 429 at the user's limit, 503 if the store cannot be reached; 400 what is none."""
    if refusal := requests.refusal(event, unless="CONNECT"):
        return refusal
    environment = settings.load(settings.Connect)
    clock = SystemClock()
    connection = requests.connection(
        event,
        now=clock.now(),
        life=timedelta(minutes=environment.connection_ttl_minutes),
        endpoint=environment.management_endpoint,
    )
    try:
        presence.admit(
            connection,
            limit=environment.max_connections_per_user,
            policy=environment.connection_limit_policy,
            connections=ConnectionTable(environment.connections_table_name),
            sockets=ManagementApi(),
            clock=clock,
        )
    except presence.ConnectionLimitReached as error:
        count(Metric.REFUSED)
        return requests.answer(429, str(error))
    except ServiceUnavailable as error:
        return requests.unavailable(error)
    count(Metric.CONNECTED)
    return requests.accepted(event)
