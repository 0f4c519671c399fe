"""`ringback status`, `tail`, `cancel` and `connections`."""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from ringback import runs
from ringback.aws import translated
from ringback.cli.output import Output, moment
from ringback.cli.places import open_installation
from ringback.connections import read_connections
from ringback.envelope import Timestamp
from ringback.installation import Installation
from ringback.names import first_name
from ringback.publisher import Publisher
from ringback.runs import Run
from ringback.status import MessageStatus, State

_RUNS_AT_ONCE = 100


class Listed(BaseModel):
    """What the list of runs says of a message: to ask for each by itself would use up the account's quota.

    ``id`` is the message's, or the name of its run where that is a hash of it. ``state`` is a message's; but
    `delivering` is also one that waits, and `delivered` also one that was acknowledged.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    id: str
    state: State
    accepted_at: Timestamp
    ended_at: Timestamp | None
    execution_arn: str

    @classmethod
    def of(cls, listed: Mapping[str, Any]) -> Self:
        """Read an entry of ListExecutions."""
        run = Run.of(listed)
        return cls.model_validate(
            {
                "id": first_name(run.name),
                "state": "delivering" if run.status == "RUNNING" else runs.state_of_ended(run),
                "accepted_at": run.started_at,
                "ended_at": run.stopped_at,
                "execution_arn": run.arn,
            }
        )


def status(arguments: argparse.Namespace) -> int:
    """What became of a message."""
    _show(Output(arguments.as_json), Publisher(open_installation(arguments)).status(arguments.id))
    return 0


def cancel(arguments: argparse.Namespace) -> int:
    """Take a message back."""
    cancelled = Publisher(open_installation(arguments)).cancel(arguments.id)
    Output(arguments.as_json).result(cancelled, f"{cancelled.id} {cancelled.state}")
    return 0


def connections(arguments: argparse.Namespace) -> int:
    """A user's open connections."""
    out = Output(arguments.as_json)
    installation = open_installation(arguments)
    found = read_connections(installation.clients.dynamodb, installation.output("ConnectionsTableName"), arguments.user)
    for one in found:
        since = f" since {moment(one.stale_since)}" if one.stale_since else ""
        conversation = f"{one.context}/{one.context_id}"
        opened = f"connected {moment(one.connected_at)}, expires {moment(one.expires_at)}"
        out.result(one, f"{one.connection_id}  {conversation}  {one.state}{since}  {opened}")
    if not found:
        out.note(f"{arguments.user} has no open connection")
    return 0


def tail(arguments: argparse.Namespace) -> int:
    """Follow one message until it ends, or all of them until Ctrl-C."""
    out = Output(arguments.as_json)
    installation = open_installation(arguments)
    changes: Iterator[MessageStatus | Listed] = (
        follow_one(Publisher(installation), arguments.id, lambda: _pause(arguments.every))
        if arguments.id
        else follow_all(installation, lambda: _pause(arguments.every))
    )
    try:
        for change in changes:
            out.result(change, f"{moment(_changed_at(change))}  {change.id}  {_in_words(change)}")
    except KeyboardInterrupt:
        return 0
    return 0


def follow_one(publisher: Publisher, message_id: str, pause: Callable[[], None]) -> Iterator[MessageStatus]:
    """Every change of a message, until it has ended."""
    last = None
    while True:
        now = publisher.status(message_id)
        if now != last:
            yield now
        if now.has_ended:
            return
        last = now
        pause()


def follow_all(installation: Installation, pause: Callable[[], None]) -> Iterator[Listed]:
    """Every change of the newest messages, the older ones first; for ever."""
    client, machine = installation.clients.stepfunctions, installation.delivery_state_machine_arn
    known: set[Listed] = set()
    while True:
        with translated("stepfunctions"):
            newest = client.list_executions(stateMachineArn=machine, maxResults=_RUNS_AT_ONCE)["executions"]
        now = [Listed.of(one) for one in reversed(newest)]
        yield from (one for one in now if one not in known)
        known = set(now)
        pause()


def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _show(out: Output, found: MessageStatus) -> None:
    out.block(
        found,
        {
            "message": found.id,
            "state": _in_words(found),
            "attempts": found.attempts,
            "accepted": found.accepted_at,
            "waiting since": found.waiting_since,
            "next attempt": found.next_attempt_at,
            "ended": found.ended_at,
            "cause": found.cause,
            "run": found.execution_arn,
            "console": found.console_url,
        },
    )


def _in_words(found: MessageStatus | Listed) -> str:
    if isinstance(found, Listed):
        return "delivering or waiting" if found.state == "delivering" else found.state
    if found.state == "waiting":
        return f"waiting for {found.waiting_for or 'the platform to recover'}"
    return found.state + (f" ({found.reason})" if found.reason else "")


def _changed_at(found: MessageStatus | Listed) -> datetime:
    waiting_since = None if isinstance(found, Listed) else found.waiting_since
    return found.ended_at or waiting_since or found.accepted_at
