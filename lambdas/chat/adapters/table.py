"""The table `Chats`: `collection` is the partition, `item` the sort key. No Scan, and every read is consistent.

=====================  ===========================  ==========================================================
collection             item                         what
=====================  ===========================  ==========================================================
``chat#{id}``          ``state``                    the chat as it is, who may send how much more, and what happened
                                                    last, which the stream brings; changed only if it is as it was read
``chat#{id}``          ``event#{number}``           its log
``chat#{id}``          ``sent#{messageId}``         which event the message of this id is
``chat#{id}``          ``wait``                     the token on which its run waits, and in which phase
``queue``              ``{startedAt}#{id}``         the chats that wait: the index of the queue
``agent#{user}``       ``chat#{id}``                the chats that this agent has
``customer#{user}``    ``open``                     the chat that this customer started last: if one is open, it is this
``desk``               ``{user}``                   who is at the desk
=====================  ===========================  ==========================================================

What an index would show a moment later is written with the chat, in one transaction, so that whoever looks sees what
is true. The stream brings a row's changes in their order, but not those of several rows, even if they were written one
after the other: so each event is in the state's row, too.

What happened, and a chat that has ended, expires `retention_days` after it was last written. What is needed for as long
as a chat goes on does not: its state, its place in the queue, and what leads to it; nor who is at the desk.

A row may be of a newer version, which was taken back: what it says beyond what is known here is left out.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from lambdas.chat.adapters import aws
from lambdas.chat.core.errors import Unreadable
from lambdas.chat.core.model import Change, Chat, Event, EventType, Person, Status
from lambdas.chat.core.ports import Overtaken, Wait
from lambdas.chat.core.rules import Phase
from lambdas.observability import Metric, count, logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

T = TypeVar("T")
STATE_ITEM = "state"
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
        row = self._get(_chat(chat_id), STATE_ITEM)
        return _read(_chat_of, row) if row else None

    def last_chat_of(self, customer: str) -> str | None:
        """The id of the chat that this customer started last."""
        row = self._get(_customer(customer), "open")
        return str(row["chat_id"]["S"]) if row else None

    def put(self, before: Chat | None, change: Change, *, last: str | None = None) -> None:
        """Write a change and its event, whole or not at all."""
        with aws.translated():
            try:
                self.client.transact_write_items(TransactItems=list(self._writes(before, change, last)))
            except self.client.exceptions.TransactionCanceledException as error:
                reasons = (reason.get("Code") for reason in error.response.get("CancellationReasons", []))
                if not _OVERTAKEN.intersection(reasons):
                    raise
                raise Overtaken from None

    def sent(self, chat_id: str, message_id: str) -> Event | None:
        """The message that was sent under this id."""
        row = self._get(_chat(chat_id), f"sent#{message_id}")
        return _read(_event_of, row) if row else None

    def events(self, chat_id: str, *, after: int, limit: int) -> list[Event]:
        """The events after this number, in their order."""
        if after >= _LAST:
            return []  # DynamoDB refuses a range that ends before it begins
        rows = self._query(_chat(chat_id), first=_event_item(after + 1), last=_event_item(_LAST), limit=limit)
        return [_read(_event_of, row) for row in rows]

    def waiting(self, *, limit: int) -> list[Chat]:
        """The queue; first come, first served. One that cannot be read hides no other."""
        found = []
        for row in self._query("queue", limit=limit):
            with suppress(Unreadable):
                found.append(_read(_chat_of, row))
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
        return _read(_wait_of, row) if row else None

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

    def _writes(self, before: Chat | None, change: Change, last: str | None) -> Iterator[Any]:
        """The chat and its event, and the rows by which they are found."""
        chat, event = change.chat, change.event
        place, text = _chat(chat.id), event.as_text()
        make_row = self._passing if chat.status is Status.ENDED else _row
        told = {"event": text, "people": json.dumps([person.as_json() for person in change.to])}
        state = make_row(place, STATE_ITEM, **_texts(chat), **told) | {"version": {"N": str(chat.version)}}
        if before is None:
            yield self._put_new(state)
        else:
            seen = {":seen": {"N": str(before.version)}}
            yield self._put(state, ConditionExpression="version = :seen", ExpressionAttributeValues=seen)
        yield self._put_new(self._passing(place, _event_item(event.number), **told))
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
        theirs = make_row(_customer(chat.customer), "open", chat_id=chat.id)
        if before is None:
            yield self._put_new(theirs, unless_of=last)
        elif chat.status is Status.ENDED and before.status is not Status.ENDED:
            yield self._put(theirs)  # it expires with the chat

    def _passing(self, collection: str, item: str, **texts: str) -> dict[str, Any]:
        """A row that expires."""
        expires = int((datetime.now(UTC) + self.retention).timestamp())
        return {**_row(collection, item, **texts), "expiration_date": {"N": str(expires)}}

    def _put_new(self, row: dict[str, Any], *, unless_of: str | None = None) -> dict[str, Any]:
        """Put a row where there is none, or one of this chat."""
        condition: dict[str, Any] = {
            "ConditionExpression": "attribute_not_exists(#item)",
            "ExpressionAttributeNames": {"#item": "item"},
        }
        if unless_of is not None:
            condition["ConditionExpression"] += " OR chat_id = :seen"
            condition["ExpressionAttributeValues"] = {":seen": {"S": unless_of}}
        return self._put(row, **condition)

    def _put(self, row: dict[str, Any], **condition: Any) -> dict[str, Any]:
        return {"Put": {"TableName": self.name, "Item": row, **condition}}

    def _delete(self, collection: str, item: str) -> dict[str, Any]:
        """Delete a row, if it is there."""
        return {"Delete": {"TableName": self.name, "Key": _key(collection, item)}}

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
    """What happened last and who is told of it, from a chat's row in DynamoDB's own JSON, as the stream brings it."""
    people = [Person.from_json(person) for person in json.loads(row["people"]["S"])]
    return _event_of(row), people


def read_events(records: Iterable[Any]) -> Iterator[tuple[str, tuple[Event, list[Person]]]]:
    """The events that the stream brings, and the numbers of their records in it.

    One that cannot be read is left out, since others wait behind it.
    """
    for record in records:
        change = record["dynamodb"]
        with suppress(Unreadable):
            yield change["SequenceNumber"], _read(event_of, change["NewImage"], key=change["Keys"])


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


def _wait_of(row: Any) -> Wait:
    return Wait(row["task_token"]["S"], Phase(row["phase"]["S"]), int(row["entry"]["N"]))


def _read(what: Callable[[Any], T], row: Any, *, key: Any = None) -> T:
    """Read a row; one that cannot be read is logged by its key, and counted.

    Raises:
        Unreadable
    """
    try:
        return what(row)
    except _UNREADABLE as error:
        # Not what is wrong with it: the log has nothing of what people say.
        where = {name: (key or row)[name]["S"] for name in ("collection", "item")}
        count(Metric.ERRORS)
        logger.error("a row cannot be read", extra={**where, "reason": type(error).__name__})
        raise Unreadable("what is kept of this chat was written by a newer version; try again later") from None


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
    return f"event#{number:0{_DIGITS}}"
