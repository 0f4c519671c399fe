"""The `ack` frame as API Gateway hands it over."""

import json
from typing import Any

import pytest

from lambdas.adapters.tables import CallbackTable, ConnectionTable
from lambdas.routes import acknowledge
from tests.builders import NOW, callback, connection, message_event, recipient
from tests.contract.conftest import SECRET, Stage
from tests.fakes import FakeTokens

FORM = 'acknowledge with {"action": "ack", "id": "…"} or {"action": "ack", "ids": ["…"]}'


@pytest.fixture(autouse=True)
def tokens(stage: Stage, connections_table: str, callbacks_table: str, monkeypatch: pytest.MonkeyPatch) -> FakeTokens:
    stage.set(CONNECTIONS_TABLE_NAME=connections_table, CALLBACKS_TABLE_NAME=callbacks_table)
    tokens = FakeTokens(waiting={"token-1", "token-2"})
    monkeypatch.setattr(acknowledge, "WaitingRuns", lambda: tokens)
    for entry in (1, 2):
        CallbackTable(callbacks_table).park_for_acknowledgement(callback(f"m-{entry}", entry=entry))
    return tokens


@pytest.mark.parametrize(
    ("frame", "completed"),
    [
        ({"id": "m-1"}, {"token-1"}),
        ({"ids": ["m-1", "m-2", "unknown"]}, {"token-1", "token-2"}),
        ({"ids": ["m-2"] * 100}, {"token-2"}),
        ({"id": "unknown"}, set()),
        ({"id": "é" * 128}, set()),
    ],
    ids=["one", "many", "as many as may be", "unknown", "the longest id"],
)
def test_the_runs_that_wait_go_on(stage: Stage, tokens: FakeTokens, frame: dict[str, Any], completed: set[str]) -> None:
    event = message_event(json.dumps({"action": "ack", **frame}), "tab")

    assert stage.call(acknowledge.handler, event) == {"statusCode": 200, "body": ""}

    assert tokens.outputs.keys() == completed
    assert {output["connectionId"] for output in tokens.outputs.values()} <= {"tab"}
    assert stage.metrics() == ({"Acknowledged": len(completed)} if completed else {})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f'{{"action": "ack", {SECRET}', "the frame is not JSON"),
        ("[" * 100_000, "the frame is not JSON"),
        ("", "the frame is not JSON"),
        ('["ack"]', FORM),
        ('{"action": "ack"}', FORM),
        ('{"id": ""}', FORM),
        ('{"id": 1}', FORM),
        ('{"ids": []}', FORM),
        ('{"ids": "m-1"}', FORM),
        ('{"ids": ["m-1", null]}', FORM),
        (json.dumps({"id": "x" * 129}), FORM),
        ('{"id": "\\ud800"}', FORM),
        (json.dumps({"ids": ["m-1"] * 101}), "acknowledge at most 100 messages in one frame"),
    ],
)
def test_a_frame_that_is_no_acknowledgement_is_refused_and_logged(
    stage: Stage, tokens: FakeTokens, body: str, said: str
) -> None:
    answer = stage.call(acknowledge.handler, message_event(body))

    assert (answer["statusCode"], json.loads(answer["body"])) == (400, {"message": said})
    assert [line["reason"] for line in stage.log()] == [said]
    assert not tokens.outputs
    assert stage.metrics() == {"Rejected": 1}
    assert [line["reason"] for line in stage.log()] == [said], "the client does not see its answer"


def test_only_the_recipients_own_connections_acknowledge(
    stage: Stage, tokens: FakeTokens, callbacks_table: str
) -> None:
    CallbackTable(callbacks_table).park_for_acknowledgement(callback("m-1", recipient(user="bo"), entry=1))
    event = message_event('{"id": "m-1"}')
    event["requestContext"]["authorizer"] |= {"user": "bo", "context": "other"}

    assert stage.call(acknowledge.handler, event)["statusCode"] == 200
    assert not tokens.outputs


def test_a_late_acknowledgement_ends_the_wait_for_a_reconnect_and_its_connection_is_active(
    stage: Stage, tokens: FakeTokens, connections_table: str, callbacks_table: str
) -> None:
    table = ConnectionTable(connections_table)
    table.put(connection("tab"))
    table.mark_stale(recipient(), "tab", NOW)
    tokens.waiting = {"token-3"}
    CallbackTable(callbacks_table).park_for_reconnect(callback("m-1", entry=3))

    stage.call(acknowledge.handler, message_event('{"id": "m-1"}', "tab"))

    assert tokens.outputs["token-3"]["acknowledgement"]["connectionId"] == "tab"
    assert CallbackTable(callbacks_table).kept_acknowledgement(callback("m-1")) is not None
    assert table.of_recipient(recipient()) == [connection("tab")]
    assert stage.metrics() == {"Acknowledged": 1}


def test_a_run_that_cannot_be_reached_is_a_503_and_keeps_its_callback(
    stage: Stage, tokens: FakeTokens, callbacks_table: str
) -> None:
    tokens.unreachable = {"token-1"}

    assert stage.call(acknowledge.handler, message_event('{"id": "m-1"}'))["statusCode"] == 503

    assert list(CallbackTable(callbacks_table).waiting_for_acknowledgement("ana", "m-1"))
    assert stage.metrics() == {"Errors": 1}
    assert [line["reason"] for line in stage.log()] == ["SendTaskSuccess: ThrottlingException"]
