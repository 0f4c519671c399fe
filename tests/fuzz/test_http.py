"""Both HTTP APIs over loopback, with all kinds of good and bad requests: Schemathesis, until the time is over."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from lambdas.chat.core.model import Person
from lambdas.clock import SystemClock
from lambdas.routes.openapi import openapi
from tests import conformance
from tests.chats import ANA, BO
from tests.contract.chat_desk import Desk, claims_of, desk, token_of
from tests.contract.http_gateway import TOKEN
from tests.contract.test_chat_api_conformance import described, serving
from tests.contract.test_http_api import backend
from tests.contract.test_http_api_conformance import url
from tests.fuzz.conftest import Watched
from tests.fuzz.mutation import SECRET

FEWEST = 30
"""So many requests are made however slow the machine is, in so many seconds more at most."""
PATIENCE_SECONDS = 60
__all__ = ["backend", "desk", "url"]  # fixtures


def look(
    pytestconfig: pytest.Config,
    stage: Watched,
    document: Callable[[], dict[str, Any]],
    where: str,
    *,
    token: str,
    now: Any,
) -> None:
    """Send requests until the time is over, each round with a seed of its own; a finding names its seed."""
    until = time.monotonic() + pytestconfig.getoption("--fuzz-seconds")
    seed = pytestconfig.getoption("--fuzz-seed") * 1_000_000
    answers: Counter[int] = Counter()
    while time.monotonic() < until + (PATIENCE_SECONDS if sum(answers.values()) < FEWEST else 0):
        report = conformance.examine(document(), where, token=token, now=now, examples=3, seed=seed, until=until)
        for (_, status), times in report.answers.items():
            answers[status] += times
        assert report.findings == [], f"seed {seed}"
        seed += 1
    assert {status for status in answers if status >= 500} == set()
    assert sum(answers.values()) >= FEWEST, "the time was too short"
    assert SECRET not in stage.written()
    print(f"{sum(answers.values()):,} requests: {dict(sorted(answers.items()))}")


def test_http_api_requests(pytestconfig: pytest.Config, stage: Watched, url: str) -> None:
    look(pytestconfig, stage, openapi, url, token=TOKEN, now=SystemClock().now)


@pytest.mark.parametrize("by", [ANA, BO], ids=["customer", "agent"])
def test_chat_api_requests(pytestconfig: pytest.Config, stage: Watched, desk: Desk, by: Person) -> None:
    with serving(desk, by) as where:
        look(pytestconfig, stage, described, where, token=token_of(claims_of(by)), now=desk.clock.now)
