"""Whom a call, an event or a record is about."""

import json
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ministack.services import stepfunctions  # type: ignore[import-untyped]

_KEY = re.compile(r'"user#([^"#]+)"')
_KEY_NAMES = ("caller_id", "context", "waits_for", "position", "collection", "item")


class Subjects:
    """Who has which connection and which task token, as far as it came by. Any thread may ask."""

    def __init__(self) -> None:
        self._connections: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def connected(self, connection_id: str, user: str) -> None:
        """A connection of this user was let in."""
        with self._lock:
            self._connections[connection_id] = user

    def of_connection(self, connection_id: str) -> str:
        """Whose connection it is."""
        return self._connections.get(connection_id, "")

    def of_call(self, service: str, body: bytes) -> str:
        """Whom a call to a service with JSON bodies is about."""
        text = body.decode(errors="replace")
        if service == "dynamodb":
            match = _KEY.search(text)
            user = match[1] if match else ""
            if '"task_token"' in text:
                self._note_token(text, user)
            return user
        with suppress(ValueError, AttributeError):
            request = json.loads(text)
            if token := request.get("taskToken"):
                return self._tokens.get(token, "")
            if arn := request.get("executionArn"):
                execution = stepfunctions._executions.get(arn)
                return _user_of(execution["input"]) if execution else ""
            return _user_of(request.get("input") or request.get("MessageBody"))
        return ""

    def of_event(self, event: Any) -> list[str]:
        """Whom an event is about: one for each record where it has records, else one."""
        if not isinstance(event, dict):
            return [""]
        records = event.get("Records")
        if isinstance(records, list):
            return [self._of_record(record) for record in records]
        context = event.get("requestContext")
        if isinstance(context, dict) and context.get("connectionId"):
            return [self.of_connection(context["connectionId"])]
        return [_user_of(event.get("message") or event.get("detail") or (event.get("messages") or [None])[0])]

    def _of_record(self, record: Mapping[str, Any]) -> str:
        if "dynamodb" in record:
            match = _KEY.search(json.dumps(record["dynamodb"].get("Keys", {})))
            return match[1] if match else ""
        return _user_of(record.get("body"))

    def _note_token(self, text: str, user: str) -> None:
        with suppress(ValueError, KeyError, TypeError):
            token = json.loads(text)["Item"]["task_token"]["S"]
            with self._lock:
                self._tokens[token] = user


def _user_of(value: Any) -> str:
    """The recipient's user in an envelope, or in what carries one, such as a dead letter or a bus's event."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return ""
    if not isinstance(value, dict):
        return ""
    recipient = value.get("recipient")
    if isinstance(recipient, dict):
        return str(recipient.get("user", ""))
    for name in ("message", "input", "detail"):
        if name in value and (user := _user_of(value[name])):
            return user
    return ""


def row_of(body: bytes) -> str:
    """The table and the key that a PutItem or DeleteItem names, "" for other calls."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        request = json.loads(body)
        row = request.get("Item") or request["Key"]
        key = [row[name]["S"] for name in _KEY_NAMES if name in row]
        return json.dumps([request["TableName"], *key])
    return ""


def message_ids(frame: bytes) -> list[str]:
    """The ids of the messages in a frame to a client."""
    try:
        body = json.loads(frame)
    except ValueError:
        return []
    if not isinstance(body, dict):
        return []
    if body.get("kind") == "batch":
        return [str(message["id"]) for message in body["messages"]]
    return [str(body["id"])] if body.get("kind") == "message" else []
