"""The problems of Ringback's HTTP API, and what becomes one (`lambdas.problems` has their form)."""

from collections.abc import Mapping
from http import HTTPStatus

from lambdas import problems
from lambdas.core.errors import ServiceUnavailable
from lambdas.problems import CONTENT_TYPE as CONTENT_TYPE
from lambdas.problems import General, Problem
from lambdas.routing import NoRoute
from ringback.errors import MessageNotFound, NotCancellable, Unavailable

NO_RUN = (
    "it was delivered at the first attempt, which takes no run, or it was never accepted: send a message with "
    '"track": true to be able to look it up'
)


class Kind(problems.Kind):
    """What can be wrong here."""

    INVALID_REQUEST = General.INVALID_REQUEST.value
    INVALID_MESSAGE = "invalid-message", HTTPStatus.BAD_REQUEST, "What was sent is no message"
    INVALID_FAN_OUT = "invalid-fan-out", HTTPStatus.BAD_REQUEST, "What was sent is no fan-out"
    NO_SUCH_ROUTE = General.NO_SUCH_ROUTE.value
    MESSAGE_NOT_FOUND = "message-not-found", HTTPStatus.NOT_FOUND, "No run carries this message"
    METHOD_NOT_ALLOWED = General.METHOD_NOT_ALLOWED.value
    ID_CONFLICT = "id-conflict", HTTPStatus.CONFLICT, "The id belongs to another message"
    NOT_CANCELLABLE = "not-cancellable", HTTPStatus.CONFLICT, "It is too late to cancel"
    TOO_LARGE = "too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "It is too large to be delivered"
    UNSUPPORTED_MEDIA_TYPE = General.UNSUPPORTED_MEDIA_TYPE.value
    INTERNAL_ERROR = General.INTERNAL_ERROR.value
    UNAVAILABLE = "unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "A service does not answer"


def unavailable(more: Mapping[str, str] | None = None) -> Problem:
    """A service does not answer; the same request may do later."""
    return problems.unavailable(Kind.UNAVAILABLE, "try again in a moment, with the same id", more=more)


def of(error: Exception) -> Problem:
    """What the caller is told of any error; what is none of theirs is logged, and counted."""
    match error:
        case Problem():
            return error
        case NoRoute():
            return problems.nothing_there(error)
        case MessageNotFound():
            return Problem(Kind.MESSAGE_NOT_FOUND, NO_RUN, more={"id": error.message_id})
        case NotCancellable():
            more = {"id": error.message_id, "state": error.state}
            return Problem(Kind.NOT_CANCELLABLE, f"the message is {error.state}", more=more)
        case ServiceUnavailable() | Unavailable():
            problems.note_unavailable(error)
            return unavailable()
    return problems.unexpected(error)
