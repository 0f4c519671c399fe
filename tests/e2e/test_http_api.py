"""The HTTP API as it is deployed: a real gateway, real tokens, real runs."""

import time
import uuid
from datetime import UTC, datetime

import pytest

from lambdas.routes.openapi import openapi
from local.backend import Backend
from local.demo.stage import Stage, envelope
from tests import conformance


@pytest.fixture
def backend(stage: Stage) -> Backend:
    return Backend.of(stage.installation, stage.keys)


def test_a_message_arrives_at_once_and_leaves_no_run(stage: Stage, backend: Backend, user: str) -> None:
    client = stage.client(user)
    with stage.connected(client):
        stage.await_rows(client, user, 1)
        message = envelope(user, {"text": "hello"})
        answer = backend.send(message)
        frame = client.await_message(message["id"])
    assert (answer.status, answer.body) == (202, {"id": message["id"], "status": "delivered"})
    assert frame.body["payload"] == {"text": "hello"}
    unknown = backend.call("GET", f"/messages/{message['id']}")
    assert (unknown.status, unknown.body["type"]) == (404, "urn:ringback:problem:message-not-found")


def test_a_message_waits_is_looked_up_and_arrives(stage: Stage, backend: Backend, user: str) -> None:
    message = {**envelope(user, "later"), "id": f"order/17 %2F?&{uuid.uuid4()}".replace(" ", "+")}

    sent = backend.send(message)
    assert (sent.status, sent.body["status"]) == (202, "started")
    waiting = stage.until(
        lambda: status if (status := backend.get(message["id"]))["state"] == "waiting" else None, "the wait"
    )
    assert waiting["id"] == message["id"]
    assert waiting["waitingFor"] == "reconnect"
    assert waiting["attempts"] == 1
    assert waiting["executionArn"] == sent.body["executionArn"]
    assert waiting["executionArn"] in waiting["consoleUrl"]
    accepted, since, again = (
        datetime.fromisoformat(waiting[name]) for name in ("acceptedAt", "waitingSince", "nextAttemptAt")
    )
    assert accepted <= since < again
    assert abs((datetime.now(UTC) - since).total_seconds()) < 60

    client = stage.client(user)
    with stage.connected(client):
        client.await_message(message["id"])
        stage.until(lambda: backend.get(message["id"])["state"] == "delivered" or None, "the end")
    over = backend.cancel(message["id"])
    assert (over.status, over.body["state"]) == (409, "delivered")


def test_the_same_message_again_and_another_one_under_its_id(backend: Backend, user: str) -> None:
    message = envelope(user, "once", ttlSeconds=600)
    assert backend.send(message).status == 202
    again = backend.send({**message, "ttlSeconds": 601})
    assert (again.status, again.body["status"]) == (200, "duplicate")
    other = backend.send({**message, "payload": "twice"})
    assert (other.status, other.headers["content-type"]) == (409, "application/problem+json")
    assert other.body["type"] == "urn:ringback:problem:id-conflict"


def test_a_batch_in_one_request(stage: Stage, backend: Backend, user: str) -> None:
    client = stage.client(user)
    with stage.connected(client):
        stage.await_rows(client, user, 1)
        messages = [envelope(user, number) for number in range(10)]
        answer = backend.call("POST", "/messages", {"messages": [*messages, {"payload": 1}]})
        client.await_frames(lambda: len(client.frames) >= 1, "the burst")
    assert answer.status == 200
    assert [result["status"] for result in answer.body["results"]] == ["delivered"] * 10 + ["invalid"]
    (frame,) = client.frames
    assert [each["id"] for each in frame.body["messages"]] == [message["id"] for message in messages]


def test_a_cancelled_message_does_not_arrive(stage: Stage, backend: Backend, user: str) -> None:
    message = envelope(user, "never mind")
    assert backend.send(message).status == 202
    for _ in range(2):
        answer = backend.cancel(message["id"])
        assert (answer.status, answer.body) == (200, {"id": message["id"], "state": "cancelled"})
    status = backend.get(message["id"])
    assert (status["state"], status["reason"]) == ("cancelled", "Cancelled")

    client = stage.client(user)
    with stage.connected(client):
        later = envelope(user, "later")
        stage.runs.await_end(stage.runs.start(later))
        client.await_message(later["id"])
    assert client.messages(message["id"]) == []


def test_who_is_there(stage: Stage, backend: Backend, user: str) -> None:
    assert backend.call("GET", f"/users/{user}/connections").body == {"connections": []}
    clients = [stage.client(user, context_id="4"), stage.client(user, context_id="42")]
    with stage.connected(*clients):
        for client in clients:
            stage.await_rows(client, user, 1)
        found = backend.call("GET", f"/users/{user}/connections").body["connections"]
    assert {(one["user"], one["context"], one["contextId"], one["state"]) for one in found} == {
        (user, "chat", "4", "active"),
        (user, "chat", "42", "active"),
    }


def test_a_fan_out_reaches_everyone(stage: Stage, backend: Backend, user: str) -> None:
    users = [f"{user}-{number}" for number in range(3)]
    clients = [stage.client(each) for each in users]
    fan_out = {
        "id": f"fan-out-{uuid.uuid4()}",
        "message": {"type": "news", "payload": "to all"},
        "audience": {"users": users, "context": "chat", "contextId": "42"},
    }
    with stage.connected(*clients):
        for client, each in zip(clients, users, strict=True):
            stage.await_rows(client, each, 1)
        first = backend.call("POST", "/messages/fan-out", fan_out)
        again = backend.call("POST", "/messages/fan-out", fan_out)
        for client in clients:
            client.await_frames(lambda client=client: bool(client.frames), "the news")  # type: ignore[misc]
    assert (first.status, again.status) == (202, 200)
    assert first.body["executionArn"] == again.body["executionArn"]
    other = backend.call("POST", "/messages/fan-out", {**fan_out, "durable": True})
    assert (other.status, other.body["type"]) == (409, "urn:ringback:problem:id-conflict")


@pytest.mark.parametrize("path", ["/messages/m-1", "/users/ana/connections", "/nowhere"])
def test_who_may_not_is_refused(stage: Stage, user: str, path: str) -> None:
    url, keys = stage.installation.http_api_url, stage.keys
    now = int(time.time())
    unauthorized = {
        "no token": None,
        "a client's token": keys.token(user),
        "a client's token with the scope": keys.token(user, scope="ringback:messages"),
        "another audience": keys.backend_token(aud="ringback"),
        "another issuer": keys.backend_token(iss="https://ringback.local"),
        "expired": keys.backend_token(exp=now - 1),
        "no token at all": "x",
    }
    for who, token in unauthorized.items():
        assert Backend(url, token).call("GET", path).status == 401, who
    for scope in ("ringback:message", "ringback", ""):
        assert Backend(url, keys.backend_token(scope=scope)).call("GET", path).status == 403, scope
    assert Backend(url, keys.backend_token(scope="openid ringback:messages")).call("GET", path).status in {200, 404}


def test_schemathesis_finds_nothing(stage: Stage) -> None:
    report = conformance.examine(
        openapi(),
        stage.installation.http_api_url,
        token=stage.keys.backend_token(),
        now=lambda: datetime.now(UTC),
        examples=5,
        seed=20300131,
    )
    assert report.findings == []
    assert {status for _, status in report.answers} >= {200, 202, 400, 401, 404}
