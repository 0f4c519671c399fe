"""The ports of `lambdas.core.ports` in memory. The contract tests hold them against the real adapters."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lambdas.core.errors import InvalidMessage, ServiceUnavailable, StoreUnavailable
from lambdas.core.model import Callback, Connection
from lambdas.core.ports import PostResult
from ringback.envelope import Recipient
from tests.builders import NOW


@dataclass
class FakeClock:
    """Stands still, unless somebody sleeps."""

    time: datetime = NOW
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


@dataclass(kw_only=True)
class _Store:
    """The methods that ``down`` names cannot reach the store."""

    down: set[str] = field(default_factory=set)

    def _reach(self, method: str) -> None:
        if method in self.down:
            raise StoreUnavailable(method)


@dataclass
class FakeConnections(_Store):
    """ConnectionStore."""

    rows: dict[tuple[Recipient, str], Connection] = field(default_factory=dict)

    def put(self, connection: Connection) -> None:
        self._reach("put")
        self.rows[connection.recipient, connection.connection_id] = connection

    def delete(self, recipient: Recipient, connection_id: str) -> bool:
        self._reach("delete")
        return self.rows.pop((recipient, connection_id), None) is not None

    def of_recipient(self, recipient: Recipient) -> list[Connection]:
        self._reach("of_recipient")
        return [row for row in self.rows.values() if row.recipient == recipient]

    def of_user(self, user: str) -> list[Connection]:
        self._reach("of_user")
        return [row for row in self.rows.values() if row.recipient.user == user]


@dataclass
class FakeCallbacks(_Store):
    """CallbackStore."""

    reconnects: dict[tuple[Recipient, str], Callback] = field(default_factory=dict)
    acknowledgements: dict[tuple[str, str], Callback] = field(default_factory=dict)

    def park_for_reconnect(self, callback: Callback) -> None:
        self._reach("park_for_reconnect")
        self.reconnects[callback.recipient, callback.message_id] = callback

    def park_for_acknowledgement(self, callback: Callback) -> None:
        self._reach("park_for_acknowledgement")
        self.acknowledgements[callback.recipient.user, callback.message_id] = callback

    def waiting_for_reconnect(self, recipient: Recipient) -> Iterator[Callback]:
        self._reach("waiting_for_reconnect")
        yield from [callback for callback in self.reconnects.values() if callback.recipient == recipient]

    def waiting_for_acknowledgement(self, user: str, message_id: str) -> Callback | None:
        self._reach("waiting_for_acknowledgement")
        return self.acknowledgements.get((user, message_id))

    def remove_reconnect(self, callback: Callback) -> None:
        self._reach("remove_reconnect")
        key = callback.recipient, callback.message_id
        if key in self.reconnects and self.reconnects[key].task_token == callback.task_token:
            del self.reconnects[key]

    def remove_acknowledgement(self, callback: Callback) -> None:
        self._reach("remove_acknowledgement")
        key = callback.recipient.user, callback.message_id
        if key in self.acknowledgements and self.acknowledgements[key].task_token == callback.task_token:
            del self.acknowledgements[key]


@dataclass
class FakeTokens:
    """TaskTokens: those that a run waits on, and the output with which each went on."""

    waiting: set[str] = field(default_factory=set)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)

    def succeed(self, task_token: str, output: dict[str, Any]) -> bool:
        if task_token in self.unreachable:
            raise ServiceUnavailable("SendTaskSuccess: ThrottlingException")
        if task_token not in self.waiting:
            return False
        self.waiting.remove(task_token)
        self.outputs[task_token] = output
        return True


@dataclass
class FakeSockets:
    """Sockets: each answers what the test says, in that order and the last for ever; else it takes the frame."""

    answers: dict[str, list[PostResult]] = field(default_factory=dict)
    posts: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    closed: list[str] = field(default_factory=list)
    max_frame_bytes: int = 128 * 1024
    unreachable: set[str] = field(default_factory=set)
    clock: FakeClock | None = None
    seconds_a_post: float = 0

    def post(self, connection: Connection, frame: bytes) -> PostResult:
        if len(frame) > self.max_frame_bytes:
            raise InvalidMessage("payload: too large")
        if self.clock:
            self.clock.time += timedelta(seconds=self.seconds_a_post)
        self.posts[connection.connection_id].append(frame)
        answers = self.answers.get(connection.connection_id, [PostResult.POSTED])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def close(self, connection: Connection) -> None:
        if connection.connection_id in self.unreachable:
            raise ServiceUnavailable("DeleteConnection: 503")
        self.closed.append(connection.connection_id)


@dataclass
class FakeDeliveries:
    """Deliveries: the runs that were started, by name. All of them are still running."""

    runs: dict[str, str] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)

    def start(self, name: str, envelope_json: str) -> bool:
        if name in self.unreachable:
            raise ServiceUnavailable("StartExecution: ThrottlingException")
        return self.runs.setdefault(name, envelope_json) == envelope_json


@dataclass
class FakeRejectedMessages:
    """RejectedMessages: each body with its reason."""

    kept: list[tuple[str, str]] = field(default_factory=list)

    def put(self, body: str, reason: str) -> None:
        self.kept.append((body, reason))
