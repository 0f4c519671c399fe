"""The chat's HTTP API as API Gateway calls it, on moto's tables: chats in every state, and people who call it."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from lambdas.adapters.tables import ConnectionTable
from lambdas.chat.adapters import aws
from lambdas.chat.adapters.table import ChatTable
from lambdas.chat.core import rules
from lambdas.chat.core.model import Change, Chat, Person, Role
from lambdas.chat.routes import chat_api
from lambdas.clock import SystemClock
from lambdas.problems import Kind
from tests.builders import NOW, connection
from tests.chats import ANA, BO, CY, LIMITS, TALKATIVE
from tests.contract.conftest import SECRET, Stage, create_table
from tests.contract.http_gateway import http_event
from tests.fakes import FakeClock
from tests.taking import Accept

Decide = Callable[[Chat, datetime], Change | None]

LONG = timedelta(seconds=LIMITS.idle_seconds)
"""Longer than it may wait, and than nothing may happen."""

ACCEPTED: Decide = lambda chat, at: rules.accept(chat, BO, at)  # noqa: E731 - one word for one thing that happens
REQUEUED: Decide = lambda chat, at: rules.transfer(chat, BO, None, at)  # noqa: E731
HANDED: Decide = lambda chat, at: rules.transfer(chat, BO, "cy", at)  # noqa: E731
AWAY: Decide = lambda chat, at: rules.agent_left(chat, "bo", LIMITS, at)  # noqa: E731
ENDED_BY_CUSTOMER: Decide = lambda chat, at: rules.end(chat, customer_of(chat), at)  # noqa: E731
ENDED_BY_AGENT: Decide = lambda chat, at: rules.end(chat, BO, at)  # noqa: E731
TIME_PASSED: Decide = lambda chat, at: rules.time_passed(chat, LIMITS, at + LONG)  # noqa: E731
RATED: Decide = lambda chat, at: rules.rate(chat, customer_of(chat), 5, SECRET, LIMITS, at)  # noqa: E731


def customer_of(chat: Chat) -> Person:
    """Whose chat it is."""
    return Person(role=Role.CUSTOMER, user=chat.customer)


def said(text: str, by: Person = ANA, message_id: str = "m-1") -> Decide:
    """Somebody says something."""
    return lambda chat, at: rules.send(chat, by, message_id, text, TALKATIVE, at)


# Both sides have said as much as they may in a minute, in few words. A second after the start, which counts.
_TAKES_IT_ALL = LIMITS._replace(messages_per_minute=1)
_THEN = timedelta(seconds=1)
SPENT: tuple[Decide, ...] = (
    lambda chat, at: rules.send(chat, customer_of(chat), "m-customer", "and", _TAKES_IT_ALL, at + _THEN),
    lambda chat, at: rules.send(chat, BO, "m-agent", "and", _TAKES_IT_ALL, at + _THEN),
)


def claims_of(person: Person) -> dict[str, Any]:
    """What their tokens claim."""
    role = {"role": ["support", "agent"]} if person.role is Role.AGENT else {}
    return {"sub": person.user, "iss": "https://issuer.example", "aud": "ringback-chat", **role}


def as_text(claims: Mapping[str, Any]) -> dict[str, str]:
    """The claims as API Gateway tells them of a token that it has verified."""
    return {
        name: f"[{' '.join(map(str, value))}]" if isinstance(value, list) else str(value)
        for name, value in claims.items()
    }


def token_of(claims: object) -> str:
    """A token that claims this; API Gateway has seen to its signature."""
    parts = (json.dumps({"alg": "RS256"}), json.dumps(claims), "signature")
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


class Answer:
    """What the caller gets."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.status: int = answer["statusCode"]
        self.headers: dict[str, str] = answer["headers"]
        self.text: str = answer["body"]

    @property
    def body(self) -> Any:
        """The JSON."""
        return json.loads(self.text)

    def problem(self, kind: Kind) -> dict[str, Any]:
        """The problem that it must be; it repeats nothing."""
        assert self.headers["Content-Type"] == "application/problem+json"
        told: dict[str, Any] = self.body
        assert (told["type"], told["title"]) == (kind.uri, kind.title)
        assert self.status == told["status"] == kind.status
        assert SECRET not in self.text
        return told


class Desk:
    """People, and their chats. Bo and Cy are at the desk."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.clock = FakeClock()
        self.ringback = Accept()
        self.chats = ChatTable("Chats", aws.dynamodb(), timedelta(days=90))
        self.connections = ConnectionTable("Connections")
        for agent in (BO, CY):
            self.connect(agent)

    def connect(self, person: Person) -> None:
        """Open a connection of this person."""
        at = connection(f"c-{person.user}", person.recipient)
        self.connections.put(at._replace(expires_at=NOW + timedelta(days=1)))

    def disconnect(self, person: Person) -> None:
        """Close it."""
        self.connections.delete(person.recipient, f"c-{person.user}")

    def chat(
        self, *happened: Decide, chat_id: str = "c-1", by: Person = ANA, subject: str | None = None, at: datetime = NOW
    ) -> Chat:
        """A chat that was started, and to which all of this happened then."""
        change = rules.start(chat_id, by, subject, LIMITS, at)
        self.chats.put(None, change, last=self.chats.last_chat_of(by.user))
        for decide in happened:
            before, decided = change.chat, decide(change.chat, at)
            assert decided is not None
            change = decided
            self.chats.put(before, change)
        return change.chat

    def now(self, chat_id: str = "c-1") -> Chat:
        """The chat as it is in the table."""
        chat = self.chats.get(chat_id)
        assert chat is not None
        return chat

    def call(
        self,
        by: Person,
        method: str,
        path: str,
        body: Any = None,
        claims: dict[str, Any] | None = None,
        /,
        *,
        query: str = "",
        **headers: str,
    ) -> Answer:
        """Call the API, with a token that claims this; a body that is no text is sent as JSON."""
        text = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        claimed = claims_of(by) if claims is None else claims
        headers = {"authorization": f"Bearer {token_of(claimed)}", **headers}
        event = http_event(method, path, text, as_text(claimed), query=query, **headers)
        return Answer(self._stage.call(chat_api.handler, event))


@pytest.fixture
def desk(stage: Stage, cloud: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    create_table("Chats", "collection", "item")
    create_table("Connections", "caller_id", "context")
    desk = Desk(stage)
    monkeypatch.setattr(aws, "ringback", lambda *_: desk.ringback.clients)
    monkeypatch.setattr(SystemClock, "now", lambda self: desk.clock.now())
    stage.set(
        CHATS_TABLE_NAME="Chats",
        CONNECTIONS_TABLE_NAME="Connections",
        ACCEPT_FUNCTION_NAME="Accept",
        RETENTION_DAYS=90,
        ROLE_CLAIM="role",
        AGENT_ROLE="agent",
        MAX_WAIT_SECONDS=LIMITS.max_wait_seconds,
        IDLE_SECONDS=LIMITS.idle_seconds,
        AGENT_AWAY_SECONDS=LIMITS.agent_away_seconds,
        RATING_SECONDS=LIMITS.rating_seconds,
        MESSAGES_PER_MINUTE=LIMITS.messages_per_minute,
    )
    return desk
