"""What is read of a request to the chat's API: who calls, and what they send.

What is surely right is read here. All else goes to the models in `bodies`, which are imported then: they take it after
all, or say what is wrong.
"""

import base64
import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from lambdas.chat.core.errors import ChatNotFound, Forbidden
from lambdas.chat.core.model import MAX_FEEDBACK_LENGTH, MAX_SUBJECT_LENGTH, MAX_TEXT_LENGTH, Person, Role
from lambdas.problems import General, Problem, json_object
from ringback import surely
from ringback.limits import MAX_ID_LENGTH, MAX_USER_LENGTH
from ringback.surely import NotSure, optional, require

FORMS = {"json": "application/json", "text": "text/plain"}
MAX_EVENTS = 100
MAX_EVENT_NUMBER = 99_999_999

# They would mean something to whoever shows the text: control characters, and what turns the direction of the rest.
_CONTROL = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069"
# Whitespace, and what takes no room or shows nothing. Nothing of it is in the other list, so that matching is quick.
_BLANK = r"\t\n\r \u00a0\u00ad\u1680\u180e\u2000-\u200f\u2028\u2029\u202f\u205f-\u2064\u2800\u3000\u3164\ufeff"
READABLE = rf"[^{_CONTROL}]*"
SAYS_SOMETHING = rf"[{_BLANK}]*[^{_BLANK}{_CONTROL}][^{_CONTROL}]*"
_CHAT_ID = r"[A-Za-z0-9-]{1,80}"
# One, signed; API Gateway takes it without the scheme, too.
_SIGNED = r"(?i:Bearer +)?[A-Za-z0-9_-]+\.(?P<payload>[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+"


class Given(Protocol):
    """What a request gives."""

    @classmethod
    def surely(cls, value: object) -> Self:
        """Read its JSON form; raises NotSure for what is not surely right."""


G = TypeVar("G", bound=Given)


class NewChat(NamedTuple):
    """A chat that is to be started."""

    subject: str | None = None

    @classmethod
    def surely(cls, value: object) -> Self:
        """Read it."""
        given = surely.fields(value, cls._fields)
        return cls(optional(_text, given.get("subject"), MAX_SUBJECT_LENGTH))


class NewMessage(NamedTuple):
    """Something that is to be said."""

    text: str
    id: str | None = None

    @classmethod
    def surely(cls, value: object) -> Self:
        """Read it."""
        given = surely.fields(value, cls._fields)
        return cls(
            _text(given.get("text"), MAX_TEXT_LENGTH), optional(surely.identifier, given.get("id"), MAX_ID_LENGTH)
        )


class Transfer(NamedTuple):
    """Whom the chat is handed on to: another agent, or back to the queue."""

    agent: str | None = None
    queue: bool | None = None

    @classmethod
    def surely(cls, value: object) -> Self:
        """Read it."""
        given = surely.fields(value, cls._fields)
        agent, queue = optional(surely.identifier, given.get("agent"), MAX_USER_LENGTH), given.get("queue")
        require(queue is (None if agent else True))
        return cls(agent, queue)


class NewRating(NamedTuple):
    """How it was."""

    rating: int
    feedback: str | None = None

    @classmethod
    def surely(cls, value: object) -> Self:
        """Read it."""
        given = surely.fields(value, cls._fields)
        rating = surely.number(given.get("rating"), 1, 5)
        return cls(rating, optional(_text, given.get("feedback"), MAX_FEEDBACK_LENGTH))


class Page(NamedTuple):
    """Which events are wanted: so many after this one."""

    after: int = 0
    limit: int = MAX_EVENTS

    @classmethod
    def surely(cls, value: object) -> Self:
        """Read it, of the parameters behind the path."""
        given = surely.fields(value, cls._fields)
        limits = {"after": (0, MAX_EVENT_NUMBER), "limit": (1, MAX_EVENTS)}
        return cls(**{name: surely.number(_digits(text), *limits[name]) for name, text in given.items()})


class Form(NamedTuple):
    """Which form of the answer is wanted."""

    format: str | None = None

    @classmethod
    def surely(cls, value: object) -> Self:
        """Read it, of the parameters behind the path."""
        return cls(optional(partial(surely.matching, "|".join(FORMS)), surely.fields(value, cls._fields).get("format")))


