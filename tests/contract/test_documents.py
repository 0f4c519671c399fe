"""The machine-readable documents: up to date, valid under their own validators, and true."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

import docs.generate
from ringback import envelope
from tests.builders import envelope as an_envelope

SCHEMAS = sorted((docs.generate.FOLDER / "schemas").glob("*.json"))
OPENAPI = [docs.generate.FOLDER / name for name in ("openapi.json", "chat-openapi.json")]
ASYNCAPI = docs.generate.FOLDER / "asyncapi.json"
ERROR_AND_WARNING = (0, 1)


def load(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def validator(name: str) -> Draft202012Validator:
    schema = load(docs.generate.FOLDER / "schemas" / f"{name}.schema.json")
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_the_documents_are_what_would_be_generated_now() -> None:
    assert docs.generate.stale() == [], "the models have changed: run `make docs`, and look at what it changed"


def test_what_is_stale_is_written_and_what_is_left_over_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs.generate, "FOLDER", tmp_path)
    written = docs.generate.write()
    assert written
    assert docs.generate.write() == []
    left_over = tmp_path / "schemas" / "left-over.schema.json"
    left_over.write_text("{}")
    written[0].write_text("{}")

    assert docs.generate.stale() == sorted([written[0], left_over])
    docs.generate.write()

    assert docs.generate.stale() == []
    assert not left_over.exists()


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_json_schemas_are_valid_and_so_are_their_examples(path: Path) -> None:
    schema = load(path)
    Draft202012Validator.check_schema(schema)
    for name, part in [(None, schema), *schema.get("$defs", {}).items()]:
        whole = schema if name is None else {"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]}
        for shown in part.get("examples", []):
            Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(shown)


@pytest.mark.parametrize("path", [*SCHEMAS, *OPENAPI, ASYNCAPI], ids=lambda path: path.name)
def test_no_rule_is_lost_because_only_pydantic_knows_its_name(path: Path) -> None:
    assert not {"ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length"} & set(_names(load(path)))


def _names(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from part
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from _names(item)


@pytest.mark.parametrize("path", OPENAPI, ids=lambda path: path.name)
def test_openapi_documents_are_valid_and_so_are_their_examples(path: Path) -> None:
    document = load(path)

    openapi_spec_validator.validate(document)

    assert document["openapi"].startswith("3.1")
    examples = list(_examples_in_openapi(document))
    assert examples
    for schema, shown in examples:
        Draft202012Validator(
            {**schema, "components": document["components"]},
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        ).validate(shown)


def _examples_in_openapi(part: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Every example that stands beside a schema, with that schema."""
    if isinstance(part, dict):
        if isinstance(part.get("schema"), dict) and isinstance(part.get("examples"), dict):
            yield from ((part["schema"], shown["value"]) for shown in part["examples"].values())
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from _examples_in_openapi(item)


def test_asyncapis_own_parser_finds_nothing_wrong() -> None:
    command = [Path(sys.executable).with_name("node"), Path(__file__).with_name("asyncapi.mjs"), ASYNCAPI]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout  # noqa: S603 - our own

    assert [finding for finding in json.loads(said) if finding["severity"] in ERROR_AND_WARNING] == []


def test_the_examples_of_asyncapi_are_such_messages() -> None:
    document = load(ASYNCAPI)
    examples = list(_examples(document))

    assert {name for name, _ in examples} == document["components"]["messages"].keys()
    for name, shown in examples:
        payload = document["components"]["messages"][name]["payload"]
        Draft202012Validator({**payload, "components": document["components"]}).validate(shown)


def _examples(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, message in document["components"]["messages"].items():
        for shown in message["examples"]:
            yield name, shown["payload"]


identifiers = st.sampled_from(["a", "m-1", "~" * 64, "", "a b", "#", "é", 1, None, "x" * 300])
numbers = st.sampled_from([-1, 0, 1, 5.0, 1.5, 30, 270, 3600, 3601, 86_400, 604_800, 604_801, "1", None, True])
flags = st.sampled_from([True, False, None, "true", 1])
times = st.sampled_from(
    ["2030-01-31T12:00:00Z", "2030-01-31T12:00:00.5Z", "2030-01-31T12:00:00+00:00", "2030-02-30T12:00:00Z", 1, None]
)
texts = st.sampled_from(["x", "", "x" * 128, "x" * 129, 1, None])
recipients = st.fixed_dictionaries(
    {"user": identifiers, "context": identifiers}, optional={"contextId": identifiers, "url": st.just("u")}
)
retries = st.fixed_dictionaries(
    {},
    optional={"maxAttempts": numbers, "backoffBaseSeconds": st.sampled_from([1, 3600]), "backoffCapSeconds": numbers},
)
fields: dict[str, st.SearchStrategy[Any]] = {
    "id": identifiers,
    "type": texts,
    "messageType": texts,
    "ack": st.sampled_from(["none", "client", "server", None]),
    "ackTimeoutSeconds": numbers,
    "expiresAt": times,
    "ttlSeconds": numbers,
    "correlationId": texts,
    "ordered": flags,
    "track": flags,
    "durable": flags,
    "retry": st.none() | retries,
    "traceparent": st.sampled_from(["00-" + "0" * 32 + "-" + "1" * 16 + "-01", "00", None]),
    "sequence": numbers,
    "isFinal": flags,
    "prioritty": st.just(1),
}


@st.composite
def nearly_envelopes(draw: st.DrawFn) -> dict[str, Any]:
    """An envelope with up to three fields that are at, or beyond, the limits."""
    value = an_envelope(recipient=draw(st.just(an_envelope()["recipient"]) | recipients))
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True)):
        value[name] = draw(fields[name])
    return value


@example(an_envelope(ordered=True, sequence=1))
@example(an_envelope(ordered=False, sequence=1))
@example(an_envelope(ordered=True, sequence=None))
@example(an_envelope(expiresAt="2030-01-31T12:00:00Z", ttlSeconds=1))
@example(an_envelope(expiresAt=None, ttlSeconds=1))
@example(an_envelope(type="a", messageType="a"))
@example(an_envelope(durable=False))
@example(an_envelope(durable=False, ack="client"))
@example(an_envelope(durable=False, ordered=True))
@example(an_envelope(durable=False, track=True))
@example(an_envelope(durable=False, retry={}))
@example(an_envelope(durable=False, ack="none", ordered=False, track=False, retry=None))
@example(an_envelope(durable=True, ack="client", ordered=True, track=True, retry={}))
@settings(max_examples=300)
@given(nearly_envelopes())
def test_the_envelopes_schema_and_its_model_agree(value: dict[str, Any]) -> None:
    said = _refusal(value)

    # The one rule that JSON Schema cannot put into words.
    expected = said is None or said == "retry: backoffCapSeconds must not be lower than backoffBaseSeconds"
    assert validator("envelope").is_valid(value) == expected, said


def _refusal(value: dict[str, Any]) -> str | None:
    try:
        envelope.parse(value)
    except ValidationError as error:
        return envelope.describe(error)
    return None


def test_every_field_of_the_schema_is_tried_here() -> None:
    schema = load(docs.generate.FOLDER / "schemas" / "envelope.schema.json")

    assert schema["properties"].keys() == {"recipient", "payload", *fields} - {"prioritty"}
