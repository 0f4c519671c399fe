"""`$connect` and `$disconnect` as API Gateway calls them, and the row that they leave behind."""

import json
from typing import Any

import pytest

from lambdas.adapters.tables import ConnectionTable
from lambdas.routes import connect, disconnect
from lambdas.settings import SettingsError
from tests.builders import connect_event, connection, disconnect_event, message_event
from tests.contract.conftest import Stage, rows

NOON = 1_896_091_200
ENDPOINT = "https://api-id.execute-api.eu-central-1.amazonaws.com/v1"
UNAVAILABLE = {"statusCode": 503, "body": '{"message": "try again in a moment"}'}


@pytest.fixture(autouse=True)
def table(stage: Stage, connections_table: str) -> str:
    stage.set(
        CONNECTIONS_TABLE_NAME=connections_table,
        CONNECTION_TTL_MINUTES=120,
        MAX_CONNECTIONS_PER_USER=2,
        CONNECTION_LIMIT_POLICY="evict_oldest",
        MANAGEMENT_ENDPOINT=ENDPOINT,
    )
    return connections_table


def store(table: str, *connection_ids: str) -> None:
    for age, connection_id in enumerate(connection_ids):
        ConnectionTable(table).put(connection(connection_id, age_seconds=60 - age))


def stored(table: str) -> list[str]:
    return [row["connection_id"]["S"] for row in rows(table)]


def test_connecting_stores_exactly_this_row(stage: Stage, table: str) -> None:
    assert stage.call(connect.handler, connect_event("Sm9tZQ=")) == {"statusCode": 200, "body": ""}

    assert rows(table) == [
        {
            "caller_id": {"S": "user#ana"},
            "context": {"S": "chat#42#Sm9tZQ="},
            "recipient": {"S": '{"user":"ana","context":"chat","context_id":"42"}'},
            "connection_id": {"S": "Sm9tZQ="},
            "endpoint": {"S": ENDPOINT},  # the stage's: the event's own domain may be a custom one
            "connected_at": {"N": str(NOON * 1000)},
            "expiration_date": {"N": str(NOON + 120 * 60)},
            "token_expires_at": {"N": str(NOON + 900)},
        }
    ]
    assert stage.metrics() == {"Connected": 1}


def test_connecting_keeps_what_the_token_said(stage: Stage, table: str) -> None:
    event = connect_event("Sm9tZQ=")
    event["requestContext"]["authorizer"] |= {"attributes": '{"plan":"gold","team":"7"}', "inConversation": "true"}

    stage.call(connect.handler, event)

    (row,) = rows(table)
    assert row["attributes"] == {"M": {"plan": {"S": "gold"}, "team": {"S": "7"}}}
    assert row["conversation"] == {"S": "chat#42"}


@pytest.mark.parametrize("said", [{}, {"attributes": "{}", "inConversation": "false"}])
def test_a_row_whose_token_said_nothing_is_in_no_index(stage: Stage, table: str, said: dict[str, str]) -> None:
    event = connect_event()
    event["requestContext"]["authorizer"] |= said

    stage.call(connect.handler, event)

    assert {"attributes", "conversation"}.isdisjoint(rows(table)[0])


def test_a_stage_that_names_no_endpoint_connects_nobody(stage: Stage, table: str) -> None:
    stage.set(MANAGEMENT_ENDPOINT="")

    with pytest.raises(SettingsError, match=r"^Connect: MANAGEMENT_ENDPOINT is not set$"):
        stage.call(connect.handler, connect_event())

    assert stored(table) == []


def test_a_token_that_does_not_expire_leaves_no_end(stage: Stage, table: str) -> None:
    event = connect_event()
    del event["requestContext"]["authorizer"]["tokenExpiresAt"]

    stage.call(connect.handler, event)

    assert "token_expires_at" not in rows(table)[0]


