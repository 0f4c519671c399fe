"""One chaos run on a deployed stack: play a script, wait until all is quiet, and close the ledger.

What makes it bite: whoever is away is looked for after hours only (`look_again_seconds`), and a failure is waited out
for long against `PATIENCE_SECONDS`. So a lost wake-up stays a message that waits for somebody who is there.
"""

import asyncio
import copy
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.stack import Stack
from tests.chaos import evidence
from tests.chaos.backend import Backend
from tests.chaos.cloud.decisions import DEFAULT_RATES, FILE
from tests.chaos.evidence import Fault, Noted
from tests.chaos.ledger import Entry, Handled, Ledger, close
from tests.chaos.plan import LONG_LIFE_SECONDS, Go, Ids, Script, Send, User
from tests.chaos.report import Report
from tests.chaos.swarm import TUNING, Swarm
from tests.waiting import async_until

SERVER = "tests.chaos.cloud"
# What the stack is deployed with.
STAGE: Mapping[str, Any] = {
    "default_ttl_seconds": LONG_LIFE_SECONDS,
    "default_ack_timeout_seconds": 6,
    "backoff_base_seconds": 40,
    "backoff_cap_seconds": 40,
    "max_connections_per_user": 30,
}
# A run may wait so long for somebody who is there, once `wake` has been told of them.
# Below the 20 s that failures are waited out for, and long: where the stream told nobody of them, its own lag counts.
PATIENCE_SECONDS = 19.0
# In a run of so many messages every fault comes up, or its place is gone; and little of what was posted is in doubt.
_MANY_MESSAGES = 5_000
_MOST_IN_DOUBT = 0.01

_TICK_SECONDS = 0.1
_SAY_EVERY_SECONDS = 10
_LOOK_EVERY_SECONDS = 2.0
# The script's clock stands still while more calls than this are under way, or more devices try to connect: a machine
# that is asked for more than it can do does nothing any more, and shows only that. (A share of them, or so many.)
_MOST_UNDER_WAY = 24
_MOST_MISSING = 12
_MOST_MISSING_SHARE = 0.2
_LONGEST_STANDSTILL_SECONDS = 180.0
_MOST_DRAIN_SECONDS = 400.0
_MOST_WARM_UP_SECONDS = 60.0
# Nothing is for them.
_BYSTANDER = "bystander"
# What a killed function has taken from the queue is there again after this, instead of three minutes.
_HIDDEN_SECONDS = 20
# Parts of the time at which dead letters are redriven; once more when all is quiet.
_REDRIVES = (0.5, 0.8)

Say = Callable[[str], None]


@dataclass
class Played:
    """A run and what it showed. ``faults`` are those that happened, in the form that a script's `only` has."""

    report: Report
    entries: Mapping[str, Entry]
    faults: list[Fault]

    @property
    def ledger(self) -> Ledger:
        """The closed ledger."""
        return self.report.ledger


def play(
    stack: Stack,
    script: Script,
    *,
    client_module: Path | None = None,
    say: Say = print,
    enough: Callable[[Ledger], bool] | None = None,
) -> Played:
    """Play a script.

    Args:
        stack: where.
        script: what.
        client_module: another `ringback.js`.
        say: hears of the progress.
        enough: whether a ledger that is closed before all is quiet shows what is looked for; then it ends there.
    """
    return asyncio.run(_Run(stack, script, client_module, say, enough).play())


class Control:
    """The fault layer's controls."""

    def __init__(self, endpoint: str) -> None:
        self._address = urlsplit(endpoint)

    def begin(self, script: Script) -> None:
        """Have the script's faults happen."""
        orders = {"seed": script.seed, "active": True, "rates": script.rates, "only": script.only}
        self._call("PUT", "", {name: value for name, value in orders.items() if value is not None})

    def end(self) -> None:
        """Have no more happen."""
        self._call("PUT", "", {"active": False})

    def outage(self, seconds: float) -> None:
        """Have the cloud restart."""
        self._call("POST", "/outage", {"seconds": seconds})

    def told(self) -> dict[str, Any]:
        """How many calls and invocations there were."""
        return self._call("GET", "", None)

    def _call(self, method: str, path: str, body: Any) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._address.netloc, timeout=30)
        try:
            connection.request(method, f"/_ringback/chaos{path}", None if body is None else json.dumps(body))
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status == http.HTTPStatus.NOT_FOUND:
            raise RuntimeError(f"this cloud has no fault layer: deploy with server={SERVER!r}")
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"the fault layer answers {response.status}: {text[:300].decode(errors='replace')}")
        answer: dict[str, Any] = json.loads(text)
        return answer


def unfit(script: Script, ledger: Ledger, faults: Mapping[str, int]) -> Iterator[str]:
    """Why a run shows less than it should, though its ledger may balance."""
    if script.messages < _MANY_MESSAGES:
        return
    if ledger.plain["in doubt"] > _MOST_IN_DOUBT:
        yield f"More than {_MOST_IN_DOUBT:.0%} of the plain messages are in doubt: posted, and not handled."
    rates = DEFAULT_RATES if script.rates is None else script.rates
    absent = [name for name in DEFAULT_RATES if rates.get(name) and not faults.get(name)]
    if absent and script.only is None:
        yield f"These faults never happened: {', '.join(absent)}."


