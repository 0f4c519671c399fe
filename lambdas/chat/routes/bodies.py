"""What is sent to the chat's API, as pydantic knows it: for the API's description, and to say what is wrong.

`requests` reads what is plainly right without it: pydantic takes longer to import than all of the function.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from lambdas.chat.core.model import MAX_FEEDBACK_LENGTH, MAX_SUBJECT_LENGTH, MAX_TEXT_LENGTH
from lambdas.chat.routes.requests import MAX_EVENT_NUMBER, MAX_EVENTS, READABLE, SAYS_SOMETHING
from lambdas.problems import General, Problem, fields
from ringback.envelope import WHOLE, MessageId, User, describe

_OR = " or "


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _readable(text: str) -> str:
    if not re.fullmatch(READABLE, text):
        raise ValueError("must have no control characters but tabs and line ends, and none that turn the direction")
    if not re.fullmatch(SAYS_SOMETHING, text):
        raise ValueError("must not be blank")
    return text


_TEXT = AfterValidator(_readable)
_AS_PATTERN = {"pattern": f"^{SAYS_SOMETHING}$"}
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


class Page(BaseModel):
    """What stands behind the path where there are pages."""

    after: Annotated[int, Field(ge=0, le=MAX_EVENT_NUMBER)] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_EVENTS)] = MAX_EVENTS


class Form(BaseModel):
    """What stands behind the path where there are several forms."""

    format: Literal["json", "text"] | None = None


_MODELS: dict[str, type[BaseModel]] = {
    model.__name__: model for model in (NewChat, NewMessage, Transfer, NewRating, Page, Form)
}


def read(name: str, value: Any) -> dict[str, Any]:
    """Read what a request gives, by the model of this name; answers its fields.

    Raises:
        Problem: it cannot be read.
    """
    model = _MODELS[name]
    try:
        return dict(model.model_validate(value))
    except ValidationError as error:
        told = describe(error, whole=_OR.join(model.model_fields))
        wrong = [(name, problem) for names, problem in fields(told) for name in names.split(_OR)]
        raise Problem(General.INVALID_REQUEST, told, errors=wrong) from None
