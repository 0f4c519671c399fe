"""What the Task states' functions answer, count and log; what the machine makes of it is tests/statemachine's."""

from typing import Any

import pytest

from lambdas.adapters.tables import CallbackTable, ConnectionTable
from lambdas.core.errors import AttemptsExhausted, ConnectionGone, InvalidMessage, NoOpenConnection, StoreUnavailable
from lambdas.core.ports import PostResult
from lambdas.tasks import (
    post_and_await_acknowledgement,
    post_to_connections,
    resolve_connections,
    wait_for_reconnect,
)
from tests.builders import connection, envelope, recipient, task
from tests.contract.conftest import SECRET, Stage
from tests.fakes import FakeSockets, FakeTokens

MESSAGE = envelope(payload=SECRET)
TOKEN = f"{SECRET}-token"
OPEN = [connection(name).to_state() for name in ("tab", "phone", "busy")]


@pytest.fixture(autouse=True)
def sockets(stage: Stage, connections_table: str, callbacks_table: str, monkeypatch: pytest.MonkeyPatch) -> FakeSockets:
    stage.set(CONNECTIONS_TABLE_NAME=connections_table, CALLBACKS_TABLE_NAME=callbacks_table, DEFAULT_TTL_SECONDS=3600)
    sockets = FakeSockets()
    for module in (post_to_connections, post_and_await_acknowledgement):
        monkeypatch.setattr(module, "ManagementApi", lambda: sockets)
    monkeypatch.setattr("lambdas.core.clock.time.sleep", lambda seconds: None)
    return sockets


def test_resolving_answers_the_open_connections(stage: Stage, connections_table: str) -> None:
    ConnectionTable(connections_table).put(connection("tab"))

    assert stage.call(resolve_connections.handler, task(MESSAGE)) == {"connections": [connection("tab").to_state()]}


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
    assert stage.metrics() == {"Posted": 1, "Gone": 1, "Throttled": 1}


def test_posting_for_an_acknowledgement_leaves_the_token_where_the_acknowledgement_finds_it(
    stage: Stage, callbacks_table: str
) -> None:
    event = task(MESSAGE, connections=OPEN[:1], taskToken=TOKEN)

    assert stage.call(post_and_await_acknowledgement.handler, event) is None

    waiting = CallbackTable(callbacks_table).waiting_for_acknowledgement("ana", "m-1")
    assert waiting is not None
    assert waiting.task_token == TOKEN
    assert stage.metrics() == {"Posted": 1}


@pytest.mark.parametrize("handler", [post_to_connections.handler, post_and_await_acknowledgement.handler])
def test_a_message_that_nobody_took_is_an_answer_and_its_posts_are_counted(
    stage: Stage, sockets: FakeSockets, callbacks_table: str, handler: Any
) -> None:
    sockets.answers = {"tab": [PostResult.GONE]}

    with pytest.raises(ConnectionGone):
        stage.call(handler, task(MESSAGE, connections=OPEN[:1], taskToken=TOKEN))

    assert CallbackTable(callbacks_table).waiting_for_acknowledgement("ana", "m-1") is None
    assert stage.metrics() == {"Gone": 1}
    assert stage.log() == []


def test_waiting_parks_the_run(stage: Stage, callbacks_table: str) -> None:
    event = task(MESSAGE, tried=["tab"], maxAttempts=5, taskToken=TOKEN)

    assert stage.call(wait_for_reconnect.handler, event) is None

    assert [each.task_token for each in CallbackTable(callbacks_table).waiting_for_reconnect(recipient())] == [TOKEN]


def test_waiting_goes_on_at_once_when_somebody_came_meanwhile(
    stage: Stage, connections_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = FakeTokens(waiting={TOKEN})
    monkeypatch.setattr(wait_for_reconnect, "WaitingRuns", lambda: tokens)
    ConnectionTable(connections_table).put(connection("new"))

    stage.call(wait_for_reconnect.handler, task(MESSAGE, tried=["tab"], maxAttempts=5, taskToken=TOKEN))

    assert tokens.outputs[TOKEN]["connections"] == [connection("new").to_state()]


@pytest.mark.parametrize(
    ("handler", "event", "error"),
    [
        (resolve_connections.handler, task(MESSAGE), NoOpenConnection),
        (resolve_connections.handler, task({"payload": SECRET}), InvalidMessage),
        (
            wait_for_reconnect.handler,
            task(MESSAGE, attempt=5, tried=[], maxAttempts=5, taskToken=TOKEN),
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
        (wait_for_reconnect.handler, task(MESSAGE, tried=[], maxAttempts=5, taskToken=TOKEN)),
        (post_and_await_acknowledgement.handler, task(MESSAGE, connections=OPEN, taskToken=TOKEN)),
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
