"""What the table of chats asks of DynamoDB, and what it makes of its answers."""

import json
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config

from lambdas.chat.adapters.table import ChatTable
from lambdas.chat.core import rules
from lambdas.chat.core.errors import Unavailable
from lambdas.chat.core.model import Change
from lambdas.chat.core.ports import Overtaken, Wait
from lambdas.chat.core.rules import Phase
from tests.chats import ANA, BO, LIMITS, active, ended, later, waiting
from tests.integration.service import Answer, Service, refused_url

SECRET = "s3cr3t"


@pytest.fixture
def table(service: Service) -> ChatTable:
    return table_at(service.url)


def table_at(url: str) -> ChatTable:
    once = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5)
    return ChatTable("Chats", boto3.client("dynamodb", endpoint_url=url, config=once), timedelta(days=90))


def said() -> Change:
    return rules.send(active(), ANA, "m-1", SECRET, LIMITS, later(1))


READS: dict[str, Callable[[ChatTable], object]] = {
    "get": lambda table: table.get("c-1"),
    "last_chat_of": lambda table: table.last_chat_of("ana"),
    "sent": lambda table: table.sent("c-1", SECRET),
    "parked": lambda table: table.parked("c-1"),
    "events": lambda table: table.events("c-1", after=0, limit=10),
    "waiting": lambda table: table.waiting(limit=10),
    "active_of": lambda table: table.active_of(SECRET),
    "agents": lambda table: table.agents(),
}
WRITES: dict[str, Callable[[ChatTable], object]] = {
    "put": lambda table: table.put(active(), said()),
    "sit_down": lambda table: table.sit_down(SECRET),
    "leave": lambda table: table.leave(SECRET),
    "park": lambda table: table.park("c-1", Wait(SECRET, Phase.WAITING, 1)),
}


def fault(code: str, **more: Any) -> Answer:
    """An error whose message repeats what it was given."""
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": f"Invalid: {SECRET}", **more}
    return Answer(400, json.dumps(body).encode())


def cancelled(*codes: str) -> Answer:
    return fault("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


@pytest.mark.parametrize("read", READS)
def test_every_read_is_consistent_or_a_wake_up_could_be_lost(service: Service, table: ChatTable, read: str) -> None:
    service.answer = Answer(200, b'{"Items": []}')

    READS[read](table)

    (request,) = service.requests
    assert json.loads(request.body)["ConsistentRead"] is True


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_every_failure_is_translated_and_quotes_nothing(service: Service, table: ChatTable, call: str) -> None:
    service.answer = fault("ThrottlingException")

    with pytest.raises(Unavailable, match=r"^[A-Za-z]+: ThrottlingException$") as translated:
        (READS | WRITES)[call](table)

    assert SECRET not in "".join(traceback.format_exception(translated.value)), "as a log shows it"


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_nobody_answers(call: str) -> None:
    with pytest.raises(Unavailable, match=r"^EndpointConnectionError$") as translated:
        (READS | WRITES)[call](table_at(refused_url()))

    assert "http" not in "".join(traceback.format_exception(translated.value)).replace("https://docs", "")


@pytest.mark.parametrize(
    "codes",
    [
        ("ConditionalCheckFailed", "None", "None"),
        ("None", "ConditionalCheckFailed", "None"),
        ("TransactionConflict", "None", "None"),
        ("None", "TransactionConflict", "ConditionalCheckFailed"),
    ],
)
def test_who_is_overtaken_may_decide_again(service: Service, table: ChatTable, codes: tuple[str, ...]) -> None:
    service.answer = cancelled(*codes)

    with pytest.raises(Overtaken) as overtaken:
        table.put(active(), said())

    assert SECRET not in "".join(traceback.format_exception(overtaken.value))


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded", "ValidationError"])
def test_a_transaction_that_fails_otherwise_is_a_failure(service: Service, table: ChatTable, code: str) -> None:
    service.answer = cancelled("None", code)

    with pytest.raises(Unavailable, match=r"^TransactWriteItems: TransactionCanceledException$"):
        table.put(active(), said())


def test_a_write_that_is_sent_again_is_one(service: Service, table: ChatTable) -> None:
    """An answer that was lost: the client says under one token what it has said before."""
    service.answer = Answer(200, b"{}")

    table.put(active(), said())

    (request,) = service.requests
    assert json.loads(request.body)["ClientRequestToken"]


CHANGES: dict[str, tuple[Any, Change | None, int]] = {
    # the chat before, the change, and how many rows that is
    "start": (None, rules.start("c-1", ANA, None, LIMITS, later(0)), 4),
    "accept": (waiting(), rules.accept(waiting(), BO, later(1)), 4),
    "message": (active(), said(), 3),
    "message in the queue": (waiting(), rules.send(waiting(), ANA, "m-1", SECRET, LIMITS, later(1)), 4),
    "transfer": (active(), rules.transfer(active(), BO, "cy", later(1)), 4),
    "requeue": (active(), rules.transfer(active(), BO, None, later(1)), 4),
    "away": (active(), rules.agent_left(active(), "bo", LIMITS, later(1)), 2),
    "end in the queue": (waiting(), rules.end(waiting(), ANA, later(1)), 4),
    "end": (active(), rules.end(active(), ANA, later(1)), 4),
    "rate": (ended(), rules.rate(ended(), ANA, 5, None, LIMITS, later(1)), 2),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_one_transaction_of_few_rows_and_none_twice(service: Service, table: ChatTable, what: str) -> None:
    """DynamoDB refuses a transaction that touches one row twice. Each row costs two units."""
    service.answer = Answer(200, b"{}")
    before, change, count = CHANGES[what]
    assert change

    table.put(before, change)

    (request,) = service.requests
    keys = []
    for item in json.loads(request.body)["TransactItems"]:
        ((_, write),) = item.items()
        key = write.get("Key") or write["Item"]
        keys.append((key["collection"]["S"], key["item"]["S"]))
    assert len(set(keys)) == len(keys) == count


def test_pages_are_followed_until_there_is_enough(service: Service, table: ChatTable) -> None:
    """Every answer says that there is more."""
    row = {"collection": {"S": "desk"}, "item": {"S": "bo"}, "chat_id": {"S": "c-1"}}
    chat = {"chat": {"S": waiting().as_text()}}
    body = {"Items": [row | chat, row | chat], "LastEvaluatedKey": {"collection": {"S": "x"}, "item": {"S": "y"}}}
    service.answer = Answer(200, json.dumps(body).encode())

    assert len(table.waiting(limit=6)) == 6

    asked = [json.loads(request.body) for request in service.requests]
    assert [request["Limit"] for request in asked] == [6, 4, 2]
    assert [request.get("ExclusiveStartKey") for request in asked] == [None, *[body["LastEvaluatedKey"]] * 2]


@pytest.mark.parametrize("after", [10**8 - 1, 10**8, 10**12])
def test_after_the_last_number_there_can_be_there_is_nothing_to_ask_for(
    service: Service, table: ChatTable, after: int
) -> None:
    assert table.events("c-1", after=after, limit=10) == []

    assert service.requests == []
