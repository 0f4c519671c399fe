"""ack: the client has one or many messages; their runs go on. Only the recipient's own connections can say so."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.runs import WaitingRuns
from lambdas.adapters.tables import CallbackTable, ConnectionTable
from lambdas.clock import SystemClock
from lambdas.core import delivery
from lambdas.core.errors import InvalidMessage, ServiceUnavailable
from lambdas.observability import Metric, count, count_delivery, instrumented, logger
from lambdas.routes import requests


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer 200, also for what is acknowledged already; 400 for a frame that is none. The client sees neither."""
    try:
        environment = settings.load(settings.Acknowledge)
        clock = SystemClock()
        acknowledged = delivery.acknowledge(
            requests.acknowledged_ids(event),
            sender=requests.recipient(event),
            connection_id=requests.connection_id(event),
            connections=ConnectionTable(environment.connections_table_name),
            callbacks=CallbackTable(environment.callbacks_table_name),
            tokens=WaitingRuns(),
            clock=clock,
        )
    except InvalidMessage as error:
        logger.warning("no acknowledgement", extra={"reason": str(error)})
        count(Metric.REJECTED)
        return requests.answer(400, str(error))
    except ServiceUnavailable as error:
        return requests.unavailable(error)
    for callback in acknowledged:
        count_delivery(callback.accepted_at, clock.now(), acknowledged=True)
    return requests.answer(200)
