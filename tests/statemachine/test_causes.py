"""What a person reads of an error, whatever form its cause comes in."""

import json
from typing import Any

import pytest
from jsonata import Jsonata  # type: ignore[import-untyped]

from lambdas.core.endings import Ended
from tests.builders import NOW
from tests.statemachine.definition import STATES

STATE = STATES["Send To Dead Letter Queue"]
BODY = STATE["Arguments"]["MessageBody"]
FROM_LAMBDA = json.dumps({"errorMessage": 'no "payload"', "errorType": "InvalidMessage", "stackTrace": ["…"]})
CAUSES = {
    "a function raised": ({"Cause": FROM_LAMBDA}, 'no "payload"'),
    "a function raised without a word": ({"Cause": '{"errorMessage": "", "errorType": "RuntimeError"}'}, ""),
    "a service failed": ({"Cause": "Rate exceeded (Service: Sqs)"}, "Rate exceeded (Service: Sqs)"),
    "the cause was cut": ({"Cause": FROM_LAMBDA[:30]}, FROM_LAMBDA[:30]),
    "the message is further down": ({"Cause": '{"inner": {"errorMessage": "x"}}'}, '{"inner": {"errorMessage": "x"}}'),
    "a timeout, on AWS": ({}, ""),
    "a timeout, in moto": ({"Cause": ""}, ""),
}


def evaluate(expression: str, error: dict[str, Any], *, attempts: int = 3) -> Any:
    """Evaluate an expression of Send To Dead Letter Queue, which this error reached."""
    program = Jsonata(expression.removeprefix("{%").removesuffix("%}"))
    program.register_lambda("parse", json.loads)  # Step Functions adds it to JSONata
    happened = {"Error": "SomeError", **error}
    reached = {"error": happened, "lastError": happened, "attemptsMade": attempts}
    return program.evaluate(None, {"states": {"input": reached}})


@pytest.mark.parametrize(("error", "expected"), CAUSES.values(), ids=CAUSES.keys())
def test_the_cause_is_what_the_function_or_the_service_said(error: dict[str, Any], expected: str) -> None:
    assert evaluate(BODY["cause"], error) == expected
    assert evaluate(BODY["lastError"]["cause"], error) == expected
    assert evaluate(STATE["Output"]["cause"], error) == f"Dead-lettered after 3 attempts: {expected}"


@pytest.mark.parametrize("attempts", [1, 3])
def test_by_its_cause_a_run_is_known_to_have_dead_lettered_its_message(attempts: int) -> None:
    cause = evaluate(STATE["Output"]["cause"], {}, attempts=attempts)

    assert Ended("arn", "m-1", "FAILED", "{}", "SomeError", cause, NOW).is_dead_lettered
