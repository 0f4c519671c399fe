"""The table `Chats`: `collection` is the partition, `item` the sort key. No Scan, and every read is consistent.

=====================  ===========================  ==========================================================
collection             item                         what
=====================  ===========================  ==========================================================
``chat#{id}``          ``state``                    the chat as it is; changed only if it is as it was read
``chat#{id}``          ``event#{number}``           its log, which is also what the stream brings
``chat#{id}``          ``sent#{messageId}``         which event the message of this id is
``chat#{id}``          ``wait``                     the token on which its run waits, and in which phase
``queue``              ``{startedAt}#{id}``         the chats that wait: the index of the queue
``agent#{user}``       ``chat#{id}``                the chats that this agent has
``customer#{user}``    ``open``                     the one chat of this customer that has not ended
``desk``               ``{user}``                   who is at the desk
=====================  ===========================  ==========================================================

What an index would show a moment later is written with the chat, in one transaction, so that whoever looks sees what
is true. A row expires `retention_days` after it was last written.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from lambdas.chat.core.errors import Unavailable
from lambdas.chat.core.model import Change, Chat, Event, EventType, Person, Status
from lambdas.chat.core.ports import Overtaken, Wait
from lambdas.chat.core.rules import Phase

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

EVENT_PREFIX = "event#"
_DIGITS = 8
_LAST = 10**_DIGITS - 1
_OVERTAKEN = {"ConditionalCheckFailed", "TransactionConflict"}


@dataclass(frozen=True)
class ChatTable:
    """`lambdas.chat.core.ports.Chats` on DynamoDB."""

    name: str
    client: "DynamoDBClient"
    retention: timedelta

    def get(self, chat_id: str) -> Chat | None:
        """The chat as it is now."""
        row = self._get(_chat(chat_id), "state")
        return Chat.model_validate_json(row["chat"]["S"]) if row else None

    def open_chat_of(self, customer: str) -> str | None:
        """The id of the one chat of this customer that has not ended."""
        row = self._get(_customer(customer), "open")
        return str(row["chat_id"]["S"]) if row else None

    def put(self, before: Chat | None, change: Change) -> None:
        """Write a change and its event, whole or not at all."""
        with _translated():
            try:
                self.client.transact_write_items(TransactItems=list(self._writes(before, change)))
            except self.client.exceptions.TransactionCanceledException as error:
                reasons = {str(reason.get("Code")) for reason in error.response.get("CancellationReasons", [])}
                if not reasons & _OVERTAKEN:
                    raise
                raise Overtaken from None

    def sent(self, chat_id: str, message_id: str) -> Event | None:
        """The message that was sent under this id."""
        row = self._get(_chat(chat_id), f"sent#{message_id}")
        return Event.model_validate_json(row["event"]["S"]) if row else None

    def events(self, chat_id: str, *, after: int, limit: int) -> list[Event]:
        """The events after this number, in their order."""
        if after >= _LAST:
            return []  # DynamoDB refuses a range that ends before it begins
        rows = self._query(_chat(chat_id), first=_event_item(after + 1), last=_event_item(_LAST), limit=limit)
        return [Event.model_validate_json(row["event"]["S"]) for row in rows]

    def waiting(self, *, limit: int) -> list[Chat]:
        """The queue; first come, first served."""
        return [Chat.model_validate_json(row["chat"]["S"]) for row in self._query("queue", limit=limit)]

    def active_of(self, agent: str) -> list[str]:
        """The ids of the chats that this agent has now."""
        return [str(row["chat_id"]["S"]) for row in self._query(_agent(agent))]

    def agents(self) -> list[str]:
        """Who is at the desk, as far as their connections have told."""
        return [str(row["item"]["S"]) for row in self._query("desk")]

    def sit_down(self, agent: str) -> None:
        """Note that this agent is at the desk; again changes nothing."""
        self._put(self._row("desk", agent))

    def leave(self, agent: str) -> None:
        """Note that they are not."""
        with _translated():
            self.client.delete_item(TableName=self.name, Key=_key("desk", agent))

    def park(self, chat_id: str, wait: Wait) -> bool:
        """Keep what the chat's run waits on, in place of an earlier wait; False if a later one is there."""
        row = self._row(_chat(chat_id), "wait", task_token=wait.task_token, phase=wait.phase.value)
        entry = {"N": str(wait.entry)}
        with _translated():
            try:
                self.client.put_item(
                    TableName=self.name,
                    Item=row | {"entry": entry},
                    ConditionExpression="attribute_not_exists(entry) OR entry <= :mine",
                    ExpressionAttributeValues={":mine": entry},
                )
            except self.client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def parked(self, chat_id: str) -> Wait | None:
        """What it waits on, or has waited on last."""
        row = self._get(_chat(chat_id), "wait")
        return Wait(row["task_token"]["S"], Phase(row["phase"]["S"]), int(row["entry"]["N"])) if row else None

    def unpark(self, chat_id: str, task_token: str) -> None:
        """Forget this token, unless a later one has taken its place."""
        with _translated():
            try:
                self.client.delete_item(
                    TableName=self.name,
                    Key=_key(_chat(chat_id), "wait"),
                    ConditionExpression="task_token = :mine",
                    ExpressionAttributeValues={":mine": {"S": task_token}},
                )
            except self.client.exceptions.ConditionalCheckFailedException:
                return

    def _writes(self, before: Chat | None, change: Change) -> Iterator[Any]:
        """The chat and its event, and the rows by which they are found."""
        chat, event = change.chat, change.event
        place, text = _chat(chat.id), event.model_dump_json(by_alias=True, exclude_none=True)
        state = self._row(place, "state", chat=_json(chat)) | {"version": {"N": str(chat.version)}}
        if before is None:
            yield self._put_new(state)
        else:
            yield {
                "Put": {
                    "TableName": self.name,
                    "Item": state,
                    "ConditionExpression": "version = :seen",
                    "ExpressionAttributeValues": {":seen": {"N": str(before.version)}},
                }
            }
        people = json.dumps([person.model_dump(mode="json") for person in change.to])
        yield self._put_new(self._row(place, _event_item(event.number), event=text, people=people))
        if event.type is EventType.MESSAGE:
            yield self._put_new(self._row(place, f"sent#{event.id}", event=text))
        was_waiting = before is not None and before.status is Status.WAITING
        if chat.status is Status.WAITING:
            in_queue = self._row("queue", chat.queue_key, chat=_json(chat))
            yield self._put_again(in_queue) if was_waiting else self._put_new(in_queue)
        if was_waiting and chat.status is not Status.WAITING:
            yield self._delete("queue", chat.queue_key)
        had = before.agent if before is not None and before.status is Status.ACTIVE else None
        has = chat.agent if chat.status is Status.ACTIVE else None
        if had and had != has:
            yield self._delete(_agent(had), place)
        if has and has != had:
            yield self._put_new(self._row(_agent(has), place, chat_id=chat.id))
        if before is None:
            yield self._put_new(self._row(_customer(chat.customer), "open", chat_id=chat.id))
        elif chat.status is Status.ENDED and before.status is not Status.ENDED:
            yield self._delete(_customer(chat.customer), "open")

    def _row(self, collection: str, item: str, **texts: str) -> dict[str, Any]:
        expires = int((datetime.now(UTC) + self.retention).timestamp())
        values = {name: {"S": text} for name, text in texts.items()}
        return {**_key(collection, item), **values, "expiration_date": {"N": str(expires)}}

    def _put_new(self, row: dict[str, Any]) -> dict[str, Any]:
        condition = "attribute_not_exists(#item)"
        names = {"#item": "item"}
        return {
            "Put": {
                "TableName": self.name,
                "Item": row,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": names,
            }
        }

    def _put_again(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"Put": {"TableName": self.name, "Item": row}}

    def _delete(self, collection: str, item: str) -> dict[str, Any]:
        return {"Delete": {"TableName": self.name, "Key": _key(collection, item)}}

    def _put(self, row: dict[str, Any]) -> None:
        with _translated():
            self.client.put_item(TableName=self.name, Item=row)

    def _get(self, collection: str, item: str) -> Any:
        with _translated():
            answer = self.client.get_item(TableName=self.name, Key=_key(collection, item), ConsistentRead=True)
        return answer.get("Item")

    def _query(
        self, collection: str, *, first: str | None = None, last: str | None = None, limit: int | None = None
    ) -> list[Any]:
        request: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": "#collection = :collection",
            "ExpressionAttributeNames": {"#collection": "collection"},
            "ExpressionAttributeValues": {":collection": {"S": collection}},
            "ConsistentRead": True,
        }
        if first is not None and last is not None:
            request["KeyConditionExpression"] += " AND #item BETWEEN :first AND :last"
            request["ExpressionAttributeNames"]["#item"] = "item"
            request["ExpressionAttributeValues"] |= {":first": {"S": first}, ":last": {"S": last}}
        rows: list[Any] = []
        while limit is None or len(rows) < limit:
            if limit is not None:
                request["Limit"] = limit - len(rows)
            with _translated():
                page = self.client.query(**request)
            rows += page["Items"]
            if "LastEvaluatedKey" not in page:
                break
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return rows


