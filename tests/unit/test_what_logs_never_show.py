"""Secrets that go from function to function in objects: no log has them, whatever somebody logs; and no trace."""

import ast
import json
import logging
from pathlib import Path

import pytest

from lambdas.adapters.token_keys import Key
from lambdas.core.authorization import Token, TokenSource
from lambdas.core.delivery import Waiting
from lambdas.observability import logger
from tests.builders import NOW, callback

SECRET = "s3cr3t" * 8


@pytest.mark.parametrize(
    "holder",
    [
        callback(task_token=SECRET),
        Waiting(SECRET, NOW, retry=0),
        Token(TokenSource.COOKIE, SECRET),
        Key("key-1", "HS256", SECRET.encode()),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_what_holds_a_secret_shows_it_to_nobody(holder: object) -> None:
    formatter = logger.registered_formatter
    record = logging.makeLogRecord({"msg": "logged: %s", "args": (holder,), "x": holder, "many": [holder]})

    written = formatter.format(record)

    assert json.loads(written)["x"] == repr(holder), "it was logged"
    for text in (written, repr(holder), f"{holder}"):
        assert SECRET not in text


ROOT = Path(__file__).parents[2]
CODE = sorted(path for room in ("lambdas", "ringback") for path in (ROOT / room).rglob("*.py"))
TRACING = ("aws_xray_sdk", "aws_lambda_powertools.tracing", "opentelemetry")


def names(code: str) -> set[str]:
    """Every name that this code imports or uses."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import():
                found.update(alias.name for alias in node.names)
            case ast.ImportFrom():
                found.update((node.module or "", *(alias.name for alias in node.names)))
            case ast.Name():
                found.add(node.id)
            case ast.Attribute():
                found.add(node.attr)
    return found


def traces(code: str) -> bool:
    return any(name == "Tracer" or name.startswith(TRACING) for name in names(code))


@pytest.mark.parametrize(
    "code",
    [
        "import aws_xray_sdk.core",
        "from aws_xray_sdk.core import xray_recorder",
        "from aws_lambda_powertools import Tracer",
        "import aws_lambda_powertools as tools\ntracer = tools.Tracer()",
        "from aws_lambda_powertools.tracing import Tracer as T",
        "from opentelemetry import trace",
    ],
)
def test_what_would_write_into_traces_is_known(code: str) -> None:
    assert traces(code)


def test_nothing_of_ours_writes_into_traces() -> None:
    """Services write them by themselves: names, times, status. What code adds to them could hold anything."""
    assert len(CODE) > 50
    assert [str(path.relative_to(ROOT)) for path in CODE if traces(path.read_text())] == []
