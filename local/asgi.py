"""ASGI as MiniStack's server speaks it: https://asgi.readthedocs.io/en/latest/specs/www.html."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]


def header(scope: Scope, wanted: bytes) -> str:
    """The value of a request's header, empty without it."""
    values: list[bytes] = [value for name, value in scope["headers"] if name.lower() == wanted]
    return values[0].decode() if values else ""


async def body_of(receive: Receive) -> bytes:
    """The whole body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