@dataclass
class _Run:
    stack: Stack
    script: Script
    client_module: Path | None
    say: Say
    enough: Callable[[Ledger], bool] | None = None
    is_over: bool = True
    stood_still: float = 0.0
    started: float = 0.0
    problems: list[str] = field(default_factory=list)

    async def play(self) -> Played:
        ids = Ids(f"c{time.time_ns() // 1_000_000:x}")
        control = Control(self.stack.cloud.endpoint)
        backend = Backend(self.stack, ids)
        self.say(f"seed {self.script.seed}: {self.script.messages:,} messages, {self.script.size}")
        installation = self.stack.installation
        await asyncio.to_thread(
            installation.clients.sqs.set_queue_attributes,
            QueueUrl=installation.ingest_queue_url,
            Attributes={"VisibilityTimeout": str(_HIDDEN_SECONDS)},
        )
        before = await asyncio.to_thread(control.told)
        try:
            async with Swarm.running(
                installation.websocket_url, self.stack.keys, client_module=self.client_module
            ) as swarm:
                for user in self.script.users:
                    await swarm.add(user)
                self.started = time.time()
                await asyncio.to_thread(control.begin, self.script)
                try:
                    await self._warm_up(swarm)
                    await self._follow(swarm, backend, control)
                finally:
                    await asyncio.to_thread(control.end)
                played_for = time.time() - self.started
                await swarm.settle()
                if not await self._drain(swarm, backend, ids):
                    self.problems.append("It did not become quiet: see what went on last.")
                drained_for = time.time() - self.started - played_for
                after = await asyncio.to_thread(control.told)
                load = {
                    "seconds": played_for,
                    "seconds that the clock stood still": self.stood_still,
                    "seconds until quiet": drained_for,
                    "messages a second": self.script.messages / played_for,
                    "connections opened": swarm.opened,
                    "sent again": backend.sent_again,
                    "invocations": after.get("invocations", 0) - before.get("invocations", 0),
                    "calls": after.get("calls", 0) - before.get("calls", 0),
                }
                return await asyncio.to_thread(self._close, swarm, backend, ids, load)
        finally:
            await asyncio.to_thread(backend.close)

    async def _warm_up(self, swarm: Swarm) -> None:
        """Have a bystander connected before the time begins: after a deployment, every function starts first."""
        await swarm.add(User(_BYSTANDER, 1, ()))
        swarm.go(_BYSTANDER, Go(0, "connect"))
        (device,) = swarm.by_user[_BYSTANDER]
        with suppress(TimeoutError):
            await async_until(lambda: device.state == "open", seconds=_MOST_WARM_UP_SECONDS)

    async def _follow(self, swarm: Swarm, backend: Backend, control: Control) -> None:
        """Do every step at its time. What is published at about the same time goes together."""
        steps = sorted(
            [
                (step.at, number, user.name, step)
                for number, user in enumerate(self.script.users)
                for step in user.steps
            ],
            key=lambda one: one[:2],
        )
        cancels: list[tuple[float, str, Send]] = []
        outages = sorted(self.script.outages)
        redrives = [share * self.script.seconds for share in _REDRIVES]
        looked = moved = time.monotonic()
        now = 0.0
        said = time.monotonic()
        place = 0
        redriving: list[asyncio.Task[int]] = []
        while now < self.script.seconds or place < len(steps):
            moment = time.monotonic()
            if self._has_time_for_more(swarm, backend):
                now, moved = now + moment - looked, moment
            elif moment - moved > _LONGEST_STANDSTILL_SECONDS:
                self.problems.append(
                    f"It stood still after {now:.0f} s: {backend.under_way} calls were under way and {swarm.missing} "
                    f"devices missing for {_LONGEST_STANDSTILL_SECONDS:.0f} s."
                )
                break
            else:
                self.stood_still += moment - looked
            looked = moment
            self.stack.cloud.ensure_alive()
            sends: list[tuple[str, Send]] = []
            while place < len(steps) and steps[place][0] <= now:
                at, _, user, step = steps[place]
                place += 1
                if isinstance(step, Go):
                    swarm.go(user, step)
                    continue
                sends.append((user, step))
                if step.cancel_after is not None:
                    cancels.append((at + step.cancel_after, user, step))
            backend.publish(sends)
            for one in [one for one in cancels if one[0] <= now]:
                cancels.remove(one)
                backend.cancel(one[1], one[2])
            if outages and outages[0][0] <= now:
                _, seconds = outages.pop(0)
                out_at = time.time()
                await asyncio.to_thread(control.outage, seconds)
                swarm.everything_ends(out_at)
            if redrives and redrives[0] <= now:
                redrives.pop(0)
                redriving.append(asyncio.create_task(asyncio.to_thread(backend.redrive)))
            if moment - said >= _SAY_EVERY_SECONDS:
                said = moment
                self.say(
                    f"{now:5.0f} of {self.script.seconds:.0f} s: {backend.entered:,} published, "
                    f"{len(swarm.handled):,} handled, {self._open(swarm)} connected, {backend.under_way} calls"
                )
            await asyncio.sleep(_TICK_SECONDS)
        for _, user, send in cancels:
            backend.cancel(user, send)
        await asyncio.gather(*redriving)

    @staticmethod
    def _has_time_for_more(swarm: Swarm, backend: Backend) -> bool:
        most_missing = max(_MOST_MISSING, _MOST_MISSING_SHARE * len(swarm.devices))
        return backend.under_way <= _MOST_UNDER_WAY and swarm.missing <= most_missing

    async def _drain(self, swarm: Swarm, backend: Backend, ids: Ids) -> bool:
        """Wait until nothing goes on, or nothing changes for longer than any wait may last; answers which it was."""
        begun = changed = time.monotonic()
        still = TUNING["gapTimeoutSeconds"] + 20  # nothing else waits for longer
        seen: Any = None
        quiet = 0
        redriven = False
        while quiet < 2 and time.monotonic() - changed < still and time.monotonic() - begun < _MOST_DRAIN_SECONDS:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            running = await asyncio.to_thread(evidence.running, self.stack, ids)
            queued = await asyncio.to_thread(self._queued)
            now = (len(running), queued, backend.under_way, swarm.all_there)
            if now != seen:
                self.say(
                    f"until quiet: {len(running)} runs go on, {queued} in the queue, {backend.under_way} calls, "
                    f"{self._open(swarm)} of {len(swarm.devices)} connected"
                )
                seen, changed = now, time.monotonic()
            if await self._shows_enough(swarm, backend, ids):
                self.is_over = False
                return True
            quiet = quiet + 1 if now == (0, 0, 0, True) else 0
            if quiet == 2 and not redriven:
                redriven = True
                if await asyncio.to_thread(backend.redrive):
                    quiet = 0
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
        return quiet >= 2

    def _queued(self) -> int:
        attributes = self.stack.installation.clients.sqs.get_queue_attributes(
            QueueUrl=self.stack.installation.ingest_queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return sum(int(number) for number in attributes.values())

    def _close(self, swarm: Swarm, backend: Backend, ids: Ids, load: dict[str, float]) -> Played:
        entries = backend.entries
        noted = Noted.read(self.stack.cloud.directory / FILE, since=self.started)
        strays = _add_handled(entries, swarm, ids)
        evidence.fill_in(entries, self.stack, ids, noted, patience=PATIENCE_SECONDS, say=self.say)
        ledger = _judge(entries, swarm, strays, noted, is_over=self.is_over)
        load["runs"] = sum(len(entry.runs) for entry in entries.values())
        problems = [*self.problems, *unfit(self.script, ledger, noted.faults)]
        report = Report(
            self.script.seed, self.script.size, ledger, noted.faults, PATIENCE_SECONDS, load, swarm.errors, problems
        )
        return Played(report, entries, noted.places)

    async def _shows_enough(self, swarm: Swarm, backend: Backend, ids: Ids) -> bool:
        if self.enough is None:
            return False
        entries = copy.deepcopy(dict(backend.entries))
        strays = _add_handled(entries, swarm, ids)
        await asyncio.to_thread(
            evidence.add_runs, entries, self.stack, ids, patience=PATIENCE_SECONDS, say=lambda _: None
        )
        noted = Noted.read(self.stack.cloud.directory / FILE, since=self.started)
        return self.enough(_judge(entries, swarm, strays, noted, is_over=False))

    @staticmethod
    def _open(swarm: Swarm) -> int:
        return sum(device.state == "open" for device in swarm.devices.values())


def _add_handled(entries: Mapping[str, Entry], swarm: Swarm, ids: Ids) -> list[tuple[str, Handled]]:
    """Tell each entry who handled it; answers what was handled and is no entry."""
    strays: list[tuple[str, Handled]] = []
    for message_id, handled in list(swarm.handled.items()):
        if message_id in entries:
            entries[message_id].handled += handled
        elif ids.belongs(message_id):
            strays += [(message_id, one) for one in handled]
    return strays


def _judge(
    entries: Mapping[str, Entry], swarm: Swarm, strays: list[tuple[str, Handled]], noted: Noted, *, is_over: bool
) -> Ledger:
    """Close the ledger."""
    presence = swarm.presence(time.time())
    for user, there in presence.items():
        there.heard = noted.heard.get(user, [])
    return close(
        entries.values(),
        presence,
        patience=PATIENCE_SECONDS,
        backoff=STAGE["backoff_cap_seconds"],
        gaps=swarm.gaps,
        strays=strays,
        is_over=is_over,
    )
