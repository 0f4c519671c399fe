"""API Gateway's WebSocket events and answers, in one place."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from lambdas.core.errors import InvalidMessage, ServiceUnavailable
from lambdas.core.model import Connection
from lambdas.observability import Metric, count, logger
from ringback.plain import Recipient

MAX_IDS_PER_ACKNOWLEDGEMENT = 100
MAX_ID_LENGTH = 128
SUBPROTOCOL = "bearer"


def refusal(event: dict[str, Any], *, unless: str) -> dict[str, Any] | None:
    """The answer to an event of another type than this; none if it is of this type.

    A client may send `{"action": "$disconnect"}`, and nowhere does API Gateway promise not to take that for the route.
    """
    if event["requestContext"]["eventType"] == unless:
        return None
    logger.warning("a frame names a route of API Gateway's own")
    count(Metric.REJECTED)
    return answer(400, "there are two actions: ack and ping")


def recipient(event: dict[str, Any]) -> Recipient:
    """The verified recipient: API Gateway repeats the authorizer's context on every event of a connection."""
    authorizer = event["requestContext"]["authorizer"]
    return Recipient(user=authorizer["user"], context=authorizer["context"], context_id=authorizer["contextId"])


def connection_id(event: dict[str, Any]) -> str:
    """The connection that the event is about."""
    return str(event["requestContext"]["connectionId"])


def connection(event: dict[str, Any], *, now: datetime, life: timedelta, endpoint: str) -> Connection:
    """The connection that a `$connect` event opens, with the endpoint that posts to it.

    The event's own domain is none: behind a custom domain the management API is not at its domain and stage.
    """
    request = event["requestContext"]
    granted = request["authorizer"]
    token_expires_at = granted.get("tokenExpiresAt")
    return Connection(
        recipient=recipient(event),
        connection_id=connection_id(event),
        endpoint=endpoint,
        connected_at=now,
        expires_at=now + life,
        token_expires_at=datetime.fromtimestamp(int(token_expires_at), UTC) if token_expires_at else None,
        attributes=json.loads(granted.get("attributes") or "{}"),
        in_conversation=granted.get("inConversation") == "true",
    )


def acknowledged_ids(event: dict[str, Any]) -> list[str]:
    """The message ids of an `ack` frame: `id`, or `ids`.

    Raises:
        InvalidMessage: it has neither, or too many.
    """
    try:
        frame = json.loads(event.get("body") or "")
    except (ValueError, RecursionError):
        raise InvalidMessage("the frame is not JSON") from None
    ids = frame.get("ids", [frame.get("id")]) if isinstance(frame, dict) else None
    if not isinstance(ids, list) or not ids or not all(map(_is_id, ids)):
        raise InvalidMessage('acknowledge with {"action": "ack", "id": "…"} or {"action": "ack", "ids": ["…"]}')
    if len(ids) > MAX_IDS_PER_ACKNOWLEDGEMENT:
        raise InvalidMessage(f"acknowledge at most {MAX_IDS_PER_ACKNOWLEDGEMENT} messages in one frame")
    return ids


def _is_id(value: object) -> bool:
    """Whether it can be a message's id; what is none could be no key of a table either."""
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH and value.isprintable()


def answer(status: int, message: str = "") -> dict[str, Any]:
    """A proxy integration's answer."""
    return {"statusCode": status, "body": json.dumps({"message": message}) if message else ""}


def accepted(event: dict[str, Any]) -> dict[str, Any]:
    """The answer that completes a handshake; a client that offered subprotocols must be told the chosen one."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    offered = [part.strip() for part in headers.get("sec-websocket-protocol", "").split(",")]
    if SUBPROTOCOL in offered:
        return {**answer(200), "headers": {"Sec-WebSocket-Protocol": SUBPROTOCOL}}
    return answer(200)


def unavailable(error: ServiceUnavailable) -> dict[str, Any]:
    """The answer when a service that the request needs cannot be reached."""
    logger.error("a service is unavailable", extra={"reason": str(error)})
    count(Metric.ERRORS)
    return answer(503, "try again in a moment")
