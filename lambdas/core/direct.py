"""A post to one connection that the caller knows: once, and without a run."""

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

from lambdas.core.errors import InvalidMessage
from lambdas.core.frames import direct_frame
from lambdas.core.ports import Clock, PostResult, Sockets
from ringback import errors, plain

POST_AGAIN_AFTER_SECONDS = (0.1, 0.4)


class DirectPost(NamedTuple):
    """A frame and where it goes. ``endpoint`` is the base URL of the management API that can post to it."""

    id: str
    connection_id: str
    endpoint: str
    envelope: plain.DirectEnvelope


def read(value: Any, *, new_id: str, own_endpoint: str, allowed_endpoints: Collection[str]) -> DirectPost:
    """Read a direct envelope in its JSON form.

    Raises:
        InvalidMessage: what is wrong with it; an endpoint that the stage does not allow is.
    """
    try:
        parsed = plain.read_direct(value)
    except errors.InvalidMessage as error:
        raise InvalidMessage(str(error)) from None
    endpoint = parsed.recipient.endpoint or own_endpoint
    if endpoint != own_endpoint and endpoint not in allowed_endpoints:
        raise InvalidMessage(
            "recipient.endpoint: the stage does not allow it; add it to the setting allowed_endpoints, or leave it out"
        )
    return DirectPost(parsed.id or new_id, parsed.recipient.connection_id, endpoint, parsed)


def post(message: DirectPost, *, sockets: Sockets, clock: Clock) -> Literal["delivered", "gone", "failed"]:
    """Post it. What is throttled or fails is tried again for half a second.

    Raises:
        InvalidMessage: it is too large for a frame.
    """
    frame = direct_frame(message.envelope, message_id=message.id, sent_at=clock.now())
    result = sockets.post(message, frame)
    for pause in POST_AGAIN_AFTER_SECONDS:
        if result not in {PostResult.THROTTLED, PostResult.FAILED}:
            break
        clock.sleep(pause)
        result = sockets.post(message, frame)
    if result is PostResult.POSTED:
        return "delivered"
    return "gone" if result is PostResult.GONE else "failed"
