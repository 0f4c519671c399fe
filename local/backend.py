"""A backend without AWS credentials: it calls the HTTP API."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

from local.installation import Installation
from local.tokens import Keys


@dataclass(frozen=True)
class Answer:
    """What the API answers."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Backend:
    """Calls the API with a token, or without one."""

    url: str
    token: str | None

    @classmethod
    def of(cls, installation: Installation, keys: Keys) -> Self:
        """A backend that may call the API of this installation."""
        return cls(installation.http_api_url, keys.backend_token())

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Make one request."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(  # noqa: S310 - it is on this machine
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
            method=method,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as response:
                return Answer(response.status, _lower(response.headers), json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _lower(error.headers), json.load(error))

    def send(self, message: dict[str, Any]) -> Answer:
        """Send one message."""
        return self.call("POST", "/messages", message)

    def cancel(self, message_id: str) -> Answer:
        """Take a message back."""
        return self.call("DELETE", f"/messages/{quote(message_id, safe='')}")

    def get(self, message_id: str) -> dict[str, Any]:
        """What became of a message."""
        answer = self.call("GET", f"/messages/{quote(message_id, safe='')}")
        if answer.status != HTTPStatus.OK:
            raise LookupError(f"message {message_id}: {answer}")
        return answer.body


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
