"""Which installation is meant."""

import argparse
import shlex

from ringback.installation import DEFAULT_LOCAL_FILE, DEFAULT_STACK, Installation


def open_installation(arguments: argparse.Namespace) -> Installation:
    """The installation that the options name."""
    if is_local(arguments):
        return Installation.local(arguments.local_file or DEFAULT_LOCAL_FILE)
    return Installation.of_stack(arguments.stack or DEFAULT_STACK, region=arguments.region, profile=arguments.profile)


def named_installation(arguments: argparse.Namespace) -> str:
    """The options that name it, to be said again."""
    local = " --local" if arguments.local else ""
    given = {name: getattr(arguments, name) for name in ("local_file", "stack", "region", "profile")}
    return local + "".join(
        f" --{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in given.items() if value is not None
    )


def is_local(arguments: argparse.Namespace) -> bool:
    """Whether the stack of this machine is meant; nothing may name another one beside it."""
    local = bool(arguments.local or arguments.local_file)
    elsewhere = [f"--{name}" for name in ("stack", "region", "profile") if getattr(arguments, name) is not None]
    if local and elsewhere:
        arguments.misuse(f"{', '.join(elsewhere)}: not with --local, which is the stack on this machine")
    return local
