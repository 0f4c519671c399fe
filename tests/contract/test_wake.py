"""`wake` as DynamoDB's stream calls it, with the rows that `$connect` stores."""

from typing import Any

import pytest

from lambdas.adapters.tables import CallbackTable, ConnectionTable
from lambdas.core.errors import Throttled
from lambdas.core.model import Connection
from lambdas.triggers import wake
from tests.builders import callback, connection, recipient, stream_record
from tests.contract.conftest import SECRET, Stage, rows
from tests.fakes import FakeClock, FakeTokens

ANA, BO = recipient(), recipient(user="bo")
ANAS_TOKEN, BOS_TOKEN = f"{SECRET}-ana", f"{SECRET}-bo"


@pytest.fixture(autouse=True)
def tokens(stage: Stage, callbacks_table: str, monkeypatch: pytest.MonkeyPatch) -> FakeTokens:
    """Ana and Bo have a run each that waits for them."""
    stage.set(CALLBACKS_TABLE_NAME=callbacks_table)
    tokens = FakeTokens(waiting={ANAS_TOKEN, BOS_TOKEN})
    monkeypatch.setattr(wake, "WaitingRuns", lambda **_: tokens)
    for to, token in ((ANA, ANAS_TOKEN), (BO, BOS_TOKEN)):
        CallbackTable(callbacks_table).park_for_reconnect(callback("m-1", to, task_token=token))
    return tokens


def inserts(table: str, *arrived: Connection) -> dict[str, Any]:
    """The stream's event after these connections were stored."""
    records = []
    for number, each in enumerate(arrived, start=1):
        ConnectionTable(table).put(each)
        (row,) = [row for row in rows(table) if row["connection_id"] == {"S": each.connection_id}]
        records.append(stream_record(row, str(number)))
    return {"Records": records}


def failed_at(sequence_number: str | None) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": sequence_number}] if sequence_number else []}


@pytest.mark.parametrize("token_life", [None, 900])
def test_the_run_goes_on_with_the_connection_that_was_stored(
    stage: Stage, tokens: FakeTokens, connections_table: str, token_life: float | None
) -> None:
    arrived = connection("a-1", token_life_seconds=token_life)

    assert stage.call(wake.handler, inserts(connections_table, arrived)) == failed_at(None)

    assert tokens.outputs == {ANAS_TOKEN: {"wokenBy": "reconnect", "connections": [arrived.to_state()]}}
    assert stage.metrics() == {"Woken": 1}


def test_connections_of_one_recipient_that_come_together_are_handed_over_together(
    stage: Stage, tokens: FakeTokens, connections_table: str
) -> None:
    together = [connection("a-1"), connection("a-2")]

    stage.call(wake.handler, inserts(connections_table, *together, connection("b-1", BO)))

    assert tokens.outputs[ANAS_TOKEN]["connections"] == [each.to_state() for each in together]
    assert stage.metrics() == {"Woken": 2}


def test_nobody_waits(stage: Stage, connections_table: str) -> None:
    event = inserts(connections_table, connection("c-1", recipient(user="cy")))

    assert stage.call(wake.handler, event) == failed_at(None)
    assert stage.metrics() == {}


@pytest.mark.parametrize(
    ("unreachable", "first_failure", "woken"),
    [(ANAS_TOKEN, "1", {BOS_TOKEN}), (BOS_TOKEN, "3", {ANAS_TOKEN})],
    ids=["from the start", "from the third record on"],
)
def test_whom_it_fails_for_is_brought_again_and_holds_up_nobody_else(
    stage: Stage, tokens: FakeTokens, connections_table: str, unreachable: str, first_failure: str, woken: set[str]
) -> None:
    tokens.unreachable = {unreachable}
    arrived = connection("a-1"), connection("a-2"), connection("b-1", BO), connection("b-2", BO)
    event = inserts(connections_table, *arrived)

    assert stage.call(wake.handler, event) == failed_at(first_failure)
    assert tokens.outputs.keys() == woken
    assert stage.metrics() == {"Errors": 1, "Woken": 1}
    assert [line["reason"] for line in stage.log()] == ["SendTaskSuccess: ThrottlingException"]

    tokens.unreachable = set()
    assert stage.call(wake.handler, {"Records": event["Records"][int(first_failure) - 1 :]}) == failed_at(None)
    assert tokens.outputs.keys() == {ANAS_TOKEN, BOS_TOKEN}


@pytest.mark.parametrize(
    ("more_milliseconds", "first_failure", "woken"),
    [(0, "1", set()), (1, None, {ANAS_TOKEN, BOS_TOKEN})],
    ids=["too little time", "just enough"],
)
def test_what_there_is_no_time_for_is_brought_again(
    stage: Stage,
    tokens: FakeTokens,
    connections_table: str,
    more_milliseconds: int,
    first_failure: str | None,
    woken: set[str],
) -> None:
    answer = stage.call(
        wake.handler,
        inserts(connections_table, connection("a-1"), connection("b-1", BO)),
        get_remaining_time_in_millis=lambda: wake.TIME_TO_END_MILLISECONDS + more_milliseconds,
    )

    assert answer == failed_at(first_failure)
    assert tokens.outputs.keys() == woken


def test_what_is_throttled_is_tried_again_by_the_function_itself(
    stage: Stage, tokens: FakeTokens, connections_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttled = iter([True, True, False])
    succeed = tokens.succeed

    def at_last(task_token: str, output: dict[str, Any]) -> bool:
        if next(throttled):
            raise Throttled("SendTaskSuccess: ThrottlingException")
        return succeed(task_token, output)

    monkeypatch.setattr(tokens, "succeed", at_last)
    clock = FakeClock()
    monkeypatch.setattr(wake, "SystemClock", lambda: clock)

    assert stage.call(wake.handler, inserts(connections_table, connection("a-1"))) == failed_at(None)

    assert tokens.outputs.keys() == {ANAS_TOKEN}
    assert stage.metrics() == {"Woken": 1}
    assert len(clock.slept) == 2
    assert [(line["message"], line["calls"]) for line in stage.log()] == [("SendTaskSuccess was throttled", 2)]


def test_a_store_that_is_down_fails_from_the_first_record(stage: Stage, connections_table: str) -> None:
    stage.set(CALLBACKS_TABLE_NAME="Missing")

    assert stage.call(wake.handler, inserts(connections_table, connection("a-1"))) == failed_at("1")
