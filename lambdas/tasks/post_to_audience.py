"""Post To Audience: post to everybody in one part of the audience, and say who missed it."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters import poster
from lambdas.adapters.conversations import ConversationIndex
from lambdas.adapters.management_api import ManagementApi
from lambdas.adapters.tables import ConnectionTable
from lambdas.clock import SystemClock
from lambdas.core import fan_out
from lambdas.core.errors import InvalidMessage, MessageExpired
from lambdas.observability import count_fan_out, instrumented


@instrumented(InvalidMessage, MessageExpired)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer how many people and posts there were, what became of them, and who is owed the message still."""
    environment = settings.load(settings.PostToAudience)
    posted = fan_out.post_part(
        fan_out.FanOut.from_task(event, default_ttl_seconds=environment.default_ttl_seconds),
        fan_out.Part.from_task(event),
        connections=ConnectionTable(environment.connections_table_name),
        conversations=ConversationIndex(environment.connections_table_name),
        poster=poster.shared(),
        sockets=ManagementApi(),
        clock=SystemClock(),
    )
    count_fan_out(posted.summary)
    return posted.to_state()
