"""Every safeguard is needed: without it, the ledger does not balance. `python -m tests.chaos.safeguards`

For each safeguard there are users whose moves aim at what it is there for, under faults of their own. They are part of
every chaos run, so `python -m tests.chaos --without NAME` shows that a run finds out when one is missing. This command
takes one after the other out of the deployed code, or out of the client, on one stack and with its own users alone, and
sees it missed. At last it plays all of these users with every safeguard in place, and the ledger has to balance.
"""

import argparse
import io
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local import settings, stack
from local.demo.stage import Stage, envelope
from local.stack import Stack
from tests.chaos.cloud.decisions import DEFAULT_RATES
from tests.chaos.ledger import Breach, Ledger, Violation
from tests.chaos.plan import Go, Kind, Script, Send, User, Way
from tests.chaos.run import SERVER, STAGE, play
from tests.chaos.swarm import CLIENT_MODULE

# Longer than a run may overlook somebody before that is found out, however busy the machine.
_LIFE_SECONDS = 60
# In a longer run they come one group after the other, when the functions run and before all is quiet; never at once.
_FIRST, _LAST = 0.15, 0.65
_APART_SECONDS = 3.0
# After an outage every function starts anew, and moves that come too early aim at nothing.
_AFTER_OUTAGE_SECONDS = 10.0
_TRIES = ("", "again-")  # a race is aimed at, and threads keep their own pace
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
    """What is taken away, what breaks then, and what aims at it.

    ``letter`` is what its users' names begin with, and nobody else's; ``users`` makes them, from what their names begin
    with; ``rates`` are those of the faults that they meet.
    """

    name: str
    letter: str
    change: Change
    breach: Breach
    rates: Mapping[str, float]
    users: Callable[[str], list[User]]

    @property
    def is_the_clients(self) -> bool:
        """Whether it is one of the client's, and not of the functions'."""
        return self.change.file.startswith("clients/")

    @property
    def own_rates(self) -> dict[str, float]:
        """The rates, for its users alone."""
        return {f"{name}@{self.letter}": rate for name, rate in self.rates.items()}

    def missed(self, ledger: Ledger) -> list[Violation]:
        """What shows that it is gone."""
        return [one for one in ledger.violations if one.breach == self.breach and one.user.startswith(self.letter)]

    def is_missed(self, ledger: Ledger) -> bool:
        """Whether anything does."""
        return bool(self.missed(ledger))


def _coming(
    name: str,
    *,
    users: int,
    apart: float,
    comes_at: float,
    sends_at: Sequence[float],
    way: Way = "accept",
    kind: Kind = "plain",
    moves: Sequence[tuple[float, Go]] = (),
) -> list[User]:
    """Users who do the same, one after the other: connect, move, and are sent something at these times."""
    return [
        User(
            f"{name}{number}",
            1,
            tuple(
                sorted(
                    [
                        Go(start + comes_at, "connect"),
                        *(replace(move, at=start + at) for at, move in moves),
                        *(Send(start + at, index, way, kind, _LIFE_SECONDS) for index, at in enumerate(sends_at)),
                    ],
                    key=lambda step: step.at,
                )
            ),
        )
        for number in range(users)
        for start in [number * apart]
    ]


def _come_while_a_run_parks(name: str) -> list[User]:
    return _coming(name, users=6, apart=1.2, comes_at=1.5, sends_at=[0.0, 0.5])


def _come_back_at_once(name: str) -> list[User]:
    return _coming(name, users=10, apart=0.3, comes_at=0.0, sends_at=[10.0], moves=[(3.0, Go(0, "cut"))])


def _come_to_what_waits(name: str) -> list[User]:
    # Half of the handshakes take long enough for a wake-up to come before their end.
    return _coming(name, users=16, apart=0.4, comes_at=3.0, sends_at=[0.0])


def _are_there(name: str) -> list[User]:
    return _coming(name, users=6, apart=0.3, comes_at=0.0, sends_at=[3.0, 3.5, 4.0, 4.5])


def _get_ordered_ones_at_once(name: str) -> list[User]:
    return _coming(name, users=4, apart=1.0, comes_at=0.0, sends_at=[3.0] * 5, way="start", kind="ordered")


def _come_long_after(name: str) -> list[User]:
    return _coming(name, users=12, apart=0.3, comes_at=9.0, sends_at=[0.0])


