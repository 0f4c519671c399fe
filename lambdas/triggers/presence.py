"""presence: a connection came or went, and whoever listens on the stage's bus is told."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.message_bus import MessageBus
from lambdas.adapters.rows import connection_named_by
from lambdas.core.presence import Change
from lambdas.observability import Metric, count, instrumented, logger

_HAS_OPENED = {"INSERT": True, "REMOVE": False}


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the first record that the stream has to bring again, with all that follow it."""
    records = event["Records"]
    bus = MessageBus(settings.load(settings.Presence).message_bus_name)
    untold = bus.tell([_change(record) for record in records])
    if untold is None:
        return {"batchItemFailures": []}
    logger.warning("the stream brings the records again", extra={"reason": untold.reason})
    count(Metric.ERRORS)
    return {"batchItemFailures": [{"itemIdentifier": records[untold.first]["dynamodb"]["SequenceNumber"]}]}


def _change(record: dict[str, Any]) -> Change:
    recipient, connection_id = connection_named_by(record["dynamodb"]["Keys"])  # all there is of a row that is gone
    return Change(
        recipient=recipient,
        connection_id=connection_id,
        opened=_HAS_OPENED[record["eventName"]],
        at=datetime.fromtimestamp(record["dynamodb"]["ApproximateCreationDateTime"], UTC),
    )
