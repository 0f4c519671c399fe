"""The three tables. All reads are consistent, and within one user's partition.

Connections: `caller_id` = ``user#{user}``, `context` = ``{context}#{contextId}#{connectionId}``.
Callbacks: `caller_id` = ``user#{user}``, `waits_for` = ``reconnect#{context}#{contextId}#{execution}``
or ``ack#{messageId}#{execution}``. A key names one thing exactly, so a late delete cannot hit its successor, and two
runs that carry one message do not take each other's place. Of an ordered message, its padded number stands before the
execution. ``late#{messageId}#{execution}`` keeps an acknowledgement that came after its time.
Sequences: `caller_id` = ``user#{user}``, `position` = ``last#{context}#{contextId}``, which stays for good, or
``number#{context}#{contextId}#{execution}``.
"""

import json
import random
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from lambdas.adapters import aws
from lambdas.adapters.rows import connection_from_item, moment
from lambdas.core.errors import StoreUnavailable
from lambdas.core.model import Callback, Connection
from lambdas.core.ports import Numbered
from ringback.plain import Recipient

aws.ahead(aws.dynamodb)  # whoever imports this asks a table

# Before each try to take the next number, up to so long; who fails to the end is called again by the run or the queue.
_PAUSES_SECONDS = (0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 0.8)


class ConnectionTable:
    """`lambdas.core.ports.ConnectionStore` on DynamoDB."""

    def __init__(self, name: str) -> None:
        self.name = name

    def put(self, connection: Connection) -> None:
        """Store a connection; storing it again changes nothing."""
        with aws.translated(StoreUnavailable):
            aws.dynamodb().put_item(TableName=self.name, Item=_connection_item(connection))

    def delete(self, recipient: Recipient, connection_id: str) -> Connection | None:
        """Remove exactly this connection, and answer what was stored; None if it was not there."""
        with aws.translated(StoreUnavailable):
            answer = aws.dynamodb().delete_item(
                TableName=self.name,
                Key=_connection_key(recipient, connection_id),
                ReturnValues="ALL_OLD",
            )
        stored = answer.get("Attributes")
        return connection_from_item(stored) if stored else None

    def of_recipient(self, recipient: Recipient) -> list[Connection]:
        """Every stored connection of the recipient, expired rows included."""
        return self._query(recipient.user, f"{_conversation(recipient)}#")

    def of_user(self, user: str) -> list[Connection]:
        """Every stored connection of the user, expired rows included."""
        return self._query(user, "")

    def mark_stale(self, recipient: Recipient, connection_id: str, since: datetime) -> None:
        """Note that it took a message which nobody acknowledged; nothing if that is noted, or it is not there."""
        self._update(
            recipient, connection_id, "SET stale_since = if_not_exists(stale_since, :since)", since=_milliseconds(since)
        )

    def mark_active(self, recipient: Recipient, connection_id: str) -> None:
        """Take that back; nothing if it is not there."""
        self._update(recipient, connection_id, "REMOVE stale_since")

    def _update(self, recipient: Recipient, connection_id: str, expression: str, **values: dict[str, str]) -> None:
        request: dict[str, Any] = {
            "TableName": self.name,
            "Key": _connection_key(recipient, connection_id),
            "UpdateExpression": expression,
            "ConditionExpression": "attribute_exists(caller_id)",
        }
        if values:
            request["ExpressionAttributeValues"] = {f":{name}": value for name, value in values.items()}
        with aws.translated(StoreUnavailable):
            aws.condition_holds(lambda: aws.dynamodb().update_item(**request))

    def _query(self, user: str, prefix: str) -> list[Connection]:
        return [connection_from_item(item) for item in _query(self.name, user, "context", prefix)]


