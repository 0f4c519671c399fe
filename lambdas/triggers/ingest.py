"""ingest: deliver what the queue brings, or start runs that will."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters import wiring
from lambdas.adapters.queues import IngestDeadLetterQueue, IngestQueue
from lambdas.core.errors import ServiceUnavailable
from lambdas.core.intake import SECONDS_FOR_A_START, Answer, Queued, Status
from lambdas.observability import Metric, count, count_intake, instrumented, logger, names

# What was in vain for twenty minutes may be so for long: then the queue's own pace will do, and the receives last.
_TIMES_SOON = 100


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the messages that the queue has to bring again."""
    environment = settings.load(settings.Ingest)
    intake = wiring.intake(environment, context)
    queued = [_queued(record) for record in event["Records"]]
    answers = intake.take_queued(queued)
    count_intake(intake, answers)
    set_aside = IngestDeadLetterQueue(environment.ingest_dead_letter_queue_url)
    failed = [
        record
        for record, message, answer in zip(event["Records"], queued, answers, strict=True)
        if not _is_settled(message, answer, set_aside)
    ]
    if intake.seconds_left() > SECONDS_FOR_A_START:  # who is cut off here would do all of it again
        _hurry(failed, IngestQueue(environment.ingest_queue_url))
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}


def _queued(record: dict[str, Any]) -> Queued:
    attributes = {name: str(value.get("stringValue", "")) for name, value in record["messageAttributes"].items()}
    sent_at = datetime.fromtimestamp(int(record["attributes"]["SentTimestamp"]) / 1000, UTC)
    return Queued(record["body"], attributes, record["messageId"], sent_at)


def _is_settled(message: Queued, answer: Answer, set_aside: IngestDeadLetterQueue) -> bool:
    """Set aside what will never be accepted; False if the queue has to bring it again."""
    about = {**names(answer.message), "queue_message_id": message.message_id, "reason": answer.detail}
    if answer.status in {Status.INVALID, Status.CONFLICT}:
        try:
            set_aside.put(message.body, answer.detail or "")
        except ServiceUnavailable as error:
            count(Metric.ERRORS)
            about["reason"] = str(error)
        else:
            logger.error("rejected", extra=about)
            return True
    elif answer.status is not Status.UNAVAILABLE:
        return True
    logger.warning("the queue brings the message again", extra=about)
    return False


def _hurry(failed: Sequence[dict[str, Any]], queue: IngestQueue) -> None:
    """Have them come again before their visibility timeout ends. If that fails they come after it."""
    young = [each for each in failed if int(each["attributes"]["ApproximateReceiveCount"]) <= _TIMES_SOON]
    with suppress(ServiceUnavailable):
        queue.bring_again_soon([each["receiptHandle"] for each in young])
