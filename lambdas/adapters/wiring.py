"""The intake on AWS, for the three functions that messages come in through."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.management_api import ManagementApi
from lambdas.adapters.runs import DeliveryMachine
from lambdas.adapters.tables import ConnectionTable, SequenceTable
from lambdas.clock import SystemClock
from lambdas.core.intake import Answer, Intake


def intake(environment: settings.Intake, context: LambdaContext) -> Intake:
    """Make it, for the invocation with this context."""
    return Intake(
        every_message_is_a_run=environment.every_message_is_a_run,
        connections=ConnectionTable(environment.connections_table_name),
        sockets=ManagementApi(),
        sequences=SequenceTable(environment.sequences_table_name),
        deliveries=DeliveryMachine(environment.delivery_state_machine_arn),
        clock=SystemClock(),
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
    )


def result(answer: Answer, machine: DeliveryMachine) -> dict[str, Any]:
    """An answer as the caller gets it."""
    fields = {
        "id": answer.id,
        "status": answer.status.value,
        "executionArn": machine.execution_arn(answer.execution_name) if answer.execution_name else None,
        "detail": answer.detail,
    }
    return {name: value for name, value in fields.items() if value is not None}
