"""The table `Chats`: `collection` is the partition, `item` the sort key. No Scan, and every read is consistent.

=====================  ===========================  ==========================================================
collection             item                         what
=====================  ===========================  ==========================================================
``chat#{id}``          ``state``                    the chat as it is, and who may send how much more; changed only
                                                    if it is as it was read
``chat#{id}``          ``event#{number}``           its log, which is also what the stream brings
``chat#{id}``          ``sent#{messageId}``         which event the message of this id is
``chat#{id}``          ``wait``                     the token on which its run waits, and in which phase
``queue``              ``{startedAt}#{id}``         the chats that wait: the index of the queue
``agent#{user}``       ``chat#{id}``                the chats that this agent has
``customer#{user}``    ``open``                     the one chat of this customer that has not ended
``desk``               ``{user}``                   who is at the desk
=====================  ===========================  ==========================================================

What an index would show a moment later is written with the chat, in one transaction, so that whoever looks sees what
is true. What happened, and a chat that has ended, expires `retention_days` after it was last written. What is needed
for as long as a chat goes on does not: its state, its place in the queue, and what leads to it; nor who is at the desk.

A row may be of a newer version, which was taken back: what it says beyond what is known here is left out.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lambdas.chat.adapters import aws
from lambdas.chat.core.model import Change, Chat, Event, EventType, Person, Status
from lambdas.chat.core.ports import Overtaken, Wait
from lambdas.chat.core.rules import Phase
from lambdas.observability import Metric, count, logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

EVENT_PREFIX = "event#"
aws.ahead(aws.dynamodb)  # whoever imports this asks the table
_DIGITS = 8
_LAST = 10**_DIGITS - 1
_OVERTAKEN = {"ConditionalCheckFailed", "TransactionConflict"}
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)


class ChatTable:
    """`lambdas.chat.core.ports.Chats` on DynamoDB."""

    def __init__(self, name: str, client: "DynamoDBClient", retention: timedelta) -> None:
        self.name = name
        self.client = client
        self.retention = retention

    def get(self, chat_id: str) -> Chat | None:
        """The chat as it is now."""
        row = self._get(_chat(chat_id), "state")
        return _chat_of(row) if row else None

    def open_chat_of(self, customer: str) -> str | None:
        """The id of the one chat of this customer that has not ended."""
        row = self._get(_customer(customer), "open")
        return str(row["chat_id"]["S"]) if row else None

    def put(self, before: Chat | None, change: Change) -> None:
        """Write a change and its event, whole or not at all."""
        self._write(list(self._writes(before, change)))

    def sent(self, chat_id: str, message_id: str) -> Event | None:
        """The message that was sent under this id."""
        row = self._get(_chat(chat_id), f"sent#{message_id}")
        return _event_of(row) if row else None

    def events(self, chat_id: str, *, after: int, limit: int) -> list[Event]:
        """The events after this number, in their order."""
        if after >= _LAST:
            return []  # DynamoDB refuses a range that ends before it begins
        rows = self._query(_chat(chat_id), first=_event_item(after + 1), last=_event_item(_LAST), limit=limit)
        return [_event_of(row) for row in rows]

    def waiting(self, *, limit: int) -> list[Chat]:
        """The queue; first come, first served. One that cannot be read is left out, and logged: it hides no other."""
        found = []
        for row in self._query("queue", limit=limit):
            try:
                found.append(_chat_of(row))
            except _UNREADABLE as error:
                _note_unreadable(row, error)
        return found

    def active_of(self, agent: str) -> list[str]:
        """The ids of the chats that this agent has now."""
        return [str(row["chat_id"]["S"]) for row in self._query(_agent(agent))]

    def agents(self) -> list[str]:
        """Who is at the desk, as far as their connections have told."""
        return [str(row["item"]["S"]) for row in self._query("desk")]

    def sit_down(self, agent: str) -> None:
        """Note that this agent is at the desk; again changes nothing."""
        with aws.translated():
            self.client.put_item(TableName=self.name, Item=_key("desk", agent))

    def leave(self, agent: str) -> None:
        """Note that they are not."""
        with aws.translated():
            self.client.delete_item(TableName=self.name, Key=_key("desk", agent))

    def park(self, chat_id: str, wait: Wait) -> bool:
        """Keep what the chat's run waits on, in place of an earlier wait; False if a later one is there."""
        row = self._passing(_chat(chat_id), "wait", task_token=wait.task_token, phase=wait.phase.value)
        entry = {"N": str(wait.entry)}
        with aws.translated():
            return aws.condition_holds(
                lambda: self.client.put_item(
                    TableName=self.name,
                    Item=row | {"entry": entry},
                    ConditionExpression="attribute_not_exists(entry) OR entry <= :mine",
                    ExpressionAttributeValues={":mine": entry},
                )
            )

    def parked(self, chat_id: str) -> Wait | None:
        """What it waits on, or has waited on last."""
        row = self._get(_chat(chat_id), "wait")
        return Wait(row["task_token"]["S"], Phase(row["phase"]["S"]), int(row["entry"]["N"])) if row else None

    def unpark(self, chat_id: str, task_token: str) -> None:
        """Forget this token, unless a later one has taken its place."""
        with aws.translated():
            aws.condition_holds(
                lambda: self.client.delete_item(
                    TableName=self.name,
                    Key=_key(_chat(chat_id), "wait"),
                    ConditionExpression="task_token = :mine",
                    ExpressionAttributeValues={":mine": {"S": task_token}},
                )
            )

    def _write(self, writes: Sequence[Any]) -> None:
        with aws.translated():
            try:
                self.client.transact_write_items(TransactItems=writes)
            except self.client.exceptions.TransactionCanceledException as error:
                reasons = [str(reason.get("Code")) for reason in error.response.get("CancellationReasons", [])]
                if not _OVERTAKEN.intersection(reasons):
                    raise
            else:
                return
        # A row that is another chat's by now stays; that must not keep this one from its end.
        refused = {place for place, reason in enumerate(reasons) if reason == "ConditionalCheckFailed"}
        others = {place for place in refused if "Delete" in writes[place]}
        if not others:
            raise Overtaken
        self._write([write for place, write in enumerate(writes) if place not in others])

    def _writes(self, before: Chat | None, change: Change) -> Iterator[Any]:
        """The chat and its event, and the rows by which they are found."""
        chat, event = change.chat, change.event
        place, text = _chat(chat.id), event.as_text()
        make_row = self._passing if chat.status is Status.ENDED else _row
        state = make_row(place, "state", **_texts(chat)) | {"version": {"N": str(chat.version)}}
        if before is None:
            yield self._put_new(state)
        else:
            seen = {":seen": {"N": str(before.version)}}
            yield self._put(state, ConditionExpression="version = :seen", ExpressionAttributeValues=seen)
        people = json.dumps([person.as_json() for person in change.to])
        yield self._put_new(self._passing(place, _event_item(event.number), event=text, people=people))
        if event.type is EventType.MESSAGE:
            yield self._put_new(self._passing(place, f"sent#{event.id}", event=text))
        was_waiting = before is not None and before.status is Status.WAITING
        if chat.status is Status.WAITING:
            in_queue = _row("queue", chat.queue_key, **_texts(chat))
            yield self._put(in_queue) if was_waiting else self._put_new(in_queue)
        if was_waiting and chat.status is not Status.WAITING:
            yield self._delete("queue", chat.queue_key)
        had = before.agent if before is not None and before.status is Status.ACTIVE else None
        has = chat.agent if chat.status is Status.ACTIVE else None
        if had and had != has:
            yield self._delete(_agent(had), place)
        if has and has != had:
            yield self._put_new(_row(_agent(has), place, chat_id=chat.id))
        if before is None:
            yield self._put_new(_row(_customer(chat.customer), "open", chat_id=chat.id))
        elif chat.status is Status.ENDED and before.status is not Status.ENDED:
            yield self._delete(_customer(chat.customer), "open", of=chat.id)

    def _passing(self, collection: str, item: str, **texts: str) -> dict[str, Any]:
        """A row that expires."""
        expires = int((datetime.now(UTC) + self.retention).timestamp())
        return {**_row(collection, item, **texts), "expiration_date": {"N": str(expires)}}

    def _put_new(self, row: dict[str, Any]) -> dict[str, Any]:
        names = {"#item": "item"}
        return self._put(row, ConditionExpression="attribute_not_exists(#item)", ExpressionAttributeNames=names)

    def _put(self, row: dict[str, Any], **condition: Any) -> dict[str, Any]:
        return {"Put": {"TableName": self.name, "Item": row, **condition}}

    def _delete(self, collection: str, item: str, *, of: str | None = None) -> dict[str, Any]:
        """Delete a row, if it is there; of this chat, if any chat may have it."""
        condition = {
            "ConditionExpression": "attribute_not_exists(chat_id) OR chat_id = :mine",
            "ExpressionAttributeValues": {":mine": {"S": of}},
        }
        return {"Delete": {"TableName": self.name, "Key": _key(collection, item), **(condition if of else {})}}

    def _get(self, collection: str, item: str) -> Any:
        with aws.translated():
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
            with aws.translated():
                page = self.client.query(**request)
            rows += page["Items"]
            if "LastEvaluatedKey" not in page:
                break
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return rows


