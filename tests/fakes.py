"""The ports of `lambdas.core.ports` in memory. The contract tests hold them against the real adapters."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lambdas.core.errors import InvalidMessage, ServiceUnavailable, StoreUnavailable
from lambdas.core.intake import same_message
from lambdas.core.model import Callback, Connection
from lambdas.core.ports import PostResult, Start
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

    reconnects: dict[tuple[str, ...], Callback] = field(default_factory=dict)
    acknowledgements: dict[tuple[str, ...], Callback] = field(default_factory=dict)

    def park_for_reconnect(self, callback: Callback) -> bool:
        self._reach("park_for_reconnect")
        return _put(self.reconnects, _reconnect(callback), callback)

    def park_for_acknowledgement(self, callback: Callback) -> bool:
        self._reach("park_for_acknowledgement")
        return _put(self.acknowledgements, _acknowledgement(callback), callback)

    def waiting_for_reconnect(self, recipient: Recipient) -> Iterator[Callback]:
        self._reach("waiting_for_reconnect")
        yield from [callback for callback in self.reconnects.values() if callback.recipient == recipient]

    def waiting_for_acknowledgement(self, user: str, message_id: str) -> Iterator[Callback]:
        self._reach("waiting_for_acknowledgement")
        yield from [kept for key, kept in self.acknowledgements.items() if key[:2] == (user, message_id)]

    def remove_reconnect(self, callback: Callback) -> None:
        self._reach("remove_reconnect")
        _remove(self.reconnects, _reconnect(callback), callback)

    def remove_acknowledgement(self, callback: Callback) -> None:
        self._reach("remove_acknowledgement")
        _remove(self.acknowledgements, _acknowledgement(callback), callback)


def _reconnect(callback: Callback) -> tuple[str, ...]:
    to = callback.recipient
    return to.user, to.context, to.context_id, callback.execution_name


def _acknowledgement(callback: Callback) -> tuple[str, ...]:
    return callback.recipient.user, callback.message_id, callback.execution_name


def _put(kept: dict[tuple[str, ...], Callback], key: tuple[str, ...], callback: Callback) -> bool:
    if key in kept and kept[key].entry > callback.entry:
        return False
    kept[key] = callback
    return True


def _remove(kept: dict[tuple[str, ...], Callback], key: tuple[str, ...], callback: Callback) -> None:
    if key in kept and kept[key].task_token == callback.task_token:
        del kept[key]


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
    """Sockets: each answers what the test says, in that order and the last for ever; else it takes the frame.

    All are there to be closed, once, but for the ``absent`` ones.
    """

    answers: dict[str, list[PostResult]] = field(default_factory=dict)
    posts: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    closed: list[str] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    max_frame_bytes: int = 128 * 1024
    unreachable: set[str] = field(default_factory=set)
    clock: FakeClock | None = None
    seconds_a_call: float = 0

    def post(self, connection: Connection, frame: bytes) -> PostResult:
        if len(frame) > self.max_frame_bytes:
            raise InvalidMessage("payload: too large")
        self._take_time()
        self.posts[connection.connection_id].append(frame)
        answers = self.answers.get(connection.connection_id, [PostResult.POSTED])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def close(self, connection: Connection) -> bool:
        if connection.connection_id in self.unreachable:
            raise ServiceUnavailable("DeleteConnection: 503")
        self._take_time()
        if connection.connection_id in self.absent:
            return False
        self.absent.add(connection.connection_id)
        self.closed.append(connection.connection_id)
        return True

    def _take_time(self) -> None:
        if self.clock:
            self.clock.time += timedelta(seconds=self.seconds_a_call)


@dataclass
class FakeDeliveries:
    """Deliveries: the runs that were started, by name. All of them are still running."""

    runs: dict[str, str] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)

    def start(self, name: str, envelope_json: str) -> Start:
        if name in self.unreachable:
            raise ServiceUnavailable("StartExecution: ThrottlingException")
        there = self.runs.setdefault(name, envelope_json)
        if there == envelope_json:
            return Start.STARTED
        return Start.DUPLICATE if same_message(there, envelope_json) else Start.ID_TAKEN


@dataclass
class FakeRejectedMessages:
    """RejectedMessages: each body with its reason."""

    kept: list[tuple[str, str]] = field(default_factory=list)

    def put(self, body: str, reason: str) -> None:
        self.kept.append((body, reason))
