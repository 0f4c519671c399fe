"""What can be typed."""

import argparse
import math
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from ringback.cli import dead_letters, doctor, looking, restore, sending
from ringback.envelope import (
    MAX_ACK_TIMEOUT_SECONDS,
    MAX_ATTEMPTS,
    MAX_BACKOFF_BASE_SECONDS,
    MAX_BACKOFF_CAP_SECONDS,
    MAX_TTL_SECONDS,
)
from ringback.installation import DEFAULT_LOCAL_FILE, DEFAULT_STACK
from ringback.restore import NUMBERS_LEFT_OUT, TABLES

_EPILOG = """\
exit status: 0 all went as asked; 1 it did not; 2 what was typed or given makes no sense

examples:
  ringback send --user ana --context chat --context-id 42 --payload '{"text": "Hello"}' --track
  ringback send --file messages.jsonl
  ringback status MESSAGE
  ringback dead-letters redrive --all --ttl-seconds 3600
  ringback doctor --local
"""
_SHORTEST_PAUSE_SECONDS = 0.5


class _Parser(argparse.ArgumentParser):
    """Says in one line what makes no sense; argparse writes all options before it."""

    def error(self, message: str) -> NoReturn:
        """End with exit status 2."""
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read what was typed; ``run`` of the answer is the command, and ``misuse`` ends it with an error of its own."""
    parsed, unknown = _make_parser().parse_known_args(arguments)
    if unknown:
        parsed.misuse(f"there is no {' '.join(unknown)} here")
    return parsed


def _make_parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="ringback",
        description="Sends messages with Ringback, and shows what became of them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ringback {version('ringback')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = [_where(), _how()]
    _send(commands.add_parser("send", parents=common, help="send one message, or a file of them"))
    _status(commands.add_parser("status", parents=common, help="what became of a message"))
    _tail(commands.add_parser("tail", parents=common, help="follow one message, or all of them, until Ctrl-C"))
    _cancel(commands.add_parser("cancel", parents=common, help="take a message back that has not ended"))
    _connections(commands.add_parser("connections", parents=common, help="a user's open connections"))
    _dead_letters(commands.add_parser("dead-letters", help="what could not be delivered"), common)
    check = commands.add_parser("doctor", parents=common, help="check an installation: what is wrong, and what to do")
    check.set_defaults(run=doctor.run, misuse=check.error)
    _restore(commands.add_parser("restore", parents=common, help="bring rows back from a table restored from a backup"))
    return parser


def _where() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("where Ringback is")
    group.add_argument("--stack", help=f"the CloudFormation stack; {DEFAULT_STACK} unless told")
    group.add_argument("--region", help="the AWS region; that of the environment or profile unless told")
    group.add_argument("--profile", help="the profile of your AWS configuration")
    group.add_argument("--local", action="store_true", help="the stack that `make up` runs on this machine")
    group.add_argument(
        "--local-file",
        type=Path,
        metavar="FILE",
        help=f"the same, but as FILE describes it; {DEFAULT_LOCAL_FILE} unless told",
    )
    return parser


def _how() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--json", action="store_true", dest="as_json", help="for scripts: one JSON object a line")
    return parser


def _send(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Sends one message, given by options or as a whole envelope, or a file with one envelope a line."
    )
    whole = parser.add_mutually_exclusive_group()
    whole.add_argument("--json-envelope", metavar="JSON", help="the whole envelope; - reads it from standard input")
    whole.add_argument(
        "--file",
        type=Path,
        metavar="JSONL",
        help="one envelope a line, - reads standard input; a line without an id gets a new one each time: give ids, to "
        "send it again safely",
    )
    parts = parser.add_argument_group("one message by its parts")
    parts.add_argument("--user")
    parts.add_argument("--context")
    parts.add_argument("--context-id")
    payload = parts.add_mutually_exclusive_group()
    payload.add_argument("--payload", metavar="JSON", help="any JSON value")
    payload.add_argument("--text", help="a payload that is text")
    parts.add_argument("--id", help="makes it safe to send twice; made up unless told")
    parts.add_argument("--type", help="what the client dispatches on")
    parts.add_argument("--ack", choices=["none", "client"], help="client: delivered when the client says so")
    parts.add_argument("--ack-timeout-seconds", type=int, help=f"1 to {MAX_ACK_TIMEOUT_SECONDS}")
    parts.add_argument("--ttl-seconds", type=int, help=f"its life from now, 1 to {MAX_TTL_SECONDS}")
    parts.add_argument("--expires-at", help="the end of its life, as 2030-01-31T12:00:00Z")
    parts.add_argument("--correlation-id")
    parts.add_argument("--ordered", action="store_true", default=None, help="number it among its recipient's messages")
    parts.add_argument("--track", action="store_true", default=None, help="have a run that can be looked up")
    parts.add_argument(
        "--not-durable",
        action="store_false",
        default=None,
        dest="durable",
        help="post it to who is connected now, or drop it: no run, no waiting",
    )
    parts.add_argument("--max-attempts", type=int, help=f"before it is a dead letter, 1 to {MAX_ATTEMPTS}")
    parts.add_argument(
        "--backoff-base-seconds", type=int, help=f"the first wait at most, 1 to {MAX_BACKOFF_BASE_SECONDS}"
    )
    parts.add_argument("--backoff-cap-seconds", type=int, help=f"any wait at most, 1 to {MAX_BACKOFF_CAP_SECONDS}")
    one = parser.add_argument_group("with one message")
    one.add_argument("--wait", type=_seconds, metavar="SECONDS", help="until it is delivered; implies --track")
    many = parser.add_argument_group("with --file")
    many.add_argument("--skip-invalid", action="store_true", help="send the rest of a file that has invalid lines")
    many.add_argument("--concurrency", type=_positive, help=f"calls at once, {sending.CONCURRENCY} unless told")
    parser.set_defaults(run=sending.run, misuse=parser.error)


def _status(parser: argparse.ArgumentParser) -> None:
    parser.description = "Says what became of a message that has a run: one that waited, or that was sent with --track."
    parser.add_argument("id", metavar="MESSAGE")
    parser.set_defaults(run=looking.status, misuse=parser.error)


def _tail(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Follows one message until it ends, or all of them until Ctrl-C: a line at every change. Of all of them it "
        "shows the names of the runs, which are the messages' ids unless these are no names. The list of runs does not "
        "say which of them wait (with --json they are `delivering`, too) nor which were acknowledged (`delivered`): "
        "give a MESSAGE to see that."
    )
    parser.add_argument("id", metavar="MESSAGE", nargs="?")
    parser.add_argument(
        "--every",
        type=_seconds,
        default=2.0,
        metavar="SECONDS",
        help=f"at least {_SHORTEST_PAUSE_SECONDS}, %(default)s unless told",
    )
    parser.set_defaults(run=looking.tail, misuse=parser.error)


def _cancel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="MESSAGE")
    parser.set_defaults(run=looking.cancel, misuse=parser.error)


def _connections(parser: argparse.ArgumentParser) -> None:
    parser.description = "Lists a user's open connections. A stale one took a message and left it unacknowledged."
    parser.add_argument("user", metavar="USER")
    parser.set_defaults(run=looking.connections, misuse=parser.error)


def _dead_letters(parser: argparse.ArgumentParser, common: list[argparse.ArgumentParser]) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = [*common, _which_queue()]

    listing = commands.add_parser("list", parents=common, help="all of them, a line each")
    listing.add_argument("--limit", type=_positive, help="no more than so many")
    listing.set_defaults(run=dead_letters.list_letters, misuse=listing.error)

    show = commands.add_parser("show", parents=common, help="one of them, with its message")
    show.add_argument("id", metavar="ID", help="of the letter or its message")
    show.set_defaults(run=dead_letters.show, misuse=show.error)

    redrive = commands.add_parser(
        "redrive",
        parents=common,
        help="send their messages again",
        description="Sends messages again, under the same ids. A letter leaves the queue only when its message is on "
        "its way; doing it again is safe. What comes back meanwhile stays on the queue. With --queue ingest the "
        "bodies go back to the ingest queue.",
    )
    _chosen(redrive)
    life = redrive.add_mutually_exclusive_group()
    life.add_argument("--ttl-seconds", type=int, help=f"a new life from now, 1 to {MAX_TTL_SECONDS}")
    life.add_argument("--expires-at", help="a new end of life, as 2030-01-31T12:00:00Z")
    redrive.set_defaults(run=dead_letters.redrive, misuse=redrive.error)

    purge = commands.add_parser("purge", parents=common, help="delete them for good")
    _chosen(purge)
    purge.add_argument("--yes", action="store_true", help="do not ask")
    purge.set_defaults(run=dead_letters.purge, misuse=purge.error)


def _restore(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Copies what the stack's table does not have from a table that was restored from a backup. It overwrites "
        "nothing but counters, which only go up; doing it again is safe. Restore sequences first, then callbacks, then "
        "connections."
    )
    parser.add_argument("table", choices=TABLES, help="which of the stack's tables")
    parser.add_argument("source", metavar="RESTORED", help="the name of the restored table")
    parser.add_argument("--into", metavar="TABLE", help="the name of the stack's table: needed for chats alone")
    parser.add_argument(
        "--numbers-left-out",
        type=_positive,
        default=NUMBERS_LEFT_OUT,
        metavar="NUMBER",
        help="of sequences: as many messages may have been numbered for one recipient since the backup; "
        "%(default)s unless told",
    )
    parser.set_defaults(run=restore.run, misuse=parser.error)


def _which_queue() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--queue",
        choices=["delivery", "ingest"],
        default="delivery",
        help="delivery: messages that were not delivered; ingest: what was no message; %(default)s unless told",
    )
    return parser


def _chosen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="*", help="of letters or their messages")
    parser.add_argument("--all", action="store_true", dest="everything", help="all there are")


def _positive(text: str) -> int:
    """A whole number above 0."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text}: give a whole number above 0")
    return int(text)


def _seconds(text: str) -> float:
    """A time long enough to wait for."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not _SHORTEST_PAUSE_SECONDS <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: give at least {_SHORTEST_PAUSE_SECONDS} seconds")
    return seconds
