"""What a chaos run leaves behind, read back into the ledger's entries: runs, dead letters, and what the cloud noted."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.stack import Stack
from ringback.dead_letters import open_queue
from ringback.names import execution_name, first_name
from tests.chaos.ledger import Entry, Heard, Letter, Run, Wait
from tests.chaos.plan import Ids

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

WAITING = "Wait For Reconnect"
_POSTING = frozenset({"Post To Connections", "Post And Await Acknowledgement"})
_AT_ONCE = 4

Json = dict[str, Any]
Fault = tuple[str, str, str, str, int]


@dataclass
class Noted:
    """What the fault layer wrote down: how many faults, which, and what was posted to whom when."""

    faults: Counter[str] = field(default_factory=Counter)
    places: list[Fault] = field(default_factory=list)
    posted: list[tuple[float, str, str]] = field(default_factory=list)  # at, message id, user
    heard: dict[str, list[Heard]] = field(default_factory=lambda: defaultdict(list))  # by user

    @classmethod
    def read(cls, file: Path, *, since: float) -> "Noted":
        """Read the file, from this moment on. Without one, nothing was injected and nothing noted."""
        noted = cls()
        if not file.exists():
            return noted
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                one = json.loads(line)
                if one["at"] < since:
                    continue
                if "fault" in one:
                    noted.faults[one["fault"]] += 1
                    noted.places.append((one["fault"], one["function"], one["operation"], one["subject"], one["nth"]))
                elif "heard" in one:
                    noted.heard[one["user"]].append(Heard(one["heard"], one["at"]))
                else:
                    noted.posted += [(one["at"], message_id, one["user"]) for message_id in one["posted"]]
        return noted


class Runs:
    """The delivery machine's runs of one chaos run."""

    def __init__(self, stack: Stack, ids: Ids) -> None:
        self._client: SFNClient = stack.installation.clients.stepfunctions
        self._machine = stack.installation.delivery_state_machine_arn
        self._ids = ids

    def all(self, status: str | None = None) -> Iterator[Json]:
        """All there are, or those with this status, as Step Functions lists them."""
        request: Json = {"stateMachineArn": self._machine, "maxResults": 1000}
        if status:
            request["statusFilter"] = status
        while True:
            page = self._client.list_executions(**request)
            for execution in page["executions"]:
                if self._ids.belongs(execution["name"]):
                    yield dict(execution)
            if not page.get("nextToken"):
                return
            request["nextToken"] = page["nextToken"]

    def history(self, arn: str) -> list[Json]:
        """What happened in one."""
        request: Json = {"executionArn": arn, "maxResults": 1000}
        events: list[Json] = []
        while True:
            page = self._client.get_execution_history(**request)
            events += [dict(event) for event in page["events"]]
            if not page.get("nextToken"):
                return events
            request["nextToken"] = page["nextToken"]

    def reason(self, arn: str) -> str:
        """The error that it ended with."""
        return self._client.describe_execution(executionArn=arn).get("error") or ""


def fill_in(
    entries: Mapping[str, Entry], stack: Stack, ids: Ids, noted: Noted, *, patience: float, say: Callable[[str], None]
) -> None:
    """Add runs, dead letters and posts to the entries."""
    add_runs(entries, stack, ids, patience=patience, say=say)
    for letter in open_queue(stack.installation.sdk, wait_seconds=0, hide_seconds=20).letters():
        if letter.message_id is not None and letter.message_id in entries:
            entries[letter.message_id].letters.append(Letter(letter.reason or "", letter.execution_arn or ""))
    note_posts(entries, noted)


def add_runs(
    entries: Mapping[str, Entry], stack: Stack, ids: Ids, *, patience: float, say: Callable[[str], None]
) -> None:
    """Add runs to the entries. The waits are read of those that were out for long."""
    now = time.time()
    by_run = {execution_name(message_id): entry for message_id, entry in entries.items()}
    runs = Runs(stack, ids)
    listed = [(execution, by_run.get(first_name(execution["name"]))) for execution in runs.all()]
    say(f"reading {len(listed)} runs")

    def read(pair: tuple[Json, Entry | None]) -> tuple[Entry, Run] | None:
        execution, entry = pair
        if entry is None:
            return None
        start, stop = _seconds(execution["startDate"]), execution.get("stopDate")
        end = None if stop is None else _seconds(stop)
        status, arn = execution["status"], execution["executionArn"]
        long = (now if end is None else end) - start > patience
        waits = tuple(waits_of(runs.history(arn), until=now if end is None else end)) if long else ()
        return entry, Run(status, start, end, runs.reason(arn) if status == "FAILED" else "", waits, arn)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for found in pool.map(read, listed):
            if found:
                entry, run = found
                entry.runs.append(run)


def note_posts(entries: Mapping[str, Entry], noted: Noted) -> None:
    """Tell each entry when it was posted, and to whom else."""
    for at, message_id, user in noted.posted:
        known = entries.get(message_id)
        if known is None:
            continue
        if user == known.user:
            known.posted.append(at)
        else:
            known.posted_elsewhere.append(user)


def waits_of(events: Iterable[Mapping[str, Any]], *, until: float) -> Iterator[Wait]:
    """The times that a run was parked, by its history; the pauses between the retries of parking are none.

    Args:
        events: in their order.
        until: when a wait ends that has not ended.
    """
    state, why, tried_at = "", "", 0.0
    since: float | None = None
    for event in events:
        kind, at = str(event["type"]), _seconds(event["timestamp"])
        if since is not None and kind not in {
            "TaskScheduled",
            "TaskStarted",
            "TaskSubmitted",
            "LambdaFunctionScheduled",
        }:
            yield Wait(since, at, why, tried_at, parking=_ended_in_parking(event))
            since = None
        if kind.endswith("StateEntered"):
            state = event["stateEnteredEventDetails"]["name"]
            tried_at = at if state in _POSTING else tried_at
        elif kind in {"TaskFailed", "TaskTimedOut"} and state != WAITING:
            details = event.get("taskFailedEventDetails") or event.get("taskTimedOutEventDetails") or {}
            why = details.get("error") or "States.Timeout"
        if state == WAITING and kind in {"TaskScheduled", "TaskStarted", "TaskSubmitted"}:
            since = at
    if since is not None:
        yield Wait(since, until, why, tried_at)


def _ended_in_parking(event: Mapping[str, Any]) -> bool:
    """Whether the function that parks had not come to its end, or has found out itself that it need not wait."""
    if event["type"] == "TaskSucceeded":
        output = json.loads(event["taskSucceededEventDetails"].get("output") or "{}")
        return bool(output.get("wokenBy") == "recheck")
    return event["type"] == "TaskFailed" and not event["taskFailedEventDetails"].get("error", "").startswith("States.")


def running(stack: Stack, ids: Ids) -> Sequence[Json]:
    """The runs that go on."""
    return list(Runs(stack, ids).all("RUNNING"))


def _seconds(moment: datetime | float) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)
