"""A WebSocket client as a person would have one: it connects, receives, drops and comes back."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from ringback.protocol import MAX_IDS_PER_ACKNOWLEDGEMENT

_HANDSHAKE_SECONDS = 20
_MAX_FRAME_BYTES = 256 * 1024


@dataclass(frozen=True)
class Frame:
    """A frame as it arrived, or one message of a batch, with a body of its own."""

    text: str
    arrived_at: float  # time.monotonic()

    @cached_property
    def body(self) -> dict[str, Any]:
        """Its JSON object."""
        body: dict[str, Any] = json.loads(self.text)
        return body

    @property
    def messages(self) -> list["Frame"]:
        """The messages in it, each as if it had come alone: itself, those of the batch that it is, or none."""
        kind = self.body.get("kind")
        if kind == "batch":
            return [Frame(json.dumps(message), self.arrived_at) for message in self.body["messages"]]
        return [self] if kind == "message" else []


@dataclass
class Client:
    """One recipient's client. `frames` holds all that arrived, over all its connections, batches as they are."""

    websocket_url: str
    token: str
    context: str
    context_id: str
    acknowledges: bool = False
    as_subprotocol: bool = False  # how a browser brings its token, which cannot set headers
    frames: list[Frame] = field(default_factory=list)
    connected_at: float = 0.0
    connections: int = 0
    _socket: ClientConnection | None = None
    _deaf: set[ClientConnection] = field(default_factory=set)
    _received: dict[str, list[Frame]] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def connect(self) -> Self:
        """Open a connection; raises `websockets.exceptions.InvalidStatus` when it is refused."""
        query = urlencode({"context": self.context, "contextId": self.context_id})
        handshake = connect(
            f"{self.websocket_url}?{query}",
            subprotocols=[Subprotocol("bearer"), Subprotocol(self.token)] if self.as_subprotocol else None,
            additional_headers=None if self.as_subprotocol else self._headers(),
            open_timeout=_HANDSHAKE_SECONDS,
            max_size=_MAX_FRAME_BYTES,
            compression=None,
            proxy=None,
            legacy=False,
        )
        self._socket = self._open.enter_context(handshake)
        self.connected_at = time.monotonic()
        self.connections += 1
        threading.Thread(target=self._receive, args=(self._socket,), daemon=True).start()
        return self

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose."""
        return self._socket.subprotocol if self._socket else None

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as it has heard."""
        return self._socket is not None and self._socket.state is State.OPEN

    def go_deaf(self) -> None:
        """Leave this connection half-open, as a phone in a tunnel does: bytes are still taken, nobody answers.

        What arrives on it from now on is not in `frames`, and is not acknowledged. The next `connect` hears again.
        """
        if self._socket is None:
            raise RuntimeError("the client is not connected")
        self._deaf.add(self._socket)

    def drop(self) -> None:
        """Lose the connection without a closing handshake, as when the app is killed."""
        if self._socket:
            self._socket.socket.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        """Close in good order."""
        self._socket = None
        self._open.close()

    def send(self, frame: dict[str, Any]) -> None:
        """Send one frame."""
        if self._socket is None:
            raise RuntimeError("the client is not connected")
        self._socket.send(json.dumps(frame))

    def messages(self, message_id: str) -> list[Frame]:
        """Every time that this message came, alone or in a batch."""
        return list(self._received.get(message_id, []))

    def all_messages(self) -> list[Frame]:
        """Every message that came, in the order of arrival, alone or in a batch."""
        return [message for frame in list(self.frames) for message in frame.messages]

    def await_message(self, message_id: str, *, seconds: float = 60) -> Frame:
        """Wait for a message."""
        self.await_frames(lambda: bool(self.messages(message_id)), f"message {message_id}", seconds=seconds)
        return self.messages(message_id)[0]

    def await_frames(self, arrived: Callable[[], bool], what: str, *, seconds: float = 60) -> None:
        """Wait until the frames that arrived satisfy a condition; raises `TimeoutError` naming what did not come."""
        with self._news:
            if not self._news.wait_for(arrived, timeout=seconds):
                raise TimeoutError(f"{what} did not arrive within {seconds:g} s")

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def _receive(self, connection: ClientConnection) -> None:
        try:
            for text in connection:
                if connection in self._deaf:
                    continue
                frame = Frame(str(text), time.monotonic())
                messages = frame.messages
                with self._news:
                    self.frames.append(frame)
                    for message in messages:
                        self._received.setdefault(message.body["id"], []).append(message)
                    self._news.notify_all()
                if self.acknowledges:
                    for acknowledgement in _acknowledgements([message.body["id"] for message in messages]):
                        connection.send(acknowledgement)
        except ConnectionClosed:
            return


def _acknowledgements(ids: list[str]) -> Iterator[str]:
    if len(ids) == 1:
        yield json.dumps({"action": "ack", "id": ids[0]})
        return
    for start in range(0, len(ids), MAX_IDS_PER_ACKNOWLEDGEMENT):
        yield json.dumps({"action": "ack", "ids": ids[start : start + MAX_IDS_PER_ACKNOWLEDGEMENT]})
