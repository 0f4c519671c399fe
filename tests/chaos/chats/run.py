"""One chaos run of chats on a deployed stack: play them, wait until all is quiet, and close the ledger."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lambdas.chat.core.model import Role
from local.runs import Runs
from local.stack import Stack
from ringback.dead_letters import open_queue
from tests.chaos.chats import ledger
from tests.chaos.chats.ledger import Evidence, Nap, Run, Violation, Written
from tests.chaos.chats.people import People, Players
from tests.chaos.chats.plan import AGENTS, LIMITS, RATES, Customer
from tests.chaos.plan import Script
from tests.chaos.run import Control, Say

# What the stack is deployed with. What failed is done again soon: here it is the chats that are judged.
STAGE: Mapping[str, Any] = {
    "default_ack_timeout_seconds": 6,
    "backoff_base_seconds": 2,
    "backoff_cap_seconds": 10,
    "max_connections_per_user": 30,
}
CHAT: Mapping[str, Any] = LIMITS._asdict()

_AT_ONCE = 12  # customers; more than a small machine can serve shows only that
_OUTAGES = {1 / 3: 2.0, 2 / 3: 1.0}  # after this part of the chats has begun, for so many seconds
_LOOK_EVERY_SECONDS = 3.0
# Nothing waits for longer: a message's backoff, the retries of a run's state and of a stream, a chat left alone.
_STILL_SECONDS = 90.0
_MOST_DRAIN_SECONDS = 300.0
_MANY_CHATS = 40
_SURE = frozenset(
    {"throttled", "error", "lost_answer", "slow", "delayed", "done_late", "killed_before", "killed_after", "timed_out"}
    | {"duplicate_records", "late_records", "duplicate_batch", "disconnect_lost", "disconnect_late", "gone", "outage"}
)


@dataclass
class Played:
    """A run: what does not balance, what keeps it from telling much, and its figures."""

    violations: Sequence[Violation]
    problems: Sequence[str]
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def passes(self) -> bool:
        """Whether every chat balances, in a run that can tell."""
        return not self.violations and not self.problems

    def lines(self) -> Iterator[str]:
        """The same for people."""
        for name, counts in self.figures.items():
            yield f"{name}: " + ", ".join(f"{what} {count:g}" for what, count in sorted(counts.items()))
        yield from (f"  {one}" for one in self.violations)
        yield from self.problems
        yield f"{len(self.violations)} violations. {'Every chat balances.' if self.passes else 'It does not balance.'}"


async def play(stack: Stack, customers: Sequence[Customer], *, seed: int, say: Say) -> Played:
    """Play these customers' chats under the faults of this seed."""
    control = Control(stack.cloud.endpoint)
    async with People.running(stack.installation.websocket_url, stack.keys, client_module=None) as people:
        await asyncio.gather(*(people.join(agent, Role.AGENT) for agent in AGENTS))
        players = Players(stack, people)
        run = _Run(stack, people, players, control, say)
        began = time.monotonic()
        try:
            await asyncio.to_thread(control.begin, Script(seed, 0, (), rates=RATES))
            try:
                await run.play(customers)
            finally:
                await asyncio.to_thread(control.end)
            played = time.monotonic() - began
            await people.settle()
            evidence, is_quiet = await run.until_quiet()
            if is_quiet:
                people.leave(AGENTS[0])  # a goodbye that nothing disturbs
                evidence, is_quiet = await run.until_quiet()
        finally:
            await asyncio.to_thread(players.close)
        faults = (await asyncio.to_thread(control.told))["faults"]
    violations, problems = ledger.close(evidence), list(players.problems)
    if not is_quiet and not violations:
        problems.append("It did not become quiet: a message is under way, or somebody did not come back.")
    if len(evidence.chats) >= _MANY_CHATS and (absent := _SURE - faults.keys()):
        problems.append(f"These faults never happened: {', '.join(sorted(absent))}.")
    seconds = {"played": round(played), "until quiet": round(time.monotonic() - began - played)}
    figures = {**ledger.counts(evidence), "sent again": players.sent_again, "faults": faults, "seconds": seconds}
    return Played(violations, problems, figures)


