"""`ringback send`."""

import argparse
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ringback.cli.output import Output, Progress
from ringback.cli.places import named_installation, open_installation
from ringback.envelope import Envelope
from ringback.errors import InvalidMessage, MessageNotFound, NotInTime, RingbackError
from ringback.publisher import Publisher, Result, Summary, make_envelope

_PARTS = (
    "id",
    "type",
    "ack",
    "ack_timeout_seconds",
    "ttl_seconds",
    "expires_at",
    "correlation_id",
    "ordered",
    "track",
    "durable",
)
_RETRY = ("max_attempts", "backoff_base_seconds", "backoff_cap_seconds")
CONCURRENCY = 8
_MAX_COMPLAINTS = 20

_Lines = Iterator[tuple[int, Envelope | InvalidMessage]]


def run(arguments: argparse.Namespace) -> int:
    """Send one message or a file of them."""
    if arguments.file:
        if _given(arguments) or arguments.wait:
            arguments.misuse("--file takes whole envelopes: no other part of a message, and no --wait")
        return _send_file(arguments)
    if arguments.skip_invalid or arguments.concurrency:
        arguments.misuse("--skip-invalid and --concurrency go with --file")
    return _send_one(arguments)


def _send_one(arguments: argparse.Namespace) -> int:
    out = Output(arguments.as_json)
    message = make_envelope(_envelope(arguments))
    if arguments.wait and not message.durable:
        arguments.misuse("--wait is for a message that waits; what is not durable is delivered or missed at once")
    if arguments.wait and not message.wants_a_run:
        message = message.model_copy(update={"track": True})
    publisher = Publisher(open_installation(arguments))
    receipt = publisher.publish(message)
    if not arguments.wait:
        out.result(receipt, f"{receipt.id} {receipt.status}")
        return 0
    try:
        status = publisher.wait_until_delivered(receipt.id, arguments.wait)
    except (NotInTime, MessageNotFound) as error:
        if isinstance(error, MessageNotFound) and receipt.execution_arn is None:
            raise
        where = named_installation(arguments)
        late = str(error) if isinstance(error, NotInTime) else f"message {receipt.id} has a run that is not seen yet"
        raise NotInTime(
            f"{late}; it lives on: `ringback status {receipt.id}{where}` says what becomes of it, "
            f"`ringback cancel {receipt.id}{where}` takes it back"
        ) from None
    out.result(status, f"{status.id} {status.state}")
    return 0


def _envelope(arguments: argparse.Namespace) -> Any:
    if arguments.json_envelope is not None:
        if _given(arguments):
            arguments.misuse("give the message by its parts or as --json-envelope, not both")
        return _json("--json-envelope", sys.stdin.read() if arguments.json_envelope == "-" else arguments.json_envelope)
    missing = [
        f"--{name.replace('_', '-')}" for name in ("user", "context", "context_id") if not getattr(arguments, name)
    ]
    if missing:
        arguments.misuse(f"give {', '.join(missing)}; or --json-envelope, or --file")
    if arguments.payload is None and arguments.text is None:
        arguments.misuse("give --payload or --text")
    if arguments.ack_timeout_seconds is not None and arguments.ack != "client":
        arguments.misuse("--ack-timeout-seconds goes with --ack client")
    payload = arguments.text if arguments.payload is None else _json("--payload", arguments.payload)
    parts = {name: value for name in _PARTS if (value := getattr(arguments, name)) is not None}
    retry = {_camel(name): value for name in _RETRY if (value := getattr(arguments, name)) is not None}
    return {
        "recipient": {"user": arguments.user, "context": arguments.context, "contextId": arguments.context_id},
        "payload": payload,
        **{_camel(name): value for name, value in parts.items()},
        **({"retry": retry} if retry else {}),
    }


def _given(arguments: argparse.Namespace) -> bool:
    names = ("user", "context", "context_id", "payload", "text", *_PARTS, *_RETRY)
    return any(getattr(arguments, name) is not None for name in names)


def _send_file(arguments: argparse.Namespace) -> int:
    out, progress = Output(arguments.as_json), Progress()
    file, read = _source(arguments.file)
    lines = valid = invalid = 0
    # All of it is read before anything is sent: half a file is worse than none.
    for lines, line in enumerate(read(), start=1):  # noqa: B007
        if isinstance(line[1], InvalidMessage):
            invalid += 1
            if invalid <= _MAX_COMPLAINTS:
                out.note(f"{file}:{line[0]}: {line[1]}")
        else:
            valid += 1
    if invalid > _MAX_COMPLAINTS:
        out.note(f"… and {invalid - _MAX_COMPLAINTS} more")
    if invalid and not arguments.skip_invalid:
        out.note(
            f"ringback: nothing was sent: {invalid} of {lines} lines are no messages; --skip-invalid sends the rest"
        )
        return 2
    publisher = Publisher(open_installation(arguments))
    numbers: deque[int] = deque()  # of the messages under way

    def messages() -> Iterator[Envelope]:
        for number, message in read():
            if isinstance(message, Envelope):
                numbers.append(number)
                yield message

    def report(result: Result) -> None:
        number = numbers.popleft()
        if arguments.as_json:
            out.result({"line": number, "id": result.id, "status": result.status, "detail": result.detail}, "")
        elif result.failed:
            progress.done()
            out.note(f"{file}:{number}: {result.status}: {result.detail}")

    summary = publisher.publish_many(
        messages(),
        on_result=report,
        on_progress=lambda so_far: progress.show(f"{so_far.total} of {valid}"),
        concurrency=arguments.concurrency or CONCURRENCY,
    )
    progress.done()
    out.note(_told(summary, skipped=invalid))
    return 1 if summary.failed or invalid else 0


def _told(summary: Summary, *, skipped: int) -> str:
    counts = [f"{count} {status}" for status, count in sorted(summary.counts.items())]
    return ", ".join([*counts, *([f"{skipped} skipped"] if skipped else [])]) or "the file has no messages"


def _source(file: Path) -> tuple[str, Callable[[], _Lines]]:
    """What a file is called, and what reads it, as often as one likes: standard input is kept."""
    if str(file) != "-":
        return str(file), partial(_lines_of, file)
    try:
        typed = list(sys.stdin)
    except UnicodeDecodeError:
        raise RingbackError("standard input cannot be read: it is not UTF-8") from None
    return "standard input", partial(_lines, typed)


def _lines(texts: Iterable[str]) -> _Lines:
    """The messages with the numbers of their lines; empty lines do not count."""
    for number, line in enumerate(texts, start=1):
        if line.strip():
            yield number, _line(line)


def _lines_of(file: Path) -> _Lines:
    try:
        with file.open(encoding="utf-8") as opened:
            yield from _lines(opened)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RingbackError(f"{file} cannot be read: {reason}") from None


def _line(text: str) -> Envelope | InvalidMessage:
    try:
        return make_envelope(_json("the line", text))
    except InvalidMessage as error:
        return error


def _json(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" ({error.msg} at character {error.pos + 1})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidMessage(f"{what} is not JSON{where}") from None


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
