"""What the descriptions of the HTTP APIs have in common.

Only whoever exports a description or tests it imports this; the functions do without.
"""

import inspect
from collections.abc import Iterable, Mapping
from copy import deepcopy
from datetime import datetime
from functools import cache
from http import HTTPStatus
from importlib import metadata
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel

from lambdas.problems import CONTENT_TYPE, Kind
from lambdas.routing import Routes
from ringback.envelope import Timestamp
from ringback.forms import Form

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
    routes: Routes,
    *,
    info: Json,
    server: Json,
    security: list[Json],
    components: Json,
    parameters: Mapping[str, Json],
    operations: Mapping[str, Json],
) -> Json:
    """An OpenAPI 3.1 document. Paths and names come from the routes. Needs no AWS and no environment.

    Args:
        routes: all there are.
        info: the title, the summary and the description.
        server: where it is.
        security: who may call.
        components: the schemas and the security schemes.
        parameters: the names in paths.
        operations: what is known of each beside these, by its id.
    """
    paths: dict[str, Json] = {}
    for route in sorted(routes, key=lambda route: not route.placeholder):
        operation = operations[route.operation_id]
        named = [parameters[route.placeholder]] if route.placeholder else []
        given = [*named, *operation.get("parameters", [])]
        path = paths.setdefault(route.path.replace("+}", "}"), {})
        path[route.method.lower()] = {
            "summary": operation["summary"],
            "operationId": route.operation_id,
            **({"parameters": given} if given else {}),
            "responses": operation["responses"],
            **{name: value for name, value in operation.items() if name != "parameters"},
        }
    return deepcopy(  # what it is put together from is there once; a reader may do with his copy as he likes
        {
            "openapi": "3.1.0",
            "info": {
                "title": info["title"],
                "version": metadata.version("ringback"),
                "summary": info["summary"],
                "description": info["description"],
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [server],
            "paths": paths,
            "components": components,
            "security": security,
        }
    )


def parameter(name: str, description: str, schema: Json, *, where: str = "path") -> Json:
    """A parameter; one in the path has to be there."""
    return {"description": description, "required": where == "path", "schema": schema, "name": name, "in": where}


@cache
def model_of(form: Any, *, closed: bool = False, without: frozenset[str] = frozenset()) -> type[BaseModel]:
    """A form as a pydantic model: with camelCase names, times as text, and what annotations say of a field.

    They say what it is, in a text, or from where to where it goes, as a range.

    Args:
        form: what has the fields.
        closed: whether it has no other fields.
        without: fields that are not in its JSON.
    """
    config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid" if closed else None)
    hints = get_type_hints(form, include_extras=True)
    described: Any = {
        name: (_described(hint, closed=closed), getattr(form, name, ...))
        for name, hint in hints.items()
        if name not in without and get_origin(hint) is not ClassVar
    }
    model: type[BaseModel] = create_model(form.__name__, __config__=config, __doc__=form.__doc__, **described)
    return model


def _described(hint: Any, *, closed: bool) -> Any:
    """A type as pydantic describes it."""
    if hint is datetime:
        return Timestamp
    if inspect.isclass(hint) and issubclass(hint, Form):
        model: Any = hint
        return model_of(model, closed=closed)
    if get_origin(hint) is Annotated:
        said, about = get_args(hint)
        field = Field(ge=about[0], le=about[-1]) if isinstance(about, range) else Field(description=about)
        return Annotated[_described(said, closed=closed), field]
    if isinstance(hint, UnionType):
        return Union[tuple(_described(one, closed=closed) for one in get_args(hint))]  # noqa: UP007 - of so many
    return hint


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