def body(kind: type[G], event: Mapping[str, Any]) -> G:
    """What the caller sends; nothing at all is as good as an empty object.

    Raises:
        Problem: it cannot be read.
    """
    value, _ = json_object(event) if event.get("body") else ({}, 0)
    return _read(kind, value)


def parameters(kind: type[G], query: Mapping[str, str]) -> G:
    """What stands behind the path, beside what is not asked for.

    Raises:
        Problem: it cannot be read.
    """
    return _read(kind, {name: text for name, text in query.items() if name in kind.__annotations__})


def chat_id(name: str) -> str:
    """The id of a chat, from the path.

    Raises:
        ChatNotFound: it can be none.
    """
    if not re.fullmatch(_CHAT_ID, name):
        raise ChatNotFound("there is no such chat, or it is not yours")
    return name


def caller(event: Mapping[str, Any], *, role_claim: str, agent_role: str) -> Person:
    """Who calls, as the token says that API Gateway has verified.

    The role is read from the token itself. API Gateway repeats the claims as text, a list as ``[a b]``: a list with the
    group ``former agent`` would read as one with the group ``agent``.

    Raises:
        Forbidden: there is no such token, or it names nobody whom a message could be pushed to.
    """
    claims = _claims_of(event)
    claimed = claims.get(role_claim)
    is_agent = agent_role in claimed if isinstance(claimed, list) else claimed == agent_role
    try:
        user = surely.identifier(claims["sub"], MAX_USER_LENGTH)
    except NotSure:
        raise Forbidden("the token's sub must be up to 255 printable ASCII characters, without spaces and #") from None
    return Person(role=Role.AGENT if is_agent else Role.CUSTOMER, user=user)


def _claims_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The claims of the token in the header Authorization, of which the verified claims must tell the same `sub`."""
    token = re.fullmatch(_SIGNED, _headers(event).get("authorization", ""))
    payload = token["payload"] if token else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        claims = None
    verified = event["requestContext"]["authorizer"]["jwt"]["claims"].get("sub")
    if not isinstance(claims, dict) or not isinstance(verified, str) or claims.get("sub") != verified:
        raise Forbidden("send one token, with a sub, in the header Authorization: Bearer TOKEN")
    return claims


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def wanted_form(chosen: str | None, event: Mapping[str, Any]) -> str:
    """The media type of the answer: JSON, or plain text.

    Args:
        chosen: `json` or `text`; None leaves it to the header `Accept`.
        event: of the request.

    Raises:
        Problem: neither will do.
    """
    if chosen:
        return FORMS[chosen]
    accepted = _accepted(_headers(event).get("accept") or "*/*")
    best = max(FORMS.values(), key=lambda form: _quality(form, accepted))  # JSON, if both are as good
    if not _quality(best, accepted):
        raise Problem(General.NOT_ACCEPTABLE, f"accept {' or '.join(FORMS.values())}")
    return best


def _accepted(header: str) -> dict[str, float]:
    """Media ranges and how much each is wanted."""
    ranges = {}
    for part in header.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        ranges[media_range] = float(quality) if re.fullmatch(r"[01](\.[0-9]{0,3})?", quality) else 0.0
    return ranges


def _quality(form: str, accepted: Mapping[str, float]) -> float:
    ranges = (form, f"{form.partition('/')[0]}/*", "*/*")
    return next((accepted[one] for one in ranges if one in accepted), 0.0)


def _read(kind: type[G], value: Any) -> G:
    try:
        return kind.surely(value)
    except NotSure:
        from lambdas.chat.routes import bodies

        make: Any = kind
        read: G = make(**bodies.read(kind.__name__, value))
        return read


def _text(value: object, most: int) -> str:
    """A text that says something, and holds nothing that no text may hold: halves of characters, too."""
    text = surely.matching(SAYS_SOMETHING, value)
    require(len(text) <= most and not re.search("[\ud800-\udfff]", text))
    return text


def _digits(value: object) -> int:
    return int(surely.matching("[0-9]{1,8}", value))
