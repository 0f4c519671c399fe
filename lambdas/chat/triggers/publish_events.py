"""publish_events: events of chats were written, so people are told of them and the chats' runs follow."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.chat.adapters import wiring
from lambdas.chat.adapters.table import read_events
from lambdas.chat.core import telling
from lambdas.chat.measures import count_events, note_waiting
from lambdas.chat.settings import PublishEvents
from lambdas.observability import Metric, count, instrumented, logger


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the first record that the stream has to bring again, with all that follow it."""
    environment = settings.load(PublishEvents)
    read = list(read_events(event["Records"]))
    events = [event for _, event in read]
    published = telling.publish(
        events,
        chats=wiring.chats(environment),
        pushes=wiring.pushes(environment),
        runs=wiring.runs(environment),
        limits=wiring.limits(environment),
        clock=wiring.clock(),
    )
    count_events(event for event, _ in events[: published.done])
    if published.waiting is not None:
        note_waiting(published.waiting)
    if published.reason is None:
        return {"batchItemFailures": []}
    logger.warning("the stream brings the records again", extra={"reason": published.reason})
    count(Metric.ERRORS)
    return {"batchItemFailures": [{"itemIdentifier": read[published.done][0]}]}
