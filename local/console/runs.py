"""What the console knows of the runs: a summary of each, folded from what MiniStack tells (`local.feed`)."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, Literal

from local.console import moments
from ringback.runs import Run
from ringback.status import Progress, status_from

Machine = Literal["delivery", "fanOut", "chat"]
Json = dict[str, Any]

MAX_RUNS = 5_000

_TOLD = ("stateEnteredEventDetails", "taskScheduledEventDetails")
_OF_A_STATUS = ("attempts", "waitingFor", "waitingSince", "nextAttemptAt", "endedAt", "reason", "cause")
# Of the machines that carry no message.
_STATUSES = {"RUNNING": "running", "SUCCEEDED": "succeeded"}


def summary(run: Run, about: "About", progress: Progress, *, machine: Machine, events: int) -> Json:
    """A run as the page gets it."""
    known: Json = {
        "arn": run.arn,
        "name": run.name,
        "machine": machine,
        "id": run.message_id,
        **about.fields,
        "state": progress.state,
        "startedAt": moments.text(run.started_at),
        "events": events,
    }
    if machine != "delivery":
        more = {
            "status": _STATUSES.get(run.status, "failed"),
            "attempts": 1,
            "endedAt": moments.text(run.stopped_at) if run.stopped_at else None,
            "reason": run.error,
            "cause": run.cause,
        }
    else:
        status = status_from(run, progress).to_json()
        more = {"status": status["state"], **{name: status[name] for name in _OF_A_STATUS}}
    return known | {name: value for name, value in more.items() if value is not None}


@dataclass(frozen=True, slots=True)
class About:
    """What of a run's input the page shows in a list."""

    message_id: str | None
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, given: Any, machine: Machine) -> "About":
        """Read an input, which may be anything."""
        whole = given if isinstance(given, dict) else {}
        if machine == "chat":
            return cls(_text(whole.get("chatId")), {"type": "chat", "ack": "none", "ordered": False})
        message = _object(whole.get("message")) if machine == "fanOut" else whole
        audience = _object(whole.get("audience"))
        place = _object(audience.get("conversation")) or audience if machine == "fanOut" else whole.get("recipient")
        place = _object(place)
        fields: Json = {
            "user": _text(place.get("user")),
            "context": _text(place.get("context")),
            "contextId": _text(place.get("contextId")),
            "type": _text(message.get("type")) or _text(message.get("messageType")) or "message",
            "ack": _text(message.get("ack")) or "none",
            "ordered": message.get("ordered") is True,
        }
        if isinstance(message.get("sequence"), int):
            fields["sequence"] = message["sequence"]
        return cls(_text(whole.get("id")), fields)


@dataclass(slots=True)
class _Known:
    """One run, as far as it was told. Of its input, its output and its history there is only what the summary needs."""

    machine: Machine
    about: About
    progress: Progress = field(default_factory=Progress)
    events: int = 0

    def add(self, event: Mapping[str, Any]) -> None:
        self.events += 1
        if any(name in event for name in _TOLD):
            self.progress.add({**event, "timestamp": datetime.fromisoformat(event["timestamp"])})


class Runs:
    """As many runs as a page can show. Of each the summary is kept as JSON text: it goes to many pages as it is.

    What has ended makes room first, the longest ago first of all: one that waits for days is what people look for.
    """

    def __init__(self, machines: Mapping[str, Machine], *, most: int = MAX_RUNS) -> None:
        self._machines = machines
        self._most = most
        self._known: dict[str, _Known] = {}
        self._texts: dict[str, str] = {}
        self._ended: list[tuple[str, str]] = []  # a heap of when, and which

    def texts(self, arns: Iterable[str] | None = None) -> list[str]:
        """The summaries of these runs as far as they are known, or of all, the oldest first."""
        if arns is None:
            return list(self._texts.values())
        return [self._texts[arn] for arn in arns if arn in self._texts]

    def forget(self) -> None:
        """Know nothing: everything is told anew."""
        self._known.clear()
        self._texts.clear()
        self._ended.clear()

    def take(self, told: Mapping[str, Any]) -> Json | None:
        """Take in what was told of a run; answers its summary if that is news."""
        arn = told["arn"]
        if (known := self._find(told)) is None:
            return None
        for event in told["events"]:
            known.add(event)
        made = summary(_run(told, known.about), known.about, known.progress, machine=known.machine, events=known.events)
        text = json.dumps(made)
        if self._texts.get(arn) == text:
            return None
        self._texts[arn] = text
        if told.get("stopDate"):
            heappush(self._ended, (told["stopDate"], arn))
        self._make_room()
        return made if arn in self._texts else None

    def number(self, arn: str, sequence: int) -> bool:
        """Note the number of an ordered message; False if its run is not kept any more."""
        if (known := self._known.get(arn)) is None or arn not in self._texts:
            return False
        known.about = About(known.about.message_id, {**known.about.fields, "sequence": sequence})
        self._texts[arn] = json.dumps({**json.loads(self._texts[arn]), "sequence": sequence})
        return True

    def _make_room(self) -> None:
        while len(self._known) > self._most:
            arn = heappop(self._ended)[1] if self._ended else next(iter(self._known))
            self._known.pop(arn, None)  # one that was told again after its end is there twice
            self._texts.pop(arn, None)

    def _find(self, told: Mapping[str, Any]) -> _Known | None:
        """The run that this belongs to, made new where it is told from its beginning; None if it is none of ours."""
        arn, machine = told["arn"], self._machines.get(told["machine"])
        known = self._known.get(arn)
        if told["first"] == 0 and machine and "input" in told:
            known = self._known[arn] = _Known(machine, About.of(_json(told["input"]), machine))
            return known
        # What was told before is not told again: of a run that is not kept any more, the rest says nothing.
        return known if known and known.events == told["first"] else None


def _run(told: Mapping[str, Any], about: About) -> Run:
    output = _json(told.get("output"))
    return Run(
        arn=told["arn"],
        name=told["name"],
        status=told["status"],
        message={"id": about.message_id},
        started_at=datetime.fromisoformat(told["startDate"]),
        stopped_at=datetime.fromisoformat(told["stopDate"]) if "stopDate" in told else None,
        output=output,
        error=told.get("error"),
        cause=told.get("cause"),
    )


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _json(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