def event_of(row: dict[str, Any]) -> tuple[Event, list[Person]]:
    """An event and who is told of it, from its row in DynamoDB's own JSON, as the stream brings it."""
    people = [Person.model_validate(person) for person in json.loads(row["people"]["S"])]
    return Event.model_validate_json(row["event"]["S"]), people


def _json(chat: Chat) -> str:
    return chat.model_dump_json(by_alias=True, exclude_none=True)


def _key(collection: str, item: str) -> dict[str, Any]:
    return {"collection": {"S": collection}, "item": {"S": item}}


def _chat(chat_id: str) -> str:
    return f"chat#{chat_id}"


def _agent(user: str) -> str:
    return f"agent#{user}"


def _customer(user: str) -> str:
    return f"customer#{user}"


def _event_item(number: int) -> str:
    return f"{EVENT_PREFIX}{number:0{_DIGITS}}"


@contextmanager
def _translated() -> Iterator[None]:
    """Turn any failure of a call into Unavailable: names the call and the code, never values."""
    try:
        yield
    except ClientError as error:
        details: Any = error.response.get("Error", {})
        raise Unavailable(f"{error.operation_name}: {details.get('Code', 'Unknown')}") from None
    except BotoCoreError as error:
        raise Unavailable(type(error).__name__) from None
