"""Wait For Reconnect: park the run until its recipient connects."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.runs import WaitingRuns
from lambdas.adapters.tables import CallbackTable, ConnectionTable, SequenceTable
from lambdas.clock import SystemClock
from lambdas.core import delivery
from lambdas.core.errors import AttemptsExhausted, InvalidMessage, MessageExpired
from lambdas.core.model import utc
from lambdas.observability import Metric, instrumented, measure


@instrumented(AttemptsExhausted, InvalidMessage, MessageExpired)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Answer nothing: the wake carries the state's output."""
    environment = settings.load(settings.WaitForReconnect)
    clock = SystemClock()
    attempt = delivery.Attempt.from_task(
        event,
        default_ttl_seconds=environment.default_ttl_seconds,
        sequences=SequenceTable(environment.sequences_table_name),
    )
    delivery.park_for_reconnect(
        attempt,
        delivery.Waiting.from_task(event),
        tried=event["tried"],
        tried_at=utc(event["triedAt"]),
        unacknowledged=event["unacknowledged"],
        max_attempts=event["maxAttempts"],
        connections=ConnectionTable(environment.connections_table_name),
        callbacks=CallbackTable(environment.callbacks_table_name),
        tokens=WaitingRuns(),
        clock=clock,
    )
    measure(Metric.WAITING_TIME, since=attempt.message.accepted_at, until=clock.now())
