"""What the functions do without when they start: each of these takes longer to import than all of a function's code."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTIONS = (
    "routes.http_api",
    "chat.routes.chat_api",
    "chat.tasks.await_change",
    "chat.tasks.settle_overdue",
    "chat.triggers.notice_presence",
    "chat.triggers.publish_events",
)
SLOW = ("pydantic", "boto3", "aws_lambda_powertools.event_handler")
PROGRAM = "import sys; __import__(sys.argv[1]); print(*(name for name in sys.argv[2:] if name in sys.modules))"


@pytest.mark.parametrize("module", FUNCTIONS)
def test_a_function_starts_without(module: str) -> None:
    there = subprocess.run(  # noqa: S603 - our own interpreter, our own program
        [sys.executable, "-c", PROGRAM, f"lambdas.{module}", *SLOW],
        env={},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.split() == []
