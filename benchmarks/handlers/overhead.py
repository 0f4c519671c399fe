"""`python -m benchmarks.handlers.overhead RESULT [ROUNDS]`: measure the handlers here, where their log is written.

Writes JSON to the file RESULT: by module, ``calls`` (what the handler asked AWS) and ``answer``, and for each round
the milliseconds of processor time that one invocation took (``handler``), and its calls alone (``raw``).
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore import xform_name

from benchmarks import scenes
from lambdas.adapters import aws

ROUNDS = 15
INVOCATIONS = 25


class _Recorder:
    """Notes every call of AWS: which client, which operation, which arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.is_on = False
        aws.session().register("provide-client-params", self._note)

    def _note(self, **about: Any) -> None:
        if self.is_on:
            _, service, operation = about["event_name"].split(".")
            self.calls.append((service, operation, about["params"]))

    def of(self, work: Callable[[], object]) -> tuple[list[tuple[str, str, dict[str, Any]]], object]:
        """The calls that this makes, and what it answers."""
        self.calls, self.is_on = [], True
        answer = work()
        self.is_on = False
        return self.calls, answer


def main(result: Path, rounds: int) -> None:
    """Measure, and write it down."""
    recorder = _Recorder()
    stage = scenes.stage()
    clients = {
        client.meta.service_model.service_id.hyphenize(): client
        for client in (aws.dynamodb(), aws.step_functions(), aws.sqs(), aws.management_api(scenes.ENDPOINT))
    }
    sides: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {}
    report: dict[str, Any] = {}
    for scene in stage:
        handle = _handling(scene)
        handle()  # the first time, which makes what later invocations have
        calls, answer = recorder.of(handle)
        raw = [(getattr(clients[service], xform_name(name)), params) for service, name, params in calls]
        sides[scene.module] = (handle, _making(raw))
        named = [f"{service}:{name}" for service, name, _ in calls]
        report[scene.module] = {"calls": named, "answer": answer, "handler": [], "raw": []}
    for _ in range(rounds):
        for module, (handle, make) in sides.items():
            report[module]["handler"].append(_milliseconds(handle))
            report[module]["raw"].append(_milliseconds(make))
    result.write_text(json.dumps(report))


def _handling(scene: scenes.Scene) -> Callable[[], object]:
    handler = importlib.import_module(f"lambdas.{scene.module}").handler
    event, context = scene.event(), scenes.context()
    return lambda: handler(event, context)


def _making(calls: list[tuple[Callable[..., object], dict[str, Any]]]) -> Callable[[], object]:
    def make() -> None:
        for call, params in calls:
            call(**params)

    return make


def _milliseconds(work: Callable[[], object]) -> float:
    """Of processor time, for once, in the mean of many times."""
    start = time.process_time()
    for _ in range(INVOCATIONS):
        work()
    return (time.process_time() - start) * 1000 / INVOCATIONS


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS)
