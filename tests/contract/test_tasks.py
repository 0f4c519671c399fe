"""What the Task states' functions answer, count and log; what the machine makes of it is tests/statemachine's."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lambdas.adapters.tables import CallbackTable, ConnectionTable, SequenceTable
from lambdas.core.errors import (
    AttemptsExhausted,
    ConnectionGone,
    InvalidMessage,
    NoOpenConnection,
    StoreUnavailable,
    Superseded,
)
from lambdas.core.ports import PostResult
from lambdas.tasks import (
    post_and_await_acknowledgement,
    post_to_connections,
    resolve_connections,
    wait_for_reconnect,
)
from tests.builders import NOW, callback, connection, envelope, recipient, task
from tests.contract.conftest import SECRET, Stage
from tests.fakes import FakeSockets, FakeTokens

MESSAGE = envelope(payload=SECRET)
TOKEN = f"{SECRET}-token"
ENTERED_AT = "2030-01-31T12:00:00.000Z"
OPEN = [connection(name).to_state() for name in ("tab", "phone", "busy")]


def waits(*, retry: int = 0) -> dict[str, Any]:
    """What a state that waits hands its function beside the task."""
    return {"taskToken": f"{TOKEN}-{retry}", "entry": {"enteredAt": ENTERED_AT, "retry": retry}}


def tried(*connection_ids: str, unacknowledged: bool = False) -> dict[str, Any]:
    """What the state that waits for a reconnect hands its function, too."""
    return {
        "tried": list(connection_ids),
        "triedAt": ENTERED_AT,
        "unacknowledged": unacknowledged,
        "maxAttempts": 5,
    }


@pytest.fixture
def wired_tasks(
    stage: Stage,
    connections_table: str,
    callbacks_table: str,
    sequences_table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[], FakeSockets]], None]:
    """Gives the delivery's states their tables, and sockets that this makes."""

    def wire(make: Callable[[], FakeSockets]) -> None:
        stage.set(
            CONNECTIONS_TABLE_NAME=connections_table,
            CALLBACKS_TABLE_NAME=callbacks_table,
            SEQUENCES_TABLE_NAME=sequences_table,
            DEFAULT_TTL_SECONDS=3600,
        )
        for module in (resolve_connections, post_to_connections, post_and_await_acknowledgement):
            monkeypatch.setattr(module, "ManagementApi", make)

    return wire


@pytest.fixture(autouse=True)
def sockets(wired_tasks: Callable[[Callable[[], FakeSockets]], None], monkeypatch: pytest.MonkeyPatch) -> FakeSockets:
    sockets = FakeSockets()
    wired_tasks(lambda: sockets)
    monkeypatch.setattr("lambdas.clock.time.sleep", lambda seconds: None)
    return sockets


def test_resolving_answers_the_open_connections(stage: Stage, connections_table: str) -> None:
    ConnectionTable(connections_table).put(connection("tab"))

    assert stage.call(resolve_connections.handler, task(MESSAGE)) == {"connections": [connection("tab").to_state()]}


def test_resolving_closes_what_has_ended(stage: Stage, sockets: FakeSockets, connections_table: str) -> None:
    ConnectionTable(connections_table).put(connection("ended", token_life_seconds=0))

    with pytest.raises(NoOpenConnection):
        stage.call(resolve_connections.handler, task(MESSAGE))

    assert sockets.closed == ["ended"]
    assert ConnectionTable(connections_table).of_recipient(recipient()) == []


def test_posting_answers_the_runs_output(stage: Stage, sockets: FakeSockets) -> None:
    sockets.answers = {"phone": [PostResult.GONE], "busy": [PostResult.THROTTLED]}

    assert stage.call(post_to_connections.handler, task(MESSAGE, connections=OPEN, attempt=2)) == {
        "status": "delivered",
        "messageId": "m-1",
        "attempt": 2,
        "posted": ["tab"],
        "gone": ["phone"],
        "throttled": ["busy"],
        "failed": [],
    }
    assert stage.metrics() == {"Posted": 1, "Gone": 1, "Throttled": 1, "Delivered": 1}


def acknowledged_with(table: str) -> list[str]:
    """The tokens that the client's acknowledgement would complete."""
    return [each.task_token for each in CallbackTable(table).waiting_for_acknowledgement("ana", "m-1")]


def woken_with(table: str) -> list[str]:
    """The tokens that the recipient's next connection would complete."""
    return [each.task_token for each in CallbackTable(table).waiting_for_reconnect(recipient())]


def test_posting_for_an_acknowledgement_leaves_the_token_where_the_acknowledgement_finds_it(
    stage: Stage, callbacks_table: str
) -> None:
    event = task(MESSAGE, connections=OPEN[:1], **waits())

    assert stage.call(post_and_await_acknowledgement.handler, event) is None

    assert acknowledged_with(callbacks_table) == [f"{TOKEN}-0"]
    assert stage.metrics() == {"Posted": 1}


@pytest.mark.parametrize("handler", [post_to_connections.handler, post_and_await_acknowledgement.handler])
def test_a_message_that_nobody_took_is_an_answer_and_its_posts_are_counted(
    stage: Stage, sockets: FakeSockets, callbacks_table: str, handler: Any
) -> None:
    sockets.answers = {"tab": [PostResult.GONE]}

    with pytest.raises(ConnectionGone):
        stage.call(handler, task(MESSAGE, connections=OPEN[:1], **waits()))

    assert acknowledged_with(callbacks_table) == []
    assert stage.metrics() == {"Gone": 1}
    assert stage.log() == []