def _come_and_go(name: str) -> list[User]:
    away = Go(0, "down", seconds=6.0)
    # Several messages each: a removal does harm only if it is held until the run has parked again.
    return _coming(name, users=6, apart=0.8, comes_at=3.0, sends_at=[0.0, 0.1, 0.2], moves=[(3.9, away)])


DELIVERY, TABLES = "lambdas/core/delivery.py", "lambdas/adapters/tables.py"
SAFEGUARDS = (
    Safeguard(
        "the recheck after parking",
        "a",
        Change(
            DELIVERY,
            "    if missed:\n        _complete(callback, woken(",
            "    if False:\n        _complete(callback, woken(",
        ),
        "lost",
        {"done_late:wait_for_reconnect:PutItem": 1.0},
        _come_while_a_run_parks,
    ),
    Safeguard(
        "the exact delete of a connection",
        "b",
        Change(TABLES, 'f"{_conversation(recipient)}#{connection_id}"', 'f"{_conversation(recipient)}#"'),
        "lost",
        {"disconnect_late": 1.0, "disconnect_lost": 0.0},
        _come_back_at_once,
    ),
    Safeguard(
        "the grace of a young connection",
        "c",
        Change(
            DELIVERY,
            "if result is PostResult.GONE and target.connection_id not in young:",
            "if result is PostResult.GONE:",
        ),
        "lost",
        {"young_410": 1.0},
        _come_to_what_waits,
    ),
    Safeguard(
        "the client's dedupe",
        "d",
        Change(
            "clients/js/ringback.js",
            "    if (this.#seen.has(id)) this.#handled(message);\n    else if (!this.#held.has(id)) {",
            "    if (!this.#held.has(id)) {",
        ),
        "doubled",
        {f"lost_answer:{function}:PostToConnection": 0.5 for function in _POSTING},
        _are_there,
    ),
    Safeguard(
        "the condition on a number's being the next",
        "e",
        Change(
            TABLES,
            '"attribute_not_exists(caller_id) OR #sequence = :last"',
            '"attribute_not_exists(caller_id) OR #sequence >= :last"',
        ),
        "out_of_order",
        {"delayed:resolve_connections:TransactWriteItems": 1.0},
        _get_ordered_ones_at_once,
    ),
    Safeguard(
        "the condition on parking: no later one is there",
        "f",
        Change(
            TABLES,
            '"attribute_not_exists(caller_id) OR entry <= :mine"',
            '"attribute_not_exists(caller_id) OR entry <= :mine OR attribute_exists(caller_id)"',
        ),
        "lost",
        {"killed_after:wait_for_reconnect:PutItem": 0.5},
        _come_long_after,
    ),
    Safeguard(
        "the condition on removing a callback: it is this one",
        "g",
        Change(TABLES, '"task_token = :mine"', '"task_token = :mine OR attribute_exists(task_token)"'),
        "lost",
        {"gone:post_to_connections:PostToConnection": 0.6, "done_late:wake:DeleteItem": 1.0},
        _come_and_go,
    ),
)


def named(text: str) -> Safeguard:
    """The one whose name holds this.

    Raises:
        ValueError: it is none, or several.
    """
    found = [each for each in SAFEGUARDS if text in each.name]
    if len(found) != 1:
        raise ValueError(f"one of: {', '.join(each.name for each in SAFEGUARDS)}")
    return found[0]


def aimed(script: Script, at: Sequence[Safeguard] = SAFEGUARDS, *, mark: str = "") -> Script:
    """The same script, and beside it the users who aim at these safeguards.

    Args:
        script: may have no users.
        at: the safeguards.
        mark: part of their names, where nothing may be left to them from another play on the same stack.
    """
    users: list[User] = []
    for number, safeguard in enumerate(at):
        group = safeguard.users(f"{safeguard.letter}{mark}")
        begin = _begin(script, number, _last_step(group))
        users += [
            replace(user, steps=tuple(replace(step, at=round(begin + step.at, 3)) for step in user.steps))
            for user in group
        ]
    rates = dict(DEFAULT_RATES if script.rates is None else script.rates)
    for safeguard in at:
        rates.update(safeguard.own_rates)
    seconds = max(script.seconds, _last_step(users) + 1)
    return replace(script, seconds=seconds, users=(*script.users, *users), rates=rates)


def _last_step(users: Sequence[User]) -> float:
    return max(step.at for user in users for step in user.steps)


