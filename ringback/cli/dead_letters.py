"""`ringback dead-letters`."""

import argparse
import sys
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from itertools import islice

from pydantic import TypeAdapter

from ringback.cli.output import Output, Progress, moment
from ringback.cli.places import open_installation
from ringback.dead_letters import HIDE_SECONDS, DeadLetter, DeadLetterQueue, NewLife, Redriven, Summary, open_queue
from ringback.envelope import Timestamp
from ringback.errors import InvalidMessage

_MAX_CAUSE = 80


def list_letters(arguments: argparse.Namespace) -> int:
    """All letters, a line each."""
    out = Output(arguments.as_json)
    queue = _queue(arguments)
    count = 0
    with closing(queue.letters()) as letters:
        for count, letter in enumerate(islice(letters, arguments.limit), start=1):  # noqa: B007
            value = letter.model_dump(mode="json", by_alias=True, exclude={"message", "body", "attributes"})
            out.result(value, _line(letter))
    if not count:
        out.note("no dead letters")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """One letter, with its message."""
    letter = _queue(arguments).find(arguments.id)
    Output(arguments.as_json).block(
        letter,
        {
            "letter": letter.letter_id,
            "message": letter.message_id,
            "reason": letter.reason,
            "cause": letter.cause,
            "attempts": letter.attempts,
            "dead-lettered": letter.dead_lettered_at,
            "run": letter.execution_arn,
            **letter.attributes,
            "body": letter.body,
        },
    )
    return 0


def redrive(arguments: argparse.Namespace) -> int:
    """Send messages again."""
    ids = _ids(arguments)
    life = _life(arguments)
    out, progress = Output(arguments.as_json), Progress()
    queue = _queue(arguments)
    expected = len(ids) if ids else queue.depth().visible
    so_far = Summary()

    def report(result: Redriven) -> None:
        so_far.add(result)
        if result.outcome == "expired":
            result = replace(result, detail=_as_options(str(result.detail)))
        progress.show(f"{so_far.total} of about {expected}")
        if result.outcome != "redriven":
            progress.done()
            out.note(f"{result.message_id or result.letter_id}: {result.outcome}: {result.detail}")
        if arguments.as_json:
            out.result(result, "")

    summary = queue.redrive(ids, life=life, on_result=report)
    progress.done()
    out.note(_told(summary))
    if not ids and (hidden := queue.depth().hidden):
        out.note(
            f"about {hidden} more are hidden, because somebody else reads them or has been interrupted: "
            f"do it again in {HIDE_SECONDS // 60} minutes, or some more if they are many thousands"
        )
    return 1 if summary.failed else 0


def purge(arguments: argparse.Namespace) -> int:
    """Delete letters for good."""
    ids = _ids(arguments)
    out, progress = Output(arguments.as_json), Progress()
    queue = _queue(arguments)
    if not arguments.yes:
        what = f"{len(ids)} dead letters" if ids else f"all dead letters (about {queue.depth().visible})"
        if not sys.stdin.isatty():
            arguments.misuse(f"this deletes {what} for good: say --yes")
        print(f"Delete {what} for good? Type yes: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip() != "yes":
            out.note("nothing was deleted")
            return 1
    count = queue.purge(ids, on_progress=lambda so_far: progress.show(f"{so_far} so far"))
    progress.wipe()
    out.result({"purged": count}, f"{count} deleted")
    return 0


def _queue(arguments: argparse.Namespace) -> DeadLetterQueue:
    return open_queue(open_installation(arguments), arguments.queue)


def _ids(arguments: argparse.Namespace) -> frozenset[str] | None:
    """The ids that were named; None for all."""
    if arguments.ids and arguments.everything:
        arguments.misuse("give either letters or --all")
    if not arguments.ids and not arguments.everything:
        arguments.misuse("name the letters, or say --all")
    return frozenset(arguments.ids) or None


def _told(summary: Summary) -> str:
    came_back = summary.counts["came_back"]
    told = f"{summary.counts['redriven']} redriven, {summary.failed - came_back} still on the queue"
    return f"{told}, {came_back} put on it meanwhile" if came_back else told


def _life(arguments: argparse.Namespace) -> NewLife:
    try:
        return NewLife(arguments.ttl_seconds, _moment(arguments.expires_at))
    except InvalidMessage as error:
        arguments.misuse(_as_options(str(error)))
        raise


def _as_options(text: str) -> str:
    """With the names that are typed in place of Python's."""
    return text.replace("ttl_seconds", "--ttl-seconds").replace("expires_at", "--expires-at")


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return TypeAdapter[datetime](Timestamp).validate_python(text)
    except ValueError:
        raise InvalidMessage("--expires-at: give the time in UTC, as 2030-01-31T12:00:00Z") from None


def _line(letter: DeadLetter) -> str:
    reason = letter.reason or "unreadable"
    cause = letter.cause or ""
    cause = cause if len(cause) <= _MAX_CAUSE else f"{cause[:_MAX_CAUSE]}…"
    return (
        f"{letter.letter_id}  {moment(letter.dead_lettered_at)}  {letter.message_id or '-'}  {reason}  {cause}".rstrip()
    )
