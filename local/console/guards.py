"""What keeps the console for its own page: no other page on this machine gets an answer, or has anything done."""

import base64
import hashlib
import logging
import re
from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from local.console.links import NoSuchLink
from local.console.ways import RefusedByApi
from ringback.errors import (
    IdConflict,
    InvalidMessage,
    LetterNotFound,
    MessageNotFound,
    NotCancellable,
    RingbackError,
    Unavailable,
)

_STATUS: Mapping[type[RingbackError], int] = {
    InvalidMessage: 400,
    MessageNotFound: 404,
    LetterNotFound: 404,
    NotCancellable: 409,
    IdConflict: 409,
    NoSuchLink: 404,
    Unavailable: 503,
}
_CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)

logger = logging.getLogger(__name__)


def error(status: int, text: str) -> web.Response:
    """An error, as the page gets it."""
    return web.json_response({"error": text}, status=status)


def guard(port: int) -> Middleware:
    """Answer only who asks for this machine by name, from this server's own page, and cannot be a form."""
    hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.getall("Host", []), request.headers.get("Origin")
        # A name that leads here is not this machine's name: DNS says whatever its owner likes.
        if len(host) != 1 or host[0] not in hosts:
            return error(421, f"Open it as http://127.0.0.1:{port}/.")
        if origin is not None and origin != f"http://{host[0]}":
            return error(403, "Another page asks; only the one from here may.")
        if request.method in _CHANGES and request.content_type != "application/json":
            return error(415, "Send JSON, with Content-Type: application/json.")
        return await handler(request)

    return guarded


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error with a text that says what to do."""
    try:
        return await handler(request)
    except RefusedByApi as refused:
        return error(refused.status, str(refused))
    except RingbackError as raised:
        return error(_STATUS.get(type(raised), 502), str(raised))
    except web.HTTPRequestEntityTooLarge:
        return error(413, "It is too large: the console takes 4 MB.")
    except web.HTTPException as raised:
        if raised.status < 400:
            raise
        return error(raised.status, _ALL_THERE_IS if raised.status in {404, 405} else raised.reason)
    except Exception:
        logger.exception("the console could not answer %s", request.path)
        return error(500, "The console failed; the terminal in which `make up` runs says more.")


_ALL_THERE_IS = "There is nothing at this path, or it does not take this method."


def content_security_policy(index: str) -> str:
    """For the page with this HTML: everything from here, and the inline import map as it stands."""
    # connect-src: the clients in the page connect to the stack, and to links of their own, on ports nobody knows now.
    return "; ".join(
        [
            "default-src 'self'",
            " ".join(["script-src 'self'", *(f"'sha256-{_hash(text)}'" for text in _IMPORT_MAP.findall(index))]),
            "connect-src 'self' ws://127.0.0.1:* ws://localhost:*",
            "img-src 'self' data:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def headers(policy: str) -> dict[str, str]:
    """What every answer has."""
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