def _begin(script: Script, number: int, lasts: float) -> float:
    """When a group begins: at its turn, but not so that an outage comes between."""
    begin = max(script.seconds * (_FIRST + (_LAST - _FIRST) * number / len(SAFEGUARDS)), number * _APART_SECONDS)
    for at, seconds in sorted(script.outages):
        up_again = at + seconds + _AFTER_OUTAGE_SECONDS
        if at - lasts < begin < up_again:
            begin = up_again
    return begin


def package(changes: Mapping[str, str]) -> bytes:
    """The functions' code, with these files changed."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        for name in _PACKAGES:
            for file in sorted((settings.ROOT / name).rglob("*.py")):
                path = file.relative_to(settings.ROOT).as_posix()
                archive.writestr(path, changes.get(path, file.read_text("utf-8")))
    return code.getvalue()


def deploy(running: Stack, code: bytes, *, chat: bool = False) -> None:
    """Have all functions of Ringback run this code, or those of the chat."""
    functions = running.installation.clients.functions
    for page in functions.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            handler = function.get("Handler", "")
            if handler.startswith("lambdas.") and handler.startswith("lambdas.chat.") is chat:
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
    given_up = time.monotonic() + 120
    while not all(client.messages(message["id"]) for message in messages):
        if time.monotonic() > given_up:
            raise TimeoutError("the functions did not deliver within 120 s, with nothing done to them")
        # Without the recheck, a run that parks at this moment goes past this connection; the next one wakes it.
        with stage.connected(client), suppress(TimeoutError):
            for message in messages:
                client.await_message(message["id"], seconds=10)
                stage.runs.await_end(stage.runs.arn_of(message["id"]))


def take_away(running: Stack, safeguard: Safeguard) -> Path | None:
    """Have the functions run without it; or answer the client that is without it."""
    source = safeguard.change.made((settings.ROOT / safeguard.change.file).read_text("utf-8"))
    deploy(running, package({} if safeguard.is_the_clients else {safeguard.change.file: source}))
    warm_up(running)
    if not safeguard.is_the_clients:
        return None
    client = running.cloud.directory / "client" / CLIENT_MODULE.name
    client.parent.mkdir(exist_ok=True)
    client.write_text(source, "utf-8")
    (client.parent / "package.json").write_text('{"type": "module"}', "utf-8")
    return client


def said(safeguard: Safeguard, ledger: Ledger) -> list[str]:
    """Whether it was missed, for people."""
    missed = safeguard.missed(ledger)
    kind = safeguard.breach.replace("_", " ")
    return [
        f"without {safeguard.name}: {len(missed)} {kind} of its users', {len(ledger.violations)} violations",
        *(f"    {violation}" for violation in (missed or ledger.violations)[:2]),
    ]


def main() -> int:
    """Take each away; 1 if it was not missed, or the ledger did not balance with all of them."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.safeguards",
        description="Take each safeguard out of Ringback, play messages under the faults that it is there for, and see "
        "the ledger not balance; then play the same with every safeguard in place, and see it balance. "
        "Exit code 1 if one was not missed.",
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything that is chance (default: 1)")
    parser.add_argument("--only", metavar="TEXT", default="", help="those whose names hold this, and not all in place")
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
        client = take_away(running, safeguard)
        for mark in _TRIES:
            script = aimed(_nobody(seed), [safeguard], mark=mark)
            played = play(running, script, client_module=client, say=_say, enough=safeguard.is_missed)
            print("\n".join(said(safeguard, played.ledger)), flush=True)
            print(f"    {time.monotonic() - started:.0f} s", flush=True)
            if safeguard.is_missed(played.ledger):
                break
        else:
            yield f"Nothing that the users did who aim at it showed that this is gone: {safeguard.name}."


def _unbalanced(running: Stack, *, seed: int) -> list[str]:
    started = time.monotonic()
    deploy(running, package({}))
    warm_up(running)
    ledger = play(running, aimed(_nobody(seed), mark="all-"), say=_say).ledger  # nothing may be left for them
    print(f"with all of them, under all of these faults: {len(ledger.violations)} violations")
    print(f"    {time.monotonic() - started:.0f} s", flush=True)
    return [f"With every safeguard: {violation}" for violation in ledger.violations]


def _nobody(seed: int) -> Script:
    """A run with no users but those who are added, and with no faults but theirs."""
    return Script(seed, 0.0, (), (), {})


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