@dataclass
class _Run:
    stack: Stack
    people: People
    players: Players
    control: Control
    say: Say

    async def play(self, customers: Sequence[Customer]) -> None:
        """Play so many at once, and have the cloud restart meanwhile."""
        seats = asyncio.Semaphore(_AT_ONCE)
        chats = sum(len(customer.chats) for customer in customers)

        async def one(customer: Customer) -> None:
            async with seats:
                await self.players.play(customer)

        async def outages() -> None:
            for part, seconds in _OUTAGES.items():
                while self.players.begun < part * chats:
                    await asyncio.sleep(0.1)
                    self.stack.cloud.ensure_alive()
                self.say(f"{self.players.begun} of {chats} chats have begun: the cloud restarts")
                await asyncio.to_thread(self.control.outage, seconds)

        await asyncio.gather(outages(), *(one(customer) for customer in customers))

    async def until_quiet(self) -> tuple[Evidence, bool]:
        """Wait until all balances and nothing goes on, twice; or nothing changes for longer than anything waits.

        Answers what there was then, and whether it was the former.
        """
        begun = changed = time.monotonic()
        seen: Any = None
        quiet = 0
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            self.stack.cloud.ensure_alive()
            evidence, deliveries = await asyncio.to_thread(self._read)
            violations = ledger.close(evidence)
            now = (violations, deliveries, len(evidence.told), self.people.all_as_meant)
            quiet = quiet + 1 if not violations and not deliveries and self.people.all_as_meant else 0
            if quiet == 2:
                return evidence, True
            if now != seen:
                seen, changed = now, time.monotonic()
                self.say(f"until quiet: {deliveries} messages under way, {len(violations)} entries do not balance yet")
            if time.monotonic() - changed > _STILL_SECONDS or time.monotonic() - begun > _MOST_DRAIN_SECONDS:
                return evidence, False

    def _read(self) -> tuple[Evidence, int]:
        """What there is now, and how many messages are under way."""
        installation = self.stack.installation
        clients = installation.clients
        told = tuple(self.people.told)
        logs: dict[str, list[Written]] = {}
        chats: dict[str, dict[str, Any]] = {}
        indexed: set[tuple[str, str]] = set()
        desk: set[str] = set()
        for row in self._rows(installation.chats_table_name):
            collection, item = row["collection"]["S"], row["item"]["S"]
            chat_id = collection.removeprefix("chat#")
            if item.startswith("event#"):
                people = [person["user"] for person in json.loads(row["people"]["S"])]
                logs.setdefault(chat_id, []).append(Written(json.loads(row["event"]["S"]), people))
            elif item == "state":
                chats[chat_id] = json.loads(row["chat"]["S"])
            elif collection == "desk":
                desk.add(item)
            elif not collection.startswith("chat#"):
                indexed.add(
                    (collection, row["chat_id"]["S"] if "chat_id" in row else json.loads(row["chat"]["S"])["id"])
                )
        for log in logs.values():
            log.sort(key=lambda written: int(written.event["number"]))
        at_the_desk = f"{Role.AGENT.context}#{Role.AGENT.context_id}#"
        connections = self._rows(installation.connections_table_name)
        seats = {
            row["caller_id"]["S"].removeprefix("user#")
            for row in connections
            if row["context"]["S"].startswith(at_the_desk)
        }
        letters = open_queue(installation.sdk, wait_seconds=0, hide_seconds=1).letters()
        running = clients.stepfunctions.list_executions(
            stateMachineArn=installation.delivery_state_machine_arn, statusFilter="RUNNING"
        )["executions"]
        evidence = Evidence(
            at=datetime.now(UTC),
            limits=LIMITS,
            logs=logs,
            chats=chats,
            indexed=frozenset(indexed),
            desk=frozenset(desk),
            seats=frozenset(seats),
            connected=frozenset(self.people.connected & set(AGENTS)),
            runs={chat_id: run for chat_id in chats if (run := self._run(chat_id))},
            asked=tuple(self.players.asked),
            told=told,
            letters=frozenset(letter.message_id for letter in letters if letter.message_id),
        )
        return evidence, len(running)

    def _rows(self, table: str) -> Iterator[Any]:
        for page in self.stack.installation.clients.dynamodb.get_paginator("scan").paginate(TableName=table):
            yield from page["Items"]

    def _run(self, chat_id: str) -> Run | None:
        clients = self.stack.installation.clients
        runs = Runs(clients.stepfunctions, self.stack.installation.chat_session_state_machine_arn)
        try:
            run = runs.read(runs.arn_of(chat_id))
        except clients.stepfunctions.exceptions.ExecutionDoesNotExist:
            return None
        return Run(run.status, run.states[-1] if run.states else "", run.output, tuple(naps_of(run.events)))


def naps_of(events: Sequence[Mapping[str, Any]]) -> Iterator[Nap]:
    """The times that a run was parked until its state's time was over, by its history."""
    state, since = "", None
    for event in events:
        kind, at = event["type"], event["timestamp"].timestamp()
        if kind.endswith("StateEntered"):
            state, since = event["stateEnteredEventDetails"]["name"], None
        elif kind == "TaskSubmitted":
            since = at
        elif kind == "TaskTimedOut" and since is not None:
            yield Nap(state, since, at)
