"""ingest: start a run for each message on the queue."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.queues import IngestDeadLetterQueue
from lambdas.adapters.runs import DeliveryMachine
from lambdas.core import intake
from lambdas.core.errors import InvalidMessage, ServiceUnavailable
from lambdas.core.ports import Start
from lambdas.observability import Metric, count, instrumented, logger


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the messages that the queue has to bring again."""
    environment = settings.load(settings.Ingest)
    deliveries = DeliveryMachine(environment.delivery_state_machine_arn)
    rejected = IngestDeadLetterQueue(environment.ingest_dead_letter_queue_url)
    failures = []
    for record in event["Records"]:
        try:
            _take(record, deliveries, rejected)
        except Exception as error:  # noqa: BLE001 - one message must not hold up the others
            reason = str(error) if isinstance(error, ServiceUnavailable) else type(error).__name__
            logger.warning("the queue brings the message again", extra={"reason": reason})
            count(Metric.ERRORS)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _take(record: dict[str, Any], deliveries: DeliveryMachine, rejected: IngestDeadLetterQueue) -> None:
    attributes = {name: str(value.get("stringValue", "")) for name, value in record["messageAttributes"].items()}
    sent_at = datetime.fromtimestamp(int(record["attributes"]["SentTimestamp"]) / 1000, UTC)
    try:
        accepted = intake.accept(record["body"], attributes, queue_message_id=record["messageId"], sent_at=sent_at)
    except InvalidMessage as error:
        _reject(record, str(error), rejected)
        return
    started = deliveries.start(accepted.execution_name, accepted.envelope_json)
    if started is Start.ID_TAKEN:
        _reject(record, "id: another message has it; an id names one message for one recipient", rejected)
        return
    count(Metric.ACCEPTED if started is Start.STARTED else Metric.DUPLICATES)


def _reject(record: dict[str, Any], reason: str, rejected: IngestDeadLetterQueue) -> None:
    rejected.put(record["body"], reason)
    logger.error("rejected", extra={"queue_message_id": record["messageId"], "reason": reason})
    count(Metric.REJECTED)
