"""Problem details (RFC 9457): the one form of all errors of the HTTP API.

``type`` is what a program goes by; it stays as it is for good. ``detail`` says what to do, and never repeats a value.
"""

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from lambdas.core.errors import ServiceUnavailable
from lambdas.observability import Metric, count, logger
from ringback.errors import MessageNotFound, NotCancellable, Unavailable

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
NO_RUN = (
    "it was delivered at the first attempt, which takes no run, or it was never accepted: send a message with "
    '"track": true to be able to look it up'
)


class Kind(Enum):
    """What can be wrong: the end of its URI, the status, and its name."""

    INVALID_REQUEST = "invalid-request", HTTPStatus.BAD_REQUEST, "The request cannot be read"
    INVALID_MESSAGE = "invalid-message", HTTPStatus.BAD_REQUEST, "What was sent is no message"
    INVALID_FAN_OUT = "invalid-fan-out", HTTPStatus.BAD_REQUEST, "What was sent is no fan-out"
    NO_SUCH_ROUTE = "no-such-route", HTTPStatus.NOT_FOUND, "There is nothing at this path"
    MESSAGE_NOT_FOUND = "message-not-found", HTTPStatus.NOT_FOUND, "No run carries this message"
    METHOD_NOT_ALLOWED = "method-not-allowed", HTTPStatus.METHOD_NOT_ALLOWED, "The path does not take this method"
    ID_CONFLICT = "id-conflict", HTTPStatus.CONFLICT, "The id belongs to another message"
    NOT_CANCELLABLE = "not-cancellable", HTTPStatus.CONFLICT, "It is too late to cancel"
    TOO_LARGE = "too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "It is too large to be delivered"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is not JSON"
    INTERNAL_ERROR = "internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "Ringback failed"
    UNAVAILABLE = "unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "A service does not answer"

    def __init__(self, name: str, status: HTTPStatus, title: str) -> None:
        self.uri = f"urn:ringback:problem:{name}"
        self.status = status
        self.title = title


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

    def answer(self) -> Response[str]:
        """What the caller gets."""
        kind = self.kind
        body = {"type": kind.uri, "title": kind.title, "status": kind.status.value, "detail": str(self), **self.more}
        return Response(
            status_code=kind.status.value,
            content_type=CONTENT_TYPE,
            body=json.dumps(body, separators=(",", ":")),
            headers=self.headers,
        )


def unavailable(more: Mapping[str, str] | None = None) -> Problem:
    """A service does not answer; the same request may do later."""
    return Problem(
        Kind.UNAVAILABLE,
        "try again in a moment, with the same id",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        more=more,
    )


def of(error: Exception) -> Problem:
    """What the caller is told of any error; what is none of theirs is logged, and counted."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            wrong = [(str(item["loc"][-1]), "must be printable ASCII, without spaces and #") for item in error.errors()]
            detail = "; ".join(f"{field}: {problem}" for field, problem in wrong)
            return Problem(Kind.INVALID_REQUEST, detail, errors=wrong)
        case MessageNotFound():
            return Problem(Kind.MESSAGE_NOT_FOUND, NO_RUN, more={"id": error.message_id})
        case NotCancellable():
            more = {"id": error.message_id, "state": error.state}
            return Problem(Kind.NOT_CANCELLABLE, f"the message is {error.state}", more=more)
        case ServiceUnavailable() | Unavailable():
            logger.error("a service is unavailable", extra={"reason": str(error)})
            count(Metric.ERRORS)
            return unavailable()
    logger.error("the function failed", exc_info=error)
    count(Metric.ERRORS)
    return Problem(Kind.INTERNAL_ERROR, "this is no fault of the request; the function's log has more")
