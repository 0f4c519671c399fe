"""The chaos run: `python -m tests.chaos --seed N --messages N`, or `--script FILE` to play one again."""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from local import settings, stack
from local.stack import Stack
from tests.chaos import plan, safeguards
from tests.chaos.plan import Script
from tests.chaos.run import SERVER, STAGE, Played, play
from tests.chaos.safeguards import Safeguard
from tests.chaos.shrink import MOST_REPLAYS, Shrinker
from tests.chaos.swarm import CLIENT_MODULE

REPORT = settings.BUILD / "chaos.json"
SCRIPT = settings.BUILD / "chaos-script.json"


def main() -> int:
    """Play it; 1 if the ledger does not balance."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Deploy Ringback to the local cloud, publish many messages to real clients under every fault that "
        "the platform can produce, and close the ledger. Exit code 1 if a message was lost, reached somebody else, was "
        "handled twice or out of order; then the run is cut down to a short script, which --script plays again. Exit "
        "code 1 also if the run can tell nothing, because the machine was too busy, say. Some users more than the "
        "messages ask for aim at one safeguard each, as does tests/chaos/safeguards.py.",
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything that is chance (default: 1)")
    parser.add_argument("--messages", type=int, default=10_000, help="how many are published (default: 10,000)")
    parser.add_argument("--seconds", type=float, help="how long publishing takes (default: by the number of messages)")
    parser.add_argument("--script", type=Path, help=f"play this instead, such as {SCRIPT.relative_to(settings.ROOT)}")
    parser.add_argument("--without", metavar="NAME", help="take this safeguard away, and see that the run finds out")
    parser.add_argument("--replays", type=int, default=MOST_REPLAYS, help="at most so many to shrink (default: 12)")
    parser.add_argument(
        "--shrink-seconds", type=float, default=900, help="begin no replay after so many seconds (default: 900)"
    )
    parser.add_argument("--client", type=Path, default=CLIENT_MODULE, help="another ringback.js")
    parser.add_argument("--report", type=Path, default=REPORT, help="where the result goes, as JSON")
    parser.add_argument("--directory", type=Path, help="keep what the cloud writes here (default: a temporary one)")
    given = parser.parse_args()
    if given.messages < 1:
        parser.error("--messages: at least 1")
    try:
        script = (
            Script.from_json(given.script.read_text("utf-8"))
            if given.script
            else safeguards.aimed(plan.make(given.seed, given.messages, seconds=given.seconds))
        )
    except (OSError, ValueError) as error:
        parser.error(f"--script: {error}")
    try:
        safeguard = safeguards.named(given.without) if given.without else None
    except ValueError as error:
        parser.error(f"--without: {error}")
    _allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="ringback-chaos-") as temporary:
        directory = given.directory or Path(temporary)
        with stack.running(directory, stage=STAGE, server=SERVER, report=_say) as running:
            if safeguard:
                return _play_without(running, safeguard, script, given)
            played = play(running, script, client_module=given.client, say=_say)
            played.report.save(given.report)
            print("\n".join(played.report.lines()))
            if not played.ledger.balances and not played.report.problems:
                _shrink(running, script, played, given)
            return 0 if played.report.passes else 1


def _play_without(running: Stack, safeguard: Safeguard, script: Script, given: argparse.Namespace) -> int:
    """Take it away and play; 1 if it is missed, as it should be."""
    client = safeguards.take_away(running, safeguard) or given.client
    played = play(running, script, client_module=client, say=_say, enough=safeguard.is_missed)
    played.report.save(given.report)
    print("\n".join([*played.report.lines(), *safeguards.said(safeguard, played.ledger)]))
    return 1 if safeguard.is_missed(played.ledger) else 0


def _shrink(running: Stack, script: Script, played: Played, given: argparse.Namespace) -> None:
    until = time.monotonic() + given.shrink_seconds

    def fails(smaller: Script) -> Collection[tuple[Any, ...]] | None:
        again = play(running, smaller, client_module=given.client, say=lambda _: None)
        return None if again.ledger.balances else again.faults

    shrinker = Shrinker(fails, _say, most_replays=given.replays, has_time=lambda: time.monotonic() < until)
    users = {violation.user for violation in played.ledger.violations}
    short = shrinker.shrink(script, concerned=users, faults=played.faults)
    SCRIPT.parent.mkdir(parents=True, exist_ok=True)
    SCRIPT.write_text(short.to_json())
    print(f"It fails with {short.size}. Again: python -m tests.chaos --script {SCRIPT.relative_to(settings.ROOT)}")


def _allow_many_sockets() -> None:
    """A link has two for each connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
