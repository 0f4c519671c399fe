"""The problems of the chat's API, each named after an error of the core (`lambdas.problems` has their form)."""

import re
from http import HTTPStatus

from lambdas import problems
from lambdas.chat.core import errors
from lambdas.chat.core.errors import ChatError
from lambdas.problems import Problem
from lambdas.routing import NoRoute

TRY_AGAIN = "try the same again in a moment"


class Kind(problems.Kind):
    """What can be wrong with a chat: the error, the status, and its name."""

    FORBIDDEN = errors.Forbidden, HTTPStatus.FORBIDDEN, "The token does not say who calls"
    AGENTS_ONLY = errors.AgentsOnly, HTTPStatus.FORBIDDEN, "Only agents can do this"
    CUSTOMERS_ONLY = errors.CustomersOnly, HTTPStatus.FORBIDDEN, "Only customers can do this"
    NOT_YOUR_CHAT = errors.NotYourChat, HTTPStatus.FORBIDDEN, "The chat is not yours"
    CHAT_NOT_FOUND = errors.ChatNotFound, HTTPStatus.NOT_FOUND, "There is no such chat"
    ALREADY_ACCEPTED = errors.AlreadyAccepted, HTTPStatus.CONFLICT, "Another agent was first"
    NOT_ACCEPTED = errors.NotAccepted, HTTPStatus.CONFLICT, "No agent has accepted the chat yet"
    CHAT_HAS_ENDED = errors.ChatHasEnded, HTTPStatus.CONFLICT, "The chat is over"
    NOT_ENDED = errors.NotEnded, HTTPStatus.CONFLICT, "The chat goes on"
    NOTHING_TO_RATE = errors.NothingToRate, HTTPStatus.CONFLICT, "No agent has ever accepted the chat"
    ALREADY_RATED = errors.AlreadyRated, HTTPStatus.CONFLICT, "The chat has its rating"
    RATING_CLOSED = errors.RatingClosed, HTTPStatus.CONFLICT, "The time for a rating is over"
    TOO_MANY_MESSAGES = errors.TooManyMessages, HTTPStatus.TOO_MANY_REQUESTS, "The caller says too much at once"
    ID_TAKEN = errors.IdTaken, HTTPStatus.CONFLICT, "The id belongs to another message"
    NOT_AT_THE_DESK = errors.NotAtTheDesk, HTTPStatus.CONFLICT, "The agent is not connected"
    AGENT_NOT_PRESENT = errors.AgentNotPresent, HTTPStatus.CONFLICT, "The other agent is not connected"
    UNAVAILABLE = errors.Unavailable, HTTPStatus.SERVICE_UNAVAILABLE, "A service does not answer"
    UNREADABLE = errors.Unreadable, HTTPStatus.SERVICE_UNAVAILABLE, "The chat cannot be read"

    def __init__(self, error: type[ChatError], status: HTTPStatus, title: str) -> None:
        super().__init__(f"chat:{re.sub('(?<=[a-z])(?=[A-Z])', '-', error.__name__).lower()}", status, title)
        self.error = error


_KINDS = {kind.error: kind for kind in Kind}


def of(error: Exception) -> Problem:
    """What the caller is told of any error; what is none of theirs is logged, and counted."""
    match error:
        case Problem():
            return error
        case NoRoute():
            return problems.nothing_there(error)
        case errors.Unavailable():
            problems.note_unavailable(error)
            return problems.unavailable(_KINDS[type(error)], TRY_AGAIN)
        case errors.TooManyMessages():
            wait = {"Retry-After": str(error.retry_after_seconds)}
            return Problem(Kind.TOO_MANY_MESSAGES, str(error), headers=wait)
        case ChatError() if type(error) in _KINDS:
            return Problem(_KINDS[type(error)], str(error))
    return problems.unexpected(error)
