"""Logs, metrics and traces, the same for every function.

Payloads, tokens and events are never logged or traced: no event logging, no captured responses.
"""

import functools
import logging
import warnings
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

if TYPE_CHECKING:  # the authorizer's cold start does without the rules of a delivery
    from lambdas.core.delivery import Receipt

Event = TypeVar("Event")
Result = TypeVar("Result")

# Most calls of most functions count nothing that is worth a line.
warnings.filterwarnings("ignore", message="No application metrics to publish")
# It logs every exception that passes, but an answer is no error, and a failure is logged below.
logging.getLogger("aws_lambda_powertools.tracing").setLevel(logging.CRITICAL)

logger = Logger()
metrics = Metrics()
tracer = Tracer(auto_patch=False)  # `adapters.aws` has its calls traced


class Metric(StrEnum):
    """The metrics, all counts."""

    CONNECTED = "Connected"
    DISCONNECTED = "Disconnected"
    NOT_FOUND = "NotFound"
    POSTED = "Posted"
    GONE = "Gone"
    THROTTLED = "Throttled"
    WOKEN = "Woken"
    ACKNOWLEDGED = "Acknowledged"
    ACCEPTED = "Accepted"
    DUPLICATES = "Duplicates"
    REJECTED = "Rejected"
    REFUSED = "Refused"
    ERRORS = "Errors"


def count(metric: Metric, number: int = 1) -> None:
    """Add to a metric; nothing is emitted for zero."""
    if number:
        metrics.add_metric(name=metric, unit=MetricUnit.Count, value=number)


def count_posts(receipt: "Receipt") -> None:
    """Count what became of a message's posts."""
    count(Metric.POSTED, len(receipt.posted))
    count(Metric.GONE, len(receipt.gone))
    count(Metric.THROTTLED, len(receipt.throttled))
    count(Metric.ERRORS, len(receipt.failed))


def instrumented(
    *answers: type[Exception],
) -> Callable[[Callable[[Event, LambdaContext], Result]], Callable[[Event, LambdaContext], Result]]:
    """Decorate a handler with logs, metrics and traces.

    Args:
        answers: exceptions that are this function's answers, not its failures: they count as no error.
    """

    def decorate(handler: Callable[[Event, LambdaContext], Result]) -> Callable[[Event, LambdaContext], Result]:
        @functools.wraps(handler)
        def counted(event: Event, context: LambdaContext) -> Result:
            if isinstance(event, dict) and "execution" in event:
                logger.append_keys(execution_arn=event["execution"]["arn"])
            try:
                return handler(event, context)
            except answers:
                raise
            except Exception:
                count(Metric.ERRORS)
                logger.exception("the function failed")
                raise

        with_traces: Any = tracer.capture_lambda_handler(counted, capture_response=False)
        with_metrics: Any = metrics.log_metrics(with_traces, raise_on_empty_metrics=False)
        with_logs: Any = logger.inject_lambda_context(with_metrics, clear_state=True, log_event=False)
        return with_logs  # type: ignore[no-any-return]

    return decorate