def test_waiting_parks_the_run(stage: Stage, callbacks_table: str) -> None:
    event = task(MESSAGE, **tried("tab"), **waits())

    assert stage.call(wait_for_reconnect.handler, event) is None

    assert woken_with(callbacks_table) == [f"{TOKEN}-0"]


def test_a_park_that_comes_late_changes_nothing(stage: Stage, callbacks_table: str) -> None:
    for retry in (1, 0):
        stage.call(wait_for_reconnect.handler, task(MESSAGE, **tried(), **waits(retry=retry)))

    assert woken_with(callbacks_table) == [f"{TOKEN}-1"]


def test_a_post_that_comes_late_is_none_and_no_error(stage: Stage, sockets: FakeSockets, callbacks_table: str) -> None:
    stage.call(post_and_await_acknowledgement.handler, task(MESSAGE, connections=OPEN[:1], **waits(retry=1)))
    with pytest.raises(Superseded):
        stage.call(post_and_await_acknowledgement.handler, task(MESSAGE, connections=OPEN[:1], **waits(retry=0)))

    assert acknowledged_with(callbacks_table) == [f"{TOKEN}-1"]
    assert len(sockets.posts["tab"]) == 1
    assert stage.metrics() == {"Posted": 1}
    assert stage.log() == []


def test_waiting_goes_on_at_once_when_somebody_came_meanwhile(
    stage: Stage, connections_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = FakeTokens(waiting={f"{TOKEN}-0"})
    monkeypatch.setattr(wait_for_reconnect, "WaitingRuns", lambda: tokens)
    ConnectionTable(connections_table).put(connection("new"))

    stage.call(wait_for_reconnect.handler, task(MESSAGE, **tried("tab"), **waits()))

    assert tokens.outputs[f"{TOKEN}-0"]["connections"] == [connection("new").to_state()]


def test_waiting_ends_at_once_when_the_acknowledgement_came_late(
    stage: Stage, callbacks_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = FakeTokens(waiting={f"{TOKEN}-0"})
    monkeypatch.setattr(wait_for_reconnect, "WaitingRuns", lambda: tokens)
    output = {"status": "acknowledged", "messageId": "m-1"}
    CallbackTable(callbacks_table).keep_acknowledgement(callback(execution_name="execution-name"), output)
    message = envelope(ack="client", payload=SECRET)

    stage.call(wait_for_reconnect.handler, task(message, **tried("tab", unacknowledged=True), **waits()))

    assert tokens.outputs == {f"{TOKEN}-0": {"acknowledgement": output}}
    assert woken_with(callbacks_table) == []


def test_waiting_notes_who_left_the_message_unacknowledged(stage: Stage, connections_table: str) -> None:
    ConnectionTable(connections_table).put(connection("tab"))
    message = envelope(ack="client", payload=SECRET)

    stage.call(wait_for_reconnect.handler, task(message, **tried("tab", unacknowledged=True), **waits()))

    assert ConnectionTable(connections_table).of_recipient(recipient()) == [connection("tab", stale_since=NOW)]


def test_every_state_of_an_ordered_message_has_its_number(
    stage: Stage, sockets: FakeSockets, callbacks_table: str, sequences_table: str
) -> None:
    message = envelope(ordered=True, payload=SECRET)
    SequenceTable(sequences_table).number(recipient(), "the one before", until=NOW)

    with pytest.raises(NoOpenConnection):
        stage.call(resolve_connections.handler, task(message))
    stage.call(wait_for_reconnect.handler, task(message, **tried(), **waits()))
    for handler in (post_to_connections.handler, post_and_await_acknowledgement.handler):
        stage.call(handler, task(message, connections=OPEN[:1], **waits()))

    assert [json.loads(frame)["sequence"] for frame in sockets.posts["tab"]] == [2, 2]
    callbacks = CallbackTable(callbacks_table)
    parked = [*callbacks.waiting_for_reconnect(recipient()), *callbacks.waiting_for_acknowledgement("ana", "m-1")]
    assert [each.sequence for each in parked] == [2, 2]


@pytest.mark.parametrize(
    ("handler", "event", "error"),
    [
        (resolve_connections.handler, task(MESSAGE), NoOpenConnection),
        (resolve_connections.handler, task({"payload": SECRET}), InvalidMessage),
        (
            wait_for_reconnect.handler,
            task(MESSAGE, attempt=5, **tried(), **waits()),
            AttemptsExhausted,
        ),
    ],
)
def test_an_answer_is_no_error(stage: Stage, handler: Any, event: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        stage.call(handler, event)

    assert (stage.metrics(), stage.log()) == ({}, [])


@pytest.mark.parametrize(
    ("handler", "event"),
    [
        (resolve_connections.handler, task(MESSAGE)),
        (wait_for_reconnect.handler, task(MESSAGE, **tried(), **waits())),
        (post_and_await_acknowledgement.handler, task(MESSAGE, connections=OPEN, **waits())),
    ],
)
def test_a_failure_is_counted_and_logged_without_what_it_was_about(
    stage: Stage, handler: Any, event: dict[str, Any]
) -> None:
    stage.set(CONNECTIONS_TABLE_NAME="Missing", CALLBACKS_TABLE_NAME="Missing")

    with pytest.raises(StoreUnavailable):
        stage.call(handler, event)

    assert stage.metrics() == {"Errors": 1}
    (line,) = stage.log()
    assert line["exception_name"] == "StoreUnavailable"
    assert line["execution_arn"] == event["execution"]["arn"]
