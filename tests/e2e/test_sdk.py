"""What a backend does with the package, on the deployed stack."""

import json
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local.demo.stage import Stage, envelope
from ringback import Envelope, Installation, Publisher, Recipient
from ringback.cli import main
from ringback.connections import read_connections
from ringback.dead_letters import DeadLetterQueue, NewLife, Redriven, open_queue
from ringback.doctor import diagnose
from ringback.errors import IdConflict, MessageNotFound, NotCancellable


@pytest.fixture(scope="session")
def local_file(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sdk") / "local.json"
    stage.installation.save(file)
    return file


@pytest.fixture(scope="session")
def installation(local_file: Path) -> Installation:
    return Installation.local(local_file)


@pytest.fixture(scope="session")
def publisher(installation: Installation) -> Publisher:
    return Publisher(installation)


@pytest.fixture
def queue(installation: Installation) -> DeadLetterQueue:
    return open_queue(installation)


def test_a_message_is_published_followed_and_delivered(stage: Stage, user: str, publisher: Publisher) -> None:
    receipt = publisher.publish(
        recipient=Recipient(user=user, context="chat", context_id="42"), payload={"text": "Hello"}, track=True
    )
    stage.runs.await_waiting(str(receipt.execution_arn))
    waiting = publisher.status(receipt.id)
    assert (waiting.state, waiting.waiting_for, waiting.attempts) == ("waiting", "reconnect", 1)
    assert waiting.next_attempt_at is not None

    client = stage.client(user)
    with stage.connected(client):
        client.await_message(receipt.id)
        status = publisher.wait_until_delivered(receipt.id)
    assert status.state == "delivered"
    assert status.attempts >= 2, "a backoff may end while the client connects"


def test_to_who_is_online_nothing_is_started_unless_asked_for(stage: Stage, user: str, publisher: Publisher) -> None:
    client = stage.client(user)
    with stage.connected(client):
        receipt = publisher.publish(envelope(user, "at once"))
        client.await_message(receipt.id)
    assert (receipt.status, receipt.execution_arn) == ("delivered", None)
    with pytest.raises(MessageNotFound, match="track"):
        publisher.status(receipt.id)


def test_the_same_id_is_one_message_or_a_conflict(user: str, publisher: Publisher) -> None:
    message = envelope(user, "one")
    first, second = publisher.publish(message), publisher.publish(message)
    assert first.execution_arn == second.execution_arn
    with pytest.raises(IdConflict, match=message["id"]):
        publisher.publish({**message, "payload": "another"})
    assert publisher.cancel(message["id"]).state == "cancelled"
    assert publisher.cancel(message["id"]).state == "cancelled"
    assert publisher.publish(message).status == "duplicate"


def test_what_has_arrived_cannot_be_cancelled(stage: Stage, user: str, publisher: Publisher) -> None:
    client = stage.client(user)
    with stage.connected(client):
        receipt = publisher.publish(envelope(user, "too late", track=True))
        publisher.wait_until_delivered(receipt.id)
    with pytest.raises(NotCancellable, match="delivered"):
        publisher.cancel(receipt.id)


def test_many_are_published_at_once(stage: Stage, user: str, publisher: Publisher) -> None:
    client = stage.client(user)
    with stage.connected(client):
        summary = publisher.publish_many(Envelope.model_validate(envelope(user, number)) for number in range(250))
        assert (summary.counts, summary.failures) == ({"delivered": 250}, [])
        client.await_frames(lambda: len(payloads(client)) == 250, "all of the 250")
    assert sorted(payloads(client)) == list(range(250))


def payloads(client: Any) -> list[Any]:
    """What arrived, alone or together with others in a frame."""
    bodies = [frame.body for frame in list(client.frames)]
    return [message["payload"] for body in bodies for message in body.get("messages", [body])]


def test_a_user_s_connections_are_listed(stage: Stage, user: str, installation: Installation) -> None:
    client = stage.client(user)
    with stage.connected(client):
        stage.await_rows(client, user, 1)
        (found,) = read_connections(installation.clients.dynamodb, installation.output("ConnectionsTableName"), user)
    assert (found.user, found.context_id, found.state) == (user, "42", "active")


class Crash(Exception):
    """The process dies."""


def test_two_hundred_dead_letters_are_redriven_with_a_crash_half_way(
    stage: Stage, user: str, publisher: Publisher, installation: Installation
) -> None:
    messages = [envelope(user, number, ttlSeconds=1) for number in range(200)]
    ids = {message["id"] for message in messages}
    assert publisher.publish_many(messages).counts == {"started": 200}
    queue = open_queue(installation, hide_seconds=5)
    stage.until(lambda: dead(queue, ids) or None, "200 dead letters", seconds=180)

    done: list[Redriven] = []
    half_way = threading.Event()

    def die(**_: Any) -> None:
        # After a start, before its letter is deleted: the worst moment.
        if half_way.is_set():
            raise Crash

    def count(result: Redriven) -> None:
        done.append(result)
        if len(done) == 100:
            half_way.set()

    events = installation.clients.sqs.meta.events
    events.register("before-parameter-build.sqs.DeleteMessageBatch", die)
    try:
        with pytest.raises(Crash):
            queue.redrive(ids, life=NewLife(ttl_seconds=600), on_result=count)
    finally:
        events.unregister("before-parameter-build.sqs.DeleteMessageBatch", die)

    left = {str(letter.message_id) for letter in queue.letters()} & ids
    assert 0 < len(left) < 200
    again = queue.redrive(left, life=NewLife(ttl_seconds=600))
    assert (again.counts["redriven"], again.failed) == (len(left), 0)
    assert {str(letter.message_id) for letter in queue.letters()} & ids == set()

    client = stage.client(user)
    with stage.connected(client):
        client.await_frames(lambda: len(payloads(client)) >= 200, "all of the 200", seconds=180)
        for message in messages:
            status = publisher.wait_until_delivered(message["id"])
            assert status.execution_arn.endswith(f"{message['id']}-r1")
    arrived = Counter(frame.body["id"] for frame in client.frames)
    assert arrived == Counter(ids)


def dead(queue: DeadLetterQueue, ids: set[str]) -> bool:
    return {letter.message_id for letter in queue.letters()} >= ids


def problems(installation: Installation) -> list[tuple[str, str]]:
    return [(one.check, one.what) for one in diagnose(lambda: installation) if one.level == "problem"]


def test_the_doctor_finds_nothing_in_a_healthy_stack(installation: Installation) -> None:
    assert problems(installation) == []


def test_the_doctor_finds_a_deleted_queue(installation: Installation) -> None:
    sqs = installation.clients.sqs
    url = sqs.create_queue(QueueName="deleted")["QueueUrl"]
    sqs.delete_queue(QueueUrl=url)

    ((check, what),) = problems(replace(installation, outputs={**installation.outputs, "DeadLetterQueueUrl": url}))

    assert check == "queue"
    assert url in what


def test_the_doctor_finds_another_region(local_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(local_file.read_text())
    values["fan_out_state_machine_arn"] = values["fan_out_state_machine_arn"].replace("us-east-1", "eu-west-1")
    elsewhere = tmp_path / "local.json"
    elsewhere.write_text(json.dumps(values))

    assert main(["doctor", "--local-file", str(elsewhere)]) == 1
    assert "give --region eu-west-1" in capsys.readouterr().out


def test_the_command_sends_and_says_what_became_of_it(
    stage: Stage, user: str, local_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = ["--local-file", str(local_file), "--json"]
    client = stage.client(user)
    with stage.connected(client):
        parts = ["--user", user, "--context", "chat", "--context-id", "42", "--text", "Hello", "--wait", "30"]
        assert main(["send", *parts, *local]) == 0
        sent = json.loads(capsys.readouterr().out)
        client.await_message(sent["id"])
    assert sent["state"] == "delivered"
    assert main(["status", sent["id"], *local]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == sent["id"]
    assert main(["doctor", *local]) == 0
