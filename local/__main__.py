"""`python -m local`: up, down, status, token, demo."""

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from local import cloud, settings, stack, tokens
from local.errors import LocalError
from local.installation import Installation
from local.instructions import instructions
from local.tokens import Keys
from ringback import surely
from ringback.limits import MAX_USER_LENGTH

_LAST_PORT = 65_535


def main() -> int:
    """Run one command; its exit code is 1 when something is not as it should be, and the text says what to do."""
    signal.signal(signal.SIGINT, _interrupt)  # also where a shell started us in the background
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    arguments = _parser().parse_args()
    try:
        return int(arguments.command(arguments))
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.")
        return 0


def _up(arguments: argparse.Namespace) -> int:
    from local import console

    port = arguments.console_port or arguments.port + 1
    if port > _LAST_PORT:
        raise LocalError("There is no port after the last one: name one for the console with CONSOLE_PORT.")
    if cloud.is_running(settings.DIRECTORY):
        raise LocalError(
            "Ringback already runs in this folder: `.venv/bin/python -m local status` says where, `make down` stops it."
        )
    with (
        console.reserved(port) as listener,
        stack.running(settings.DIRECTORY, port=arguments.port) as started,
        console.running(started, listener=listener) as there,
    ):
        installation = replace(started.installation, console_url=there.url)
        installation.save()
        try:
            print(instructions(installation))
            print("Ringback is up. Ctrl-C stops it.", flush=True)
            started.cloud.wait()
        finally:
            settings.INSTALLATION_FILE.unlink(missing_ok=True)
    return 0


def _down(_arguments: argparse.Namespace) -> int:
    stopped = cloud.stop(settings.DIRECTORY)
    Keys.remove(settings.DIRECTORY)
    settings.INSTALLATION_FILE.unlink(missing_ok=True)
    print("Stopped; nothing is left running." if stopped else "There is nothing to stop.")
    return 0


def _status(_arguments: argparse.Namespace) -> int:
    if not cloud.is_running(settings.DIRECTORY):
        print("Ringback does not run on this machine. `make up` starts it.")
        return 1
    if not settings.INSTALLATION_FILE.exists():
        print("Ringback is starting.")
        return 1
    installation = Installation.load()
    if not cloud.answers(installation.endpoint):
        print(f"{installation.endpoint} does not answer. `make down` stops what is left.")
        return 1
    print(instructions(installation))
    return 0


def _token(arguments: argparse.Namespace) -> int:
    claims: dict[str, Any] = {}
    if arguments.user is not None:
        try:
            surely.identifier(arguments.user, MAX_USER_LENGTH)
        except surely.NotSure:
            raise LocalError(
                f"--user: must be 1 to {MAX_USER_LENGTH} characters of printable ASCII, without spaces and #."
            ) from None
    if arguments.backend and (arguments.contexts or arguments.plan):
        raise LocalError("--contexts and --plan are for the token of a user; a backend's has a scope.")
    if arguments.chat and (arguments.backend or arguments.contexts or arguments.plan):
        raise LocalError("--chat goes with --user alone: the token of a customer or an agent, for the chat's API.")
    if arguments.scope:
        claims["scope"] = arguments.scope
    if arguments.plan:
        claims["plan"] = arguments.plan
    if arguments.backend:
        print(Keys.load(arguments.directory).backend_token(ttl_seconds=arguments.ttl_seconds, **claims))
        return 0
    if arguments.chat:
        keys = Keys.load(arguments.directory)
        print(keys.chat_token(arguments.user, arguments.chat, ttl_seconds=arguments.ttl_seconds, **claims))
        return 0
    claims[tokens.CONTEXTS_CLAIM] = arguments.contexts or list(tokens.CONTEXTS)
    print(Keys.load(arguments.directory).token(arguments.user, ttl_seconds=arguments.ttl_seconds, **claims))
    return 0


def _demo(_arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from local.demo.play import play

    console = Console(width=None if sys.stdout.isatty() else 120)
    with stack.running(settings.BUILD / "demo", report=lambda line: console.print(line, style="dim")) as started:
        return 0 if play(started.installation, started.keys, settings.BUILD / "demo.json", console) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="Ringback on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start, deploy, and stay until Ctrl-C")
    up.add_argument("--port", type=_port, default=settings.DEFAULT_PORT, help="1 to 65535, %(default)s unless told")
    up.add_argument("--console-port", type=_port, help="the one after --port unless told")
    up.set_defaults(command=_up)

    down = commands.add_parser("down", help="stop what an earlier `up` has left")
    down.set_defaults(command=_down)

    status = commands.add_parser("status", help="whether it runs, and how to use it")
    status.set_defaults(command=_status)

    demo = commands.add_parser("demo", help="play the delivery scenes on a stack of its own")
    demo.set_defaults(command=_demo)

    token = commands.add_parser("token", help="print a token for the run that is up")
    whose = token.add_mutually_exclusive_group(required=True)
    whose.add_argument("--user", help="for a user's WebSocket")
    whose.add_argument("--backend", action="store_true", help="for the HTTP API")
    token.add_argument("--chat", choices=tokens.CHAT_ROLES, help="for the chat's API instead, as this")
    token.add_argument(
        "--contexts",
        nargs="+",
        metavar="CONTEXT[/ID]",
        help="what it opens: all of a context, or one conversation of it; chat unless told",
    )
    token.add_argument("--plan", help="an attribute, which a fan-out can ask for")
    token.add_argument("--scope", help="scopes, separated by spaces")
    token.add_argument("--ttl-seconds", type=int, default=3600)
    token.add_argument("--directory", type=Path, default=settings.DIRECTORY, help=argparse.SUPPRESS)
    token.set_defaults(command=_token)
    return parser


def _port(text: str) -> int:
    """A port that can be asked for."""
    if not (text.isdecimal() and 1 <= int(text) <= _LAST_PORT):
        raise argparse.ArgumentTypeError(f"{text} is no port: give 1 to {_LAST_PORT}")
    return int(text)


def _interrupt(*_: object) -> None:
    """Being told to end is Ctrl-C by other means."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