def event_of(row: dict[str, Any]) -> tuple[Event, list[Person]]:
    """An event and who is told of it, from its row in DynamoDB's own JSON, as the stream brings it."""
    people = [Person.from_json(person) for person in json.loads(row["people"]["S"])]
    return _event_of(row), people


def read_events(records: Iterable[Any]) -> Iterator[tuple[str, tuple[Event, list[Person]]]]:
    """The events that the stream brings, and the numbers of their records in it.

    One that cannot be read will not be readable later, and all chats wait behind it: it is left out, logged by its key
    and counted.
    """
    for record in records:
        change = record["dynamodb"]
        try:
            yield change["SequenceNumber"], event_of(change["NewImage"])
        except _UNREADABLE as error:
            _note_unreadable(change["Keys"], error)


def _texts(chat: Chat) -> dict[str, str]:
    """A chat as its rows have it; what is in no JSON of it stands beside it."""
    allowances = {who: whole_at.isoformat() for who, whole_at in chat.allowance_whole_at.items()}
    return {"chat": chat.as_text(), "allowances": json.dumps(allowances)}


def _chat_of(row: Any) -> Chat:
    """A chat, from a row that has one."""
    chat = Chat.from_text(row["chat"]["S"])
    allowances = json.loads(row["allowances"]["S"]) if "allowances" in row else {}  # an older version has none
    whole_at = {who: datetime.fromisoformat(moment) for who, moment in allowances.items()}
    return chat.replace(allowance_whole_at=whole_at)


def _event_of(row: Any) -> Event:
    return Event.from_text(row["event"]["S"])


def _note_unreadable(key: Any, error: Exception) -> None:
    # Not what is wrong with it: the log has nothing of what people say.
    where = {name: key[name]["S"] for name in ("collection", "item")}
    count(Metric.ERRORS)
    logger.error("a row cannot be read", extra={**where, "reason": type(error).__name__})


def _row(collection: str, item: str, **texts: str) -> dict[str, Any]:
    return {**_key(collection, item), **{name: {"S": text} for name, text in texts.items()}}


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
