"""The local client, against a server that says what the test wants it to say."""

import json
from collections.abc import Iterator
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from local.client import Client


class Server:
    """Sends the frames it is given to the newest connection, and keeps what clients send."""

    def __init__(self) -> None:
        self.connections: Queue[ServerConnection] = Queue()
        self.received: Queue[Any] = Queue()

    def handle(self, connection: ServerConnection) -> None:
        self.connections.put(connection)
        for text in connection:
            self.received.put(json.loads(text))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with serve(server.handle, "127.0.0.1", 0) as listening:
        thread = Thread(target=listening.serve_forever)
        thread.start()
        port = listening.socket.getsockname()[1]
        client = Client(f"ws://127.0.0.1:{port}", "token", "chat", "42", acknowledges=True)
        yield client.connect()
        client.close()
        listening.shutdown()
        thread.join()


def message(message_id: str) -> dict[str, object]:
    return {"kind": "message", "id": message_id, "payload": message_id.upper()}


def batch(*ids: str) -> str:
    return json.dumps({"kind": "batch", "messages": [message(message_id) for message_id in ids]})


def test_messages_of_a_batch_are_found(server: Server, client: Client) -> None:
    server.connections.get(timeout=5).send(batch("a", "b"))

    found = client.await_message("b")

    assert found.body == message("b")
    assert len(client.frames) == 1
    assert found.arrived_at == client.frames[0].arrived_at
    assert [each.body["id"] for each in client.all_messages()] == ["a", "b"]
    assert client.messages("c") == []


def test_batch_is_acknowledged_with_one_frame(server: Server, client: Client) -> None:
    connection = server.connections.get(timeout=5)
    connection.send(batch("a", "b"))
    connection.send(json.dumps(message("c")))
    connection.send(json.dumps({"kind": "pong"}))

    answers = [server.received.get(timeout=5) for _ in range(2)]

    assert answers == [{"action": "ack", "ids": ["a", "b"]}, {"action": "ack", "id": "c"}]


def test_long_batch_is_acknowledged_in_parts(server: Server, client: Client) -> None:
    ids = [str(number) for number in range(150)]
    server.connections.get(timeout=5).send(batch(*ids))

    answers = [server.received.get(timeout=5)["ids"] for _ in range(2)]

    assert answers == [ids[:100], ids[100:]]


def test_deaf_connection_takes_bytes_and_says_nothing(server: Server, client: Client) -> None:
    client.go_deaf()
    server.connections.get(timeout=5).send(batch("a", "b"))
    client.connect()
    server.connections.get(timeout=5).send(json.dumps(message("c")))

    client.await_message("c")

    assert server.received.get(timeout=5) == {"action": "ack", "id": "c"}
    assert [each.body["id"] for each in client.all_messages()] == ["c"]
