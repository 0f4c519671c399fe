"""What every function logs and traces, and what none does."""

import logging
import os
import subprocess
import sys
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.core.errors import NoOpenConnection
from lambdas.observability import instrumented, logger
from tests.builders import envelope, task
from tests.contract.conftest import SECRET, Stage

RUN = "arn:aws:states:eu-central-1:123456789012:execution:Delivery:execution-name"


@instrumented(NoOpenConnection)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    logger.info("at work")
    if "error" in event:
        raise event["error"]


def test_a_tasks_log_names_the_run_and_the_next_log_does_not(stage: Stage) -> None:
    stage.call(handler, task(envelope(payload=SECRET)))
    stage.call(handler, {"requestContext": {}})

    assert [line.get("execution_arn") for line in stage.log()] == [RUN, None]


@pytest.mark.parametrize(
    ("error", "lines", "metrics"),
    [(NoOpenConnection("nobody"), ["at work"], {}), (KeyError("k"), ["at work", "the function failed"], {"Errors": 1})],
    ids=["an answer", "a failure"],
)
def test_only_a_failure_is_logged_and_only_once(
    stage: Stage, caplog: pytest.LogCaptureFixture, error: Exception, lines: list[str], metrics: dict[str, int]
) -> None:
    powertools = logging.getLogger("aws_lambda_powertools")  # it has no handler unless somebody gives it one
    powertools.addHandler(caplog.handler)
    try:
        with pytest.raises(type(error)):
            stage.call(handler, {"error": error})
    finally:
        powertools.removeHandler(caplog.handler)

    assert [line["message"] for line in stage.log()] == lines
    assert [record.getMessage() for record in caplog.records if record.name.startswith(powertools.name)] == []
    assert stage.metrics() == metrics


def test_calls_of_aws_are_traced_and_a_function_that_makes_none_patches_nothing() -> None:
    program = """
import lambdas.routes.authorizer
from aws_xray_sdk.core.patcher import _PATCHED_MODULES as patched
from lambdas.observability import tracer
assert not tracer.disabled
assert patched == set(), patched
import lambdas.adapters.aws
assert patched == {"botocore"}, patched
"""
    deployed = {**os.environ, "POWERTOOLS_TRACE_DISABLED": "false", "LAMBDA_TASK_ROOT": "/var/task"}  # noqa: TID251
    subprocess.run([sys.executable, "-c", program], check=True, env=deployed)  # noqa: S603
