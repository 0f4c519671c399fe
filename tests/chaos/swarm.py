"""The clients of a chaos run: real ones, in one Node process, each behind a network link of its own."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from local import links, settings
from local.links import Link
from local.tokens import Keys
from tests.chaos.ledger import Gap, Handled, Interval, Presence
from tests.chaos.plan import CONTEXT, CONTEXT_ID, OTHER_CONTEXT_ID, Go, User

CLIENT_MODULE = settings.ROOT / "clients/js/ringback.js"
SCRIPT = Path(__file__).with_name("swarm.mjs")

# Short waits, so that much happens. But a gap is given up only after what a lost acknowledgement can delay a message.
TUNING: Mapping[str, float] = {
    "gapTimeoutSeconds": 90,
    "settleSeconds": 2,
    "pingSeconds": 40,
    "pongSeconds": 10,
    "handshakeSeconds": 30,
    "backoffBaseSeconds": 0.1,
    "backoffCapSeconds": 2,
    "seenLimit": 100_000,
}
# Of two devices one may be away while the other takes an ordered message: it misses that number for good.
GAP_SECONDS_OF_TWO = 10

_READY_SECONDS = 30
_LINE_BYTES = 4 * 1024 * 1024

Json = dict[str, Any]


class DeviceLink(Link):
    """A link whose silent connections can be ended alone, as a server does that finds them dead."""

    def bury(self) -> None:
        """Reset the connections that are silent."""
        for wire in list(self._wires):
            if wire.silent:
                wire.reset()


@dataclass
class Device:
    """One client, its link, and what it has told."""

    name: str
    user: str
    link: DeviceLink
    state: str = "closed"
    is_to_be_there: bool = False
    opened_at: float | None = None
    deaf: bool = False  # what it says of its connection is older than that connection's end
    sound: list[Interval] = field(default_factory=list)
    dead: list[Interval] = field(default_factory=list)
    breaks: list[float] = field(default_factory=list)

    def ends(self, at: float) -> None:
        """From now on its connection is none, or none to count on."""
        self.breaks.append(at)
        if self.opened_at is not None:
            self.sound.append((self.opened_at, max(at, self.opened_at)))
            self.opened_at = None

    def hear(self, state: str, at: float) -> None:
        """Take over what the client says of its connection."""
        self.state = state
        self.ends(at)
        self.deaf = self.deaf and state != "closed"
        if state == "open" and not self.deaf:
            self.opened_at = at


class Swarm:
    """All clients of a run. Everything in here belongs to one event loop."""

    def __init__(self, process: asyncio.subprocess.Process, websocket_url: str, keys: Keys) -> None:
        self._process = process
        self._url = websocket_url
        self._keys = keys
        self._ready = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.devices: dict[str, Device] = {}
        self.by_user: dict[str, list[Device]] = defaultdict(list)
        self.handled: dict[str, list[Handled]] = defaultdict(list)
        self.gaps: list[Gap] = []
        self.errors: Counter[str] = Counter()
        self.opened = 0
        self.messages = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, websocket_url: str, keys: Keys, *, client_module: Path | None) -> AsyncIterator[Self]:
        """Have the process; it and its links are gone at the end."""
        process = await asyncio.create_subprocess_exec(
            str(settings.TOOLS / "node"),
            str(SCRIPT),
            str((client_module or CLIENT_MODULE).resolve()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            start_new_session=True,  # what is called node is a script that starts it: the group is ended
        )
        swarm = cls(process, websocket_url, keys)
        reader = asyncio.create_task(swarm._read())
        try:
            await asyncio.wait_for(swarm._ready.wait(), _READY_SECONDS)
            yield swarm
        finally:
            for task in list(swarm._tasks):
                task.cancel()
            await _end(process)
            await reader
            await asyncio.gather(*(device.link.close() for device in swarm.devices.values()))

    async def add(self, user: User) -> None:
        """Make the clients of this user; none is connected."""
        tuning = dict(TUNING)
        if user.devices > 1:
            tuning["gapTimeoutSeconds"] = GAP_SECONDS_OF_TWO
        token = self._keys.token(user.name, ttl_seconds=4 * 3600)
        for _ in range(user.devices):
            await self._make(user.name, token, CONTEXT_ID, tuning)
        if user.elsewhere:
            await self._make(_elsewhere(user.name), token, OTHER_CONTEXT_ID, tuning)

    async def _make(
        self,
        owner: str,
        token: str,
        context_id: str,
        tuning: Mapping[str, float],
        *,
        context: str = CONTEXT,
        **more: Any,
    ) -> None:
        link = await DeviceLink.open(*links.target(self._url))
        device = Device(f"{owner}.{len(self.by_user[owner])}", owner, link)
        self.devices[device.name] = device
        self.by_user[owner].append(device)
        url = links.websocket_url(link, self._url)
        self._order("make", device, url=url, token=token, context=context, contextId=context_id, options=tuning, **more)

    def go(self, user: str, step: Go) -> None:
        """Have a device move."""
        if step.move == "connect":
            for elsewhere in self.by_user.get(_elsewhere(user), ()):
                elsewhere.is_to_be_there = True
                self._order("connect", elsewhere)
        task = asyncio.create_task(self._go(self.by_user[user][step.device], step))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Let every move come to its end, and have every device connected that once was."""
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        for device in self.devices.values():
            device.link.heal()
            self._order("connect", device)

    def everything_ends(self, at: float) -> None:
        """Every connection broke now, whoever noticed."""
        for device in self.devices.values():
            device.ends(at)

    @property
    def missing(self) -> int:
        """How many devices are to be connected, and are not."""
        return sum(device.is_to_be_there and device.state != "open" for device in self.devices.values())

    @property
    def all_there(self) -> bool:
        """Whether every device is connected."""
        return all(device.state == "open" for device in self.devices.values())

    def presence(self, now: float) -> dict[str, Presence]:
        """When everybody was there, up to now."""
        return {
            user: Presence(
                sound=[
                    interval
                    for device in devices
                    for interval in (
                        *device.sound,
                        *([(device.opened_at, now)] if device.opened_at is not None else []),
                    )
                ],
                dead=[interval for device in devices for interval in device.dead],
                breaks=[moment for device in devices for moment in device.breaks],
            )
            for user, devices in self.by_user.items()
        }

    async def _go(self, device: Device, step: Go) -> None:
        now = time.time()
        link = device.link
        device.is_to_be_there = step.move not in {"close", "down"}
        match step.move:
            case "connect":
                self._order("connect", device)
            case "close":
                device.ends(now)
                self._order("close", device)
                await asyncio.sleep(step.seconds)
                self._order("connect", device)
                device.is_to_be_there = True
            case "cut":
                device.ends(now)
                link.cut()
            case "down":
                device.ends(now)
                link.go_down()
                await asyncio.sleep(step.seconds)
                link.heal()
                device.is_to_be_there = True
            case "half_open" | "replace":
                device.ends(now)
                device.deaf = True
                link.go_half_open()
                if step.move == "replace":
                    self._order("replace", device)
                try:
                    await asyncio.sleep(step.seconds)
                finally:
                    link.bury()
                    device.deaf = False
                    device.dead.append((now, time.time()))

    def _order(self, what: str, device: Device, **more: Any) -> None:
        assert self._process.stdin is not None
        line = json.dumps({"do": what, "client": device.name, **more})
        self._process.stdin.write(line.encode() + b"\n")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        events: Mapping[str, Callable[[Device, Json], None]] = {
            "message": self._on_message,
            "state": lambda device, event: device.hear(event["state"], event["at"]),
            "gap": self._on_gap,
            "error": lambda device, event: self.errors.update([event["code"]]),
        }
        async for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "ready":
                self._ready.set()
                continue
            if event["event"] == "state" and event["state"] == "open":
                self.opened += 1
            events[event["event"]](self.devices[event["client"]], event)

    def _on_message(self, device: Device, event: Json) -> None:
        self.messages += 1
        one = Handled(
            event["at"],
            device.name,
            device.user,
            event.get("sequence"),
            bool(event.get("late")),
            self.messages,
            event["payloadOf"],
        )
        self.handled[event["id"]].append(one)

    def _on_gap(self, device: Device, event: Json) -> None:
        alone = len(self.by_user[device.user]) == 1
        self.gaps.append(Gap(event["at"], device.name, int(event["from"]), int(event["to"]), device.user, alone))


def _elsewhere(user: str) -> str:
    """Who this user is in the other conversation: somebody else, to the ledger."""
    return f"{user}@{OTHER_CONTEXT_ID}"


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the clients' process, and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
