"""The people of a chaos run's chats: each has a real client behind a link, and calls the chat's API as a page does."""

import asyncio
import http.client
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from lambdas.chat.core.model import Role
from local.backend import Answer, Backend
from local.stack import Stack
from tests.chaos.chats.ledger import Asked, Key, Told
from tests.chaos.chats.plan import AGENTS, Chat, Customer, Step
from tests.chaos.plan import Go
from tests.chaos.swarm import TUNING, Device, Swarm
from tests.waiting import async_until

_AT_ONCE = 12
_PAUSE_SECONDS = (0.2, 1.5)
_LONGEST_ASKING_SECONDS = 120.0
_LONGEST_SEEING_SECONDS = 2.5
_CONNECTING_SECONDS = 30.0
# Nothing is given up: every event is for somebody who comes back.
_TUNING = {**TUNING, "gapTimeoutSeconds": 600, "settleSeconds": 600}

Json = dict[str, Any]


class People(Swarm):
    """Their clients. What these handle is kept whole."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.told: list[Told] = []
        self.seen: Counter[tuple[str, str]] = Counter()  # the last event of a chat, by user and chat

    async def join(self, name: str, role: Role) -> None:
        """Make somebody's client, and connect it."""
        token = self._keys.token(name, contexts=[f"{role.context}/{role.context_id}"], ttl_seconds=4 * 3600)
        await self._make(name, token, role.context_id, _TUNING, context=role.context, whole=True)
        self.go(name, Go(0, "connect"))
        with suppress(TimeoutError):
            await async_until(lambda: name in self.connected, seconds=_CONNECTING_SECONDS)

    def leave(self, name: str) -> None:
        """Have somebody say goodbye."""
        (device,) = self.by_user[name]
        device.is_to_be_there = False
        self._order("close", device)

    @property
    def connected(self) -> set[str]:
        """Who is, as their clients say."""
        return {device.user for device in self.devices.values() if device.state == "open"}

    @property
    def all_as_meant(self) -> bool:
        """Whether everybody is connected who is to be."""
        return all((device.state == "open") == device.is_to_be_there for device in self.devices.values())

    async def settle(self) -> None:
        """As the swarm's; and from now on they are to be there."""
        await super().settle()
        for device in self.devices.values():
            device.is_to_be_there = True

    def _on_message(self, device: Device, event: Json) -> None:
        payload = event["payload"]
        self.told.append(Told(device.user, event["id"], event["type"], payload, event["at"]))
        if "number" in payload:
            self.seen[device.user, payload["chatId"]] = payload["number"]


class Players:
    """Play chats, by their scripts, and note what was asked and answered."""

    def __init__(self, stack: Stack, people: People) -> None:
        self._people = people
        self._keys = stack.keys
        self._url = stack.installation.chat_api_url
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="people")
        self.asked: list[Asked] = []
        self.begun = 0
        self.sent_again: Counter[str] = Counter()
        self.problems: list[str] = []

    def close(self) -> None:
        """Return when nothing is under way."""
        self._pool.shutdown()

    async def play(self, customer: Customer) -> None:
        """Play a customer's chats, one after the other."""
        await self._people.join(customer.name, Role.CUSTOMER)
        for chat in customer.chats:
            self.begun += 1
            await _Playing(self, self._people, customer.name, chat).play()

    async def ask(self, by: str, path: str, key: Key | None, body: Any = None, *, is_patient: bool = True) -> Asked:
        """Ask for something, until there is an answer; without a body, read it."""
        asked = Asked(path.split("/")[2] if path.count("/") > 1 else "", key)
        self.asked.append(asked)
        role = Role.AGENT if by in AGENTS else Role.CUSTOMER
        api = Backend(self._url, self._keys.chat_token(by, role))
        given_up = time.monotonic() + _LONGEST_ASKING_SECONDS
        while time.monotonic() < given_up:
            asked.attempts += 1
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, _call, api, path, body)
            if answer is not None:
                asked.status, asked.answer = answer.status, answer.body
                asked.chat_id = asked.chat_id or str(answer.body.get("id", ""))
                return asked
            if not is_patient:
                return asked
            self.sent_again[path.rpartition("/")[2] if body is not None else "look"] += 1
            await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - so that two who met do not meet again
        self.problems.append(f"{by} never had an answer to {path}.")
        return asked


