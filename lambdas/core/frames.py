"""What reaches the client: JSON text frames."""

import json
from datetime import datetime
from typing import Any

from lambdas.core.errors import InvalidMessage
from lambdas.core.model import Message, timestamp

MAX_FRAME_BYTES = 128 * 1024  # API Gateway's quota for one WebSocket message


def message_frame(message: Message, *, attempt: int, sent_at: datetime) -> bytes:
    """Build the frame that carries a message.

    Raises:
        InvalidMessage: it would be larger than API Gateway takes, or it has no form in JSON.
    """
    envelope = message.envelope
    body: dict[str, Any] = {
        "kind": "message",
        "id": message.id,
        "type": envelope.type,
        "payload": envelope.payload,
        "sentAt": timestamp(sent_at),
        "attempt": attempt,
    }
    optional = {
        "correlationId": envelope.correlation_id,
        "sequence": envelope.sequence,
        "isFinal": envelope.is_final,
    }
    body.update({name: value for name, value in optional.items() if value is not None})
    try:
        frame = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:  # an overlong number such as 1e999, or half of a surrogate pair
        raise InvalidMessage("payload: it holds a number or a text that JSON cannot carry") from None
    if len(frame) > MAX_FRAME_BYTES:
        raise InvalidMessage(f"payload: the frame would be {len(frame)} bytes, and API Gateway takes {MAX_FRAME_BYTES}")
    return frame
