"""Messages to who is there take no run; a run is started for what missed, and for what asks for one."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from local.demo.stage import Stage, envelope


def publish(stage: Stage, messages: Sequence[dict[str, Any]]) -> None:
    """Publish these, ten at a time, and wait until ingest is done with them."""
    for start in range(0, len(messages), 10):
        stage.installation.clients.sns.publish_batch(
            TopicArn=stage.installation.message_topic_arn,
            PublishBatchRequestEntries=[
                {"Id": str(number), "Message": json.dumps(message)}
                for number, message in enumerate(messages[start : start + 10])
            ],
        )
    stage.until(lambda: stage.queue_is_empty() or None, "ingest to be done")


def runs_of(stage: Stage, messages: Sequence[dict[str, Any]]) -> int:
    return sum(stage.runs.exists(message["id"]) for message in messages)


def accept(stage: Stage, messages: Sequence[dict[str, Any]]) -> None:
    stage.accept(*messages)


@pytest.mark.parametrize("send", [accept, publish])
def test_a_hundred_messages_to_someone_online_are_no_runs(stage: Stage, user: str, send: Any) -> None:
    client = stage.client(user)
    messages = [envelope(user, number) for number in range(100)]
    with stage.connected(client):
        send(stage, messages)
        client.await_frames(lambda: len(client.all_messages()) >= 100, "all of them")
    arrived = [message.body["id"] for message in client.all_messages()]
    assert sorted(arrived) == sorted(message["id"] for message in messages)
    assert runs_of(stage, messages) == 0
    if send is accept:
        assert len(client.frames) == 1


@pytest.mark.parametrize("send", [accept, publish])
def test_a_hundred_messages_to_someone_offline_are_a_hundred_runs_that_wait(stage: Stage, user: str, send: Any) -> None:
    client = stage.client(user)
    messages = [envelope(user, number) for number in range(100)]
    send(stage, messages)
    assert runs_of(stage, messages) == 100
    with stage.connected(client):
        client.await_frames(lambda: len(client.all_messages()) >= 100, "all of them", seconds=120)
        ends = [stage.runs.await_end(stage.runs.arn_of(message["id"])) for message in messages]
    assert {run.status for run in ends} == {"SUCCEEDED"}
    assert {message.body["id"] for message in client.all_messages()} == {message["id"] for message in messages}


def test_a_burst_is_one_frame_for_each_of_the_recipients_connections(stage: Stage, user: str) -> None:
    tabs = [stage.client(user) for _ in range(3)]
    messages = [envelope(user, number) for number in range(10)]
    with stage.connected(*tabs):
        answers = stage.accept(*messages)
        for tab in tabs:
            tab.await_message(messages[-1]["id"])
    assert {answer["status"] for answer in answers} == {"delivered"}
    for tab in tabs:
        (frame,) = tab.frames
        assert frame.body["kind"] == "batch"
        assert [message.body["payload"] for message in frame.messages] == list(range(10))


def test_a_burst_that_is_larger_than_a_frame_arrives_in_several(stage: Stage, user: str) -> None:
    client = stage.client(user)
    messages = [envelope(user, f"{number}" + "x" * 50_000) for number in range(5)]
    with stage.connected(client):
        answers = stage.accept(*messages)
        client.await_message(messages[-1]["id"])
    assert {answer["status"] for answer in answers} == {"delivered"}
    assert [len(frame.messages) for frame in client.frames] == [2, 2, 1]


def test_accept_answers_each_message_for_itself(stage: Stage, user: str) -> None:
    client = stage.client(user)
    known = envelope(user, "known", track=True)
    with stage.connected(client):
        assert stage.accept(known)[0]["status"] == "started"
        run = stage.runs.await_end(stage.runs.arn_of(known["id"]))
        answers = stage.accept(
            known,
            {**known, "payload": "other"},
            {"recipient": {"user": user}, "payload": 1},
            envelope(user, "at once"),
            envelope(f"{user}-2", "to nobody", ttlSeconds=60),
        )
    assert run.status == "SUCCEEDED"
    assert [answer["status"] for answer in answers] == ["duplicate", "conflict", "invalid", "delivered", "started"]
    assert answers[0]["executionArn"] == run.arn
    stage.installation.clients.stepfunctions.stop_execution(executionArn=answers[4]["executionArn"], error="Cancelled")


@pytest.mark.parametrize("send", [accept, publish])
def test_what_is_not_durable_is_for_who_is_there(stage: Stage, user: str, send: Any) -> None:
    client = stage.client(user)
    too_early, waits, now = envelope(user, 1, durable=False), envelope(user, 2), envelope(user, 3, durable=False)
    send(stage, [too_early, waits])
    with stage.connected(client):
        client.await_message(waits["id"])
        send(stage, [now])
        client.await_message(now["id"])
    # What came first had as much time to arrive as what waited, and more.
    assert {message.body["id"] for message in client.all_messages()} == {waits["id"], now["id"]}
    assert runs_of(stage, [too_early, now]) == 0


def test_accept_says_who_missed_what_is_not_durable(stage: Stage, user: str) -> None:
    messages = [envelope(user, number, durable=False) for number in range(2)]
    assert stage.accept(*messages) == [{"id": message["id"], "status": "missed"} for message in messages]


def test_an_ordered_message_that_is_cancelled_is_announced(stage: Stage, user: str) -> None:
    first, second, third = (envelope(user, number, ordered=True) for number in (1, 2, 3))
    answers = stage.accept(first, second, third)
    assert [answer["status"] for answer in answers] == ["started"] * 3
    stage.runs.await_waiting(answers[1]["executionArn"])
    stage.installation.clients.stepfunctions.stop_execution(executionArn=answers[1]["executionArn"], error="Cancelled")

    client = stage.client(user)
    skipped = f"skipped-{second['id']}"
    with stage.connected(client):
        for message_id in (first["id"], third["id"], skipped):
            client.await_message(message_id)
    announcement = client.messages(skipped)[0].body
    assert (announcement["type"], announcement["payload"]) == ("ringback.skipped", {"id": second["id"], "sequence": 2})
    assert client.messages(first["id"])[0].body["sequence"] == 1
    assert client.messages(third["id"])[0].body["sequence"] == 3
    assert client.messages(second["id"]) == []