class _Playing:
    """One chat while it is played."""

    def __init__(self, players: Players, people: People, customer: str, chat: Chat) -> None:
        self._players = players
        self._people = people
        self._customer = customer
        self._chat = chat
        self._id = ""
        self._version = 0

    async def play(self) -> None:
        """From its start to its rating, as far as it comes."""
        subject = f"chat {self._chat.number}"
        start = await self._players.ask(self._customer, "/chats", ("waiting", self._customer), {"subject": subject})
        self._id = start.chat_id
        for number, step in enumerate(self._chat.steps):
            if step.is_seen:
                await self._see()
            await asyncio.sleep(step.pause)
            await self._do(number, step)
        if self._chat.ending in {"left", "left waiting"}:
            return
        await self._see()
        holder = await self._holder() if self._chat.ending == "agent" else None
        await self._end(holder, "agent") if holder else await self._end(self._customer, "customer")
        if not await self._is_over():  # the agent lost it
            await self._end(self._customer, "customer")
        if self._chat.rating is not None:
            await self._see()  # then its run begins to wait for the rating
            body = {"rating": self._chat.rating}
            await self._ask(self._customer, "rating", ("rated", self._customer, self._chat.rating), body)

    async def _do(self, number: int, step: Step) -> None:
        by: str | None = self._customer
        if step.by == "agent":
            by = await self._holder() or await self._accept(step.agents)
        if by is None:
            return  # it is over, or nobody is at the desk
        other = next(agent for agent in (*step.agents, *AGENTS) if agent != by)
        match step.what:
            case "say":
                message = {"id": f"m{number}", "text": f"{by} says {number}"}
                key = ("message", by, message["id"], message["text"])
                await self._ask(by, "messages", key, message, is_patient=step.is_patient)
            case "type":
                await self._ask(by, "typing", None, {})
            case "transfer":
                to = {"agent": other}
                await self._ask(by, "transfer", ("transferred", by, other), to, is_patient=step.is_patient)
            case "requeue":
                await self._ask(by, "transfer", ("requeued", by), {"queue": True}, is_patient=step.is_patient)
            case "drop":
                self._people.go(by, Go(0, step.move, 0, step.seconds))

    async def _accept(self, agents: tuple[str, ...]) -> str | None:
        """Have these accept it, at once; answers who has it then."""
        await asyncio.gather(*(self._ask(agent, "accept", ("accepted", agent), {}) for agent in agents))
        return await self._holder()

    async def _end(self, by: str, reason: str) -> None:
        await self._ask(by, "end", ("ended", by, reason), {})

    async def _holder(self) -> str | None:
        """The agent who has it, as the customer sees it now."""
        chat = await self._look()
        return chat.get("agent") if chat.get("status") == "ACTIVE" else None

    async def _is_over(self) -> bool:
        return (await self._look()).get("status") == "ENDED"

    async def _see(self) -> None:
        """Let the customer be told what is known to have happened: people answer what they see."""
        with suppress(TimeoutError):
            been_told = self._customer, self._id
            await async_until(lambda: self._people.seen[been_told] >= self._version, seconds=_LONGEST_SEEING_SECONDS)

    async def _look(self) -> Json:
        chat = (await self._players.ask(self._customer, f"/chats/{self._id}", None)).answer
        self._version = chat.get("version", self._version)
        return chat

    async def _ask(self, by: str, what: str, key: Key | None, body: Json, *, is_patient: bool = True) -> Asked:
        asked = await self._players.ask(by, f"/chats/{self._id}/{what}", key, body, is_patient=is_patient)
        self._version = max(self._version, asked.answer.get("version") or asked.answer.get("number") or 0)
        return asked


def _call(api: Backend, path: str, body: Any) -> Answer | None:
    """An answer of the chat's; None if it is none, or says to try again."""
    try:
        answer = api.call("GET" if body is None else "POST", path, body)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return answer
    is_final = answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and answer.status != HTTPStatus.TOO_MANY_REQUESTS
    return answer if is_final and "type" in answer.body else None  # API Gateway's own problems have no type
