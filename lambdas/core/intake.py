"""How a message comes in through the queue: from SNS (attributes and a body) or as a whole envelope."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lambdas.core.errors import InvalidMessage
from lambdas.core.frames import message_frame
from lambdas.core.model import Message, timestamp
from ringback.envelope import MAX_TTL_SECONDS

_RECIPIENT_ATTRIBUTES = ("user", "context", "contextId")
_NUMBERS = frozenset({"ackTimeoutSeconds", "ttlSeconds", "sequence"})
_BOOLEANS = frozenset({"isFinal"})
_EXECUTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What starts a run: its name, and the envelope with its id and its end of life filled in."""

    execution_name: str
    envelope_json: str


def accept(body: str, attributes: Mapping[str, str], *, queue_message_id: str, sent_at: datetime) -> Accepted:
    """Read one queue message.

    With a `user`, `context` or `contextId` attribute the body is the payload (JSON if it is JSON, else text) and the
    attributes are the rest of the envelope; without them the body is the whole envelope. A message that comes
    twice gives the same result, so that the second start is recognised.

    Raises:
        InvalidMessage: what is wrong with it.
    """
    value = _from_attributes(body, attributes) if set(attributes) & set(_RECIPIENT_ATTRIBUTES) else _from_body(body)
    # A life that is counted from here, not from the start of the run, includes the time in the queue.
    message = Message.accept(
        value, fallback_id=queue_message_id, accepted_at=sent_at, default_ttl_seconds=MAX_TTL_SECONDS
    )
    message_frame(message, attempt=1, sent_at=sent_at)
    # The state machine reads the same fields, and for JSONata a null is there.
    given = {name: item for name, item in value.items() if item is not None or name == "payload"}
    envelope = {**given, "id": message.id}
    if envelope.pop("ttlSeconds", None) is not None:
        envelope["expiresAt"] = timestamp(message.expires_at)
    return Accepted(execution_name(message.id), json.dumps(envelope, ensure_ascii=False, separators=(",", ":")))


def execution_name(message_id: str) -> str:
    """Name the run of a message: its id where Step Functions allows that as a name, else the id's hash."""
    if _EXECUTION_NAME.fullmatch(message_id):
        return message_id
    return f"sha256-{hashlib.sha256(message_id.encode()).hexdigest()}"


def same_message(one_json: str, other_json: str) -> bool:
    """Whether two envelopes are one message; its end of life may be another each time that it counts from now."""
    return _without_its_end(one_json) == _without_its_end(other_json)


def _without_its_end(envelope_json: str) -> str:
    envelope = json.loads(envelope_json)
    if isinstance(envelope, dict):
        envelope = {name: item for name, item in envelope.items() if name not in {"expiresAt", "ttlSeconds"}}
    return json.dumps(envelope, sort_keys=True)  # as text: in Python, true is 1


def _from_body(body: str) -> dict[str, Any]:
    try:
        value = _json(body)
    except ValueError:
        raise InvalidMessage(
            "the body is not JSON: give a whole envelope, or the attributes user, context and contextId"
        ) from None
    if not isinstance(value, dict):
        raise InvalidMessage("the body is no JSON object: give a whole envelope, or the recipient as attributes")
    return value


def _from_attributes(body: str, attributes: Mapping[str, str]) -> dict[str, Any]:
    rest = dict(attributes)
    if twice := {"recipient", "payload"} & set(rest):
        raise InvalidMessage(f"{', '.join(sorted(twice))}: no attribute; the body is the payload")
    recipient = {name: rest.pop(name) for name in _RECIPIENT_ATTRIBUTES if name in rest}
    payload: Any = body
    # `contentType: text/plain` keeps a text that happens to be JSON, such as 42, a text.
    if rest.pop("contentType", "application/json") != "text/plain":
        try:
            payload = _json(body)
        except ValueError:
            payload = body
    return {"recipient": recipient, "payload": payload, **{name: _typed(name, text) for name, text in rest.items()}}


def _typed(name: str, text: str) -> Any:
    # An attribute that cannot be read stays text, and the envelope's own rules say what is wrong with it.
    if name in _NUMBERS and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if name in _BOOLEANS and text in {"true", "false"}:
        return text == "true"
    return text


def _json(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise InvalidMessage("the body is nested too deep") from None
