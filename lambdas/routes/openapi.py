"""The HTTP API's description. Paths, names and parameters come from the routes, the bodies from the models.

Only whoever exports it or tests it imports this; the function does without.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from lambdas.core.intake import Status
from lambdas.openapi import (
    JSON,
    REFUSAL,
    SCHEMAS,
    Json,
    answer,
    document,
    model_of,
    object_of,
    one_of,
    parameter,
    problem,
    problem_answers,
)
from lambdas.routes import problems
from lambdas.routes.http_api import MAX_MESSAGES, ROUTES
from lambdas.routes.problems import Kind
from ringback.connections import ConnectionStatus
from ringback.envelope import _PRINTABLE, Envelope
from ringback.fan_out import FanOut
from ringback.limits import MAX_ID_LENGTH, MAX_USER_LENGTH
from ringback.status import MessageStatus

SCOPE = "ringback:messages"
_RUN = "arn:aws:states:eu-central-1:123456789012:execution:Delivery:order-4711-shipped"
_DESCRIPTION = f"""\
Send messages to people, wherever they are connected, and ask what became of them. All of it is for backends.

Every call is authorized by API Gateway, as the stage is set up: with IAM (Signature Version 4 for `execute-api`; the
caller may `execute-api:Invoke` on this API), or with a JSON Web Token that has the scope (`{SCOPE}`, unless the stage
has another). API Gateway refuses the others by itself, and limits how many requests there are.

