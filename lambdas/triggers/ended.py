"""ended: a run ended without delivering its message; nobody may wait for its number, and nothing may be lost."""

import json
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters import wiring
from lambdas.adapters.queues import DeadLetterQueue
from lambdas.adapters.runs import DeliveryMachine
from lambdas.adapters.tables import SequenceTable
from lambdas.clock import SystemClock
from lambdas.core.endings import Ended, conclude
from lambdas.observability import count_ending, identify, instrumented


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Read EventBridge's "Step Functions Execution Status Change"; raise what has to be tried again."""
    environment = settings.load(settings.Ended)
    run = _run(event["detail"], DeliveryMachine(environment.delivery_state_machine_arn))
    identify(json.loads(run.envelope_json), execution_name=run.name, execution_arn=run.arn)
    conclude(
        run,
        default_ttl_seconds=environment.default_ttl_seconds,
        sequences=SequenceTable(environment.sequences_table_name),
        dead_letters=DeadLetterQueue(environment.dead_letter_queue_url),
        intake=wiring.intake(environment, context),
        clock=SystemClock(),
    )
    count_ending(run)


def _run(detail: dict[str, Any], machine: DeliveryMachine) -> Ended:
    arn = detail["executionArn"]
    # An event has no room for a large input.
    included = (detail.get("inputDetails") or {}).get("included") and detail.get("input") is not None
    return Ended(
        arn=arn,
        name=detail["name"],
        status=detail["status"],
        envelope_json=detail["input"] if included else machine.input_of(arn),
        error=detail.get("error") or "",
        cause=detail.get("cause") or "",
        started_at=datetime.fromtimestamp(detail["startDate"] / 1000, UTC),
    )
