"""A payload is carried, never read: it arrives as it was sent, in the frame and in the dead letter."""

import json
from typing import Any

import pytest

from tests.builders import envelope
from tests.statemachine.stage import MAX_ATTEMPTS, Stage
from tests.statemachine.test_paths import WAIT

TEXTS = {
    "quotes": """she said "it's" \\ and left""",
    "emoji": "👩‍👩‍👧 🇪🇺 ñ 漢字",
    "control characters": "\t\r\n\b\f\x00\x1f\x7f\u2028\u2029",
    "escapes as text": r"\n \u0041 \" \\",
    "an expression": "{% $states.context.Execution.Input %}",
    "half an expression": "%} {%",
    "a reference": "$states.input",
    "a placeholder": "${DeadLetterQueueUrl}",
    "a path": "$.payload",
    "markup": "<script>alert('&amp;')</script>",
    "JSON as text": '{"a": [1, 2]}',
    "empty": "",
}
VALUES = {
    "nothing": None,
    "no": False,
    "zero": 0,
    "empty array": [],
    "empty object": {},
    "array of one": [1],
    "array of one array of one": [[{"a": [None]}]],
    "nulls and empties inside": {"a": None, "b": [], "c": {}, "d": [None, [], {}, ""], "": {"": [[]]}},
    "floats": [0.1, -1.5, 1e-7, 123456.789],
    # JSONata's numbers are doubles: an integer beyond these is rounded, so it has to travel as a string.
    "the largest integers": [2**53 - 1, -(2**53 - 1)],
    "names that JSONata knows": {"$": 1, "$$": 2, "*": 3, "**": 4, "%": 5, "a.b": 6, "`c`": 7, "and": 8},
    "names that the machine knows": {
        "attemptsMade": 9,
        "lastError": {"Error": "E"},
        "connections": [],
        "ack": "client",
    },
    "deep": json.loads("[" * 50 + "]" * 50),
}
PAYLOADS: dict[str, Any] = {
    "a bare string": "hello",
    "a bare expression": "{% $states.context.Execution.Input %}",
    "100 KB": "0123456789" * 10_000 + "€",
    "null": None,
    "false": False,
    "an empty array": [],
    "an array of one array": [[1]],
    "every kind of text": TEXTS,
    "every kind of text in an array": list(TEXTS.values()),
    "every kind of value": VALUES,
    "every kind of value in an array": list(VALUES.values()),
}

with_every_payload = pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())


@with_every_payload
def test_a_payload_arrives_as_it_was_sent(stage: Stage, payload: Any) -> None:
    run = stage.send(envelope(payload=payload))
    run.wait_in(WAIT)

    stage.connect("c1")

    run.succeed()
    (frame,) = stage.gateway.frames["c1"]
    assert b'"payload":' + json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode() in frame


@with_every_payload
def test_a_payload_is_in_the_dead_letter_as_it_was_sent(stage: Stage, payload: Any) -> None:
    message = envelope(payload=payload, expiresAt="2030-01-31T11:59:59Z")

    stage.send(message).fail()

    assert json.dumps(stage.dead_letter()["message"]) == json.dumps(message)


def test_the_text_of_an_error_is_carried_like_a_payload(stage: Stage) -> None:
    nasty = 'quotes " and \\ and {% $states %} and "errorMessage"'

    def crash() -> None:
        raise RuntimeError(nasty)

    stage.functions.before["WaitForReconnect"] += [crash] * 7 * MAX_ATTEMPTS

    run = stage.send(envelope())

    assert run.fail() == ("RuntimeError", f"Dead-lettered after {MAX_ATTEMPTS} attempts: {nasty}")
    letter = stage.dead_letter()
    assert letter["cause"] == letter["lastError"]["cause"] == nasty