Every other error is a problem (RFC 9457); its `type` stays as it is for good.
"""


def openapi() -> Json:
    """The OpenAPI 3.1 document. Needs no AWS and no environment."""
    return document(
        ROUTES,
        info={
            "title": "Ringback",
            "summary": "Durable delivery of messages to WebSocket clients",
            "description": _DESCRIPTION,
        },
        server={
            "url": "{httpApiUrl}",
            "description": "The stack's output `HttpApiUrl`",
            "variables": {"httpApiUrl": {"default": "https://example.execute-api.eu-central-1.amazonaws.com"}},
        },
        security=[{"jwt": [SCOPE]}, {"iam": []}],
        components={"schemas": _schemas(), "securitySchemes": _SECURITY_SCHEMES},
        parameters=_PARAMETERS,
        operations=_OPERATIONS,
    )


def _schemas() -> Json:
    models: Any = [
        (Envelope, "validation"),
        (FanOut, "validation"),
        (model_of(MessageStatus), "serialization"),
        (model_of(ConnectionStatus), "serialization"),
    ]
    _, definitions = models_json_schema(models, by_alias=True, ref_template=f"{SCHEMAS}{{model}}")
    return {**definitions["$defs"], **_OWN_SCHEMAS}


_ID: Json = {"type": "string", "minLength": 1, "description": "The message's id."}
_STATUSES = {
    Status.DELIVERED: "posted at once, without a run",
    Status.STARTED: "a run carries it",
    Status.DUPLICATE: "it was accepted before; nothing was started",
    Status.MISSED: "it was not durable, and nobody was there to take it",
    Status.CONFLICT: "the id belongs to another message",
    Status.INVALID: "it is no message; `detail` says what to do",
    Status.UNAVAILABLE: "try again with the same id",
}
_EXECUTION_ARN: Json = {"type": "string", "description": "The run that carries it, if one does."}


def _result(description: str, *statuses: Status, required: tuple[str, ...] = ("id", "status"), **more: Json) -> Json:
    told = "; ".join(f"`{status}`: {_STATUSES[status]}" for status in statuses)
    return object_of(
        description,
        required=required,
        id=_ID,
        status={"type": "string", "enum": [status.value for status in statuses], "description": told},
        executionArn=_EXECUTION_ARN,
        **more,
    )


_OWN_SCHEMAS: Json = {
    "Batch": {
        **object_of(
            f"Up to {MAX_MESSAGES} messages at once.",
            messages={
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_MESSAGES,
                "items": {"anyOf": [one_of("Envelope"), {"description": "Whatever else: its result is `invalid`."}]},
            },
        ),
        "additionalProperties": False,
    },
    "Taken": _result("What became of a message.", Status.DELIVERED, Status.STARTED),
    "Duplicate": _result("A message that was there already.", Status.DUPLICATE),
    "Missed": _result("A message that was dropped.", Status.MISSED),
    "Results": object_of(
        "What became of each message, in their order.",
        results={
            "type": "array",
            "items": _result(
                "What became of one.",
                *Status,
                required=("status",),
                detail={"type": "string", "description": "What is wrong, and what to do."},
            ),
        },
    ),
    "FanOutRun": _result(
        "The run that carries a fan-out; its output is a summary.",
        Status.STARTED,
        Status.DUPLICATE,
        required=("id", "status", "executionArn"),
    ),
    "Cancelled": object_of("A message that goes no further.", id=_ID, state={"type": "string", "enum": ["cancelled"]}),
    "Connections": object_of(
        "The connections that are open now, the oldest first.",
        connections={"type": "array", "items": one_of("ConnectionStatus")},
    ),
    "Problem": problem(
        Kind,
        id={"type": "string", "description": "The id that it is about."},
        state={"type": "string", "description": "How the message ended, where that is the problem."},
    ),
    "Refusal": REFUSAL,
}

_SECURITY_SCHEMES: Json = {
    "jwt": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": f'For a stage with `http_api.authorization` "jwt": a token with the scope `{SCOPE}`.',
    },
    "iam": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "x-amazon-apigateway-authtype": "awsSigv4",
        "description": 'For a stage with `http_api.authorization` "iam": AWS Signature Version 4 for `execute-api`.',
    },
}


def _name(most: int) -> Json:
    return {"type": "string", "maxLength": most, "pattern": _PRINTABLE}


def _problems(**details: str) -> dict[str, Json]:
    """The problems of an operation by their status; each with an example of what it says."""
    told = {**details, "INTERNAL_ERROR": "this is no fault of the request; …"}
    return problem_answers({Kind[name]: detail for name, detail in told.items()}, _REFUSALS)


_PARAMETERS = {
    "id": parameter("id", "The message's id, percent-encoded.", _name(MAX_ID_LENGTH)),
    "user": parameter("user", "The user, percent-encoded.", _name(MAX_USER_LENGTH)),
}
_LOCATION: Json = {"Location": {"description": "Where to ask for its state", "schema": {"type": "string"}}}
_REFUSALS = {
    HTTPStatus.UNAUTHORIZED: "there is no good token",
    HTTPStatus.FORBIDDEN: "the token lacks the scope, or the caller the permission",
    HTTPStatus.TOO_MANY_REQUESTS: "slow down",
}
_TRY_AGAIN = "try again in a moment, with the same id"
_BODY_PROBLEMS: Mapping[str, str] = {
    "INVALID_REQUEST": "the body is not JSON in UTF-8",
    "UNSUPPORTED_MEDIA_TYPE": "send JSON, with the header Content-Type: application/json",
    "UNAVAILABLE": _TRY_AGAIN,
}
_WRONG_ID = "id: must be printable ASCII, without spaces and #"
_ENVELOPE: Json = {
    "id": "order-4711-shipped",
    "recipient": {"user": "ana", "context": "chat", "contextId": "42"},
    "type": "order.shipped",
    "payload": {"order": 4711},
    "ttlSeconds": 86400,
    "track": True,
}
_STARTED: Json = {"id": "order-4711-shipped", "status": "started", "executionArn": _RUN}
_OPERATIONS: Mapping[str, Json] = {
    "sendMessages": {
        "summary": "Send a message, or up to 100",
        "description": "Recipients who are there get theirs at once; for the others, and for every message that asks "
        'for it (`"track": true`, `"ack": "client"`, `"ordered": true`), a run is started, named after its id. An id '
        'makes it safe to send again: give every message one of its own. With `"durable": false`, a message whose '
        "recipient is not there is dropped, and answered `missed`.",
        "tags": ["messages"],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {"oneOf": [one_of("Envelope"), one_of("Batch")]},
                    "examples": {"one": {"value": _ENVELOPE}, "batch": {"value": {"messages": [_ENVELOPE]}}},
                }
            },
        },
        "responses": {
            "200": {
                "description": "A batch: what became of each message. One message: it was there already, or it was not "
                "durable and nobody was there",
                "content": {
                    JSON: {
                        "schema": {"oneOf": [one_of("Results"), one_of("Duplicate"), one_of("Missed")]},
                        "examples": {
                            "batch": {"value": {"results": [_STARTED]}},
                            "one": {"value": {**_STARTED, "status": "duplicate"}},
                            "missed": {"value": {"id": "typing-1", "status": "missed"}},
                        },
                    }
                },
                "headers": _LOCATION,
            },
            "202": answer("One message, and it is on its way", "Taken", _STARTED, _LOCATION),
            **_problems(
                **_BODY_PROBLEMS,
                INVALID_MESSAGE="recipient.user: is missing",
                ID_CONFLICT="id: another message has it; an id names one content for one recipient",
                TOO_LARGE="payload: the frame would be 131100 bytes, and API Gateway takes 131072",
            ),
        },
    },
    "getMessage": {
        "summary": "What became of a message",
        "description": "Reads the newest run of this id. A message that was delivered at the first attempt has none.",
        "tags": ["messages"],
        "responses": {
            "200": answer(
                "Its state",
                "MessageStatus",
                {
                    "id": "order-4711-shipped",
                    "state": "waiting",
                    "attempts": 1,
                    "acceptedAt": "2030-01-31T12:00:00Z",
                    "waitingFor": "reconnect",
                    "waitingSince": "2030-01-31T12:00:01Z",
                    "nextAttemptAt": "2030-01-31T12:00:09Z",
                    "endedAt": None,
                    "reason": None,
                    "cause": None,
                    "executionArn": _RUN,
                    "consoleUrl": "https://eu-central-1.console.aws.amazon.com/states/home?region=eu-central-1#/v2/"
                    f"executions/details/{_RUN}",
                },
            ),
            **_problems(INVALID_REQUEST=_WRONG_ID, MESSAGE_NOT_FOUND=problems.NO_RUN, UNAVAILABLE=_TRY_AGAIN),
        },
    },
    "cancelMessage": {
        "summary": "Cancel a message",
        "description": "Ends its run. That it is cancelled already is no error.",
        "tags": ["messages"],
        "responses": {
            "200": answer("It goes no further", "Cancelled", {"id": "order-4711-shipped", "state": "cancelled"}),
            **_problems(
                INVALID_REQUEST=_WRONG_ID,
                MESSAGE_NOT_FOUND=problems.NO_RUN,
                NOT_CANCELLABLE="the message is delivered",
                UNAVAILABLE=_TRY_AGAIN,
            ),
        },
    },
    "listConnections": {
        "summary": "Who is there: a user's open connections",
        "description": "A connection is `stale` when it took a message and did not acknowledge it.",
        "tags": ["connections"],
        "responses": {
            "200": answer(
                "The connections; none is an empty list",
                "Connections",
                {
                    "connections": [
                        {
                            "connectionId": "L0SM9cOFvHcCIhw=",
                            "user": "ana",
                            "context": "chat",
                            "contextId": "42",
                            "connectedAt": "2030-01-31T11:58:00Z",
                            "expiresAt": "2030-01-31T13:00:00Z",
                            "state": "active",
                            "staleSince": None,
                        }
                    ]
                },
            ),
            **_problems(INVALID_REQUEST="user: must be printable ASCII, without spaces and #", UNAVAILABLE=_TRY_AGAIN),
        },
    },
    "startFanOut": {
        "summary": "Send one message to many people",
        "description": "Starts a run, named after the id, that posts to all of them. Its output is a summary.",
        "tags": ["fan-out"],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": one_of("FanOut"),
                    "examples": {
                        "conversation": {
                            "value": {
                                "id": "chat-42-closed",
                                "message": {"type": "chat.closed", "payload": {"by": "ana"}},
                                "audience": {"conversation": {"context": "chat", "contextId": "42"}},
                                "exclude": ["ana"],
                            }
                        },
                        "users": {
                            "value": {
                                "id": "release-7",
                                "message": {"type": "release", "payload": "Release 7 is out", "ttlSeconds": 3600},
                                "audience": {"users": ["ana", "ben"], "context": "app", "contextId": "news"},
                                "durable": True,
                            }
                        },
                    },
                }
            },
        },
        "responses": {
            "200": answer("It was there already", "FanOutRun", {**_STARTED, "status": "duplicate"}),
            "202": answer("It is on its way", "FanOutRun", _STARTED),
            **_problems(
                **_BODY_PROBLEMS,
                INVALID_FAN_OUT="audience: give exactly one of users, list and conversation",
                ID_CONFLICT="id: another fan-out has it; give this one an id of its own",
                TOO_LARGE="the fan-out has 270000 bytes and may have 195000: name fewer users, or give them as a list "
                "in the bucket",
            ),
        },
    },
}
