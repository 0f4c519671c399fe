"""One chaos run on a deployed stack: play a script, wait until all is quiet, and close the ledger.

What makes it bite: whoever is away is looked for after hours only (`look_again_seconds`), and a failure is waited out
for long against `PATIENCE_SECONDS`. So a lost wake-up stays a message that waits for somebody who is there.
"""

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.stack import Stack
from tests.chaos import evidence, plan
from tests.chaos.backend import Backend
from tests.chaos.cloud.decisions import DEFAULT_RATES, FILE
from tests.chaos.evidence import Fault, Noted
from tests.chaos.ledger import Entry, Handled, Ledger, close
from tests.chaos.plan import Go, Ids, Script, Send, User
from tests.chaos.report import Report, percentiles
from tests.chaos.swarm import TUNING, Swarm
from tests.waiting import async_until

SERVER = "tests.chaos.cloud"
# What the stack is deployed with.
STAGE: Mapping[str, Any] = {
    "default_ttl_seconds": 300,
    "default_ack_timeout_seconds": 6,
    "backoff_base_seconds": 40,
    "backoff_cap_seconds": 40,
    "max_connections_per_user": 30,
}
# A run may wait so long for somebody who is there: a stream's batch that fails is tried again within seconds. On a busy
# machine it is `_TIMES` what 90 of 100 messages need from their recipient's connection to handling.
PATIENCE_SECONDS = 15.0
_TIMES = 1.5
_MOST_PATIENCE_SECONDS = 60.0
_SHARE = 90

_TICK_SECONDS = 0.1
_SAY_EVERY_SECONDS = 10
_LOOK_EVERY_SECONDS = 2.0
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


def run(
    stack: Stack,
    *,
    seed: int,
    messages: int,
    rates: Mapping[str, float] | None = None,
    aimed: Mapping[str, float] | None = None,
    seconds: float | None = None,
    client_module: Path | None = None,
    say: Say = print,
) -> Ledger:
    """Play a run that is drawn from the seed, on a stack that was deployed with `STAGE` and `SERVER`.

    Args:
        stack: where.
        seed: of the script and of the faults.
        messages: how many are published.
        rates: of faults; the cloud's own unless told.
        aimed: further rates, which go before those.
        seconds: how long the script takes; by the number of messages unless told.
        client_module: another `ringback.js`.
        say: hears of the progress.
    """
    if aimed is not None:
        rates = {**(DEFAULT_RATES if rates is None else rates), **aimed}
    script = plan.make(seed, messages, rates=rates, seconds=seconds)
    return play(stack, script, client_module=client_module, say=say).ledger


def play(stack: Stack, script: Script, *, client_module: Path | None = None, say: Say = print) -> Played:
    """Play a script."""
    return asyncio.run(_Run(stack, script, client_module, say).play())


class Control:
    """The fault layer's controls. Where there is none, nothing is injected."""

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
            return {}
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"the fault layer answers {response.status}: {text[:300].decode(errors='replace')}")
        answer: dict[str, Any] = json.loads(text)
        return answer


@dataclass
class _Run:
    stack: Stack
    script: Script
    client_module: Path | None
    say: Say
    outages: list[tuple[float, float]] = field(default_factory=list)

    async def play(self) -> Played:
        ids = Ids(f"c{time.time_ns() // 1_000_000:x}")
        control = Control(self.stack.cloud.endpoint)
        backend = Backend(self.stack, ids, interrupted=self._interrupted)
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
                started = time.time()
                await asyncio.to_thread(control.begin, self.script)
                try:
                    await self._warm_up(swarm)
                    await self._follow(swarm, backend, control)
                finally:
                    await asyncio.to_thread(control.end)
                played_for = time.time() - started
                await swarm.settle()
                await self._drain(swarm, backend, ids)
                drained_for = time.time() - started - played_for
                after = await asyncio.to_thread(control.told)
                load = {
                    "seconds": played_for,
                    "seconds until quiet": drained_for,
                    "messages a second": self.script.messages / played_for,
                    "connections opened": swarm.opened,
                    "sent again": backend.sent_again,
                    "invocations": after.get("invocations", 0) - before.get("invocations", 0),
                    "calls": after.get("calls", 0) - before.get("calls", 0),
                }
                return await asyncio.to_thread(self._close, swarm, backend, ids, started, load)
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
        begun = time.monotonic()
        said = 0.0
        place = 0
        redriving: list[asyncio.Task[int]] = []
        while (now := time.monotonic() - begun) < self.script.seconds or place < len(steps):
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
                moment = time.time()
                self.outages.append((moment - 0.5, moment + seconds + 1))
                await asyncio.to_thread(control.outage, seconds)
                swarm.everything_ends(moment)
            if redrives and redrives[0] <= now:
                redrives.pop(0)
                redriving.append(asyncio.create_task(asyncio.to_thread(backend.redrive)))
            if now - said >= _SAY_EVERY_SECONDS:
                said = now
                self.say(
                    f"{now:5.0f} of {self.script.seconds:.0f} s: {backend.entered:,} published, "
                    f"{len(swarm.handled):,} handled, {self._open(swarm)} connected, {backend.under_way} calls"
                )
            await asyncio.sleep(_TICK_SECONDS)
        for _, user, send in cancels:
            backend.cancel(user, send)
        await asyncio.gather(*redriving)

    async def _drain(self, swarm: Swarm, backend: Backend, ids: Ids) -> None:
        """Wait until nothing goes on, or nothing has changed for longer than any wait is allowed to last."""
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
            quiet = quiet + 1 if now == (0, 0, 0, True) else 0
            if quiet == 2 and not redriven:
                redriven = True
                if await asyncio.to_thread(backend.redrive):
                    quiet = 0
        await asyncio.sleep(_LOOK_EVERY_SECONDS)

    def _queued(self) -> int:
        attributes = self.stack.installation.clients.sqs.get_queue_attributes(
            QueueUrl=self.stack.installation.ingest_queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return sum(int(number) for number in attributes.values())

    def _close(self, swarm: Swarm, backend: Backend, ids: Ids, started: float, load: dict[str, float]) -> Played:
        entries = backend.entries
        noted = Noted.read(self.stack.cloud.directory / FILE, since=started)
        strays: list[tuple[str, Handled]] = []
        for message_id, handled in swarm.handled.items():
            if message_id in entries:
                entries[message_id].handled += handled
            elif ids.belongs(message_id):
                strays += [(message_id, one) for one in handled]
        evidence.fill_in(entries, self.stack, ids, noted, patience=PATIENCE_SECONDS, say=self.say)
        presence = swarm.presence(time.time())
        patience = PATIENCE_SECONDS
        for _ in range(2):  # the lags tell how busy the machine was
            ledger = close(
                entries.values(),
                presence,
                patience=patience,
                backoff=STAGE["backoff_cap_seconds"],
                gaps=swarm.gaps,
                strays=strays,
            )
            usual = percentiles(ledger.lags_came_back, (_SHARE,)).get(f"p{_SHARE}", 0.0)
            patience = min(_MOST_PATIENCE_SECONDS, max(PATIENCE_SECONDS, _TIMES * usual))
        load["runs"] = sum(len(entry.runs) for entry in entries.values())
        report = Report(self.script.seed, self.script.size, ledger, noted.faults, patience, load)
        return Played(report, entries, noted.places)

    def _interrupted(self, start: float, end: float) -> bool:
        return any(start <= until and since <= end for since, until in self.outages)

    @staticmethod
    def _open(swarm: Swarm) -> int:
        return sum(device.state == "open" for device in swarm.devices.values())
