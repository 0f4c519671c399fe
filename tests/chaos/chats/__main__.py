"""The chaos run of chats: `python -m tests.chaos.chats --seed N --chats N`."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from local import settings, stack
from tests.chaos import safeguards
from tests.chaos.chats import plan
from tests.chaos.chats.run import CHAT, STAGE, play
from tests.chaos.run import SERVER
from tests.chaos.safeguards import Change

# Each is taken out of the deployed code by name, and then the ledger must not balance.
SAFEGUARDS = {
    "the recheck after parking": Change(
        "lambdas/chat/core/running.py",
        "    if chats.park(chat_id, wait):",
        "    if chats.park(chat_id, wait) and False:",
    ),
}


def main() -> int:
    """Play it; 1 if a chat does not balance."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.chats",
        description="Deploy Ringback and its chat to the local cloud, play whole chats under every fault that the "
        "platform can produce, and close the ledger of chats. Exit code 1 if one does not balance.",
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything that is chance (default: 1)")
    parser.add_argument("--chats", type=int, default=60, help="how many (default: 60)")
    parser.add_argument(
        "--without", choices=SAFEGUARDS, help="take this safeguard away, and see that the run finds out"
    )
    parser.add_argument("--directory", type=Path, help="keep what the cloud writes here (default: a temporary one)")
    given = parser.parse_args()
    if given.chats < 1:
        parser.error("--chats: at least 1")
    with tempfile.TemporaryDirectory(prefix="ringback-chaos-chats-") as temporary:
        directory = given.directory or Path(temporary)
        with stack.running(directory, chat=CHAT, stage=STAGE, server=SERVER, report=_say) as running:
            if given.without:
                change = SAFEGUARDS[given.without]
                source = change.made((settings.ROOT / change.file).read_text("utf-8"))
                safeguards.deploy(running, safeguards.package({change.file: source}), chat=True)
            played = asyncio.run(play(running, plan.make(given.seed, given.chats), seed=given.seed, say=_say))
    print("\n".join(played.lines()))
    return 0 if played.passes else 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
