"""What keeps MiniStack for this machine's programs: no web page gets an answer from it, or has anything done.

MiniStack answers every page (`Access-Control-Allow-Origin: *`) under every name, and checks no secret: any page in the
developer's browser could have it make a function and invoke it, and so run code on this machine. Programs send neither
`Origin` nor `Sec-Fetch-Site`; a browser adds them to what a page asks for, and no page can take them away. For the
browser, a page whose own name leads here (DNS rebinding) is MiniStack's own, so the name has to be this machine's.

Pages connect to WebSocket APIs, as to API Gateway's: there the authorizer decides, and reads the Origin.
"""

import re
from http import HTTPStatus

from local.asgi import App, Receive, Scope, Send

_WEB_SOCKET_APIS = "/_aws/execute-api/"
_LOOPBACK = re.compile(rb"(127\.0\.0\.1|localhost|([a-z0-9_-]+\.)+localhost|\[::1\])(:[0-9]+)?", re.IGNORECASE)
_NO_OTHER_PAGE = frozenset({b"none", b"same-origin"})

_NOT_THIS_MACHINE = b"Ask for this machine by name: 127.0.0.1 or localhost.\n"
_A_PAGE = b"A web page asks, and this is for programs: send no Origin. Pages may connect to the WebSocket API alone.\n"


def guarded(app: App) -> App:
    """The same application, for this machine's programs: 421 under another name, 403 for a page."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        refused = _refusal(scope) if scope["type"] in {"http", "websocket"} else None
        if refused is None:
            await app(scope, receive, send)
        else:
            await _refuse(scope, receive, send, *refused)

    return guard


def _refusal(scope: Scope) -> tuple[HTTPStatus, bytes] | None:
    def values(wanted: bytes) -> list[bytes]:
        return [value for name, value in scope["headers"] if name.lower() == wanted]

    hosts = values(b"host")
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        return HTTPStatus.MISDIRECTED_REQUEST, _NOT_THIS_MACHINE
    if scope["type"] == "websocket" and scope["path"].startswith(_WEB_SOCKET_APIS):
        return None
    if values(b"origin") or not _NO_OTHER_PAGE.issuperset(values(b"sec-fetch-site")):
        return HTTPStatus.FORBIDDEN, _A_PAGE
    return None


async def _refuse(scope: Scope, receive: Receive, send: Send, status: HTTPStatus, text: bytes) -> None:
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # the handshake
        kind = "websocket.http.response"
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(text)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": f"{kind}.start", "status": int(status), "headers": headers})
    await send({"type": f"{kind}.body", "body": text})
