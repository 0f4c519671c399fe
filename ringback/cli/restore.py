"""`ringback restore`."""

import argparse

from ringback.cli.output import Output, Progress
from ringback.cli.places import open_installation
from ringback.restore import restore


def run(arguments: argparse.Namespace) -> int:
    """Copy what the stack's table does not have."""
    if arguments.table == "chats" and not arguments.into:
        arguments.misuse("--into: name the chat's table; the output ChatsTableName of the chat's stack has it")
    out, progress = Output(arguments.as_json), Progress()
    counts = restore(
        open_installation(arguments),
        arguments.table,
        arguments.source,
        into=arguments.into,
        numbers_left_out=arguments.numbers_left_out,
        on_progress=lambda so_far: progress.show(f"{so_far} rows"),
    )
    progress.wipe()
    told = {name: counts[name] for name in ("restored", "newer", "expired", "closed")}
    out.result(told, f"{told['restored']} rows restored, {told['newer']} newer ones left, {told['expired']} expired")
    if told["closed"]:
        out.note(f"{told['closed']} connections were closed, so that their clients come back and wake what waits")
    return 0
