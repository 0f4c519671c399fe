"""The ports of `lambdas.core.ports` in memory. The contract tests hold them against the real adapters."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lambdas.core.errors import InvalidMessage, ServiceUnavailable, StoreUnavailable
from lambdas.core.model import Callback, Connection
from lambdas.core.ports import Address, Numbered, Page, Post, PostResult, Start
from ringback.names import same_message
from ringback.plain import Recipient
from ringback.plain_fan_out import Conversation
from tests.builders import NOW, connection


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

    def delete(self, recipient: Recipient, connection_id: str) -> Connection | None:
        self._reach("delete")
        return self.rows.pop((recipient, connection_id), None)

    def of_recipient(self, recipient: Recipient) -> list[Connection]:
        self._reach("of_recipient")
        return [row for row in self.rows.values() if row.recipient == recipient]

    def of_user(self, user: str) -> list[Connection]:
        self._reach("of_user")
        return [row for row in self.rows.values() if row.recipient.user == user]

    def mark_stale(self, recipient: Recipient, connection_id: str, since: datetime) -> None:
        self._reach("mark_stale")
        row = self.rows.get((recipient, connection_id))
        if row and row.stale_since is None:
            self.rows[recipient, connection_id] = row._replace(stale_since=since)

    def mark_active(self, recipient: Recipient, connection_id: str) -> None:
        self._reach("mark_active")
        if row := self.rows.get((recipient, connection_id)):
            self.rows[recipient, connection_id] = row._replace(stale_since=None)


@dataclass
class FakeCallbacks(_Store):
    """CallbackStore."""

    reconnects: dict[tuple[str, ...], Callback] = field(default_factory=dict)
    acknowledgements: dict[tuple[str, ...], Callback] = field(default_factory=dict)
    late: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)

    def park_for_reconnect(self, callback: Callback) -> bool:
        self._reach("park_for_reconnect")
        return _put(self.reconnects, _reconnect(callback), callback)

    def park_for_acknowledgement(self, callback: Callback) -> bool:
        self._reach("park_for_acknowledgement")
        return _put(self.acknowledgements, _acknowledgement(callback), callback)

    def waiting_for_reconnect(self, recipient: Recipient) -> Iterator[Callback]:
        self._reach("waiting_for_reconnect")
        theirs = [callback for callback in self.reconnects.values() if callback.recipient == recipient]
        yield from sorted(theirs, key=lambda callback: callback.sequence or 0)

    def waiting_for_acknowledgement(self, user: str, message_id: str) -> Iterator[Callback]:
        self._reach("waiting_for_acknowledgement")
        yield from [kept for key, kept in self.acknowledgements.items() if key[:2] == (user, message_id)]

    def reconnect_of(self, callback: Callback) -> Callback | None:
        self._reach("reconnect_of")
        return self.reconnects.get(_reconnect(callback))

    def keep_acknowledgement(self, callback: Callback, output: dict[str, Any]) -> None:
        self._reach("keep_acknowledgement")
        self.late[_acknowledgement(callback)] = output

    def kept_acknowledgement(self, callback: Callback) -> dict[str, Any] | None:
        self._reach("kept_acknowledgement")
        return self.late.get(_acknowledgement(callback))

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
class FakeSequences(_Store):
    """Sequences: each recipient's runs in the order of their numbers."""

    runs: dict[Recipient, list[str]] = field(default_factory=dict)

    def number(self, recipient: Recipient, execution_name: str, *, until: datetime) -> Numbered:
        self._reach("number")
        numbered = self.runs.setdefault(recipient, [])
        is_new = execution_name not in numbered
        if is_new:
            numbered.append(execution_name)
        return Numbered(numbered.index(execution_name) + 1, is_new)


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

    def post(self, connection: Address, frame: bytes) -> PostResult:
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
    """Deliveries: the runs that were started, by name, which go on unless ``delivered`` or ``ended``, undelivered."""

    runs: dict[str, str] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    delivered: set[str] = field(default_factory=set)

    def start(self, name: str, envelope_json: str) -> Start:
        if name in self.unreachable:
            raise ServiceUnavailable("StartExecution: ThrottlingException")
        there = self.runs.setdefault(name, envelope_json)
        if there == envelope_json and name not in self.ended | self.delivered:
            return Start.STARTED
        if not same_message(there, envelope_json):
            return Start.ID_TAKEN
        if name in self.ended:
            return Start.UNDELIVERED
        return Start.DUPLICATE if name in self.delivered else Start.RUNNING


@dataclass
class FakeDeadLetters:
    """DeadLetters, as they were put."""

    kept: list[dict[str, Any]] = field(default_factory=list)

    def put(self, letter: dict[str, Any]) -> None:
        self.kept.append(letter)


@dataclass
class FakeRejectedMessages:
    """RejectedMessages: each body with its reason."""

    kept: list[tuple[str, str]] = field(default_factory=list)

    def put(self, body: str, reason: str) -> None:
        self.kept.append((body, reason))


@dataclass
class FakePoster:
    """Poster: each connection answers as `FakeSockets` has it."""

    sockets: FakeSockets
    rounds: list[list[str]] = field(default_factory=list)

    def post(self, posts: Sequence[Post]) -> list[PostResult]:
        self.rounds.append([post.connection_id for post in posts])
        return [
            self.sockets.post(connection(post.connection_id)._replace(endpoint=post.endpoint), post.frame)
            for post in posts
        ]


@dataclass
class FakeConversations(_Store):
    """Conversations: those of `FakeConnections` whose token was allowed into theirs."""

    connections: "FakeConnections" = field(default_factory=lambda: FakeConnections())

    def pages(self, conversation: Conversation, *, size: int) -> Iterator[Page]:
        self._reach("pages")
        rows = [row.recipient.user for row in self._of(conversation)]
        after = None
        while rows:
            last = rows[:size][-1]
            more = [user for user in rows if user > last]
            yield Page(after, last if more else None, min(size, len(rows)))
            after, rows = last, more

    def of_page(self, conversation: Conversation, page: Page) -> list[Connection]:
        self._reach("of_page")
        return [
            row
            for row in self._of(conversation)
            if (page.after is None or row.recipient.user > page.after)
            and (page.up_to is None or row.recipient.user <= page.up_to)
        ]

    def _of(self, conversation: Conversation) -> list[Connection]:
        inside = (row for row in self.connections.rows.values() if row.in_conversation)
        place = conversation.context, conversation.context_id
        found = [row for row in inside if (row.recipient.context, row.recipient.context_id) == place]
        return sorted(found, key=lambda row: row.recipient.user)
