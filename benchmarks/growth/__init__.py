"""What the operations of a delivery take of DynamoDB as the tables grow, and as one person's messages pile up.

The real handlers with the real clients, against a DynamoDB in this process (`wire`). Round trips are the requests that
went out; units are reckoned from the rows that they read and wrote, by DynamoDB's own rules. How long it
takes is not measured: that of DynamoDB does not depend on the table's size, and this machine's says nothing.
"""

import gc
import io
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest import mock

from benchmarks.billing.units import TASK_TOKEN_CHARACTERS
from benchmarks.growth.wire import Row, Used, Wire
from benchmarks.report import Plot, Ratio, Result, Say, Table
from benchmarks.reporting.cells import number

STORED = (1, 1_000, 100_000, 1_000_000)
WAITING = (1, 10, 100, 1_000, 10_000)

_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "a-session-token",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_REGION": "eu-central-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "POWERTOOLS_SERVICE_NAME": "growth",
    "POWERTOOLS_METRICS_NAMESPACE": "Ringback",
    "CONNECTIONS_TABLE_NAME": "Connections",
    "CALLBACKS_TABLE_NAME": "Callbacks",
    "SEQUENCES_TABLE_NAME": "Sequences",
    "DEFAULT_TTL_SECONDS": "86400",
    "CONNECTION_TTL_MINUTES": "130",
    "MAX_CONNECTIONS_PER_USER": "10",
    "CONNECTION_LIMIT_POLICY": "evict_oldest",
    "MANAGEMENT_ENDPOINT": "https://abcdefabcd.execute-api.eu-central-1.amazonaws.com/v1",
}
_ENDS_AT = 4_102_444_800
"""The year 2100: whatever ends, ends later than this."""

_OPERATIONS = ("resolve", "park", "wake, per message", "acknowledge")
_AMONG_AS_MANY = "acknowledge, with as many unacknowledged"
_UNITS = "read and write units"
_NOTE = (
    "Read units + write units in round trips. Units as DynamoDB bills them, by the size of the rows (task tokens of"
    f" {TASK_TOKEN_CHARACTERS} characters). A round trip is a request to DynamoDB; where a run goes on, there is one"
    " SendTaskSuccess more."
)


@dataclass(frozen=True)
class Cost:
    """What one operation took."""

    reads: float
    writes: float
    round_trips: float
    others: Mapping[str, float]

    @classmethod
    def of(cls, used: Used, *, parts: int = 1) -> "Cost":
        """One of these parts."""
        others = {name: count / parts for name, count in used.others.items()}
        return cls(used.reads / parts, used.writes / parts, used.round_trips / parts, others)

    @property
    def units(self) -> float:
        """Of both kinds."""
        return self.reads + self.writes

    def over(self, least: "Cost") -> float:
        """The greatest of the ratios of units and round trips."""
        pairs = [(self.reads, least.reads), (self.writes, least.writes), (self.round_trips, least.round_trips)]
        return max(mine / others if others else 1.0 + mine for mine, others in pairs if mine or others)


