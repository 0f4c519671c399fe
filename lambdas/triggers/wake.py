"""wake: a connection was stored, so the runs that wait for its recipient go on."""

from itertools import groupby
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.rows import connection_from_item
from lambdas.adapters.runs import WaitingRuns
from lambdas.adapters.tables import CallbackTable
from lambdas.clock import SystemClock
from lambdas.core import delivery
from lambdas.core.errors import ServiceUnavailable
from lambdas.core.pacing import Pace, PacedTokens
from lambdas.observability import Metric, count, instrumented, logger

TIME_TO_END_MILLISECONDS = 15_000  # a round of wakes that has begun must come to its end


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the first record that the stream has to bring again, with all that follow it."""
    pace = Pace(SystemClock(), lambda: (context.get_remaining_time_in_millis() - TIME_TO_END_MILLISECONDS) / 1000)
    failed = _wake(event["Records"], pace)
    if pace.calls_throttled:
        logger.warning("SendTaskSuccess was throttled", extra={"calls": pace.calls_throttled})
    return {"batchItemFailures": [{"itemIdentifier": failed}] if failed else []}


def _wake(records: list[dict[str, Any]], pace: Pace) -> str | None:
    """Wake who waits for these connections, in their order; answers the first record that failed, None if none did.

    One person whom it fails for holds up nobody else: the rest of the batch is woken all the same, while there is time.
    """
    callbacks = CallbackTable(settings.load(settings.Wake).callbacks_table_name)
    tokens = PacedTokens(WaitingRuns(tries_again=False), pace)
    arrivals = [(record, connection_from_item(record["dynamodb"]["NewImage"])) for record in records]
    first_failed = None
    for _, group in groupby(arrivals, key=lambda arrival: arrival[1].recipient):
        together = list(group)
        try:
            woken = delivery.wake(
                [connection for _, connection in together],
                callbacks=callbacks,
                tokens=tokens,
                has_time=lambda: pace.seconds_left() > 0,
            )
        except ServiceUnavailable as error:
            logger.warning("the stream brings the records again", extra={"reason": str(error)})
            count(Metric.ERRORS)
            first_failed = first_failed or str(together[0][0]["dynamodb"]["SequenceNumber"])
            if pace.seconds_left() <= 0:
                break
        else:
            count(Metric.WOKEN, woken)
    return first_failed
