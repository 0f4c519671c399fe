"""What is read of a request to the chat's API: who calls, and what they send."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from lambdas.chat.core.errors import ChatNotFound, Forbidden
from lambdas.chat.core.model import MAX_FEEDBACK_LENGTH, MAX_SUBJECT_LENGTH, MAX_TEXT_LENGTH, Person, Role
from lambdas.problems import General, Problem, fields, json_object
from ringback.envelope import WHOLE, MessageId, User, describe

FORMS = {"json": "application/json", "text": "text/plain"}
MAX_EVENTS = 100
MAX_EVENT_NUMBER = 99_999_999

Body = TypeVar("Body", bound="_Body")

# They would mean something to whoever shows the text.
_NO_CONTROL_CHARACTERS = r"[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*"
_CHAT_ID = r"[A-Za-z0-9-]{1,80}"


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
    if not re.fullmatch(_NO_CONTROL_CHARACTERS, text):
        raise ValueError("must have no control characters but tabs and line ends")
    return text


_TEXT = AfterValidator(_readable)
_AS_PATTERN = {"pattern": f"^{_NO_CONTROL_CHARACTERS}$"}
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
    text: Annotated[Text, Field(description="What is said. No control characters but tabs and line ends.")]


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
        Annotated[bool, Field(json_schema_extra={"const": True})] | None,
        Field(description="Nobody gets it, yet.", validate_default=True),
    ] = None

    @field_validator("queue")
    @classmethod
    def _one_of_them(cls, queue: bool | None, read: ValidationInfo) -> bool | None:  # noqa: FBT001
        if "agent" in read.data and (queue is False or (read.data["agent"] is None) is (queue is None)):
            raise ValueError('give either "agent", or "queue" as true')
        return queue


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
        told = describe(error)
        raise Problem(General.INVALID_REQUEST, told, errors=fields(told)) from None


def caller(event: Mapping[str, Any], *, role_claim: str, agent_role: str) -> Person:
    """Who calls, as the verified token says: API Gateway repeats its claims, and writes a list as ``[a b]``.

    Raises:
        Forbidden: the token names nobody whom a message could be pushed to.
    """
    claims = event["requestContext"]["authorizer"]["jwt"]["claims"]
    claimed = str(claims.get(role_claim, ""))
    roles = claimed[1:-1].split() if claimed.startswith("[") and claimed.endswith("]") else [claimed]
    person = Person(role=Role.AGENT if agent_role in roles else Role.CUSTOMER, user=str(claims.get("sub", "")))
    try:
        person.recipient  # noqa: B018 - it is one, or none
    except ValidationError:
        raise Forbidden("the token's sub must be up to 255 printable ASCII characters, without spaces and #") from None
    return person


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
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    accepted = _accepted(headers.get("accept") or "*/*")
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
