"""How functions start: without the libraries that take long to import and that they do not need."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# pydantic is for what is wrong with a message, threads for several connections; both come when they are needed.
DEAR = ("aiohttp", "asyncio", "aws_lambda_powertools.event_handler", "boto3", "concurrent.futures.thread", "pydantic")
NEEDED = {"lambdas.tasks.post_to_audience": {"asyncio"}}  # to post to many at once
OTHERS = {"lambdas.routes.http_api", "lambdas.routes.authorizer"}
IMPORT_ALL = """
import importlib, json, sys
functions, dear = json.load(sys.stdin)
found = {}
for function in functions:
    importlib.import_module(function)
    found[function] = [name for name in dear if name in sys.modules]
    dear = [name for name in dear if name not in sys.modules]
json.dump(found, sys.stdout)
"""


def _functions() -> list[str]:
    files = (
        file for room in ("calls", "routes", "tasks", "triggers") for file in (ROOT / "lambdas" / room).glob("*.py")
    )
    handlers = (file for file in files if "\ndef handler(" in file.read_text())
    modules = {".".join(file.relative_to(ROOT).with_suffix("").parts) for file in handlers} - OTHERS
    return sorted(modules, key=lambda module: (module in NEEDED, module))  # what is needed once is not needed before


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """What of the dear libraries each function loads, but for what one before it loaded."""
    child = subprocess.run(  # noqa: S603
        [sys.executable, "-c", IMPORT_ALL],
        input=json.dumps([_functions(), DEAR]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[str]] = json.loads(child.stdout)
    return found


@pytest.mark.parametrize("function", _functions())
def test_a_function_loads_nothing_dear_that_it_does_not_need(loaded: dict[str, list[str]], function: str) -> None:
    assert set(loaded[function]) <= NEEDED.get(function, set())


@pytest.mark.parametrize(("lambda_starts_it", "expected"), [("on-demand", "False True True"), ("", "True True False")])
def test_garbage_is_looked_for_when_the_start_is_over(
    lambda_starts_it: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", lambda_starts_it)
    program = (
        "import gc, lambdas; during = gc.isenabled(); import lambdas.tasks.plan_fan_out;"
        "print(during, gc.isenabled(), gc.get_freeze_count() > 0)"
    )
    child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603

    assert child.stdout.strip() == expected
