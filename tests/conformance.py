"""Schemathesis against an HTTP API: does it do what its description says, and nothing else, whatever it is sent."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import schemathesis
from pydantic import TypeAdapter, ValidationError
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from lambdas.core.model import timestamp
from ringback.envelope import Timestamp

_TIME: TypeAdapter[datetime] = TypeAdapter(Timestamp)


@dataclass
class Report:
    """What was sent, by operation and status of the answer, and what is wrong."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


def examine(
    described: dict[str, Any],
    base_url: str,
    *,
    token: str,
    now: Callable[[], datetime],
    examples: int,
    seed: int,
    until: float | None = None,
) -> Report:
    """Send it all kinds of requests, good ones and bad ones, the same for the same seed. All checks but one are on.

    With ``until``, a time of `time.monotonic`, it ends early; not before there was an answer.
    """
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "headers": {"Authorization": f"Bearer {token}"},
            "generation": {"max-examples": examples, "database": "none"},
            # What is cancelled has not vanished: its state can still be read.
            "checks": {"use_after_free": {"enabled": False}},
        }
    )
    schema = schemathesis.openapi.from_dict(described, config=config)
    schema.config.update(base_url=base_url)
    report = Report()
    with _what_the_schema_cannot_say(now):
        stream = from_schema(schema).execute()
        for event in stream:
            _note(event, report)
            if until is not None and report.answers and time.monotonic() >= until:
                stream.stop()
    return report


def _note(event: events.EngineEvent, report: Report) -> None:
    if isinstance(event, events.NonFatalError | events.FatalError):
        report.findings.append(repr(event))
    if not isinstance(event, events.ScenarioFinished | events.FuzzScenarioFinished):
        return
    recorder = event.recorder
    for interaction in recorder.interactions.values():
        if interaction.response is not None:
            report.answers[recorder.label, interaction.response.status_code] += 1
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info:
                sent = recorder.interactions[case_id]
                answer = sent.response.content[:500] if sent.response else None
                report.findings.append(
                    f"{recorder.label}: {check.name}: {check.failure_info.failure.message}\n"
                    f"  {sent.request.method} {sent.request.uri} {(sent.request.body or b'')[:500]!r}\n  {answer!r}"
                )


@contextmanager
def _what_the_schema_cannot_say(now: Callable[[], datetime]) -> Iterator[None]:
    """A life ends within a week of now, and a cap is no lower than its base: no request breaks these two alone."""

    def before_call(_context: object, case: Any, _kwargs: object) -> None:
        bodies = case.body.get("messages", [case.body]) if isinstance(case.body, dict) else []
        for body in bodies if isinstance(bodies, list) else []:
            for message in (body, body.get("message")) if isinstance(body, dict) else ():
                if isinstance(message, dict):
                    _mend(message, now)

    schemathesis.hook(before_call)
    try:
        yield
    finally:
        schemathesis.hooks.unregister(before_call)


def _mend(message: dict[str, Any], now: Callable[[], datetime]) -> None:
    try:
        _TIME.validate_python(message.get("expiresAt"))
        message["expiresAt"] = timestamp(now() + timedelta(hours=1))
    except ValidationError:
        pass  # is none, or is meant to be wrong
    retry = message.get("retry")
    names = ("backoffBaseSeconds", "backoffCapSeconds")
    if isinstance(retry, dict) and all(isinstance(retry.get(name), int | float) for name in names):
        base, cap = sorted(retry[name] for name in names)
        retry.update(zip(names, (base, cap), strict=True))
