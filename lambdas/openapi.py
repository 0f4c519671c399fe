"""What the descriptions of the HTTP APIs have in common.

Only whoever exports a description or tests it imports this; the functions do without.
"""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from http import HTTPStatus
from importlib import metadata
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

from lambdas.problems import CONTENT_TYPE, Kind

Json = dict[str, Any]

JSON = "application/json"
SCHEMAS = "#/components/schemas/"
REFUSAL: Json = {
    "type": "object",
    "description": "What API Gateway says by itself.",
    "properties": {"message": {"type": "string"}},
    "required": ["message"],
}


def document(
    app: APIGatewayHttpResolver,
    *,
    info: Json,
    server: Json,
    security: list[Json],
    components: Json,
    operations: Mapping[str, Json],
) -> Json:
    """An OpenAPI 3.1 document. Paths, names and parameters come from the routes. Needs no AWS and no environment.

    Args:
        app: has the routes.
        info: the title, the summary and the description.
        server: where it is.
        security: who may call.
        components: the schemas and the security schemes.
        operations: what is known of each beside its parameters, by its id.
    """
    described: Json = json.loads(app.get_openapi_json_schema())
    described["info"] = {
        "title": info["title"],
        "version": metadata.version("ringback"),
        "summary": info["summary"],
        "description": info["description"],
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    }
    described["servers"] = [server]
    described["security"] = security
    described["components"] = components
    for path in described["paths"].values():
        for operation in path.values():
            operation.update(operations[operation["operationId"]])
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _of_parameter(parameter["schema"])
    return deepcopy(described)  # what it is put together from is there once; a reader may do with his copy as he likes


def _of_parameter(schema: Json) -> Json:
    """Without what says nothing: its name, a branch for null (it is left out), whole limits as fractions."""
    branches = schema.get("anyOf", [])
    if {"type": "null"} in branches:
        (schema,) = (branch for branch in branches if branch != {"type": "null"})
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in schema.items()
        if key not in {"title", "description"}
    }


def object_of(description: str, *, required: tuple[str, ...] | None = None, **properties: Json) -> Json:
    """The schema of an object; all of its properties are required, unless it is said which."""
    names = list(properties) if required is None else list(required)
    return {"type": "object", "description": description, "properties": properties, "required": names}


def one_of(name: str) -> Json:
    """A schema that stands among the components."""
    return {"$ref": f"{SCHEMAS}{name}"}


def answer(description: str, schema: str, example: Any, headers: Json | None = None) -> Json:
    """A good answer."""
    content = {JSON: {"schema": one_of(schema), "examples": {"example": {"value": example}}}}
    return {"description": description, "content": content, **({"headers": headers} if headers else {})}


def problem(kinds: Iterable[Kind], **more: Json) -> Json:
    """The schema of all problems of an API."""
    kinds = list(kinds)
    return object_of(
        "Problem details, as RFC 9457 has them.",
        required=("type", "title", "status", "detail"),
        type={"type": "string", "format": "uri", "enum": [kind.uri for kind in kinds]},
        title={"type": "string"},
        status={"type": "integer", "enum": sorted({kind.status.value for kind in kinds})},
        detail={"type": "string", "description": "What is wrong, and what to do. No value is repeated."},
        errors={
            "type": "array",
            "description": "The fields that are wrong.",
            "items": object_of("One of them.", field={"type": "string"}, detail={"type": "string"}),
        },
        **more,
    )


def problem_answers(details: Mapping[Kind, str], refusals: Mapping[HTTPStatus, str]) -> dict[str, Json]:
    """The problems of an operation by their status, each with an example of what it says.

    Args:
        details: what each says.
        refusals: what API Gateway refuses by itself.
    """
    answers: dict[str, Json] = {}
    for kind, detail in details.items():
        told = answers.setdefault(
            str(kind.status.value),
            {
                "description": kind.title,
                "content": {CONTENT_TYPE: {"schema": one_of("Problem"), "examples": {}}},
                **({"headers": _retry_after(required=True)} if kind.status in _TRY_LATER else {}),
            },
        )
        told["content"][CONTENT_TYPE]["examples"][kind.uri.rpartition(":")[2]] = {
            "value": {"type": kind.uri, "title": kind.title, "status": kind.status.value, "detail": detail}
        }
    for status, description in refusals.items():
        refusal = {"description": f"From API Gateway: {description}", "content": {JSON: {"schema": one_of("Refusal")}}}
        told = answers.setdefault(str(status.value), refusal)
        if told is not refusal:  # both can say so, and API Gateway does not say for how long
            told["description"] += f"; or from API Gateway: {description}"
            told["content"] |= refusal["content"]
            told["headers"] = _retry_after(required=False)
    return dict(sorted(answers.items()))


_TRY_LATER = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}


def _retry_after(*, required: bool) -> Json:
    description = "Seconds to wait before the next try"
    return {"Retry-After": {"required": required, "description": description, "schema": {"type": "integer"}}}