@pytest.mark.parametrize(
    ("offer", "answered"),
    [
        ({"Sec_WebSocket_Protocol": "bearer, s3cr3t"}, "bearer"),
        ({"sec_websocket_protocol": "bearer,s3cr3t"}, "bearer"),
        ({"Sec_WebSocket_Protocol": "chat, bearer"}, "bearer"),
        ({"Sec_WebSocket_Protocol": "chat"}, None),
        ({"Sec_WebSocket_Protocol": "bearer2"}, None),
        ({}, None),
    ],
)
def test_the_subprotocol_that_carried_the_token_is_answered_and_no_other(
    stage: Stage, offer: dict[str, str], answered: str | None
) -> None:
    answer = stage.call(connect.handler, connect_event(**offer))

    assert answer.get("headers") == ({"Sec-WebSocket-Protocol": answered} if answered else None)


def test_the_oldest_connection_makes_room(stage: Stage, table: str) -> None:
    store(table, "oldest", "old")

    assert stage.call(connect.handler, connect_event("new"))["statusCode"] == 200
    assert sorted(stored(table)) == ["new", "old"]


def test_a_handshake_beyond_the_limit_may_be_refused(stage: Stage, table: str) -> None:
    stage.set(CONNECTION_LIMIT_POLICY="refuse")
    store(table, "oldest", "old")

    answer = stage.call(connect.handler, connect_event("new"))

    assert (answer["statusCode"], json.loads(answer["body"])) == (429, {"message": "a user may have 2 connections"})
    assert sorted(stored(table)) == ["old", "oldest"]
    assert stage.metrics() == {"Refused": 1}


@pytest.mark.parametrize(
    ("handler", "event", "limit", "call"),
    [
        (connect.handler, connect_event(), 2, "Query"),
        (connect.handler, connect_event(), 0, "PutItem"),
        (disconnect.handler, disconnect_event(), 0, "DeleteItem"),
    ],
    ids=["connect, reading", "connect, writing", "disconnect"],
)
def test_a_store_that_cannot_be_reached_is_a_503(
    stage: Stage, handler: Any, event: dict[str, Any], limit: int, call: str
) -> None:
    stage.set(CONNECTIONS_TABLE_NAME="Missing", MAX_CONNECTIONS_PER_USER=limit)

    assert stage.call(handler, event) == UNAVAILABLE
    assert stage.metrics() == {"Errors": 1}
    (line,) = stage.log()
    assert (line["level"], line["reason"]) == ("ERROR", f"{call}: ResourceNotFoundException")


def test_disconnecting_removes_exactly_this_connection(stage: Stage, table: str) -> None:
    store(table, "closing", "other tab")

    assert stage.call(disconnect.handler, disconnect_event("closing")) == {"statusCode": 200, "body": ""}

    assert stored(table) == ["other tab"]
    assert stage.metrics() == {"Disconnected": 1}


def test_disconnecting_what_is_unknown_is_no_error(stage: Stage) -> None:
    assert stage.call(disconnect.handler, disconnect_event()) == {"statusCode": 200, "body": ""}
    assert stage.metrics() == {"NotFound": 1}


def test_a_late_disconnect_of_the_old_connection_leaves_the_new_one(stage: Stage, table: str) -> None:
    stage.call(connect.handler, connect_event("old"))
    stage.call(connect.handler, connect_event("new"))
    stage.call(disconnect.handler, disconnect_event("old"))
    stage.call(disconnect.handler, disconnect_event("old"))

    assert stored(table) == ["new"]
    assert stage.metrics() == {"Connected": 2, "Disconnected": 1, "NotFound": 1}


@pytest.mark.parametrize(("route", "handler"), [("$connect", connect.handler), ("$disconnect", disconnect.handler)])
def test_a_frame_that_names_the_route_changes_nothing(stage: Stage, table: str, route: str, handler: Any) -> None:
    store(table, "tab")
    before = rows(table)
    event = message_event(json.dumps({"action": route}), "tab", route=route)

    assert stage.call(handler, event)["statusCode"] == 400

    assert rows(table) == before
    assert stage.metrics() == {"Rejected": 1}
