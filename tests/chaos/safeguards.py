"""Every safeguard is needed: without it, the ledger does not balance. `python -m tests.chaos.safeguards`

One stack for all. A safeguard is taken out of the deployed code, or out of the client, and a short script is played
whose moves and faults aim at what it is there for. At last, all scripts are played at once on the code as it is, with
all their faults, and the ledger has to balance.
"""

import argparse
import io
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local import settings, stack
from local.demo.stage import Stage, envelope
from local.stack import Stack
from tests.chaos.ledger import Ledger
from tests.chaos.plan import Go, Kind, Script, Send, User, Way
from tests.chaos.run import SERVER, STAGE, play
from tests.chaos.swarm import CLIENT_MODULE

# Longer than a run may overlook somebody, so that is found out; then the message expires, and all is quiet.
_LIFE_SECONDS = 25
_LONG_LIFE_SECONDS = 40  # for who comes late
_PACKAGES = ("lambdas", "ringback")
_POSTING = ("accept", "post_to_connections", "post_and_await_acknowledgement")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Change:
    """Replace a text in a file, in which it stands exactly once."""

    file: str
    text: str
    by: str

    def made(self, source: str) -> str:
        """The changed source.

        Raises:
            ValueError: the text is not there, or more than once.
        """
        if (count := source.count(self.text)) != 1:
            raise ValueError(f"{self.file} holds {count} times: {self.text}")
        return source.replace(self.text, self.by)


@dataclass(frozen=True)
class Safeguard:
    """What is taken away, and what aims at it. ``users`` makes the script's users, whose names begin with a letter."""

    name: str
    change: Change
    rates: Mapping[str, float]
    users: Callable[[str], list[User]]

    @property
    def is_the_clients(self) -> bool:
        """Whether it is one of the client's, and not of the functions'."""
        return self.change.file.startswith("clients/")


def _coming(
    letter: str,
    *,
    users: int,
    apart: float,
    comes_at: float,
    sends_at: Sequence[float],
    way: Way = "accept",
    kind: Kind = "plain",
    moves: Sequence[tuple[float, Go]] = (),
    life_seconds: int = _LIFE_SECONDS,
) -> list[User]:
    """Users who do the same, one after the other: connect, move, and are sent something at these times."""
    return [
        User(
            f"{letter}{number}",
            1,
            tuple(
                sorted(
                    [
                        Go(start + comes_at, "connect"),
                        *(replace(move, at=start + at) for at, move in moves),
                        *(Send(start + at, index, way, kind, life_seconds) for index, at in enumerate(sends_at)),
                    ],
                    key=lambda step: step.at,
                )
            ),
        )
        for number in range(users)
        for start in [number * apart]
    ]


def _come_while_a_run_parks(letter: str) -> list[User]:
    return _coming(letter, users=6, apart=1.5, comes_at=1.5, sends_at=[0.0, 0.5])


def _come_back_at_once(letter: str) -> list[User]:
    return _coming(letter, users=10, apart=0.3, comes_at=0.0, sends_at=[9.5], moves=[(4.0, Go(0, "cut"))])


def _come_to_what_waits(letter: str) -> list[User]:
    return _coming(letter, users=10, apart=0.5, comes_at=3.0, sends_at=[0.0, 0.1])


def _are_there(letter: str) -> list[User]:
    return _coming(letter, users=8, apart=0.2, comes_at=0.0, sends_at=[3.0, 3.5, 4.0, 4.5])


def _get_ordered_ones_at_once(letter: str) -> list[User]:
    return _coming(letter, users=4, apart=1.0, comes_at=0.0, sends_at=[3.0] * 5, way="start", kind="ordered")


def _come_long_after(letter: str) -> list[User]:
    return _coming(letter, users=12, apart=0.5, comes_at=10.0, sends_at=[0.0], life_seconds=_LONG_LIFE_SECONDS)


def _come_and_go(letter: str) -> list[User]:
    away = Go(0, "down", seconds=8.0)
    return _coming(
        letter,
        users=4,
        apart=1.0,
        comes_at=3.0,
        sends_at=[0.0],
        moves=[(3.9, away)],
        life_seconds=_LONG_LIFE_SECONDS,
    )


DELIVERY, TABLES = "lambdas/core/delivery.py", "lambdas/adapters/tables.py"
SAFEGUARDS = (
    Safeguard(
        "the recheck after parking",
        Change(
            DELIVERY,
            "    if missed:\n        _complete(callback, woken(",
            "    if not there:\n        _complete(callback, woken(",
        ),
        {"done_late:wait_for_reconnect:PutItem": 1.0},
        _come_while_a_run_parks,
    ),
    Safeguard(
        "the exact delete of a connection",
        Change(TABLES, 'f"{_conversation(recipient)}#{connection_id}"', 'f"{_conversation(recipient)}#"'),
        {"disconnect_late": 1.0},
        _come_back_at_once,
    ),
    Safeguard(
        "the grace of a young connection",
        Change(
            DELIVERY,
            "if result is PostResult.GONE and target.connection_id not in young:",
            "if result is PostResult.GONE:",
        ),
        {"young_410": 1.0},
        _come_to_what_waits,
    ),
    Safeguard(
        "the client's dedupe",
        Change(
            "clients/js/ringback.js",
            "    if (this.#seen.has(id)) this.#handled(message);\n    else if (!this.#held.has(id)) {",
            "    if (!this.#held.has(id)) {",
        ),
        {f"lost_answer:{function}:PostToConnection": 0.5 for function in _POSTING},
        _are_there,
    ),
    Safeguard(
        "the condition on a number's being the next",
        Change(
            TABLES,
            '"attribute_not_exists(caller_id) OR #sequence = :last"',
            '"attribute_not_exists(caller_id) OR #sequence >= :last"',
        ),
        {"delayed:resolve_connections:TransactWriteItems": 1.0},
        _get_ordered_ones_at_once,
    ),
    Safeguard(
        "the condition on parking: no later one is there",
        Change(
            TABLES,
            '"attribute_not_exists(caller_id) OR entry <= :mine"',
            '"attribute_not_exists(caller_id) OR entry <> :mine"',
        ),
        {"killed_after:wait_for_reconnect:PutItem": 0.5},
        _come_long_after,
    ),
    Safeguard(
        "the condition on removing a callback: it is this one",
        Change(TABLES, '"task_token = :mine"', '"task_token = :mine OR attribute_exists(task_token)"'),
        {"gone:post_to_connections:PostToConnection": 0.6, "done_late:wake:DeleteItem": 1.0},
        _come_and_go,
    ),
)


