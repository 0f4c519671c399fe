"""Whom a call, an event or a record is about."""

import json
from typing import Any

import pytest

from tests.chaos.cloud.subjects import Subjects, message_ids, row_of

ENVELOPE = {"recipient": {"user": "ana", "context": "chat", "contextId": "42"}, "type": "t", "payload": {}}
KEY = {"caller_id": {"S": "user#ana"}, "context": {"S": "chat#42#c-1"}}


def of_call(service: str, value: Any) -> str:
    return Subjects().of_call(service, json.dumps(value).encode())


@pytest.mark.parametrize(
    "body",
    [
        {"Key": KEY},
        {"Item": {**KEY, "connection_id": {"S": "c-1"}}},
        {"ExpressionAttributeValues": {":user": {"S": "user#ana"}}},
        {"RequestItems": {"T": {"Keys": [{"caller_id": {"S": "user#ana"}}]}}},
        {"TransactItems": [{"Update": {"Key": KEY}}]},
    ],
)
def test_calls_to_tables(body: Any) -> None:
    assert of_call("dynamodb", body) == "ana"


def test_a_task_token_is_whose_it_was_when_it_was_parked() -> None:
    subjects = Subjects()
    parked = {"Item": {"caller_id": {"S": "user#ana"}, "task_token": {"S": "secret"}}}
    assert subjects.of_call("dynamodb", json.dumps(parked).encode()) == "ana"
    assert subjects.of_call("states", b'{"taskToken": "secret", "output": "{}"}') == "ana"
    assert subjects.of_call("states", b'{"taskToken": "another", "output": "{}"}') == ""


@pytest.mark.parametrize(
    ("service", "body"),
    [
        ("states", {"name": "m-1", "input": json.dumps(ENVELOPE)}),
        ("sqs", {"MessageBody": json.dumps(ENVELOPE)}),
        ("sqs", {"MessageBody": json.dumps({"message": ENVELOPE, "error": "x"})}),
    ],
)
def test_calls_that_carry_a_message(service: str, body: Any) -> None:
    assert of_call(service, body) == "ana"


@pytest.mark.parametrize(("service", "body"), [("events", {"Entries": []}), ("sqs", {"MessageBody": "no JSON"})])
def test_calls_about_nobody(service: str, body: Any) -> None:
    assert of_call(service, body) == ""


def test_connections_are_their_user_s() -> None:
    subjects = Subjects()
    subjects.connected("c-1", "ana")
    assert subjects.of_connection("c-1") == "ana"
    assert subjects.of_connection("c-2") == ""
    assert subjects.of_event({"requestContext": {"connectionId": "c-1"}}) == ["ana"]


@pytest.mark.parametrize(
    ("event", "users"),
    [
        ({"message": ENVELOPE, "execution": {}}, ["ana"]),
        ({"messages": [ENVELOPE]}, ["ana"]),
        ({"detail": {"input": json.dumps(ENVELOPE)}}, ["ana"]),
        ({"Records": [{"body": json.dumps(ENVELOPE)}, {"body": "no JSON"}]}, ["ana", ""]),
        ({"Records": [{"body": json.dumps({"detail": ENVELOPE})}]}, ["ana"]),
        ({"Records": [{"dynamodb": {"Keys": KEY}}]}, ["ana"]),
        ({"messages": []}, [""]),
        ([1], [""]),
    ],
)
def test_events(event: Any, users: list[str]) -> None:
    assert Subjects().of_event(event) == users


def test_the_messages_of_a_frame() -> None:
    assert message_ids(b'{"kind": "message", "id": "m-1"}') == ["m-1"]
    assert message_ids(b'{"kind": "batch", "messages": [{"id": "m-1"}, {"id": "m-2"}]}') == ["m-1", "m-2"]
    for other in (b'{"kind": "close"}', b"no JSON", b"[]"):
        assert message_ids(other) == []


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ({"TableName": "T", "Key": KEY}, '["T", "user#ana", "chat#42#c-1"]'),
        ({"TableName": "T", "Item": {**KEY, "expiration_date": {"N": "1"}}}, '["T", "user#ana", "chat#42#c-1"]'),
        ({"TableName": "T", "Item": {"collection": {"S": "chat#x"}, "item": {"S": "wait"}}}, '["T", "chat#x", "wait"]'),
        ({"TableName": "T", "KeyConditionExpression": "x"}, ""),
        ([], ""),
    ],
)
def test_the_row_that_a_call_writes(body: Any, row: str) -> None:
    assert row_of(json.dumps(body).encode()) == row
