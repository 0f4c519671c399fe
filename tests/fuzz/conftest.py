"""What a fuzz test gets: how long it may take, its chance, and watched handlers."""

import io
import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from lambdas.clock import SystemClock
from lambdas.observability import logger, metrics
from tests.builders import NOW
from tests.contract.conftest import (  # noqa: F401 - fixtures
    Stage,
    callbacks_table,
    cloud,
    connections_table,
    indexed_table,
    sequences_table,
)
from tests.fuzz.mutation import SECRET

EXAMPLES_A_ROUND = 50
FEWEST = 20
"""So many changed events are tried however slow the machine is: none would say nothing."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long, from which seed, and where findings go."""
    group = parser.getgroup("fuzz")
    group.addoption("--fuzz-seconds", type=float, default=3.0, help="how long each test looks for findings")
    group.addoption("--fuzz-seed", type=int, default=1, help="what is tried first")
    group.addoption("--fuzz-findings", type=Path, default=Path("build/fuzz"), help="the folder for findings")
    group.addoption("--fuzz-replay", type=Path, default=None, help="play this finding again, and nothing else")


class Watched(Stage):
    """Calls handlers, and sees to it after each call that nothing secret was written."""

    def call(self, handler: Callable[..., Any], event: dict[str, Any], **context: Any) -> Any:
        """Call a handler."""
        try:
            return super().call(handler, event, **context)
        finally:
            written = self.written()
            self._log.seek(0)
            self._log.truncate()
            self._metrics.clear()
            assert SECRET not in written, f"something secret was written: {written[:2000]}"


@pytest.fixture
def stage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(SystemClock, "now", lambda self: NOW)
    monkeypatch.setattr("lambdas.clock.time.sleep", lambda seconds: None)
    log = io.StringIO()
    handler: Any = logger.registered_handler
    before = handler.setStream(log)
    metrics.clear_metrics()
    yield Watched(log, capsys, monkeypatch)
    handler.setStream(before)


class Fuzz:
    """Tries one changed event after the other, until its time is over or one of them finds something."""

    def __init__(self, name: str, config: pytest.Config) -> None:
        self._name = name
        self._seconds: float = config.getoption("--fuzz-seconds")
        self._seed: int = config.getoption("--fuzz-seed")
        self._findings: Path = config.getoption("--fuzz-findings")
        self._replay: Path | None = config.getoption("--fuzz-replay")
        self.tried = 0

    def play(self, real: Sequence[Any], change: Callable[[Any, Random], Any], use: Callable[[Any], None]) -> None:
        """Use real events, then changed ones.

        Args:
            real: events as they are; each must be good.
            change: makes another one of an event.
            use: calls the handler; raises for a finding.
        """
        if self._replay:
            use(json.loads(self._replay.read_text("utf-8"))["event"])
            return
        for event in real:
            use(json.loads(json.dumps(event)))
        until = time.monotonic() + self._seconds
        seed = self._seed * 1_000_000
        while time.monotonic() < until or self.tried < FEWEST:
            self._round(real, change, use, seed=seed, until=until)
            seed += 1
        assert self.tried >= FEWEST
        print(f"{self._name}: {self.tried:,} events")

    def _round(
        self,
        real: Sequence[Any],
        change: Callable[[Any, Random], Any],
        use: Callable[[Any], None],
        *,
        seed: int,
        until: float,
    ) -> None:
        found: list[tuple[Any, str]] = []

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=EXAMPLES_A_ROUND,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
            print_blob=False,
            report_multiple_bugs=False,
        )
        @hypothesis.given(st.integers(0, len(real) - 1), st.randoms(use_true_random=False))
        def look(number: int, random: Random) -> None:
            event = json.loads(json.dumps(change(real[number], random)))  # as Lambda's events are
            if not found and time.monotonic() >= until and self.tried >= FEWEST:
                return  # not before: Hypothesis takes it for a whim if the same chance draws less
            self.tried += 1
            try:
                use(json.loads(json.dumps(event)))
            except Exception:
                found.append((event, traceback.format_exc()))
                raise

        try:
            look()
        except BaseException:
            if found:
                self._write(*found[-1])  # the smallest
            raise

    def _write(self, event: Any, what: str) -> None:
        self._findings.mkdir(parents=True, exist_ok=True)
        file = self._findings / f"{self._name}.json"
        file.write_text(json.dumps({"test": self._name, "event": event, "finding": what}, indent=2), "utf-8")
        print(f"FINDING {file}; again: python -m tests.fuzz --replay {file}")


@pytest.fixture
def fuzz(request: pytest.FixtureRequest) -> Fuzz:
    return Fuzz(request.node.name, request.config)
