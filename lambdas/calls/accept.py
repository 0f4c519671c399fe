"""accept: take messages from a backend that calls directly, and answer for each what became of it."""

import uuid
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters import wiring
from lambdas.adapters.runs import DeliveryMachine
from lambdas.core.errors import InvalidMessage
from lambdas.observability import count_intake, instrumented

MAX_MESSAGES = 100


@instrumented(InvalidMessage)
def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Answer `{"results": […]}`, in the order of `{"messages": […]}`; raise InvalidMessage for what is neither."""
    values = event.get("messages") if isinstance(event, dict) else None
    if not isinstance(values, list) or len(values) > MAX_MESSAGES:
        raise InvalidMessage(f'give {{"messages": […]}} with at most {MAX_MESSAGES} envelopes')
    environment = settings.load(settings.Accept)
    intake = wiring.intake(environment, context)
    answers = intake.take_values(values, new_id=lambda: str(uuid.uuid4()))
    count_intake(intake, answers)
    machine = DeliveryMachine(environment.delivery_state_machine_arn)
    return {"results": [wiring.result(answer, machine) for answer in answers]}
