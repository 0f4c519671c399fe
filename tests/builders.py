"""Short ways to say what a test is about; everything that it does not mention is ordinary.

The people: Ana, who chats in conversation 42. The time: noon of the last day of January 2030.
"""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from lambdas.core.delivery import Attempt, Waiting
from lambdas.core.model import Callback, Connection, Message
from ringback.plain import Recipient

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
DOMAIN = "abcdefabcd.execute-api.eu-central-1.amazonaws.com"
DAY_SECONDS = 24 * 3600

# What every Lambda handler is called with beside its event.
LAMBDA_CONTEXT: Any = SimpleNamespace(
    function_name="function",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:function",
    aws_request_id="52fdfc07-2182-454f-963f-5f0f9a621d72",
    get_remaining_time_in_millis=lambda: 60_000,
)


def recipient(user: str = "ana", context: str = "chat", context_id: str = "42") -> Recipient:
    return Recipient(user=user, context=context, context_id=context_id)


def envelope(**changes: Any) -> dict[str, Any]:
    """An envelope in its JSON form."""
    return {
        "id": "m-1",
        "recipient": {"user": "ana", "context": "chat", "contextId": "42"},
        "payload": {"text": "hello"},
        **changes,
    }


def message(**changes: Any) -> Message:
    """A message that was accepted at noon and lives for a day."""
    return Message.accept(
        envelope(**changes), fallback_id="execution-name", accepted_at=NOW, default_ttl_seconds=DAY_SECONDS
    )


def attempt(
    number: int = 1, *, execution_name: str | None = None, numbered: int | None = None, **changes: Any
) -> Attempt:
    """An attempt of a run that is named after its message, as ingest names them; ``numbered`` is an ordered one."""
    carried = message(**({} if numbered is None else {"ordered": True}), **changes)
    return Attempt(carried, number, execution_name or carried.id, numbered)


def waiting(entry: int = 1) -> Waiting:
    """A state that waits; each entry into it is a second later and has its own token."""
    return Waiting(f"token-{entry}", entered_at=NOW + timedelta(seconds=entry), retry=0)


def connection(
    connection_id: str = "Sm9tZQ=",
    to: Recipient | None = None,
    *,
    age_seconds: float = 60,
    life_seconds: float = 7200,
    token_life_seconds: float | None = None,
    stale_since: datetime | None = None,
) -> Connection:
    """A connection as it is at noon; its age, and what is left of its own life and of its token's."""
    return Connection(
        recipient=to or recipient(),
        connection_id=connection_id,
        endpoint=f"https://{DOMAIN}/prod",
        connected_at=NOW - timedelta(seconds=age_seconds),
        expires_at=NOW + timedelta(seconds=life_seconds),
        token_expires_at=None if token_life_seconds is None else NOW + timedelta(seconds=token_life_seconds),
        stale_since=stale_since,
    )


def callback(
    message_id: str = "m-1",
    to: Recipient | None = None,
    *,
    entry: int = 1,
    execution_name: str | None = None,
    attempt: int = 1,
    sequence: int | None = None,
    task_token: str | None = None,
    since: datetime = NOW,
    accepted_at: datetime = NOW,
) -> Callback:
    """A callback of a run that is named after its message; each entry into a waiting state has its own token."""
    return Callback(
        recipient=to or recipient(),
        message_id=message_id,
        execution_name=execution_name or message_id,
        entry=entry,
        task_token=task_token or f"token-{entry}",
        since=since,
        expires_at=NOW + timedelta(days=1),
        accepted_at=accepted_at,
        attempt=attempt,
        sequence=sequence,
    )


def task(message: Any, **changes: Any) -> dict[str, Any]:
    """What every Task state hands its function."""
    return {
        "message": message,
        "execution": {
            "arn": "arn:aws:states:eu-central-1:123456789012:execution:Delivery:execution-name",
            "name": "execution-name",
            "startedAt": "2030-01-31T12:00:00.000Z",
        },
        "attempt": 1,
        **changes,
    }


