"""When clients are made: at the import where Lambda starts a function, and anywhere else when they are asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AWS = {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
PROGRAM = """
import sys, botocore.session
made = []
make = botocore.session.Session.create_client
botocore.session.Session.create_client = lambda self, name, **options: made.append(name) or make(self, name, **options)
__import__(sys.argv[1])
from lambdas.adapters import aws
before = list(made)
aws.dynamodb(), aws.dynamodb()
print(*before, "|", *made)
"""


def clients(module: str, **environment: str) -> str:
    result = subprocess.run(  # noqa: S603 - our own interpreter, our own program
        [sys.executable, "-c", PROGRAM, f"lambdas.{module}"],
        env={**AWS, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("module", "made"),
    [
        ("routes.disconnect", "dynamodb | dynamodb"),
        ("triggers.presence", "events | events dynamodb"),
        ("calls.post_once", "| dynamodb"),
    ],
)
def test_lambda_starts_a_function_with_its_clients(module: str, made: str) -> None:
    assert clients(module, AWS_LAMBDA_INITIALIZATION_TYPE="on-demand") == made


def test_anybody_else_who_imports_a_function_makes_none() -> None:
    assert clients("routes.disconnect") == "| dynamodb"
