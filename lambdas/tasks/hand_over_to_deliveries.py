"""Hand Over To Deliveries: start a delivery for everybody in a part of the audience who is owed the message."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.conversations import ConversationIndex
from lambdas.adapters.runs import DeliveryMachine
from lambdas.adapters.tables import ConnectionTable
from lambdas.clock import SystemClock
from lambdas.core import fan_out
from lambdas.core.errors import InvalidMessage, MessageExpired
from lambdas.observability import count_fan_out, instrumented


@instrumented(InvalidMessage, MessageExpired)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Answer what has become of the part: as it was before, and how many have a delivery now."""
    environment = settings.load(settings.HandOverToDeliveries)
    handed_over = fan_out.hand_over_part(
        fan_out.FanOut.from_task(event, default_ttl_seconds=environment.default_ttl_seconds),
        fan_out.Part.from_task(event),
        connections=ConnectionTable(environment.connections_table_name),
        conversations=ConversationIndex(environment.connections_table_name),
        deliveries=DeliveryMachine(environment.delivery_state_machine_arn),
        clock=SystemClock(),
    )
    count_fan_out(handed_over)
    return (fan_out.Summary.from_task(event) + handed_over).to_state()
