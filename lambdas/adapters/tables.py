"""The two tables. All reads are consistent queries within one user's partition.

Connections: `caller_id` = ``user#{user}``, `context` = ``{context}#{contextId}#{connectionId}``.
Callbacks: `caller_id` = ``user#{user}``, `waits_for` = ``reconnect#{context}#{contextId}#{execution}``
or ``ack#{messageId}#{execution}``. A key names one thing exactly, so a late delete cannot hit its successor, and two
runs that carry one message do not take each other's place.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from lambdas.adapters import aws
from lambdas.core.errors import StoreUnavailable
from lambdas.core.model import Callback, Connection
from ringback.envelope import Recipient


@dataclass(frozen=True)
class ConnectionTable:
    """`lambdas.core.ports.ConnectionStore` on DynamoDB."""

    name: str

    def put(self, connection: Connection) -> None:
        """Store a connection; storing it again changes nothing."""
        with aws.translated(StoreUnavailable):
            aws.dynamodb().put_item(TableName=self.name, Item=_connection_item(connection))

    def delete(self, recipient: Recipient, connection_id: str) -> bool:
        """Remove exactly this connection; False if it was not there."""
        with aws.translated(StoreUnavailable):
            answer = aws.dynamodb().delete_item(
                TableName=self.name,
                Key=_connection_key(recipient, connection_id),
                ReturnValues="ALL_OLD",
            )
        return "Attributes" in answer

    def of_recipient(self, recipient: Recipient) -> list[Connection]:
        """Every stored connection of the recipient, expired rows included."""
        return self._query(recipient.user, f"{_conversation(recipient)}#")

    def of_user(self, user: str) -> list[Connection]:
        """Every stored connection of the user, expired rows included."""
        return self._query(user, "")

    def _query(self, user: str, prefix: str) -> list[Connection]:
        return [connection_from_item(item) for item in _query(self.name, user, "context", prefix)]


@dataclass(frozen=True)
class CallbackTable:
    """`lambdas.core.ports.CallbackStore` on DynamoDB."""

    name: str

    def park_for_reconnect(self, callback: Callback) -> bool:
        """Store a callback that the recipient's next connection completes; False if the run's later one is there."""
        return self._put(callback, _reconnect(callback))

    def park_for_acknowledgement(self, callback: Callback) -> bool:
        """Store a callback that the client's acknowledgement completes; False if the run's later one is there."""
        return self._put(callback, _acknowledgement(callback))

    def waiting_for_reconnect(self, recipient: Recipient) -> Iterator[Callback]:
        """Every callback that waits for this recipient to connect."""
        prefix = f"reconnect#{_conversation(recipient)}#"
        return map(_callback_from_item, _query(self.name, recipient.user, "waits_for", prefix))

    def waiting_for_acknowledgement(self, user: str, message_id: str) -> Iterator[Callback]:
        """Every callback that waits for this user to acknowledge this message."""
        return map(_callback_from_item, _query(self.name, user, "waits_for", f"ack#{message_id}#"))

    def remove_reconnect(self, callback: Callback) -> None:
        """Remove the callback, unless a later one of the same run has taken its place."""
        self._remove(callback, _reconnect(callback))

    def remove_acknowledgement(self, callback: Callback) -> None:
        """Remove the callback, unless a later one of the same run has taken its place."""
        self._remove(callback, _acknowledgement(callback))

    def _put(self, callback: Callback, waits_for: str) -> bool:
        item = {
            **_callback_key(callback.recipient.user, waits_for),
            "recipient": _text(callback.recipient.model_dump_json()),
            "message_id": _text(callback.message_id),
            "execution_name": _text(callback.execution_name),
            "entry": {"N": str(callback.entry)},
            "task_token": _text(callback.task_token),
            "since": _milliseconds(callback.since),
            "expiration_date": _seconds(callback.expires_at),
        }
        with aws.translated(StoreUnavailable):
            try:
                # A function can outlive the state that called it, and write after its successor.
                aws.dynamodb().put_item(
                    TableName=self.name,
                    Item=item,
                    ConditionExpression="attribute_not_exists(caller_id) OR entry <= :mine",
                    ExpressionAttributeValues={":mine": item["entry"]},
                )
            except ClientError as error:
                if aws.code(error) == "ConditionalCheckFailedException":
                    return False
                raise
        return True

    def _remove(self, callback: Callback, waits_for: str) -> None:
        with aws.translated(StoreUnavailable):
            try:
                aws.dynamodb().delete_item(
                    TableName=self.name,
                    Key=_callback_key(callback.recipient.user, waits_for),
                    ConditionExpression="task_token = :mine",
                    ExpressionAttributeValues={":mine": _text(callback.task_token)},
                )
            except ClientError as error:
                if aws.code(error) != "ConditionalCheckFailedException":
                    raise


def connection_from_item(item: Mapping[str, Any]) -> Connection:
    """Read a row of the connections table, from the table or from its stream."""
    expires = item.get("token_expires_at")
    return Connection(
        recipient=Recipient.model_validate_json(item["recipient"]["S"]),
        connection_id=item["connection_id"]["S"],
        endpoint=item["endpoint"]["S"],
        connected_at=_moment(int(item["connected_at"]["N"]) / 1000),
        expires_at=_moment(int(item["expiration_date"]["N"])),
        token_expires_at=_moment(int(expires["N"])) if expires else None,
    )


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
        "recipient": _text(connection.recipient.model_dump_json()),
        "connection_id": _text(connection.connection_id),
        "endpoint": _text(connection.endpoint),
        "connected_at": _milliseconds(connection.connected_at),
        "expiration_date": _seconds(connection.expires_at),
    }
    if connection.token_expires_at:
        item["token_expires_at"] = _seconds(connection.token_expires_at)
    return item


def _callback_from_item(item: Mapping[str, Any]) -> Callback:
    return Callback(
        recipient=Recipient.model_validate_json(item["recipient"]["S"]),
        message_id=item["message_id"]["S"],
        execution_name=item["execution_name"]["S"],
        entry=int(item["entry"]["N"]),
        task_token=item["task_token"]["S"],
        since=_moment(int(item["since"]["N"]) / 1000),
        expires_at=_moment(int(item["expiration_date"]["N"])),
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
    return f"reconnect#{_conversation(callback.recipient)}#{callback.execution_name}"


def _acknowledgement(callback: Callback) -> str:
    return f"ack#{callback.message_id}#{callback.execution_name}"


def _text(value: str) -> dict[str, str]:
    return {"S": value}


def _milliseconds(moment: datetime) -> dict[str, str]:
    return {"N": str(round(moment.timestamp() * 1000))}


def _seconds(moment: datetime) -> dict[str, str]:
    return {"N": str(int(moment.timestamp()))}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