def package(changes: Mapping[str, str]) -> bytes:
    """The functions' code, with these files changed."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        for name in _PACKAGES:
            for file in sorted((settings.ROOT / name).rglob("*.py")):
                path = file.relative_to(settings.ROOT).as_posix()
                archive.writestr(path, changes.get(path, file.read_text("utf-8")))
    return code.getvalue()


def deploy(running: Stack, code: bytes) -> None:
    """Have all functions of Ringback run this code."""
    functions = running.installation.clients.functions
    for page in functions.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            handler = function.get("Handler", "")
            if handler.startswith("lambdas.") and not handler.startswith("lambdas.chat."):
                functions.update_function_code(FunctionName=function["FunctionName"], ZipFile=code)


def warm_up(running: Stack) -> None:
    """Have every function run once: new code means new processes, and moves that come too early aim at nothing."""
    stage = Stage(running.installation, running.keys, _say)
    client = stage.client("warm")
    client.acknowledges = True
    asks: dict[str, dict[str, Any]] = {
        "acknowledged": {"ack": "client"},
        "ordered": {"ack": "client", "ordered": True},
        "plain": {"track": True},
    }
    messages = [envelope("warm", name, **options) for name, options in asks.items()]
    stage.accept(*messages)
    with stage.connected(client):
        for message in messages:
            client.await_message(message["id"], seconds=60)
            stage.runs.await_end(stage.runs.arn_of(message["id"]))


def script_of(safeguards: Sequence[Safeguard], *, seed: int) -> Script:
    """The script that aims at these."""
    users = [user for number, safeguard in enumerate(safeguards) for user in safeguard.users("abcdefgh"[number])]
    rates = {name: rate for safeguard in safeguards for name, rate in safeguard.rates.items()}
    last = max(step.at for user in users for step in user.steps)
    return Script(seed, last + 1, tuple(users), (), rates)


def without(running: Stack, safeguard: Safeguard, *, seed: int, say: Say) -> Ledger:
    """Play the script that aims at it on the code without it."""
    source = safeguard.change.made((settings.ROOT / safeguard.change.file).read_text("utf-8"))
    script = script_of([safeguard], seed=seed)
    if not safeguard.is_the_clients:
        deploy(running, package({safeguard.change.file: source}))
        warm_up(running)
        return play(running, script, say=say).ledger
    deploy(running, package({}))
    warm_up(running)
    client = running.cloud.directory / "client" / CLIENT_MODULE.name
    client.parent.mkdir(exist_ok=True)
    client.write_text(source, "utf-8")
    (client.parent / "package.json").write_text('{"type": "module"}', "utf-8")
    return play(running, script, client_module=client, say=say).ledger


def main() -> int:
    """Take each away; 1 if the ledger balanced without it, or did not with all of them."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.safeguards",
        description="Take each safeguard out of Ringback, play messages under the faults that it is there for, and see "
        "the ledger not balance; then play all of them with every safeguard in place, and see it balance. "
        "Exit code 1 if one was not missed.",
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything that is chance (default: 1)")
    parser.add_argument("--only", metavar="TEXT", default="", help="those whose names hold this, and not all at once")
    parser.add_argument("--directory", type=Path, help="keep what the cloud writes here (default: a temporary one)")
    given = parser.parse_args()
    chosen = [each for each in SAFEGUARDS if given.only in each.name]
    if not chosen:
        parser.error(f"--only: there are {', '.join(each.name for each in SAFEGUARDS)}")
    with tempfile.TemporaryDirectory(prefix="ringback-safeguards-") as temporary:
        directory = given.directory or Path(temporary)
        with stack.running(directory, stage=STAGE, server=SERVER, report=_say) as running:
            wrong = list(_unneeded(running, chosen, seed=given.seed))
            if not given.only:
                wrong += _unbalanced(running, seed=given.seed)
    print("\n".join(wrong) if wrong else f"{len(chosen)} safeguards, and each is missed when it is gone.")
    return 1 if wrong else 0


def _unneeded(running: Stack, safeguards: Sequence[Safeguard], *, seed: int) -> Iterator[str]:
    for safeguard in safeguards:
        started = time.monotonic()
        ledger = without(running, safeguard, seed=seed, say=_say)
        seconds = time.monotonic() - started
        print(f"without {safeguard.name}: {len(ledger.violations)} violations ({seconds:.0f} s)", flush=True)
        for violation in ledger.violations[:2]:
            print(f"    {violation}", flush=True)
        if ledger.balances:
            yield f"The ledger balanced without {safeguard.name}."


def _unbalanced(running: Stack, *, seed: int) -> list[str]:
    deploy(running, package({}))
    warm_up(running)
    ledger = play(running, script_of(SAFEGUARDS, seed=seed), say=_say).ledger
    print(f"with all of them, under all of these faults: {len(ledger.violations)} violations", flush=True)
    return [f"With every safeguard: {violation}" for violation in ledger.violations]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
