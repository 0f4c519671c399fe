"""The chat on moto: the real definition, handlers, core and adapters. Ringback's function is a stand-in."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from lambdas.adapters import aws as aws_of_ringback
from lambdas.adapters.tables import ConnectionTable
from lambdas.chat.adapters import aws
from lambdas.chat.adapters.desk import ConnectedDesk
from lambdas.chat.adapters.table import ChatTable
from lambdas.chat.core import rules, sessions
from lambdas.chat.core.model import Chat, Person
from lambdas.chat.triggers import notice_presence, publish_events
from lambdas.clock import SystemClock
from ringback.plain import Recipient
from tests import builders
from tests.chats import ANA, LIMITS
from tests.fakes import FakeClock
from tests.statemachine.definition import MACHINES
from tests.statemachine.interpreter import Interpreter
from tests.statemachine.stage import Functions, Run
from tests.taking import Accept

CHAT = "c-1"
STATES = dict(MACHINES["chat_session"].states)
FUNCTIONS = {
    "AwaitChangeFunctionArn": "arn:aws:lambda:eu-central-1:123456789012:function:AwaitChange",
    "SettleOverdueFunctionArn": "arn:aws:lambda:eu-central-1:123456789012:function:SettleOverdue",
}
ENVIRONMENT = {
    "CHATS_TABLE_NAME": "Chats",
    "CONNECTIONS_TABLE_NAME": "Connections",
    "ACCEPT_FUNCTION_NAME": "Accept",
    "RETENTION_DAYS": 90,
    "MESSAGE_TTL_SECONDS": builders.DAY_SECONDS,
    "MAX_WAIT_SECONDS": LIMITS.max_wait_seconds,
    "IDLE_SECONDS": LIMITS.idle_seconds,
    "AGENT_AWAY_SECONDS": LIMITS.agent_away_seconds,
    "RATING_SECONDS": LIMITS.rating_seconds,
    "MESSAGES_PER_MINUTE": LIMITS.messages_per_minute,
}


class ChatStage:
    """One chat, Ana's: its people do something, and the table's stream brings it to `publish_events`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.ringback = Accept()
        self.functions = Functions("lambdas.chat.tasks")
        self.interpreter = Interpreter(self.clock, self.functions.invoke)
        self.interpreter.install(patch)
        patch.setattr(SystemClock, "now", lambda _: self.clock.now())
        patch.setattr(SystemClock, "sleep", lambda _, seconds: self.clock.sleep(seconds))
        patch.setattr(aws, "ringback", lambda *_: self.ringback.clients)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, str(value))
        _create_table("Chats", "collection", "item")
        _create_table("Connections", "caller_id", "context")
        self.chats = ChatTable("Chats", aws.dynamodb(), timedelta(days=90))
        self.desk = ConnectedDesk("Connections", aws.dynamodb())
        self._connections = ConnectionTable("Connections")
        self._machine_arn = aws_of_ringback.step_functions().create_state_machine(
            name="chat_session",
            definition=MACHINES["chat_session"].with_values(FUNCTIONS),
            roleArn="arn:aws:iam::123456789012:role/chat",
        )["stateMachineArn"]
        patch.setenv("CHAT_SESSION_STATE_MACHINE_ARN", self._machine_arn)
        self.run = Run(self.interpreter, self._machine_arn.replace(":stateMachine:", ":execution:") + f":{CHAT}")
        self._seen: set[str] = set()

    @property
    def chat(self) -> Chat:
        """The chat as it is."""
        return sessions.get(self.chats, CHAT)

    def start(self, by: Person = ANA) -> None:
        """Start the chat."""
        sessions.start(self.chats, by, None, LIMITS, new_id=lambda: CHAT, clock=self.clock)
        self.stream()

    def accept(self, agent: Person, *, streamed: bool = True) -> None:
        """Accept it, with a connection to the desk."""
        if not self.desk.has(agent.user):
            self.come(agent)
        sessions.accept(self.chats, self.desk, CHAT, agent, LIMITS, clock=self.clock)
        self.stream(streamed)

    def say(self, by: Person, text: str = "x") -> None:
        """Say something."""
        sessions.send(self.chats, CHAT, by, f"m-{self.chat.version}", text, LIMITS, clock=self.clock)
        self.stream()

    def transfer(self, by: Person, to: Person | None) -> None:
        """Hand it on."""
        sessions.transfer(self.chats, self.desk, CHAT, by, to.user if to else None, LIMITS, clock=self.clock)
        self.stream()

    def end(self, by: Person, *, streamed: bool = True) -> None:
        """End it."""
        sessions.change(self.chats, CHAT, lambda chat: rules.end(chat, by, self.clock.now()), clock=self.clock)
        self.stream(streamed)

    def rate(self, rating: int) -> None:
        """Rate it."""
        now = self.clock.now()
        sessions.change(
            self.chats, CHAT, lambda chat: rules.rate(chat, ANA, rating, None, LIMITS, now), clock=self.clock
        )
        self.stream()

    def come(self, person: Person, *, noticed: bool = True) -> None:
        """Have somebody connect."""
        now = self.clock.now()
        connection = builders.connection(f"of-{person.user}", person.recipient)
        self._connections.put(connection._replace(connected_at=now, expires_at=now + timedelta(days=7)))
        self._notice("opened", person.recipient, noticed)

    def leave(self, person: Person, *, noticed: bool = True) -> None:
        """Have their connection end."""
        self._connections.delete(person.recipient, f"of-{person.user}")
        self._notice("closed", person.recipient, noticed)

    def stream(self, brings: bool = True) -> None:  # noqa: FBT001, FBT002
        """Have the table's stream bring what it has not brought, unless it is held up.

        What the chat's row was each time is gone, but its log has the same.
        """
        if not brings:
            return
        rows = [row for row in aws.dynamodb().scan(TableName="Chats")["Items"] if row["item"]["S"].startswith("event#")]
        fresh = sorted((row for row in rows if row["item"]["S"] not in self._seen), key=lambda row: row["item"]["S"])
        if not fresh:
            return
        self._seen |= {row["item"]["S"] for row in fresh}
        records = [builders.stream_record(row, row["item"]["S"], keys=("collection", "item")) for row in fresh]
        answer = publish_events.handler({"Records": records}, builders.LAMBDA_CONTEXT)
        assert answer == {"batchItemFailures": []}

    @contextmanager
    def after(self, seconds: float) -> Iterator[None]:
        """Do something so long after the run's wait has begun, which then takes its full time from its beginning."""
        self.clock.sleep(seconds)
        yield
        self.clock.sleep(-seconds)

    def bring_again(self) -> None:
        """Have the stream bring everything from the beginning."""
        self._seen.clear()
        self.stream()

    def finish(self) -> None:
        """End the run, if it still waits, the short way."""
        while self.interpreter.until_idle(self.run.arn):
            self.interpreter.abandon(self.run.arn, error="ChatNotFound")

    def _notice(self, what: str, recipient: Recipient, noticed: bool) -> None:  # noqa: FBT001
        if noticed:
            notice_presence.handler(builders.presence_event(what, recipient), builders.LAMBDA_CONTEXT)
            self.stream()


def _create_table(name: str, partition_key: str, sort_key: str) -> None:
    aws.dynamodb().create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": partition_key, "KeyType": "HASH"},
            {"AttributeName": sort_key, "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": partition_key, "AttributeType": "S"},
            {"AttributeName": sort_key, "AttributeType": "S"},
        ],
    )
