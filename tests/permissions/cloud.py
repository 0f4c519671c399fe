"""MiniStack's process, with an ear on every question to a role's policies, in the place of `local.server`.

`python -m tests.permissions.cloud DIRECTORY SOCKET`. At `PATH`, for programs: GET answers with every call that was
asked about since the last DELETE, once each: `{"role", "action", "resource", "allowed"}`.
"""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator  # type: ignore[import-untyped]
from ministack.services import sts  # type: ignore[import-untyped]

from local import server
from local.asgi import App, Receive, Scope, Send
from local.corrections import permissions
from local.corrections.places import replace
from tests.permissions.calls import PATH, Call

_ROLE = ":assumed-role/"


class Ear:
    """Hears every question."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: dict[Call, None] = {}

    def install(self) -> None:
        """Hear of them."""

        def enforcing(upstream: Callable[..., Any]) -> Callable[..., Any]:
            def enforce(access_key: str, action: str, *args: Any, **options: Any) -> Any:
                refusal = upstream(access_key, action, *args, **options)
                session = (sts._sessions.get(access_key) or {}).get("Arn", "")
                if _ROLE in session:
                    role = session.partition(_ROLE)[2].partition("/")[0]
                    self._note(Call(role, action, options.get("resource_arn", "*"), refusal is None))
                return refusal

            return enforce

        def asking(upstream: Callable[[str, str, str], bool]) -> Callable[[str, str, str], bool]:
            def may(role_arn: str, action: str, resource: str) -> bool:
                allowed = upstream(role_arn, action, resource)
                self._note(Call(role_arn.rpartition("/")[2], action, resource, allowed))
                return allowed

            return may

        replace(iam_evaluator, "enforce", enforcing)
        replace(permissions, "may", asking)

    def _note(self, call: Call) -> None:
        with self._lock:
            self._heard[call] = None

    def beside(self, app: App) -> App:
        """The same application, and what was heard."""

        async def both(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] != PATH:
                await app(scope, receive, send)
                return
            await receive()
            with self._lock:
                heard = [call._asdict() for call in self._heard]
                if scope["method"] == "DELETE":
                    self._heard.clear()
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(heard).encode()})

        return both


def _around(app: App, _directory: Path) -> App:
    ear = Ear()
    ear.install()
    return ear.beside(app)


if __name__ == "__main__":
    server.main(_around)
