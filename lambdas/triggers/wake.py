"""wake: a connection was stored, so the runs that wait for its recipient go on."""

from itertools import groupby
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.runs import WaitingRuns
from lambdas.adapters.tables import CallbackTable, connection_from_item
from lambdas.core import delivery
from lambdas.core.errors import ServiceUnavailable
from lambdas.observability import Metric, count, instrumented, logger

TIME_TO_END_MILLISECONDS = 15_000  # a round of wakes that has begun must come to its end


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the first record that the stream has to bring again, with all that follow it."""
    callbacks = CallbackTable(settings.load(settings.Wake).callbacks_table_name)
    arrivals = [(record, connection_from_item(record["dynamodb"]["NewImage"])) for record in event["Records"]]
    for _, group in groupby(arrivals, key=lambda arrival: arrival[1].recipient):
        together = list(group)
        try:
            woken = delivery.wake(
                [connection for _, connection in together],
                callbacks=callbacks,
                tokens=WaitingRuns(),
                has_time=lambda: context.get_remaining_time_in_millis() > TIME_TO_END_MILLISECONDS,
            )
        except ServiceUnavailable as error:
            logger.warning("the stream brings the records again", extra={"reason": str(error)})
            count(Metric.ERRORS)
            first = together[0][0]["dynamodb"]["SequenceNumber"]
            return {"batchItemFailures": [{"itemIdentifier": first}]}
        count(Metric.WOKEN, woken)
    return {"batchItemFailures": []}
