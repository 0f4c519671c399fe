"""Logs and metrics, the same for every function. (Lambda traces them by itself.)

Payloads, tokens and events are never logged: no event logging. What is known of a
message (`message_id`, `correlation_id`, `traceparent`) and of its run (`execution_arn`) stands in every line, also in
the lines that the metrics are made of: a query for a correlation id finds all that was done for it.
"""

import functools
import gc
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings

if TYPE_CHECKING:  # the authorizer's cold start does without the rules of a delivery
    from lambdas.core.delivery import Receipt
    from lambdas.core.endings import Ended
    from lambdas.core.fan_out import Summary
    from lambdas.core.intake import Answer, Intake
    from lambdas.core.model import Message

Event = TypeVar("Event")
Result = TypeVar("Result")

# Most calls of most functions count nothing that is worth a line.
warnings.filterwarnings("ignore", message="No application metrics to publish")

logger = Logger()
metrics = Metrics()
# Two stages in one account would otherwise count together.
metrics.set_default_dimensions(stack=settings.load(settings.Everywhere).stack_name)


class Metric(StrEnum):
    """The metrics: counts, and three durations."""

    # Connections
    CONNECTED = "Connected"
    REFUSED = "Refused"
    DISCONNECTED = "Disconnected"
    NOT_FOUND = "NotFound"
    # Messages that come in
    ACCEPTED = "Accepted"
    DUPLICATES = "Duplicates"
    CONFLICTS = "Conflicts"
    REJECTED = "Rejected"
    # Posts, one for each connection
    POSTED = "Posted"
    GONE = "Gone"
    THROTTLED = "Throttled"
    # What becomes of messages
    DELIVERED = "Delivered"
    ACKNOWLEDGED = "Acknowledged"
    WOKEN = "Woken"
    EXPIRED = "Expired"
    DEAD_LETTERED = "DeadLettered"
    CANCELLED = "Cancelled"
    MISSED = "Missed"
    # What fails
    ERRORS = "Errors"

    DELIVERY_TIME = "DeliveryTime"
    """Milliseconds from acceptance until the message was delivered, or acknowledged if it asks for that."""
    WAITING_TIME = "WaitingTime"
    """Seconds since acceptance, whenever a run parks: the greatest is how long the oldest message has waited."""
    CONNECTION_TIME = "ConnectionTime"
    """Seconds that a connection was open."""


DURATIONS: Mapping[Metric, MetricUnit] = {
    Metric.DELIVERY_TIME: MetricUnit.Milliseconds,
    Metric.WAITING_TIME: MetricUnit.Seconds,
    Metric.CONNECTION_TIME: MetricUnit.Seconds,
}
"""The metrics that are no counts, and their units."""

_MESSAGE_KEYS = {"message_id": "id", "correlation_id": "correlationId", "traceparent": "traceparent"}
_LONGEST_KEY = 128


def count(metric: Metric, number: int = 1) -> None:
    """Add to a count; nothing is emitted for zero."""
    if number:
        metrics.add_metric(name=metric, unit=MetricUnit.Count, value=number)


def measure(metric: Metric, *, since: datetime, until: datetime) -> None:
    """Note a duration, in the metric's unit. Clocks differ: what ended before it began took no time."""
    unit = DURATIONS[metric]
    seconds = max(0.0, (until - since).total_seconds())
    metrics.add_metric(
        name=metric, unit=unit, value=round(seconds * 1000) if unit is MetricUnit.Milliseconds else seconds
    )


def count_delivery(accepted_at: datetime, now: datetime, *, acknowledged: bool = False) -> None:
    """Count a message that has arrived, and how long that took."""
    count(Metric.ACKNOWLEDGED if acknowledged else Metric.DELIVERED)
    measure(Metric.DELIVERY_TIME, since=accepted_at, until=now)


def count_ending(run: "Ended") -> None:
    """Count a run that ended without delivering its message."""
    if run.was_cancelled:
        count(Metric.CANCELLED)
        return
    count(Metric.DEAD_LETTERED)
    count(Metric.EXPIRED, int(run.has_expired))


def count_posts(receipt: "Receipt") -> None:
    """Count what became of a message's posts."""
    count(Metric.POSTED, len(receipt.posted))
    count(Metric.GONE, len(receipt.gone))
    count(Metric.THROTTLED, len(receipt.throttled))
    count(Metric.ERRORS, len(receipt.failed))


