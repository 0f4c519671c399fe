"""HTTP API events (payload 2.0): what is read of them, before a route sees them and in it."""

import re
from typing import Annotated, Any
from urllib.parse import quote, unquote

from aws_lambda_powertools.event_handler.openapi.params import Path
from pydantic import BeforeValidator

from lambdas.problems import Problem
from lambdas.routes.problems import Kind
from ringback import envelope

# An id and a user may hold any printable ASCII, slashes included.
_NAMED = re.compile(r"(/messages/)(.+)()|(/users/)(.+)(/connections)", re.DOTALL)

MessageId = Annotated[
    envelope.MessageId, BeforeValidator(unquote), Path(description="The message's id, percent-encoded.")
]
User = Annotated[envelope.User, BeforeValidator(unquote), Path(description="The user, percent-encoded.")]


def with_named_segments(event: dict[str, Any]) -> dict[str, Any]:
    """Have an id or a user in the path stand in one segment, percent-encoded.

    API Gateway has decoded the path, all but ``%25``: decoding what is left gives what the caller encoded.
    """
    match = _NAMED.fullmatch(event["rawPath"])
    if not match:
        return event
    before, name, after = (group for group in match.groups() if group is not None)
    return {**event, "rawPath": f"{before}{quote(unquote(name), safe='')}{after}"}


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