class Stage:
    """Calls the functions as AWS does, and says what each call took."""

    def __init__(self, wire: Wire) -> None:
        from lambdas.routes import acknowledge, connect, disconnect
        from lambdas.tasks import post_and_await_acknowledgement, resolve_connections, wait_for_reconnect
        from lambdas.triggers import wake

        self.wire = wire
        self.answer: Any = None
        self._functions: Any = SimpleNamespace(
            acknowledge=acknowledge.handler,
            connect=connect.handler,
            disconnect=disconnect.handler,
            post_and_await=post_and_await_acknowledgement.handler,
            resolve=resolve_connections.handler,
            wait=wait_for_reconnect.handler,
            wake=wake.handler,
        )
        self._messages = (f"2f1c0d5e-8a44-4f6b-9f3e-{number:012}" for number in itertools.count())

    def connect(self, user: str) -> Used:
        """Open a connection."""
        return self._call(self._functions.connect, {"headers": {}, "requestContext": _connection(user, "CONNECT")})

    def disconnect(self, user: str) -> Used:
        """Close it."""
        return self._call(
            self._functions.disconnect, {"headers": {}, "requestContext": _connection(user, "DISCONNECT")}
        )

    def resolve(self, user: str) -> Used:
        """Find the connections for a message."""
        return self._call(self._functions.resolve, self._task(user))

    def park(self, user: str) -> Used:
        """Have a message wait for a reconnect."""
        waits = {"tried": [], "triedAt": _now(), "unacknowledged": False, "maxAttempts": 270}
        return self._call(self._functions.wait, {**self._task(user), **self._waiting(), **waits})

    def wake(self, row: Row) -> Used:
        """Bring the row of a connection that was stored."""
        change = {"NewImage": row, "SequenceNumber": "1", "Keys": {key: row[key] for key in ("caller_id", "context")}}
        return self._call(self._functions.wake, {"Records": [{"eventName": "INSERT", "dynamodb": change}]})

    def post_and_await(self, user: str, connection: Mapping[str, Any]) -> tuple[str, Used]:
        """Post a message, and have it wait to be acknowledged; answers its id."""
        task = self._task(user, ack="client")
        used = self._call(
            self._functions.post_and_await, {**task, **self._waiting(), "connections": [dict(connection)]}
        )
        return task["message"]["id"], used

    def acknowledge(self, user: str, message_id: str) -> Used:
        """Acknowledge it."""
        body = json.dumps({"action": "ack", "id": message_id})
        return self._call(self._functions.acknowledge, {"requestContext": _connection(user, "MESSAGE"), "body": body})

    def state(self, user: str) -> dict[str, Any]:
        """The connections as a run hands them on."""
        self.resolve(user)
        found: dict[str, Any] = self.answer["connections"][0]
        return found

    def _call(self, handler: Callable[[Any, Any], Any], event: Mapping[str, Any]) -> Used:
        self.wire.used = Used()
        self.answer = answer = handler(event, _CONTEXT)
        if isinstance(answer, dict) and (answer.get("statusCode", 200) != 200 or answer.get("batchItemFailures")):
            raise RuntimeError(f"the function did not do it: {answer}")
        return self.wire.used

    def _task(self, user: str, **envelope: Any) -> dict[str, Any]:
        message_id = next(self._messages)
        return {
            "message": {"id": message_id, "recipient": _recipient(user), "payload": {"text": "Hello"}, **envelope},
            "execution": {
                "arn": f"arn:aws:states:eu-central-1:123456789012:execution:Delivery:{message_id}",
                "name": message_id,
                "startedAt": _now(),
            },
            "attempt": 1,
        }

    @staticmethod
    def _waiting() -> dict[str, Any]:
        return {"taskToken": "x" * TASK_TOKEN_CHARACTERS, "entry": {"enteredAt": _now(), "retry": 0}}


def run(say: Say) -> Result:
    """Measure."""
    with staged() as stage:
        by_size = grow(stage, STORED, say)
        by_waiting = pile_up(stage, WAITING, say)
    return result(by_size, by_waiting)


@contextmanager
def staged() -> Iterator[Stage]:
    """The functions, and empty tables."""
    wire = Wire()
    try:
        with mock.patch.dict("os.environ", _VARIABLES), wire.connected(), redirect_stdout(io.StringIO()):
            stage = Stage(wire)
            yield stage
    finally:
        wire.close()
        gc.unfreeze()


def grow(stage: Stage, sizes: Sequence[int], say: Say) -> dict[int, dict[str, Cost]]:
    """What each operation takes with so many connections stored, and as many callbacks of other people."""
    stage.connect("ana")
    state = stage.state("ana")
    costs: dict[int, dict[str, Cost]] = {}
    for size in sizes:
        began = time.monotonic()
        fill(stage, size)
        say(f"connections stored: {size:,} ({time.monotonic() - began:.0f} s)")
        costs[size] = {
            "resolve": Cost.of(stage.resolve("ana")),
            **_absence(stage, "bob"),
            **_acknowledgement(stage, "ana", state),
        }
    return costs