def count_fan_out(summary: "Summary") -> None:
    """Count what became of a fan-out's posts."""
    count(Metric.POSTED, summary.posted)
    count(Metric.GONE, summary.gone)
    count(Metric.THROTTLED, summary.throttled)
    count(Metric.ERRORS, summary.failed)
    count(Metric.ACCEPTED, summary.handed_over)


def count_answers(answers: "Iterable[Answer]") -> None:
    """Count what became of messages on their way in."""
    statuses = Counter(answer.status.value for answer in answers)
    count(Metric.DELIVERED, statuses["delivered"])
    count(Metric.ACCEPTED, statuses["delivered"] + statuses["started"])
    count(Metric.DUPLICATES, statuses["duplicate"])
    count(Metric.MISSED, statuses["missed"])
    count(Metric.CONFLICTS, statuses["conflict"])
    count(Metric.REJECTED, statuses["invalid"])
    count(Metric.ERRORS, statuses["unavailable"])


def count_intake(intake: "Intake", answers: "Iterable[Answer]") -> None:
    """Count what became of messages on their way in, and of their first attempts; one line for each message."""
    answers = list(answers)
    count_answers(answers)
    for answer in answers:
        if answer.message is None:
            continue
        logger.info("answered", extra={**names(answer.message), "status": answer.status.value})
        if answer.status.value == "delivered":
            measure(Metric.DELIVERY_TIME, since=answer.message.accepted_at, until=intake.clock.now())
    count_posts(intake.posts)
    count(Metric.ERRORS, len(intake.errors))
    for reason in intake.errors:
        logger.warning("a first attempt could not be made", extra={"reason": reason})


def names(message: "Message | None") -> dict[str, str]:
    """What names a message in a line; nothing for none."""
    if message is None:
        return {}
    envelope = message.envelope
    values = {
        "message_id": message.id,
        "correlation_id": envelope.correlation_id,
        "traceparent": envelope.traceparent,
    }
    return {name: value for name, value in values.items() if value}


def identify(envelope: object, *, execution_name: str, execution_arn: str) -> None:
    """Name a message and its run in all lines of this invocation.

    Args:
        envelope: in its JSON form. Nobody has to have validated it: what is none names nothing.
        execution_name: the id of a message that has none.
        execution_arn: the run.
    """
    keys = {"message_id": execution_name, **_keys(envelope), "execution_arn": execution_arn}
    logger.append_keys(**keys)
    for name, value in keys.items():
        metrics.add_metadata(name, value)


def _subject(event: Mapping[str, Any]) -> object:
    """What a task's event is about: a message, or a fan-out, whose message has no id of its own."""
    fan_out = event.get("fanOut")
    if not isinstance(fan_out, Mapping):
        return event.get("message")
    message = fan_out.get("message")
    return {**(message if isinstance(message, Mapping) else {}), "id": fan_out.get("id")}


def _keys(envelope: object) -> dict[str, str]:
    """What names a message, as far as it is text that a log line can hold: nobody has validated it yet."""
    fields = envelope if isinstance(envelope, Mapping) else {}
    values = {name: fields.get(field) for name, field in _MESSAGE_KEYS.items()}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, str) and 0 < len(value) <= _LONGEST_KEY and value.isprintable()
    }


def instrumented(
    *answers: type[Exception],
) -> Callable[[Callable[[Event, LambdaContext], Result]], Callable[[Event, LambdaContext], Result]]:
    """Decorate a handler with logs and metrics.

    Args:
        answers: exceptions that are this function's answers, not its failures: they count as no error.
    """

    def decorate(handler: Callable[[Event, LambdaContext], Result]) -> Callable[[Event, LambdaContext], Result]:
        _end_start()

        @functools.wraps(handler)
        def counted(event: Event, context: LambdaContext) -> Result:
            metrics.clear_metrics()  # an invocation that counted nothing leaves its metadata behind
            if isinstance(event, dict) and "execution" in event:
                run = event["execution"]
                identify(_subject(event), execution_name=run["name"], execution_arn=run["arn"])
            try:
                return handler(event, context)
            except answers:
                raise
            except Exception:
                count(Metric.ERRORS)
                logger.exception("the function failed")
                raise

        with_metrics: Any = metrics.log_metrics(counted, raise_on_empty_metrics=False)
        with_logs: Any = logger.inject_lambda_context(with_metrics, clear_state=True, log_event=False)
        return with_logs  # type: ignore[no-any-return]

    return decorate


def _end_start() -> None:
    """Look for garbage again, which `lambdas` does not while Lambda starts a function; what is there by now stays."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