class CallbackTable:
    """`lambdas.core.ports.CallbackStore` on DynamoDB."""

    def __init__(self, name: str) -> None:
        self.name = name

    def park_for_reconnect(self, callback: Callback) -> bool:
        """Store a callback that the recipient's next connection completes; False if the run's later one is there."""
        return self._put(callback, _reconnect(callback))

    def park_for_acknowledgement(self, callback: Callback) -> bool:
        """Store a callback that the client's acknowledgement completes; False if the run's later one is there."""
        return self._put(callback, _acknowledgement(callback))

    def waiting_for_reconnect(self, recipient: Recipient) -> Iterator[Callback]:
        """Every callback that waits for this recipient to connect; those of ordered messages in their order."""
        prefix = f"reconnect#{_conversation(recipient)}#"
        return map(_callback_from_item, _query(self.name, recipient.user, "waits_for", prefix))

    def waiting_for_acknowledgement(self, user: str, message_id: str) -> Iterator[Callback]:
        """Every callback that waits for this user to acknowledge this message."""
        return map(_callback_from_item, _query(self.name, user, "waits_for", f"ack#{message_id}#"))

    def reconnect_of(self, callback: Callback) -> Callback | None:
        """What the same run has parked for a reconnect, if it has."""
        item = self._get(callback, _reconnect(callback))
        return _callback_from_item(item) if item else None

    def keep_acknowledgement(self, callback: Callback, output: dict[str, Any]) -> None:
        """Keep an acknowledgement that came too late for this callback, for whatever the same run waits for next."""
        # In a row of its own: the next attempt replaces the callback's, or removes it.
        item = {
            **_callback_key(callback.recipient.user, _late(callback)),
            "acknowledgement": _text(json.dumps(output)),
            "expiration_date": _seconds(callback.expires_at),
        }
        with aws.translated(StoreUnavailable):
            aws.dynamodb().put_item(TableName=self.name, Item=item)

    def kept_acknowledgement(self, callback: Callback) -> dict[str, Any] | None:
        """The acknowledgement that came too late for the same run, if one did."""
        item = self._get(callback, _late(callback))
        kept: dict[str, Any] | None = json.loads(item["acknowledgement"]["S"]) if item else None
        return kept

    def remove_reconnect(self, callback: Callback) -> None:
        """Remove the callback, unless a later one of the same run has taken its place."""
        self._remove(callback, _reconnect(callback))

    def remove_acknowledgement(self, callback: Callback) -> None:
        """Remove the callback, unless a later one of the same run has taken its place."""
        self._remove(callback, _acknowledgement(callback))

    def _put(self, callback: Callback, waits_for: str) -> bool:
        item = {
            **_callback_key(callback.recipient.user, waits_for),
            "recipient": _text(callback.recipient.to_json()),
            "message_id": _text(callback.message_id),
            "execution_name": _text(callback.execution_name),
            "entry": {"N": str(callback.entry)},
            "task_token": _text(callback.task_token),
            "since": _milliseconds(callback.since),
            "expiration_date": _seconds(callback.expires_at),
            "accepted_at": _milliseconds(callback.accepted_at),
            "attempt": {"N": str(callback.attempt)},
            **({} if callback.sequence is None else {"sequence": {"N": str(callback.sequence)}}),
        }
        with aws.translated(StoreUnavailable):
            # A function can outlive the state that called it, and write after its successor.
            return aws.condition_holds(
                lambda: aws.dynamodb().put_item(
                    TableName=self.name,
                    Item=item,
                    ConditionExpression="attribute_not_exists(caller_id) OR entry <= :mine",
                    ExpressionAttributeValues={":mine": item["entry"]},
                )
            )

    def _get(self, callback: Callback, waits_for: str) -> Mapping[str, Any]:
        with aws.translated(StoreUnavailable):
            answer = aws.dynamodb().get_item(
                TableName=self.name, Key=_callback_key(callback.recipient.user, waits_for), ConsistentRead=True
            )
        return answer.get("Item", {})

    def _remove(self, callback: Callback, waits_for: str) -> None:
        with aws.translated(StoreUnavailable):
            aws.condition_holds(
                lambda: aws.dynamodb().delete_item(
                    TableName=self.name,
                    Key=_callback_key(callback.recipient.user, waits_for),
                    ConditionExpression="task_token = :mine",
                    ExpressionAttributeValues={":mine": _text(callback.task_token)},
                )
            )


class SequenceTable:
    """`lambdas.core.ports.Sequences` on DynamoDB."""

    def __init__(self, name: str) -> None:
        self.name = name

    def number(self, recipient: Recipient, execution_name: str, *, until: datetime) -> Numbered:
        """The number of the message that this run carries; the next one if it has none yet."""
        caller_id, conversation = _text(f"user#{recipient.user}"), _conversation(recipient)
        last = {"caller_id": caller_id, "position": _text(f"last#{conversation}")}
        mine = {"caller_id": caller_id, "position": _text(f"number#{conversation}#{execution_name}")}
        for pause_seconds in _PAUSES_SECONDS:
            time.sleep(pause_seconds * random.random())  # noqa: S311 - so that two who met do not meet again
            stored = self._read(last, mine)
            if there := stored.get(mine["position"]["S"]):
                return Numbered(int(there["sequence"]["N"]), is_new=False)
            counted = stored.get(last["position"]["S"])
            sequence = int(counted["sequence"]["N"]) + 1 if counted else 1
            if self._give(last, mine, sequence, until):
                return Numbered(sequence, is_new=True)
        raise StoreUnavailable("too many want the next number of one recipient")

    def _read(self, *keys: dict[str, Any]) -> dict[str, Mapping[str, Any]]:
        with aws.translated(StoreUnavailable):
            answer = aws.dynamodb().batch_get_item(
                RequestItems={self.name: {"Keys": list(keys), "ConsistentRead": True}}
            )
        if answer.get("UnprocessedKeys"):
            raise StoreUnavailable("BatchGetItem: UnprocessedKeys")
        return {item["position"]["S"]: item for item in answer["Responses"].get(self.name, [])}

    def _give(self, last: dict[str, Any], mine: dict[str, Any], sequence: int, until: datetime) -> bool:
        """Count on and note the number in one transaction; False if somebody else did so meanwhile."""
        row = {**mine, "sequence": {"N": str(sequence)}, "expiration_date": _seconds(until)}
        with aws.translated(StoreUnavailable):
            try:
                aws.dynamodb().transact_write_items(
                    TransactItems=[
                        {
                            "Update": {
                                "TableName": self.name,
                                "Key": last,
                                "UpdateExpression": "SET #sequence = :next",
                                "ConditionExpression": "attribute_not_exists(caller_id) OR #sequence = :last",
                                "ExpressionAttributeNames": {"#sequence": "sequence"},
                                "ExpressionAttributeValues": {
                                    ":next": {"N": str(sequence)},
                                    ":last": {"N": str(sequence - 1)},
                                },
                            }
                        },
                        {
                            "Put": {
                                "TableName": self.name,
                                "Item": row,
                                "ConditionExpression": "attribute_not_exists(caller_id)",
                            }
                        },
                    ]
                )
            except ClientError as error:
                if aws.code(error) in {"TransactionCanceledException", "TransactionConflictException"}:
                    return False
                raise
        return True


