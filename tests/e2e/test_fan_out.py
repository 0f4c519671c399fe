"""The fan-out on the deployed stack, to a thousand real sockets."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from local.demo.stage import Stage
from ringback.fan_out import personal_id
from ringback.names import execution_name
from tests.e2e.crowd import Crowd

USERS, SOCKETS_EACH, GONE = 250, 4, 100


@dataclass
class Room:
    """A conversation of its own: 250 people with four sockets each, every second of them on the gold plan."""

    stage: Stage
    context_id: str
    crowd: Crowd
    people: list[str]
    absent: list[str]

    @property
    def gold(self) -> list[str]:
        return self.people[::2]

    def fan_out(self, **value: Any) -> tuple[str, dict[str, Any]]:
        """Run a fan-out to its end; its id, and the run."""
        fan_out_id = f"fan-{uuid.uuid4()}"
        client = self.stage.installation.clients.stepfunctions
        arn = client.start_execution(
            stateMachineArn=self.stage.installation.fan_out_state_machine_arn,
            name=fan_out_id,
            input=json.dumps({"message": {"payload": {"n": 1}}, **value}),
        )["executionArn"]
        deadline = time.monotonic() + 120
        while (run := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < deadline, "the fan-out does not end"
            time.sleep(0.1)
        return fan_out_id, dict(run)

    def summary(self, **value: Any) -> tuple[str, dict[str, int]]:
        """Run a fan-out that succeeds; its id, and what its summary has beside zeros."""
        fan_out_id, run = self.fan_out(**value)
        assert run["status"] == "SUCCEEDED", run
        return fan_out_id, {name: number for name, number in json.loads(run["output"]).items() if number}

    @property
    def place(self) -> dict[str, str]:
        return {"context": "chat", "contextId": self.context_id}

    def user(self, name: str) -> str:
        """A user of this room only."""
        return f"{name}-{self.context_id}"

    def leave_rows(self, users: list[str]) -> None:
        """What is left of clients whose end nobody noticed: a row for each, and no socket."""
        (row, *_) = self.stage.rows(self.stage.client(self.people[0], context_id=self.context_id), self.people[0])
        long_ago = str(int(row["connected_at"]["N"]) - 3_600_000)
        dynamodb = self.stage.installation.clients.dynamodb
        for user in users:
            recipient = json.dumps({"user": user, "context": "chat", "context_id": self.context_id})
            dynamodb.put_item(
                TableName=self.stage.installation.connections_table_name,
                Item={
                    **row,
                    "caller_id": {"S": f"user#{user}"},
                    "context": {"S": f"chat#{self.context_id}#gone-{user}"},
                    "connection_id": {"S": f"gone-{user}"},
                    "recipient": {"S": recipient},
                    "connected_at": {"N": long_ago},
                },
            )

    def await_connections(self, count: int) -> None:
        """Wait until so many connections are stored."""

        def look() -> bool | None:
            answer = self.stage.installation.clients.dynamodb.query(
                TableName=self.stage.installation.connections_table_name,
                IndexName="ByConversation",
                KeyConditionExpression="conversation = :here",
                ExpressionAttributeValues={":here": {"S": f"chat#{self.context_id}"}},
                Select="COUNT",
            )
            return True if answer["Count"] == count else None

        self.stage.until(look, f"{count} connections", seconds=180)

    def rows_of(self, user: str) -> list[dict[str, Any]]:
        return self.stage.rows(self.stage.client(user, context_id=self.context_id), user)


@pytest.fixture(scope="module")
def room(stage: Stage) -> Iterator[Room]:
    context_id = uuid.uuid4().hex[:8]
    crowd = Crowd(stage.installation.websocket_url, context_id)
    people = [f"p{number:03}-{context_id}" for number in range(USERS)]
    absent = [f"gone{number:03}-{context_id}" for number in range(GONE)]
    room = Room(stage, context_id, crowd, people, absent)
    tokens = {user: stage.keys.token(user, plan="gold" if user in room.gold else "free") for user in people}
    with crowd.there():
        crowd.connect((user, tokens[user]) for user in people for _ in range(SOCKETS_EACH))
        yield room
    room.await_connections(0)  # a thousand $disconnects, two at a time: nobody else's should wait behind them


def test_a_thousand_get_it_a_hundred_gone_are_forgotten_and_wait(room: Room) -> None:
    room.leave_rows(room.absent)

    fan_out_id, summary = room.summary(audience={"users": [*room.people, *room.absent], **room.place}, durable=True)

    assert summary == {"people": USERS + GONE, "posted": USERS * SOCKETS_EACH, "gone": GONE, "handedOver": GONE}
    room.crowd.await_posts(fan_out_id, USERS * SOCKETS_EACH)
    assert room.crowd.received(fan_out_id) == {
        user: [[personal_id(fan_out_id, user)]] * SOCKETS_EACH for user in room.people
    }
    assert [user for user in room.absent if room.rows_of(user)] == []

    with Crowd(room.stage.installation.websocket_url, room.context_id).there() as late:
        late.connect((user, room.stage.keys.token(user)) for user in room.absent)
        late.await_posts(fan_out_id, GONE)
        for user in room.absent:
            arn = room.stage.runs.arn_of(execution_name(personal_id(fan_out_id, user)))
            assert room.stage.runs.await_end(arn).status == "SUCCEEDED"
        assert late.received(fan_out_id) == {user: [[personal_id(fan_out_id, user)]] for user in room.absent}
    room.await_connections(USERS * SOCKETS_EACH)  # the last of the late ones has left


def test_a_conversation_gets_it_page_by_page(room: Room) -> None:
    fan_out_id, summary = room.summary(audience={"conversation": room.place}, exclude=room.people[:10])

    reached = len(room.people) - 10
    assert summary == {"people": reached, "posted": reached * SOCKETS_EACH}
    room.crowd.await_posts(fan_out_id, reached * SOCKETS_EACH)
    came = room.crowd.received(fan_out_id)
    assert [user for user in room.people if came[user] == [[]] * SOCKETS_EACH] == room.people[:10]
    assert all(came[user] == [[personal_id(fan_out_id, user)]] * SOCKETS_EACH for user in room.people[10:])


def test_only_connections_with_an_attribute_get_it(room: Room) -> None:
    fan_out_id, summary = room.summary(audience={"conversation": room.place}, where={"plan": ["gold", "platinum"]})

    assert summary == {"people": len(room.gold), "posted": len(room.gold) * SOCKETS_EACH}
    room.crowd.await_posts(fan_out_id, len(room.gold) * SOCKETS_EACH)
    assert sorted(user for user, came in room.crowd.received(fan_out_id).items() if any(came)) == room.gold


def test_a_list_in_the_bucket_is_worked_on_in_executions_of_its_own(room: Room) -> None:
    lines = [*({"user": user} for user in room.people), {"user": room.user("nobody")}, {"name": "no user at all"}]
    key = f"lists/{room.context_id}.jsonl"
    room.stage.installation.clients.s3.put_object(
        Bucket=room.stage.installation.audience_bucket_name,
        Key=key,
        Body="".join(json.dumps(line) + "\n" for line in lines).encode(),
    )

    fan_out_id, summary = room.summary(audience={"list": {"key": key}, **room.place}, durable=True)

    posts = USERS * SOCKETS_EACH
    assert summary == {"people": USERS + 1, "posted": posts, "failed": 1, "handedOver": 1}
    room.crowd.await_posts(fan_out_id, posts)
    assert all(came == [[personal_id(fan_out_id, user)]] * 4 for user, came in room.crowd.received(fan_out_id).items())
    waiting = room.stage.runs.arn_of(execution_name(personal_id(fan_out_id, room.user("nobody"))))
    assert room.stage.runs.await_waiting(waiting).status == "RUNNING"


def test_a_list_of_one_is_a_list(room: Room) -> None:
    key = f"lists/{room.context_id}-one.jsonl"
    room.stage.installation.clients.s3.put_object(
        Bucket=room.stage.installation.audience_bucket_name, Key=key, Body=json.dumps({"user": room.people[0]}).encode()
    )

    _, summary = room.summary(audience={"list": {"key": key}, **room.place})

    assert summary == {"people": 1, "posted": SOCKETS_EACH}


def test_a_list_that_is_not_there_posts_nothing(room: Room) -> None:
    _, run = room.fan_out(audience={"list": {"key": "missing.jsonl"}, **room.place})

    assert run["status"] == "FAILED"
    assert run["cause"].startswith("audience.list.key: cannot be read as JSON Lines from the bucket")


def test_a_wrong_audience_posts_nothing_and_says_why(room: Room) -> None:
    fan_out_id, run = room.fan_out(audience={"users": room.people})

    assert (run["status"], run["error"]) == ("FAILED", "InvalidMessage")
    assert run["cause"].startswith("audience: give context and contextId beside users or list")
    assert not any(ids for came in room.crowd.received(fan_out_id).values() for ids in came)


def test_a_conversation_reaches_only_whose_token_was_allowed_into_it(room: Room) -> None:
    outsider, insider, unlisted = (room.user(name) for name in ("outsider", "insider", "unlisted"))
    refused = room.stage.client(
        outsider, context_id=room.context_id, token=room.stage.keys.token(outsider, contexts=["chat/elsewhere"])
    )
    with pytest.raises(InvalidStatus, match="403"):
        refused.connect()
    allowed = room.stage.client(
        insider,
        context_id=room.context_id,
        token=room.stage.keys.token(insider, contexts=[f"chat/{room.context_id}"], plan="inside"),
    )
    before = room.stage.client(
        unlisted, context_id=room.context_id, token=room.stage.keys.token(unlisted, plan="inside")
    )
    with room.stage.connected(allowed, before):
        # As a stage stored it that did not know yet which conversations a token opens.
        (row,) = room.stage.await_rows(before, unlisted, 1)
        del row["conversation"]
        room.stage.installation.clients.dynamodb.put_item(
            TableName=room.stage.installation.connections_table_name, Item=row
        )

        fan_out_id, summary = room.summary(audience={"conversation": room.place}, where={"plan": "inside"})

        assert summary == {"people": 1, "posted": 1}
        allowed.await_message(personal_id(fan_out_id, insider))
        assert before.frames == []
    room.await_connections(USERS * SOCKETS_EACH)  # they have left
