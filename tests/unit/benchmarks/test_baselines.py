"""The baselines do what they are there for."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from benchmarks.baselines import posting
from benchmarks.baselines.polling import post
from benchmarks.baselines.sns_lambda import handler

MESSAGE = {
    "id": "m-1",
    "recipient": {"user": "ana", "context": "chat", "contextId": "42"},
    "type": "news",
    "payload": {"text": "hello"},
}


@dataclass
class World:
    """A table of connections and an API; it answers for each connection what `answers` has, or takes the frame."""

    rows: list[dict[str, str]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    posted: list[tuple[str, Any]] = field(default_factory=list)
    deleted: list[dict[str, str]] = field(default_factory=list)

    def query(self, KeyConditionExpression: Any) -> dict[str, Any]:  # noqa: N803 - the client's name
        user, conversation = (
            part.get_expression()["values"][1] for part in KeyConditionExpression.get_expression()["values"]
        )
        return {
            "Items": [row for row in self.rows if row["caller_id"] == user and row["context"].startswith(conversation)]
        }

    def delete_item(self, Key: dict[str, str]) -> None:  # noqa: N803
        self.deleted.append(Key)

    def post_to_connection(self, ConnectionId: str, Data: bytes) -> None:  # noqa: N803
        if code := self.answers.get(ConnectionId):
            raise ClientError({"Error": {"Code": code, "Message": ""}}, "PostToConnection")
        self.posted.append((ConnectionId, json.loads(Data)))

    def connect(self, connection_id: str, *, user: str = "ana", context: str = "chat#42") -> None:
        row = {"caller_id": f"user#{user}", "context": f"{context}#{connection_id}", "connection_id": connection_id}
        self.rows.append(row)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    it = World()
    for name in ("_table", "_api"):
        monkeypatch.setattr(posting, name, lambda: it)
    return it


def by_topic(message: dict[str, Any]) -> None:
    handler.handler({"Records": [{"Sns": {"Message": json.dumps(message)}}]}, None)


def by_machine(message: dict[str, Any]) -> None:
    post.handler({"message": message, "startedAt": datetime.now(UTC).isoformat()}, None)


SIDES = pytest.mark.parametrize("send", [by_topic, by_machine])


@SIDES
def test_every_connection_of_the_conversation_gets_it(world: World, send: Callable[[Any], None]) -> None:
    world.connect("c1")
    world.connect("c2")
    world.connect("other", context="chat#43")
    world.connect("somebody", user="ben")
    send(MESSAGE)
    frame = {"kind": "message", "id": "m-1", "type": "news", "payload": {"text": "hello"}}
    assert world.posted == [("c1", frame), ("c2", frame)]


@SIDES
def test_it_fails_where_nobody_is_there_and_forgets_who_is_gone(world: World, send: Callable[[Any], None]) -> None:
    world.connect("c1")
    world.answers["c1"] = "GoneException"
    with pytest.raises(posting.NobodyThere):
        send(MESSAGE)
    assert world.deleted == [{"caller_id": "user#ana", "context": "chat#42#c1"}]


@SIDES
def test_another_failure_is_one(world: World, send: Callable[[Any], None]) -> None:
    world.connect("c1")
    world.answers["c1"] = "LimitExceededException"
    with pytest.raises(ClientError):
        send(MESSAGE)
    assert world.deleted == []


def test_polling_ends_with_the_message(world: World) -> None:
    world.connect("c1")
    started = datetime.now(UTC) - timedelta(seconds=61)
    with pytest.raises(post.MessageExpired):
        post.handler({"message": {**MESSAGE, "ttlSeconds": 60}, "startedAt": started.isoformat()}, None)
    assert post.handler({"message": {**MESSAGE, "ttlSeconds": 120}, "startedAt": started.isoformat()}, None) == {
        "posted": 1
    }