def _absence(stage: Stage, user: str) -> dict[str, Cost]:
    parked = stage.park(user)
    connected = stage.connect(user)
    woken = stage.wake(next(iter(stage.wire.rows("Connections")[f"user#{user}"].values())))
    _require(woken, 1)
    gone = stage.disconnect(user)
    return {
        "park": Cost.of(parked),
        "connect": Cost.of(connected),
        "wake, per message": Cost.of(woken),
        "disconnect": Cost.of(gone),
    }


def _acknowledgement(stage: Stage, user: str, connection: Mapping[str, Any]) -> dict[str, Cost]:
    message_id, posted = stage.post_and_await(user, connection)
    acknowledged = stage.acknowledge(user, message_id)
    _require(acknowledged, 1)
    return {"post and await": Cost.of(posted), "acknowledge": Cost.of(acknowledged)}


def pile_up(stage: Stage, counts: Sequence[int], say: Say) -> dict[int, dict[str, Cost]]:
    """What a message takes of which so many wait for one person: to park the last one, and to wake them all."""
    costs = {}
    for count in counts:
        parked = stage.park("carol")
        if count > 1:
            _copy_callbacks(stage, "carol", count - 2)
            parked = stage.park("carol")
        connected = stage.connect("carol")
        message_id, _ = stage.post_and_await("carol", stage.state("carol"))
        acknowledged = stage.acknowledge("carol", message_id)
        _require(acknowledged, 1)
        woken = stage.wake(next(iter(stage.wire.rows("Connections")["user#carol"].values())))
        _require(woken, count)
        among_as_many = _acknowledge_one_of(stage, "carol", count)
        stage.disconnect("carol")
        if stage.wire.rows("Callbacks").get("user#carol"):
            raise RuntimeError("callbacks were left behind")
        say(f"messages that waited for one person, and were woken: {count:,}")
        costs[count] = {
            "park": Cost.of(parked),
            "connect": Cost.of(connected),
            "wake, per message": Cost.of(woken, parts=count),
            "acknowledge": Cost.of(acknowledged),
            _AMONG_AS_MANY: Cost.of(among_as_many),
        }
    return costs


def _acknowledge_one_of(stage: Stage, user: str, count: int) -> Used:
    """Acknowledge one of so many messages that were posted; the others are then forgotten."""
    callbacks = stage.wire.rows("Callbacks")
    state = stage.state(user)
    stage.post_and_await(user, state)
    _copy_callbacks(stage, user, count - 2)
    if count > 1:
        stage.post_and_await(user, state)
    message_id = next(iter(callbacks[f"user#{user}"].values()))["message_id"]["S"]
    acknowledged = stage.acknowledge(user, message_id)
    _require(acknowledged, 1)
    if len(callbacks.pop(f"user#{user}", {})) != count - 1:
        raise RuntimeError("other callbacks than the one were removed")
    return acknowledged


def fill(stage: Stage, size: int) -> None:
    """Put rows of other people straight into the store, until so many connections are there, and so many callbacks.

    They are copies of a row that the functions made, under keys of their own.
    """
    connections, callbacks = stage.wire.rows("Connections"), stage.wire.rows("Callbacks")
    stage.park("zoe")
    connection = next(iter(connections["user#ana"].values()))
    callback = next(iter(callbacks.pop("user#zoe").values()))
    gc.disable()  # a million new objects, and none of them garbage
    try:
        for copy in range(len(connections), size):
            user = {"S": f"user#7d4b9a52-31c6-4e0f-b6b7-{copy:012}"}
            connections[user["S"]] = {connection["context"]["S"]: {**connection, "caller_id": user}}
            callbacks[user["S"]] = {callback["waits_for"]["S"]: {**callback, "caller_id": user}}
    finally:
        gc.freeze()
        gc.enable()


def _copy_callbacks(stage: Stage, user: str, copies: int) -> None:
    """Have so many more messages wait: copies of the first one's callback, under ids of their own."""
    rows = stage.wire.rows("Callbacks")[f"user#{user}"]
    ((key, row),) = rows.items()
    first = row["execution_name"]["S"]
    for copy in range(copies):
        name = f"{copy:08}{first[8:]}"
        waits_for = {"S": key.replace(first, name)}
        rows[waits_for["S"]] = {
            **row,
            "waits_for": waits_for,
            "execution_name": {"S": name},
            "message_id": {"S": name},
        }