def connect_event(connection_id: str = "Sm9tZQ=", **headers: str) -> dict[str, Any]:
    """API Gateway's `$connect`; a header's name is written with underscores."""
    sent = {"Host": DOMAIN, "Sec-WebSocket-Version": "13", "X-Forwarded-Proto": "https"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": {"context": "chat", "contextId": "42"},
        "multiValueQueryStringParameters": {"context": ["chat"], "contextId": ["42"]},
        "requestContext": _request_context("$connect", "CONNECT", connection_id),
        "isBase64Encoded": False,
    }


def message_event(body: str, connection_id: str = "Sm9tZQ=", *, route: str = "ack") -> dict[str, Any]:
    """A frame that a client sent."""
    context = _request_context(route, "MESSAGE", connection_id)
    return {"requestContext": {**context, "messageId": "Sm9tZTM="}, "body": body, "isBase64Encoded": False}


def disconnect_event(connection_id: str = "Sm9tZQ=") -> dict[str, Any]:
    """API Gateway's `$disconnect`."""
    context = _request_context("$disconnect", "DISCONNECT", connection_id)
    closed = {"disconnectStatusCode": 1001, "disconnectReason": "Going away"}
    return {"headers": {"Host": DOMAIN}, "requestContext": {**context, **closed}, "isBase64Encoded": False}


def queue_record(body: str, message_id: str = "059f36b4", **attributes: str) -> dict[str, Any]:
    """One record of SQS's event."""
    return {
        "messageId": message_id,
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": str(int(NOW.timestamp() * 1000)),
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": str(int(NOW.timestamp() * 1000) + 5),
        },
        "messageAttributes": {
            name: {"stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String"}
            for name, value in attributes.items()
        },
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:Messages",
        "awsRegion": "eu-central-1",
    }


def stream_record(
    row: dict[str, Any], sequence_number: str, *, keys: tuple[str, str] = ("caller_id", "context")
) -> dict[str, Any]:
    """One record of DynamoDB's stream event: the row was inserted."""
    return {
        "eventID": f"event-{sequence_number}",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": NOW.timestamp(),
            "Keys": {name: row[name] for name in keys},
            "NewImage": row,
            "SequenceNumber": sequence_number,
            "SizeBytes": 321,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/Connections/stream/2030-01-31",
    }


def removal_record(record: dict[str, Any], sequence_number: str) -> dict[str, Any]:
    """One record of DynamoDB's stream event: the row of an insert was removed. Only its key is told."""
    told = {name: value for name, value in record["dynamodb"].items() if name != "NewImage"}
    return {
        **record,
        "eventID": f"event-{sequence_number}",
        "eventName": "REMOVE",
        "dynamodb": {**told, "SequenceNumber": sequence_number, "SizeBytes": 57},
    }


def presence_event(what: str, to: Recipient, connection_id: str = "Sm9tZQ=") -> dict[str, Any]:
    """EventBridge's event: a connection has `opened` or is `closed`."""
    at = NOW.isoformat().replace("+00:00", "Z")
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": f"ringback.connection.{what}",
        "source": "ringback",
        "account": "123456789012",
        "time": at,
        "region": "eu-central-1",
        "resources": [],
        "detail": {**to.to_wire(), "connectionId": connection_id, "at": at},
    }


def _request_context(route: str, event_type: str, connection_id: str) -> dict[str, Any]:
    milliseconds = int(NOW.timestamp() * 1000)
    return {
        "routeKey": route,
        "authorizer": {
            "principalId": "ana",
            "integrationLatency": 12,
            "user": "ana",
            "context": "chat",
            "contextId": "42",
            "tokenExpiresAt": str(int(NOW.timestamp()) + 900),
        },
        "eventType": event_type,
        "extendedRequestId": "Sm9tZUlkPQ=",
        "requestTime": "31/Jan/2030:12:00:00 +0000",
        "messageDirection": "IN",
        "stage": "prod",
        "connectedAt": milliseconds,
        "requestTimeEpoch": milliseconds + 1,
        "identity": {"userAgent": "Mozilla/5.0", "sourceIp": "203.0.113.7"},
        "requestId": "Sm9tZUlkPQ=",
        "domainName": DOMAIN,
        "connectionId": connection_id,
        "apiId": "abcdefabcd",
    }
