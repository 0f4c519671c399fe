"""One run in full, and the machines: read by the ordinary API when a page asks."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from local.console import moments, numbers
from local.console.numbers import Numbers
from local.console.runs import About, Machine, summary
from ringback import aws, runs
from ringback.installation import Installation
from ringback.names import run_arn
from ringback.status import Progress

Json = dict[str, Any]

_EVENTS_A_PAGE = 1000


class Details:
    """Reads them. Threads may share it."""

    def __init__(self, installation: Installation, machines: Mapping[Machine, str]) -> None:
        self._client = installation.clients.stepfunctions
        self._machines = machines
        self._numbers = Numbers(installation)

    def machines(self) -> Json:
        """The state machines by name: their ARNs and definitions."""
        with aws.translated("stepfunctions"):
            described = {
                name: self._client.describe_state_machine(stateMachineArn=arn) for name, arn in self._machines.items()
            }
        return {
            name: {"arn": machine["stateMachineArn"], "definition": json.loads(machine["definition"])}
            for name, machine in described.items()
        }

    def run(self, arn: str) -> Json | None:
        """One run with its input, its output and its whole history; None if there is none."""
        run = runs.describe(self._client, arn)
        if run is None:
            return None
        events = self._events(arn)
        # What the history says is never older than what the description says of the end.
        run = runs.describe(self._client, arn) or run
        progress = Progress()
        for event in events:
            progress.add(event)
        of_machine = [name for name, its in self._machines.items() if arn.startswith(_runs_of(its))]
        machine = of_machine[0] if of_machine else "delivery"
        about = About.of(run.message, machine)
        made = summary(run, about, progress, machine=machine, events=len(events))
        if numbers.is_missing(made) and (found := self._numbers.read([made])):
            made["sequence"] = found[arn]
        optional = {"output": run.output, "error": run.error, "cause": run.cause}
        return {
            "run": made,
            "input": run.message,
            **{name: value for name, value in optional.items() if value is not None},
            "events": [_event(event) for event in events],
        }

    def _events(self, arn: str) -> list[Mapping[str, Any]]:
        events: list[Mapping[str, Any]] = []
        request: dict[str, Any] = {"executionArn": arn, "maxResults": _EVENTS_A_PAGE}
        while True:
            with aws.translated("stepfunctions"):
                page = self._client.get_execution_history(**request)
            events += page["events"]
            if "nextToken" not in page:
                return events
            request["nextToken"] = page["nextToken"]


def _runs_of(machine_arn: str) -> str:
    return run_arn(machine_arn, "")


def _event(event: Mapping[str, Any]) -> Json:
    return {name: moments.text(value) if isinstance(value, datetime) else value for name, value in event.items()}
