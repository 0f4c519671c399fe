"""Problem details (RFC 9457): the one form of all errors of the HTTP APIs, and what every one of them may be told.

``type`` is what a program goes by; it stays as it is for good. ``detail`` says what to do, and never repeats a value.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any

from lambdas.observability import Metric, count, logger
from lambdas.routing import NoRoute, Response

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1


class Kind(Enum):
    """What can be wrong: the end of its URI, the status, and its name. Each API has its own, and the `General` ones."""

    def __init__(self, name: str, status: HTTPStatus, title: str) -> None:
        self.uri = f"urn:ringback:problem:{name}"
        self.status = status
        self.title = title


class General(Kind):
    """What can be wrong wherever there is HTTP."""

    INVALID_REQUEST = "invalid-request", HTTPStatus.BAD_REQUEST, "The request cannot be read"
    NO_SUCH_ROUTE = "no-such-route", HTTPStatus.NOT_FOUND, "There is nothing at this path"
    METHOD_NOT_ALLOWED = "method-not-allowed", HTTPStatus.METHOD_NOT_ALLOWED, "The path does not take this method"
    NOT_ACCEPTABLE = "not-acceptable", HTTPStatus.NOT_ACCEPTABLE, "There is no such form of the answer"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is not JSON"
    INTERNAL_ERROR = "internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "Ringback failed"


class Problem(Exception):
    """An error that the caller is told of."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """Make one.

        Args:
            kind: of which there are few.
            detail: what to do about this one.
            errors: fields that are wrong, each with what is wrong with it.
            headers: of the answer.
            more: further members of the answer.
        """
        super().__init__(detail)
        self.kind = kind
        self.headers = headers or {}
        self.more: dict[str, Any] = dict(more or {})
        if listed := [{"field": field, "detail": text} for field, text in errors]:
            self.more["errors"] = listed

    def answer(self) -> Response:
        """What the caller gets."""
        kind = self.kind
        body = {"type": kind.uri, "title": kind.title, "status": kind.status.value, "detail": str(self), **self.more}
        return Response(kind.status, json.dumps(body, separators=(",", ":")), CONTENT_TYPE, self.headers)


def unavailable(kind: Kind, detail: str, *, more: Mapping[str, str] | None = None) -> Problem:
    """A service does not answer; the same request may do later."""
    return Problem(kind, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}, more=more)


def note_unavailable(error: Exception) -> None:
    """Log and count that a service does not answer."""
    logger.error("a service is unavailable", extra={"reason": str(error)})
    count(Metric.ERRORS)


def unexpected(error: Exception) -> Problem:
    """What the caller is told of an error that is none of theirs; it is logged, and counted."""
    logger.error("the function failed", exc_info=error)
    count(Metric.ERRORS)
    return Problem(General.INTERNAL_ERROR, "this is no fault of the request; the function's log has more")


def nothing_there(error: NoRoute) -> Problem:
    """What is wrong with a request that no route takes: its path, or only its method."""
    if error.methods:
        allow = ", ".join(error.methods)
        return Problem(General.METHOD_NOT_ALLOWED, f"this path takes {allow}", headers={"Allow": allow})
    return Problem(General.NO_SUCH_ROUTE, "look at the path: the API's description has all there are")


def json_object(event: Mapping[str, Any], *, give: str = "") -> tuple[dict[str, Any], int]:
    """Read the body of an HTTP API's event (payload 2.0), and its size in bytes.

    ``give`` tells who sends another JSON value what to send instead.

    Raises:
        Problem: it is no JSON object.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    media_type = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(General.UNSUPPORTED_MEDIA_TYPE, "send JSON, with the header Content-Type: application/json")
    body = event.get("body") or ""
    try:
        data = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
        value = json.loads(data.decode(), parse_constant=_refuse)
    except RecursionError:
        raise Problem(General.INVALID_REQUEST, "the body is nested too deep") from None
    except ValueError:
        raise Problem(General.INVALID_REQUEST, "the body is not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise Problem(General.INVALID_REQUEST, "the body is no JSON object" + (give and f": give {give}"))
    return value, len(data)


def fields(description: str) -> list[tuple[str, str]]:
    """Each field that is wrong and what is wrong with it, from the text that `ringback` makes of them."""
    parts = (part.partition(": ") for part in description.split("; "))
    return [(field, problem) for field, found, problem in parts if found]


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
