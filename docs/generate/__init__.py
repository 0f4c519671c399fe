"""The machine-readable documents: made from the models and the functions, never written by hand.

`make docs` writes them. A test fails when one of them is not what this would write.
"""

import json
from pathlib import Path
from typing import Any

from docs.generate import asyncapi, openapi, schemas

FOLDER = Path(__file__).resolve().parent.parent
MEASURED = FOLDER / "performance.json"
"""Not made from anything here: `make bench` writes it."""


def documents() -> dict[Path, str]:
    """Every document, by its path."""
    values: dict[str, dict[str, Any]] = {
        "asyncapi.json": asyncapi.document(),
        "chat-openapi.json": openapi.chat_document(),
        "openapi.json": openapi.document(),
        **{f"schemas/{name}.schema.json": schema for name, schema in schemas.documents().items()},
    }
    return {FOLDER / name: _text(value) for name, value in values.items()}


def stale() -> list[Path]:
    """Which files are not what `make docs` would write: missing, different, or left over."""
    wanted = documents()
    different = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    return sorted([*different, *(_there() - wanted.keys())])


def write() -> list[Path]:
    """Write what is stale, and remove what is left over; answers which files those were."""
    wanted = documents()
    changed = stale()
    for path in changed:
        if path in wanted:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], "utf-8")
        else:
            path.unlink()
    return changed


def _there() -> set[Path]:
    return {*FOLDER.glob("*.json"), *FOLDER.glob("schemas/*.json")} - {MEASURED}


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
