"""Secrets that go from function to function in objects: no log has them, whatever somebody logs."""

import json
import logging

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
