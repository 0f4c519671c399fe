"""JSON Schema 2020-12 of everything that goes in and comes out, as people want to read it in an editor."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from lambdas.openapi import model_of
from ringback.envelope import DirectEnvelope, Envelope
from ringback.fan_out import FanOut
from ringback.protocol import FrameFromClient, FrameToClient
from ringback.status import MessageStatus
from ringback.wire import AcceptAnswer, AcceptRequest, DeadLetterBody, PostOnceAnswer

# Whether it is as it comes in, or as it goes out, with every field there.
Mode = Literal["validation", "serialization"]

_FIRST = ("$schema", "title", "description", "type", "properties", "required")
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def documents() -> dict[str, dict[str, Any]]:
    """The schemas that stand alone, by the name of their file."""
    return {
        "accept-answer": _document("Answer of accept", AcceptAnswer),
        "accept-request": _document("Request of accept", AcceptRequest),
        "dead-letter": _document("Dead letter", DeadLetterBody),
        "envelope": _document("Envelope", Envelope),
        "fan-out": _document("Fan-out", FanOut),
        "frame-from-client": _document("Frame from a client", FrameFromClient),
        "frame-to-client": _document("Frame to a client", FrameToClient),
        "message-status": _document("Message status", model_of(MessageStatus), "serialization"),
        "post-once-answer": _document("Answer of postOnce", PostOnceAnswer),
        "post-once-request": _document("Request of postOnce", DirectEnvelope),
    }


def components(models: Mapping[type[BaseModel], Mode]) -> dict[str, Any]:
    """The schemas of models and of all that they consist of, by name, for a document that has components."""
    _, together = models_json_schema(
        list(models.items()),
        ref_template="#/components/schemas/{model}",
        schema_generator=Readable,
    )
    schemas: dict[str, Any] = _in_json_terms(together["$defs"])
    return schemas


def _document(title: str, described: Any, mode: Mode = "validation") -> dict[str, Any]:
    schema = TypeAdapter(described).json_schema(by_alias=True, mode=mode, schema_generator=Readable)
    schema = {"$schema": DIALECT, **_in_json_terms(schema), "title": title}
    return dict(sorted(schema.items(), key=lambda item: _place(item[0])))


def _place(keyword: str) -> int:
    """Where a keyword stands in a document: what it is about first, what it is made of last."""
    return _FIRST.index(keyword) if keyword in _FIRST else len(_FIRST) + (keyword == "$defs")


class Readable(GenerateJsonSchema):
    """Pydantic's, without what says nothing: a title for each field, `"default": null`, a branch for null."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        """A field's name is its title."""
        return False

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:  # noqa: ARG002
        """Leave everything in the order in which the models have it."""
        return value

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """To leave a field out is as good as null, which is nothing to be filled in."""
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Name null beside the type, where there is one."""
        inner = self.generate_inner(schema["schema"])
        if isinstance(inner.get("type"), str) and not {"const", "enum"} & inner.keys():
            return {**inner, "type": [inner["type"], "null"]}
        return self.get_union_of_schemas([inner, {"type": "null"}])

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """`discriminator` is OpenAPI's; each branch says its constant itself."""
        union = super().tagged_union_schema(schema)
        union.pop("discriminator", None)
        return union


def _in_json_terms(value: Any) -> Any:
    """Say it for people who know JSON: without a definition of any JSON value, with the fields' JSON names."""
    if isinstance(value, list):
        return [_in_json_terms(item) for item in value]
    if not isinstance(value, dict):
        return value
    if str(value.get("$ref", "")).endswith("/JsonValue"):
        value = {name: item for name, item in value.items() if name != "$ref"}
    kept = {name: _in_json_terms(item) for name, item in value.items() if not (name == "JsonValue" and item == {})}
    if isinstance(kept.get("description"), str):
        kept["description"] = _prose(kept["description"])
    return {name: item for name, item in kept.items() if not (name == "$defs" and item == {})}


def _prose(docstring: str) -> str:
    """A docstring without Python's names of fields, and with lines that end where paragraphs do."""
    named = re.sub(r"``(\w+)``", lambda match: f"`{to_camel(match[1])}`", docstring)
    return re.sub(r"(?<!\n)\n(?!\n)", " ", named.replace("``", "`"))
