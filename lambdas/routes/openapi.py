"""The HTTP API's description. Paths, names and parameters come from the routes, the bodies from the models.

Only whoever exports it or tests it imports this; the function does without.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from http import HTTPStatus
from importlib import metadata
from typing import Any

from pydantic.json_schema import models_json_schema

from lambdas.core.intake import Status
from lambdas.routes import problems
from lambdas.routes.http_api import MAX_MESSAGES, app
from lambdas.routes.problems import Kind
from ringback.connections import ConnectionStatus
from ringback.envelope import Envelope
from ringback.fan_out import FanOut
from ringback.status import MessageStatus

Json = dict[str, Any]

SCOPE = "ringback:messages"
_JSON = "application/json"
_SCHEMAS = "#/components/schemas/"
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
    document: Json = json.loads(app.get_openapi_json_schema())
    document["info"] = {
        "title": "Ringback",
        "version": metadata.version("ringback"),
        "summary": "Durable delivery of messages to WebSocket clients",
        "description": _DESCRIPTION,
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    }
    document["servers"] = [
        {
            "url": "{httpApiUrl}",
            "description": "The stack's output `HttpApiUrl`",
            "variables": {"httpApiUrl": {"default": "https://example.execute-api.eu-central-1.amazonaws.com"}},
        }
    ]
    document["security"] = [{"jwt": [SCOPE]}, {"iam": []}]
    document["components"] = {"schemas": _schemas(), "securitySchemes": _SECURITY_SCHEMES}
    for path in document["paths"].values():
        for operation in path.values():
            operation.update(_OPERATIONS[operation["operationId"]])
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = {
                    key: value for key, value in parameter["schema"].items() if key not in {"title", "description"}
                }
    return deepcopy(document)  # what it is put together from is there once; a reader may do with his copy as he likes


def _schemas() -> Json:
    models: Any = [
        (Envelope, "validation"),
        (FanOut, "validation"),
        (MessageStatus, "serialization"),
        (ConnectionStatus, "serialization"),
    ]
    _, definitions = models_json_schema(models, by_alias=True, ref_template=f"{_SCHEMAS}{{model}}")
    return {**definitions["$defs"], **_OWN_SCHEMAS}


def _object(description: str, *, required: tuple[str, ...] | None = None, **properties: Json) -> Json:
    names = list(properties) if required is None else list(required)
    return {"type": "object", "description": description, "properties": properties, "required": names}


def _one_of(name: str) -> Json:
    return {"$ref": f"{_SCHEMAS}{name}"}


_ID: Json = {"type": "string", "minLength": 1, "description": "The message's id."}
_STATUSES = {
    Status.DELIVERED: "posted at once, without a run",
    Status.STARTED: "a run carries it",
    Status.DUPLICATE: "it was accepted before; nothing was started",
    Status.CONFLICT: "the id belongs to another message",
    Status.INVALID: "it is no message; `detail` says what to do",
    Status.UNAVAILABLE: "try again with the same id",
}
_EXECUTION_ARN: Json = {"type": "string", "description": "The run that carries it, if one does."}


def _result(description: str, *statuses: Status, required: tuple[str, ...] = ("id", "status"), **more: Json) -> Json:
    told = "; ".join(f"`{status}`: {_STATUSES[status]}" for status in statuses)
    return _object(
        description,
        required=required,
        id=_ID,
        status={"type": "string", "enum": [status.value for status in statuses], "description": told},
        executionArn=_EXECUTION_ARN,
        **more,
    )


_OWN_SCHEMAS: Json = {
    "Batch": {
        **_object(
            f"Up to {MAX_MESSAGES} messages at once.",
            messages={
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_MESSAGES,
                "items": {"anyOf": [_one_of("Envelope"), {"description": "Whatever else: its result is `invalid`."}]},
            },
        ),
        "additionalProperties": False,
    },
    "Taken": _result("What became of a message.", Status.DELIVERED, Status.STARTED),
    "Duplicate": _result("A message that was there already.", Status.DUPLICATE),
    "Results": _object(
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
    "Cancelled": _object("A message that goes no further.", id=_ID, state={"type": "string", "enum": ["cancelled"]}),
    "Connections": _object(
        "The connections that are open now, the oldest first.",
        connections={"type": "array", "items": _one_of("ConnectionStatus")},
    ),
    "Problem": _object(
        "Problem details, as RFC 9457 has them.",
        required=("type", "title", "status", "detail"),
        type={"type": "string", "format": "uri", "enum": [kind.uri for kind in Kind]},
        title={"type": "string"},
        status={"type": "integer", "enum": sorted({kind.status.value for kind in Kind})},
        detail={"type": "string", "description": "What is wrong, and what to do. No value is repeated."},
        errors={
            "type": "array",
            "description": "The fields that are wrong.",
            "items": _object("One of them.", field={"type": "string"}, detail={"type": "string"}),
        },
        id={"type": "string", "description": "The id that it is about."},
        state={"type": "string", "description": "How the message ended, where that is the problem."},
    ),
    "Refusal": _object("What API Gateway says by itself.", message={"type": "string"}),
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


def _answer(description: str, schema: str, example: Json, headers: Json | None = None) -> Json:
    content = {_JSON: {"schema": _one_of(schema), "examples": {"example": {"value": example}}}}
    return {"description": description, "content": content, **({"headers": headers} if headers else {})}


def _problems(**details: str) -> dict[str, Json]:
    """The problems of an operation by their status; each with an example of what it says."""
    answers: dict[str, Json] = {}
    for name, detail in {**details, "INTERNAL_ERROR": "this is no fault of the request; …"}.items():
        kind = Kind[name]
        answer = answers.setdefault(
            str(kind.status.value),
            {
                "description": kind.title,
                "content": {problems.CONTENT_TYPE: {"schema": _one_of("Problem"), "examples": {}}},
                **({"headers": _RETRY_AFTER} if kind is Kind.UNAVAILABLE else {}),
            },
        )
        answer["content"][problems.CONTENT_TYPE]["examples"][kind.uri.rpartition(":")[2]] = {
            "value": {"type": kind.uri, "title": kind.title, "status": kind.status.value, "detail": detail}
        }
    for status, description in _REFUSALS.items():
        answers[str(status.value)] = {
            "description": f"From API Gateway: {description}",
            "content": {_JSON: {"schema": _one_of("Refusal")}},
        }
    return dict(sorted(answers.items()))


_RETRY_AFTER: Json = {
    "Retry-After": {
        "required": True,
        "description": "Seconds to wait before the next try",
        "schema": {"type": "integer"},
    }
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
        "makes it safe to send again: give every message one of its own.",
        "tags": ["messages"],
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {
                    "schema": {"oneOf": [_one_of("Envelope"), _one_of("Batch")]},
                    "examples": {"one": {"value": _ENVELOPE}, "batch": {"value": {"messages": [_ENVELOPE]}}},
                }
            },
        },
        "responses": {
            "200": {
                "description": "A batch: what became of each message. One message: it was there already",
                "content": {
                    _JSON: {
                        "schema": {"oneOf": [_one_of("Results"), _one_of("Duplicate")]},
                        "examples": {
                            "batch": {"value": {"results": [_STARTED]}},
                            "one": {"value": {**_STARTED, "status": "duplicate"}},
                        },
                    }
                },
                "headers": _LOCATION,
            },
            "202": _answer("One message, and it is on its way", "Taken", _STARTED, _LOCATION),
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
            "200": _answer(
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
            "200": _answer("It goes no further", "Cancelled", {"id": "order-4711-shipped", "state": "cancelled"}),
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
            "200": _answer(
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
                _JSON: {
                    "schema": _one_of("FanOut"),
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
            "200": _answer("It was there already", "FanOutRun", {**_STARTED, "status": "duplicate"}),
            "202": _answer("It is on its way", "FanOutRun", _STARTED),
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
