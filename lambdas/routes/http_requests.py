"""Requests to the HTTP API: what is read of a path and of a body."""

from typing import Any
from urllib.parse import unquote

from lambdas.problems import Problem
from lambdas.routes.problems import Kind
from ringback import surely
from ringback.limits import MAX_ID_LENGTH, MAX_USER_LENGTH


def message_id(name: str) -> str:
    """The id of a message, from the path.

    Raises:
        Problem: it can be none.
    """
    return _identifier("id", name, MAX_ID_LENGTH)


def user(name: str) -> str:
    """The user, from the path.

    Raises:
        Problem: it can be none.
    """
    return _identifier("user", name, MAX_USER_LENGTH)


def batch(body: dict[str, Any], *, most: int) -> list[Any] | None:
    """The messages of a batch, whatever each of them is; None if this is no batch.

    Raises:
        Problem: it is meant to be a batch, and is none.
    """
    if "messages" not in body:
        return None
    messages = body["messages"]
    if len(body) > 1 or not isinstance(messages, list) or not 0 < len(messages) <= most:
        raise Problem(
            Kind.INVALID_REQUEST,
            f'a batch is {{"messages": […]}} with 1 to {most} messages, and nothing beside it',
            errors=[("messages", f"must be a list of 1 to {most} messages, and the only field")],
        )
    return messages


def _identifier(field: str, name: str, most: int) -> str:
    # API Gateway has decoded the path, all but `%25`: decoding what is left gives what the caller encoded.
    try:
        return surely.identifier(unquote(name), most)
    except surely.NotSure:
        problem = "must be printable ASCII, without spaces and #"
        raise Problem(Kind.INVALID_REQUEST, f"{field}: {problem}", errors=[(field, problem)]) from None
