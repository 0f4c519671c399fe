"""Ringback's function `accept`, as far as who sends messages sees it, and what it was given."""

import io
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass
class Accept:
    """Takes every message: one that is durable has a run then, any other was posted; unless a test says otherwise.

    ``statuses`` has the status of a message by its id or its type, ``absent`` the users who are not connected. While it
    is ``broken`` the function fails.
    """

    taken: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    broken: bool = False
    calls: int = 0

    @property
    def clients(self) -> Any:
        """Instead of `ringback.installation.Clients`."""
        return SimpleNamespace(functions=self)

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        """boto3's method of that name."""
        assert FunctionName == "Accept"
        self.calls += 1
        if self.broken:
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "no"}')}
        messages = json.loads(Payload)["messages"]
        results = [{"id": message["id"], "status": self._status(message)} for message in messages]
        self.taken += [
            message
            for message, result in zip(messages, results, strict=True)
            if result["status"] in {"started", "delivered"}
        ]
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps({"results": results}).encode())}

    def told(self, user: str) -> list[dict[str, Any]]:
        """What a person was told, each event once."""
        durable = {message["id"]: message for message in self.taken if message.get("durable", True)}
        return [message["payload"] for message in durable.values() if message["recipient"]["user"] == user]

    def shown(self, user: str, kind: str) -> list[dict[str, Any]]:
        """What a person was shown."""
        return [
            message["payload"]
            for message in self.taken
            if message["recipient"]["user"] == user and message["type"] == kind and not message.get("durable", True)
        ]

    def _status(self, message: dict[str, Any]) -> str:
        for name in (message["id"], message["type"]):
            if name in self.statuses:
                return self.statuses[name]
        if message.get("durable", True):
            return "started"
        return "missed" if message["recipient"]["user"] in self.absent else "delivered"
