"""What is read of a request to the chat's API: who calls, and what they send."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from lambdas.chat.core.errors import ChatNotFound, Forbidden
from lambdas.chat.core.model import MAX_FEEDBACK_LENGTH, MAX_SUBJECT_LENGTH, MAX_TEXT_LENGTH, Person, Role
from lambdas.problems import General, Problem, fields, json_object
from ringback.envelope import WHOLE, MessageId, User, describe

FORMS = {"json": "application/json", "text": "text/plain"}
MAX_EVENTS = 100
_OR = " or "
MAX_EVENT_NUMBER = 99_999_999

Body = TypeVar("Body", bound="_Body")

# They would mean something to whoever shows the text: control characters, and what turns the direction of the rest.
_CONTROL = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069"
# Whitespace, and what takes no room or shows nothing. Nothing of it is in the other list, so that matching is quick.
_BLANK = r"\t\n\r \u00a0\u00ad\u1680\u180e\u2000-\u200f\u2028\u2029\u202f\u205f-\u2064\u2800\u3000\u3164\ufeff"
_READABLE = rf"[^{_CONTROL}]*"
_SAYS_SOMETHING = rf"[{_BLANK}]*[^{_BLANK}{_CONTROL}][^{_CONTROL}]*"
_CHAT_ID = r"[A-Za-z0-9-]{1,80}"
# One, signed; API Gateway takes it without the scheme, too.
_SIGNED = r"(?i:Bearer +)?[A-Za-z0-9_-]+\.(?P<payload>[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+"


def _known(text: str) -> str:
    """Raises ChatNotFound for what can be no chat's id."""
    if not re.fullmatch(_CHAT_ID, text):
        raise ChatNotFound("there is no such chat, or it is not yours")
    return text


ChatId = Annotated[str, AfterValidator(_known), Path(description="The chat's id.")]
After = Annotated[int, Query(ge=0, le=MAX_EVENT_NUMBER, description="The number of the last event that is known.")]
Limit = Annotated[int, Query(ge=1, le=MAX_EVENTS, description="How many are wanted at most.")]
Format = Annotated[
    Literal["json", "text"] | None, Query(description="The form of the answer; goes before the header `Accept`.")
]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _readable(text: str) -> str:
    if not re.fullmatch(_READABLE, text):
        raise ValueError("must have no control characters but tabs and line ends, and none that turn the direction")
    if not re.fullmatch(_SAYS_SOMETHING, text):
        raise ValueError("must not be blank")
    return text


_TEXT = AfterValidator(_readable)
_AS_PATTERN = {"pattern": f"^{_SAYS_SOMETHING}$"}
Subject = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_SUBJECT_LENGTH), _TEXT, Field(json_schema_extra=_AS_PATTERN)
]
Text = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH), _TEXT, Field(json_schema_extra=_AS_PATTERN)
]
Feedback = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_FEEDBACK_LENGTH), _TEXT, Field(json_schema_extra=_AS_PATTERN)
]


class NewChat(_Body):
    """A chat that is to be started."""

    subject: Annotated[Subject | None, Field(description="What it is about, in a few words.")] = None


class NewMessage(_Body):
    """Something that is to be said."""

    id: Annotated[
        MessageId | None,
        Field(description="Names the message for good, and makes it safe to send twice. Without one, it is given one."),
    ] = None
    text: Annotated[
        Text, Field(description="What is said: not blank, and no control characters but tabs and line ends.")
    ]


class Transfer(_Body):
    """Whom the chat is handed on to: another agent, or back to the queue. Exactly one of the two."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["agent"], "properties": {"agent": {"type": "string"}}},
                {"required": ["queue"], "properties": {"queue": {"const": True}}},
            ]
        }
    )

    agent: Annotated[User | None, Field(description="Who gets it; has to be at the desk.")] = None
    queue: Annotated[
        Annotated[bool, Field(json_schema_extra={"const": True})] | None, Field(description="Nobody gets it, yet.")
    ] = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.queue is False or (self.agent is None) is (self.queue is None):
            raise ValueError('give one of the two: "agent" with a name, or "queue" as true')
        return self


class NewRating(_Body):
    """How it was."""

    rating: Annotated[int, Field(ge=1, le=5, description="1 is the worst, 5 the best."), WHOLE]
    feedback: Annotated[Feedback | None, Field(description="Why, in the customer's words.")] = None


def read(body: type[Body], event: Mapping[str, Any]) -> Body:
    """What the caller sends; nothing at all is as good as an empty object.

    Raises:
        Problem: it cannot be read.
    """
    value, _ = json_object(event) if event.get("body") else ({}, 0)
    try:
        return body.model_validate(value)
    except ValidationError as error:
        told = describe(error, whole=_OR.join(body.model_fields))
        wrong = [(name, problem) for names, problem in fields(told) for name in names.split(_OR)]
        raise Problem(General.INVALID_REQUEST, told, errors=wrong) from None


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
    person = Person(role=Role.AGENT if is_agent else Role.CUSTOMER, user=claims["sub"])
    try:
        person.recipient  # noqa: B018 - it is one, or none
    except ValidationError:
        raise Forbidden("the token's sub must be up to 255 printable ASCII characters, without spaces and #") from None
    return person


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