def result(by_size: Mapping[int, Mapping[str, Cost]], by_waiting: Mapping[int, Mapping[str, Cost]]) -> Result:
    """Tables, plots and ratios of these."""
    least, most = min(by_size), max(by_size)
    few, many = min(by_waiting), max(by_waiting)
    wake = "wake, per message"
    ratios = [
        *(
            Ratio(
                f"units and round trips of {name}: {most:,} connections stored, against {least:,}",
                by_size[most][name].over(by_size[least][name]),
                1.0,
                "at most",
            )
            for name in _OPERATIONS
        ),
        Ratio(
            f"units and round trips of {wake}: {many:,} waiting for one person, against {few:,}",
            by_waiting[many][wake].over(by_waiting[few][wake]),
            1.0,
            "at most",
        ),
    ]
    return Result(
        name="growth",
        what="What each operation takes of DynamoDB as the tables grow, and as one person's messages pile up.",
        tables=(
            _table("By connections stored (and as many callbacks)", by_size, by_size[least], _NOTE),
            _table(
                "By messages that wait for one person",
                by_waiting,
                by_waiting[few],
                "All are woken by one reconnect: a Query for each MB of them, a SendTaskSuccess and a conditional"
                " DeleteItem for each. Of these only the wake is promised; park and acknowledge are one of so many.",
            ),
        ),
        ratios=tuple(ratios),
        plots=(
            Plot(
                "growth-stored",
                "Units of one operation, by connections stored",
                "",
                _UNITS,
                {
                    f"{size:,} stored": [by_name[name].units for name in _OPERATIONS]
                    for size, by_name in by_size.items()
                },
                labels=_OPERATIONS,
            ),
            Plot(
                "growth-waiting",
                "Units of one message, by messages that wait for one person",
                "messages waiting",
                _UNITS,
                {
                    name: [(float(count), by_name[name].units) for count, by_name in by_waiting.items()]
                    for name in (wake, "acknowledge")
                },
                log_x=True,
            ),
        ),
        not_measured=(
            "Latency: this store is this machine's memory.",
            "The index by conversation: it is written only where the stage's tokens name conversations.",
            "The tables' index of time to live, streams and backups, which take no request units.",
        ),
        details={
            "task_token_characters": TASK_TOKEN_CHARACTERS,
            "stored": {str(size): _details(costs) for size, costs in by_size.items()},
            "waiting": {str(number): _details(costs) for number, costs in by_waiting.items()},
        },
    )


def _table(title: str, costs: Mapping[int, Mapping[str, Cost]], operations: Iterable[str], note: str) -> Table:
    rows = tuple((name, *(_cell(by_name[name]) for by_name in costs.values())) for name in operations)
    return Table(title, ("operation", *(f"{count:,}" for count in costs)), rows, note)


def _cell(cost: Cost) -> str:
    return f"{number(cost.reads)} + {number(cost.writes)} in {number(cost.round_trips)}"


def _details(costs: Mapping[str, Cost]) -> dict[str, Any]:
    return {name: vars(cost) for name, cost in costs.items()}


def _require(used: Used, completed: int) -> None:
    if used.others != Counter({"SendTaskSuccess": completed}):
        raise RuntimeError(f"{completed} runs were to go on, and these calls were made: {dict(used.others)}")


def _recipient(user: str) -> dict[str, str]:
    return {"user": user, "context": "chat", "contextId": "42"}


def _connection(user: str, kind: str) -> dict[str, Any]:
    authorizer = {**_recipient(user), "tokenExpiresAt": str(_ENDS_AT)}
    ids = {"connectionId": "Sm9tZUlkPQab=", "requestId": "Sm9tZUlkPQ="}
    return {**ids, "eventType": kind, "authorizer": authorizer, "routeKey": "ack"}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_CONTEXT: Any = SimpleNamespace(
    function_name="function",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:function",
    aws_request_id="52fdfc07-2182-454f-963f-5f0f9a621d72",
    get_remaining_time_in_millis=lambda: 60_000,
)
