"""$disconnect: forget exactly the connection that closed. Comes late, twice, or never."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.tables import ConnectionTable
from lambdas.clock import SystemClock
from lambdas.core.errors import ServiceUnavailable
from lambdas.observability import Metric, count, instrumented, measure
from lambdas.routes import requests


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer 200 whether or not the connection was known, 503 if the store cannot be reached; 400 to a frame."""
    if refusal := requests.refusal(event, unless="DISCONNECT"):
        return refusal
    connections = ConnectionTable(settings.load(settings.Disconnect).connections_table_name)
    try:
        known = connections.delete(requests.recipient(event), requests.connection_id(event))
    except ServiceUnavailable as error:
        return requests.unavailable(error)
    count(Metric.DISCONNECTED if known else Metric.NOT_FOUND)
    if known:
        measure(Metric.CONNECTION_TIME, since=known.connected_at, until=SystemClock().now())
    return requests.answer(200)
