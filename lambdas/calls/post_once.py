"""post_once: post to one connection that the caller knows, once, and say what became of it. It waits for nobody."""

import uuid
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters.management_api import ManagementApi
from lambdas.clock import SystemClock
from lambdas.core import direct
from lambdas.core.errors import InvalidMessage
from lambdas.observability import Metric, count, instrumented


@instrumented(InvalidMessage)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer `{"status": "delivered" | "gone" | "failed", "id", "connectionId"}`; raise InvalidMessage otherwise."""
    environment = settings.load(settings.PostOnce)
    message = direct.read(
        event,
        new_id=str(uuid.uuid4()),
        own_endpoint=environment.management_endpoint,
        allowed_endpoints=environment.allowed_endpoints,
    )
    status = direct.post(message, sockets=ManagementApi(), clock=SystemClock())
    count({"delivered": Metric.POSTED, "gone": Metric.GONE}.get(status, Metric.ERRORS))
    return {"status": status, "id": message.id, "connectionId": message.connection_id}
