"""Plan Fan Out: check the whole fan-out before anything is posted, and cut its audience into parts."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.conversations import ConversationIndex
from lambdas.clock import SystemClock
from lambdas.core import fan_out
from lambdas.core.errors import InvalidMessage, MessageExpired
from lambdas.observability import instrumented


@instrumented(InvalidMessage, MessageExpired)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the parts, or the key of the stored list."""
    environment = settings.load(settings.PlanFanOut)
    known = environment.tokens_name_conversations
    return fan_out.plan(
        fan_out.FanOut.from_task(event, default_ttl_seconds=environment.default_ttl_seconds),
        conversations=ConversationIndex(environment.connections_table_name) if known else None,
        clock=SystemClock(),
    )
