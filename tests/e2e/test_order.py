"""Ordered messages: numbered without a gap, put right by the client, and nobody waits for what will not come."""

import threading
import uuid
from collections.abc import Iterable
from typing import Any

from local.client import Client, Frame
from local.demo.stage import Stage, envelope

MESSAGES, DROPS = 1_000, 20
MESSAGES_PER_CALL = 25


def hand_over(stage: Stage, messages: list[dict[str, Any]]) -> None:
    """Send these in their order; what could not be taken, or nobody knows of, is sent again under the same id."""
    for start in range(0, len(messages), MESSAGES_PER_CALL):
        rest = messages[start : start + MESSAGES_PER_CALL]
        while rest:
            answers = stage.accept(*rest)
            assert {answer["status"] for answer in answers} <= {"started", "duplicate", "unavailable"}
            rest = [message for message, answer in zip(rest, answers, strict=True) if answer["status"] == "unavailable"]


def put_right(frames: Iterable[Frame]) -> list[dict[str, Any]]:
    """What a client's application sees: each message once, and each only when those before it have come."""
    known: set[str] = set()
    early: dict[int, dict[str, Any]] = {}
    seen: list[dict[str, Any]] = []
    for frame in frames:
        if frame.body["id"] in known:
            continue
        known.add(frame.body["id"])
        assert frame.body["sequence"] not in early, "two messages have one number"
        early[frame.body["sequence"]] = frame.body
        while len(seen) + 1 in early:
            seen.append(early.pop(len(seen) + 1))
    assert not early, f"number {len(seen) + 1} is missing"
    return seen


def await_messages(client: Client, count: int, *, seconds: float = 180) -> None:
    def ids() -> set[str]:
        return {message.body["id"] for message in client.all_messages()}

    client.await_frames(lambda: len(ids()) >= count, f"{count} messages", seconds=seconds)


def test_a_thousand_messages_arrive_in_order_though_the_client_drops_twenty_times(stage: Stage, user: str) -> None:
    messages = [envelope(user, number, ordered=True, ack="client", ackTimeoutSeconds=5) for number in range(MESSAGES)]
    backend = threading.Thread(target=hand_over, args=(stage, messages))
    client = stage.client(user)
    client.acknowledges = True
    backend.start()
    for drop in range(1, DROPS + 1):
        client.connect()
        await_messages(client, drop * MESSAGES // (DROPS + 1))
        client.drop()
    with stage.connected(client):
        await_messages(client, MESSAGES)
    backend.join()

    seen = put_right(client.all_messages())

    assert [message["id"] for message in seen] == [message["id"] for message in messages]
    assert [message["sequence"] for message in seen] == list(range(1, MESSAGES + 1))
    assert all(message["ordered"] for message in seen)


def test_nobody_waits_for_the_number_of_a_cancelled_message(stage: Stage, user: str) -> None:
    messages = [envelope(user, text, ordered=True) for text in ("one", "two", "three")]
    hand_over(stage, messages)
    stage.runs.await_waiting(stage.runs.arn_of(messages[1]["id"]))

    stage.installation.clients.stepfunctions.stop_execution(
        executionArn=stage.runs.arn_of(messages[1]["id"]), error="Cancelled", cause=f"by {uuid.uuid4()}"
    )

    client = stage.client(user)
    with stage.connected(client):
        client.await_frames(lambda: len(client.all_messages()) >= 3, "two messages and the announcement")
    bodies = [frame.body for frame in client.all_messages()]
    assert {body["id"]: body["sequence"] for body in bodies if body.get("ordered")} == {
        messages[0]["id"]: 1,
        messages[2]["id"]: 3,
    }
    (skipped,) = [body for body in bodies if not body.get("ordered")]
    assert (skipped["type"], skipped["payload"]) == ("ringback.skipped", {"id": messages[1]["id"], "sequence": 2})
