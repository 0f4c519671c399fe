"""Frames as API Gateway hands them to the function: those that MiniStack's own gateway would stumble over."""

import json
from typing import Any

import pytest

from lambdas.adapters.tables import CallbackTable
from lambdas.routes import acknowledge, connect, disconnect
from tests.attacks.conftest import Case
from tests.builders import callback, message_event
from tests.contract.conftest import Stage, rows
from tests.fakes import FakeTokens

LAYER = "handler"
INVALID, TAKEN = 400, 200


@pytest.fixture
def tokens(stage: Stage, connections_table: str, callbacks_table: str, monkeypatch: pytest.MonkeyPatch) -> FakeTokens:
    """A run waits for the acknowledgement of `m-1`."""
    stage.set(CONNECTIONS_TABLE_NAME=connections_table, CALLBACKS_TABLE_NAME=callbacks_table)
    waiting = FakeTokens(waiting={"token-1"})
    monkeypatch.setattr(acknowledge, "WaitingRuns", lambda: waiting)
    CallbackTable(callbacks_table).park_for_acknowledgement(callback("m-1", entry=1))
    return waiting


def _frame(tail: str) -> str:
    return '{"action": "ack", ' + tail + "}"


BODIES: dict[str, tuple[str | None, int]] = {
    "10,000 lists in each other": (_frame('"id": ' + "[" * 10_000 + "]" * 10_000), INVALID),
    "10,000 objects in each other": (_frame('"id": ' + '{"a":' * 10_000 + "1" + "}" * 10_000), INVALID),
    "10,000 lists beside a good id": (_frame('"id": "m-2", "x": ' + "[" * 10_000 + "]" * 10_000), INVALID),
    "lists without end": ("[" * 32_000, INVALID),
    "5,000 digits": (_frame('"id": ' + "9" * 5000), INVALID),
    "5,000 digits beside a good id": (_frame('"id": "m-2", "x": ' + "9" * 5000), INVALID),
    "NaN beside a good id": (_frame('"id": "m-2", "x": NaN'), TAKEN),
    "no body": (None, INVALID),
    "an empty body": ("", INVALID),
    "what was no UTF-8": (_frame('"id": "m-1\ufffd"'), TAKEN),
    "half a surrogate pair": (_frame('"id": "\ud800"'), INVALID),
    "binary, as base64": ("eyJhY3Rpb24iOiAiYWNrIiwgImlkIjogIm0tMSJ9", INVALID),
    "two ids, the wrong one last": (_frame('"id": "m-1", "id": "m-2"'), TAKEN),
    "ids beside an id": (_frame('"id": "m-1", "ids": ["m-2"]'), TAKEN),
    "32 kilobytes of ids": (_frame('"ids": ' + json.dumps(["m-2"] * 4500)), INVALID),
    "a hundred long ids": (_frame('"ids": ' + json.dumps(["\N{PARTY POPPER}" * 128] * 100)), TAKEN),
    "a million blanks": (" " * 1_000_000, INVALID),
}


@pytest.mark.parametrize(("body", "documented"), BODIES.values(), ids=BODIES)
def test_acknowledgement(
    case: Case, stage: Stage, tokens: FakeTokens, callbacks_table: str, body: str | None, documented: int
) -> None:
    before = rows(callbacks_table)
    event: dict[str, Any] = {**message_event(""), "body": body}
    answer = stage.call(acknowledge.handler, event)
    case.answer([answer["statusCode"], tokens.outputs], [documented, {}])
    assert rows(callbacks_table) == before
    assert '"level":"ERROR"' not in stage.written()
    assert "Errors" not in stage.metrics()


ROUTES = {"$connect": connect.handler, "$disconnect": disconnect.handler}


@pytest.mark.parametrize(("route", "handler"), ROUTES.items(), ids=ROUTES)
def test_route_of_api_gateway_s_own(case: Case, stage: Stage, connections_table: str, route: str, handler: Any) -> None:
    stage.set(
        CONNECTIONS_TABLE_NAME=connections_table,
        CONNECTION_TTL_MINUTES=130,
        MAX_CONNECTIONS_PER_USER=1,
        CONNECTION_LIMIT_POLICY="evict_oldest",
        MANAGEMENT_ENDPOINT="https://abcdefabcd.execute-api.eu-central-1.amazonaws.com/v1",
    )
    event = message_event(json.dumps({"action": route}), route=route)
    answer = stage.call(handler, event)
    case.answer([answer["statusCode"], rows(connections_table)], [INVALID, []])
