"""What reaches the client: JSON text frames."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from lambdas.core.errors import InvalidMessage
from lambdas.core.model import Message, timestamp
from ringback.plain import DirectEnvelope, Envelope

MAX_FRAME_BYTES = 128 * 1024  # API Gateway's quota for one WebSocket message

_BATCH_START = b'{"kind":"batch","messages":['
_BATCH_END = b"]}"
_ROOM_IN_A_BATCH = MAX_FRAME_BYTES - len(_BATCH_START) - len(_BATCH_END)


def message_frame(message: Message, *, attempt: int, sent_at: datetime, sequence: int | None = None) -> bytes:
    """Build the frame that carries a message.

    Raises:
        InvalidMessage: it would be larger than API Gateway takes, or it has no form in JSON.
    """
    envelope = message.envelope
    body = _body(
        envelope,
        message.id,
        attempt=attempt,
        sent_at=sent_at,
        sequence=envelope.sequence if sequence is None else sequence,
    )
    if envelope.ordered:
        body["ordered"] = True
    if envelope.ack == "client":
        body["ack"] = "client"  # only a run carries such a message, so somebody waits for the answer
    return _within_limit(_json(body))


def direct_frame(envelope: DirectEnvelope, *, message_id: str, sent_at: datetime) -> bytes:
    """Build the frame that carries a direct post.

    Raises:
        InvalidMessage: as above.
    """
    return _within_limit(_json(_body(envelope, message_id, attempt=1, sent_at=sent_at, sequence=envelope.sequence)))


def close_frame(reason: Literal["evicted"], *, reconnect: bool) -> bytes:
    """Build the frame that says why the connection ends, and whether the client may come back by itself."""
    return _json({"kind": "close", "reason": reason, "reconnect": reconnect})


def batch_frames(frames: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Put message frames together into as few frames as hold them, in their order; each with how many it carries."""
    together: list[bytes] = []
    size = 0
    for frame in frames:
        if together and size + len(frame) + 1 > _ROOM_IN_A_BATCH:
            yield len(together), _together(together)
            together, size = [], 0
        together.append(frame)
        size += len(frame) + 1
    if together:
        yield len(together), _together(together)


def _together(frames: Sequence[bytes]) -> bytes:
    return frames[0] if len(frames) == 1 else _BATCH_START + b",".join(frames) + _BATCH_END


def _within_limit(frame: bytes) -> bytes:
    if len(frame) > MAX_FRAME_BYTES:
        raise InvalidMessage(f"payload: the frame would be {len(frame)} bytes, and API Gateway takes {MAX_FRAME_BYTES}")
    return frame


def _body(
    envelope: Envelope | DirectEnvelope, message_id: str, *, attempt: int, sent_at: datetime, sequence: int | None
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "kind": "message",
        "id": message_id,
        "type": envelope.type,
        "payload": envelope.payload,
        "sentAt": timestamp(sent_at),
        "attempt": attempt,
    }
    optional = {
        "correlationId": envelope.correlation_id,
        "traceparent": envelope.traceparent,
        "sequence": sequence,
        "isFinal": envelope.is_final,
    }
    body.update({name: value for name, value in optional.items() if value is not None})
    return body


def _json(body: dict[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:  # an overlong number such as 1e999, or half of a surrogate pair
        raise InvalidMessage("payload: it holds a number or a text that JSON cannot carry") from None
