"""Short ways to say what a test of the chat is about, and the ports of `lambdas.chat.core.ports` in memory.

The people: Ana, a customer; Bo and Cy, who are agents; Dan, another customer. The time: noon, as everywhere.
"""

import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lambdas.chat.core import rules
from lambdas.chat.core.errors import TooManyMessages
from lambdas.chat.core.model import Change, Chat, Event, EventType, Person, Role, Status
from lambdas.chat.core.ports import Overtaken, Wait
from tests.builders import NOW

ANA, DAN = (Person(role=Role.CUSTOMER, user=user) for user in ("ana", "dan"))
BO, CY = (Person(role=Role.AGENT, user=user) for user in ("bo", "cy"))
LIMITS = rules.Limits(
    max_wait_seconds=600, idle_seconds=900, agent_away_seconds=60, rating_seconds=86_400, messages_per_minute=60
)
# For a test that has hundreds of messages come at once.
TALKATIVE = LIMITS._replace(messages_per_minute=6_000)


def later(seconds: float) -> datetime:
    """So long after noon."""
    return NOW + timedelta(seconds=seconds)


def waiting(chat_id: str = "c-1", by: Person = ANA, *, at: datetime = NOW) -> Chat:
    """A chat that waits, of noon."""
    return rules.start(chat_id, by, None, LIMITS, at).chat


def active(agent: Person = BO, *, chat_id: str = "c-1", at: datetime = NOW) -> Chat:
    """A chat that this agent has accepted, at noon."""
    return after(rules.accept(waiting(chat_id, at=at), agent, at))


def away(agent: Person = BO, *, at: datetime = NOW) -> Chat:
    """A chat whose agent has gone, at noon."""
    return after(rules.agent_left(active(agent, at=at), agent.user, LIMITS, at))


def spent(*, at: datetime = NOW, said_at: datetime = NOW) -> Chat:
    """A chat of noon in which both sides have just said as much as they may in a minute."""
    chat = active(at=at)
    for by in (ANA, BO):
        with suppress(TooManyMessages):
            for number in itertools.count():
                chat = rules.send(chat, by, f"m-{number}-{by.user}", "and", LIMITS, said_at).chat
    return chat


def requeued(*, at: datetime = NOW) -> Chat:
    """A chat that Bo has handed back to the queue, at noon."""
    return after(rules.transfer(active(at=at), BO, None, at))


def ended(by: Person = ANA, *, at: datetime = NOW) -> Chat:
    """A chat that was accepted by Bo and ended, at noon."""
    return after(rules.end(active(at=at), by, at))


def abandoned(*, at: datetime = NOW) -> Chat:
    """A chat that its customer ended before anybody accepted it, at noon."""
    return after(rules.end(waiting(at=at), ANA, at))


def rated(*, at: datetime = NOW) -> Chat:
    """A chat that was ended and rated, at noon."""
    return after(rules.rate(ended(at=at), ANA, 5, None, LIMITS, at))


def after(change: Change | None) -> Chat:
    """The chat after a change that there has to be."""
    assert change is not None
    return change.chat


@dataclass
class FakeChats:
    """Chats: every change that was written, and what follows from them."""

    changes: dict[str, list[Change]] = field(default_factory=dict)
    desk: set[str] = field(default_factory=set)
    waits: dict[str, Wait] = field(default_factory=dict)

    def get(self, chat_id: str) -> Chat | None:
        changes = self.changes.get(chat_id)
        return changes[-1].chat if changes else None

    def last_chat_of(self, customer: str) -> str | None:
        return next((chat.id for chat in reversed(self._all()) if chat.customer == customer), None)

    def put(self, before: Chat | None, change: Change, *, last: str | None = None) -> None:
        now, chat = self.get(change.chat.id), change.chat
        if (now and now.version) != (before and before.version):
            raise Overtaken
        if before is None and self.last_chat_of(chat.customer) != last:
            raise Overtaken
        if change.event.type is EventType.MESSAGE and self.sent(chat.id, str(change.event.id)):
            raise Overtaken
        self.changes.setdefault(chat.id, []).append(change)

    def sent(self, chat_id: str, message_id: str) -> Event | None:
        messages = (event for event in self._log(chat_id) if event.type is EventType.MESSAGE)
        return next((event for event in messages if event.id == message_id), None)

    def events(self, chat_id: str, *, after: int, limit: int) -> list[Event]:
        return [event for event in self._log(chat_id) if event.number > after][:limit]

    def waiting(self, *, limit: int) -> list[Chat]:
        in_queue = (chat for chat in self._all() if chat.status is Status.WAITING)
        return sorted(in_queue, key=lambda chat: chat.queue_key)[:limit]

    def active_of(self, agent: str) -> list[str]:
        theirs = (chat for chat in self._all() if chat.status is Status.ACTIVE and chat.agent == agent)
        return sorted(chat.id for chat in theirs)

    def agents(self) -> list[str]:
        return sorted(self.desk)

    def sit_down(self, agent: str) -> None:
        self.desk.add(agent)

    def leave(self, agent: str) -> None:
        self.desk.discard(agent)

    def park(self, chat_id: str, wait: Wait) -> bool:
        if chat_id in self.waits and self.waits[chat_id].entry > wait.entry:
            return False
        self.waits[chat_id] = wait
        return True

    def parked(self, chat_id: str) -> Wait | None:
        return self.waits.get(chat_id)

    def unpark(self, chat_id: str, task_token: str) -> None:
        if chat_id in self.waits and self.waits[chat_id].task_token == task_token:
            del self.waits[chat_id]

    def _all(self) -> list[Chat]:
        return [changes[-1].chat for changes in self.changes.values()]

    def _log(self, chat_id: str) -> list[Event]:
        return [change.event for change in self.changes.get(chat_id, [])]


@dataclass
class FakeDesk:
    """Desk: who has an open connection to it."""

    present: set[str] = field(default_factory=set)

    def has(self, agent: str) -> bool:
        return agent in self.present