def _query(table_name: str, user: str, sort_key: str, prefix: str) -> Iterator[Mapping[str, Any]]:
    """Read one user's rows page by page; an empty prefix is all of them."""
    condition = "caller_id = :user"
    values = {":user": _text(f"user#{user}")}
    names = {}
    if prefix:
        condition += " AND begins_with(#sort, :prefix)"
        values[":prefix"] = _text(prefix)
        names["#sort"] = sort_key
    request: dict[str, Any] = {
        "TableName": table_name,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": values,
        "ConsistentRead": True,
        **({"ExpressionAttributeNames": names} if names else {}),
    }
    while True:
        with aws.translated(StoreUnavailable):
            page = aws.dynamodb().query(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _connection_item(connection: Connection) -> dict[str, Any]:
    item = {
        **_connection_key(connection.recipient, connection.connection_id),
        "recipient": _text(connection.recipient.to_json()),
        "connection_id": _text(connection.connection_id),
        "endpoint": _text(connection.endpoint),
        "connected_at": _milliseconds(connection.connected_at),
        "expiration_date": _seconds(connection.expires_at),
    }
    if connection.token_expires_at:
        item["token_expires_at"] = _seconds(connection.token_expires_at)
    if connection.attributes:
        item["attributes"] = {"M": {name: _text(value) for name, value in connection.attributes.items()}}
    if connection.in_conversation:
        item["conversation"] = _text(_conversation(connection.recipient))  # so the index has it
    return item


def _callback_from_item(item: Mapping[str, Any]) -> Callback:
    return Callback(
        recipient=Recipient.from_json(item["recipient"]["S"]),
        message_id=item["message_id"]["S"],
        execution_name=item["execution_name"]["S"],
        entry=int(item["entry"]["N"]),
        task_token=item["task_token"]["S"],
        since=moment(int(item["since"]["N"]) / 1000),
        expires_at=moment(int(item["expiration_date"]["N"])),
        accepted_at=moment(int(item["accepted_at"]["N"]) / 1000),
        attempt=int(item["attempt"]["N"]),
        sequence=int(item["sequence"]["N"]) if "sequence" in item else None,
    )


def _conversation(recipient: Recipient) -> str:
    return f"{recipient.context}#{recipient.context_id}"


def _connection_key(recipient: Recipient, connection_id: str) -> dict[str, Any]:
    return {
        "caller_id": _text(f"user#{recipient.user}"),
        "context": _text(f"{_conversation(recipient)}#{connection_id}"),
    }


def _callback_key(user: str, waits_for: str) -> dict[str, Any]:
    return {"caller_id": _text(f"user#{user}"), "waits_for": _text(waits_for)}


def _reconnect(callback: Callback) -> str:
    # Ordered ones sort by their number.
    order = "" if callback.sequence is None else f"{callback.sequence:012}#"
    return f"reconnect#{_conversation(callback.recipient)}#{order}{callback.execution_name}"


def _acknowledgement(callback: Callback) -> str:
    return f"ack#{callback.message_id}#{callback.execution_name}"


def _late(callback: Callback) -> str:
    return f"late#{callback.message_id}#{callback.execution_name}"


def _text(value: str) -> dict[str, str]:
    return {"S": value}


def _milliseconds(moment: datetime) -> dict[str, str]:
    return {"N": str(round(moment.timestamp() * 1000))}


def _seconds(moment: datetime) -> dict[str, str]:
    return {"N": str(int(moment.timestamp()))}
