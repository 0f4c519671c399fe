"""People of the live chat: each has a client of the WebSocket API, and a token of their own for the chat's API."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from local.backend import Answer, Backend
from local.client import Client, Frame
from local.demo.stage import Stage

PATIENCE_SECONDS = 60.0
# Settings of the chat: long enough for what is done on a busy machine between two words, and short enough to wait for.
CHAT = {"max_wait_seconds": 45, "idle_seconds": 45, "agent_away_seconds": 15}


@dataclass
class Person:
    """A customer or an agent."""

    name: str
    role: str
    client: Client
    api: Backend
    called: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def at(cls, stage: Stage, kind: str, *, role: str) -> Self:
        """Somebody nobody knows yet, not connected."""
        name = f"{kind}-{uuid.uuid4()}"
        context, context_id = ("desk", "chat") if role == "agent" else ("chat", "support")
        token = stage.keys.token(name, contexts=[f"{context}/{context_id}"])
        client = stage.client(name, context=context, context_id=context_id, token=token)
        client.acknowledges = True
        return cls(name, role, client, Backend(stage.installation.chat_api_url, stage.keys.chat_token(name, role)))

    # What they do

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Call the API, and remember it."""
        self.called.append((method, path))
        return self.api.call(method, path, body)

    def start(self, subject: str | None = None) -> str:
        """Start a chat; answers its id."""
        answer = self.call("POST", "/chats", {"subject": subject} if subject else {})
        assert answer.status == 201, answer
        return str(answer.body["id"])

    def do(self, chat_id: str, what: str, **body: Any) -> Answer:
        """Do something in a chat."""
        return self.call("POST", f"/chats/{chat_id}/{what}", body)

    def say(self, chat_id: str, text: str, **body: Any) -> Answer:
        """Send a message."""
        return self.do(chat_id, "messages", text=text, **body)

    # What they are told

    def told(self, chat_id: str) -> list[dict[str, Any]]:
        """The events of a chat as a client that keeps to the protocol shows them.

        Each once, and each only after all before it have come.
        """
        by_sequence: dict[int, dict[str, Any]] = {}
        for frame in self.client.all_messages():
            if frame.body.get("ordered"):
                body = by_sequence.setdefault(frame.body["sequence"], frame.body)
                assert body["id"] == frame.body["id"], "two messages have one number"
        seen: list[dict[str, Any]] = []
        while (next_one := by_sequence.get(len(seen) + 1)) is not None:
            seen.append(next_one)
        assert all(body["type"] == body["payload"]["type"] for body in seen)
        return [body["payload"] for body in seen if body["payload"]["chatId"] == chat_id]

    def await_told(self, chat_id: str, kind: str, *, seconds: float = PATIENCE_SECONDS, **facts: Any) -> dict[str, Any]:
        """Wait until they are told such an event; answers it."""

        def found() -> list[dict[str, Any]]:
            told = [event for event in self.told(chat_id) if event["type"] == f"chat.{kind}"]
            return [event for event in told if facts.items() <= event.items()]

        self.client.await_frames(lambda: bool(found()), f"{kind} {facts}", seconds=seconds)
        return found()[-1]

    def await_texts(self, chat_id: str, count: int, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until they are told so many messages."""
        self.client.await_frames(lambda: len(texts(self.told(chat_id))) >= count, f"{count} messages", seconds=seconds)

    def await_text(self, chat_id: str, text: str) -> dict[str, Any]:
        """Wait until they are told a message."""
        return self.await_told(chat_id, "message", text=text)

    def await_shown(
        self, kind: str, met: Callable[[dict[str, Any]], bool], *, seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Wait until the newest of what they are shown of this kind is so; answers it."""

        def newest() -> dict[str, Any] | None:
            shown = [frame.body["payload"] for frame in self.client.all_messages() if _is(frame, kind)]
            return max(shown, key=lambda payload: str(payload["at"]), default=None)

        def is_met() -> bool:
            payload = newest()
            return payload is not None and met(payload)

        self.client.await_frames(is_met, f"chat.{kind} as it should be", seconds=seconds)
        payload = newest()
        assert payload is not None
        return payload

    def await_queue(self, *chat_ids: str) -> dict[str, Any]:
        """Wait until they see exactly these chats in the queue."""
        return self.await_shown("queue", lambda shown: [chat["id"] for chat in shown["waiting"]] == list(chat_ids))

    def await_position(self, chat_id: str, position: int) -> dict[str, Any]:
        """Wait until they see that their chat has this position."""
        return self.await_shown("position", lambda shown: (shown["chatId"], shown["position"]) == (chat_id, position))


@contextmanager
def together(*people: Person) -> Iterator[None]:
    """Have these people connected, and nobody in the end."""
    try:
        for person in people:
            person.client.connect()
        yield
    finally:
        for person in people:
            person.client.close()


def await_empty_queue(stage: Stage) -> None:
    """Wait until what other tests left in the queue is out of it."""

    def is_empty() -> bool | None:
        answer = stage.installation.clients.dynamodb.query(
            TableName=stage.installation.chats_table_name,
            KeyConditionExpression="#collection = :queue",
            ExpressionAttributeNames={"#collection": "collection"},
            ExpressionAttributeValues={":queue": {"S": "queue"}},
            ConsistentRead=True,
        )
        return True if not answer["Items"] else None

    stage.until(is_empty, "an empty queue", seconds=120)


def texts(events: list[dict[str, Any]]) -> list[str]:
    """What was said."""
    return [event["text"] for event in events if event["type"] == "chat.message"]


def _is(frame: Frame, kind: str) -> bool:
    return bool(frame.body.get("type") == f"chat.{kind}")
