"""One usual invocation of each hot function: its environment, its event, and what AWS answers it.

The answers come from a hook in front of botocore's HTTP, so that a call costs what botocore costs and no more: neither
a socket nor a service is measured.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from types import SimpleNamespace
from typing import Any, Final

import jwt
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from lambdas.adapters import aws
from lambdas.adapters.tables import CallbackTable, ConnectionTable
from lambdas.core.model import Callback, Connection
from ringback.plain import Recipient

Json = dict[str, Any]
Row = Mapping[str, Any]

ENDPOINT: Final = "https://abcdefabcd.execute-api.eu-central-1.amazonaws.com/v1"
MACHINE: Final = "arn:aws:states:eu-central-1:123456789012:stateMachine:Delivery"
CONNECTIONS, CALLBACKS = "Connections", "Callbacks"
ANA: Final = Recipient(user="ana", context="chat", context_id="42")
MESSAGE_ID: Final = "order-4711"
_ISSUER, _AUDIENCE = "https://issuer.example", "ringback"
_KEY: Final = ec.derive_private_key(4711, ec.SECP256R1())  # every process has to have the same

# As Lambda gives it, so that botocore looks for a region and credentials no longer than it does there.
PLATFORM: Final = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "a-session-token-" * 40,
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_LAMBDA_FUNCTION_NAME": "Function",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
}


def environment() -> dict[str, str]:
    """What the functions are told, all of them together."""
    key = {**ECAlgorithm.to_jwk(_KEY.public_key(), as_dict=True), "kid": "one"}
    return {
        **PLATFORM,
        "STACK_NAME": "Ringback-bench",
        "POWERTOOLS_SERVICE_NAME": "bench",
        "POWERTOOLS_METRICS_NAMESPACE": "Ringback",
        "LOG_LEVEL": "INFO",
        "CONNECTIONS_TABLE_NAME": CONNECTIONS,
        "CALLBACKS_TABLE_NAME": CALLBACKS,
        "SEQUENCES_TABLE_NAME": "Sequences",
        "DELIVERY_STATE_MACHINE_ARN": MACHINE,
        "EVERY_MESSAGE_IS_A_RUN": "false",
        "DEFAULT_TTL_SECONDS": "86400",
        "MANAGEMENT_ENDPOINT": ENDPOINT,
        "CONNECTION_TTL_MINUTES": "130",
        "MAX_CONNECTIONS_PER_USER": "10",
        "CONNECTION_LIMIT_POLICY": "evict_oldest",
        "INGEST_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/Ingest",
        "INGEST_DEAD_LETTER_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/DeadIngest",
        "TOKEN_ALGORITHMS": "ES256",
        "TOKEN_ISSUER": _ISSUER,
        "TOKEN_AUDIENCE": _AUDIENCE,
        "TOKEN_JWKS": json.dumps({"keys": [key]}),
    }


def context() -> Any:
    """Lambda's context object."""
    return SimpleNamespace(
        function_name="Function",
        function_version="$LATEST",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:Function",
        aws_request_id="5e0ea1a4-6a5c-4f6d-9d2c-000000000000",
        log_group_name="group",
        log_stream_name="stream",
        get_remaining_time_in_millis=lambda: 29_000,
    )


@dataclass
class StandIn:
    """AWS, as far as these invocations ask: one connection, the callbacks that are put here, and yes to all else."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {CONNECTIONS: [], CALLBACKS: []})
    stored: list[Row] = field(default_factory=list)

    def install(self) -> None:
        """Answer every client that is made from now on."""
        register: Any = aws.session().register  # its stubs know no hook that answers
        register("before-send", self.answer)

    def answer(self, **about: Any) -> AWSResponse:
        """What the service would answer."""
        request: AWSPreparedRequest = about["request"]
        target = request.headers.get("X-Amz-Target", b"")
        operation = (target if isinstance(target, str) else target.decode()).rpartition(".")[2]
        asked: Json = json.loads(str(request.body, "utf-8")) if isinstance(request.body, bytes) and operation else {}
        body = json.dumps(self._answer(operation, asked)).encode() if operation else b""
        headers: Any = HeadersDict({"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": "request"})
        return AWSResponse(request.url, 200, headers, _Raw(body))

    def _answer(self, operation: str, asked: Json) -> Json:
        match operation:
            case "Query":
                prefix = asked["ExpressionAttributeValues"].get(":prefix", {"S": ""})["S"]
                found = [row for row in self.rows[asked["TableName"]] if _sort_key(row).startswith(prefix)]
                return {"Items": found, "Count": len(found), "ScannedCount": len(found)}
            case "PutItem":
                self.stored = [asked["Item"]]
            case "DeleteItem" if asked.get("ReturnValues") == "ALL_OLD":
                return {"Attributes": self.rows[asked["TableName"]][0]}
            case "BatchGetItem":
                return {"Responses": {}, "UnprocessedKeys": {}}
            case "StartExecution":
                return {"executionArn": f"{MACHINE}:{MESSAGE_ID}", "startDate": 1_700_000_000.0}
        return {}


class _Raw(BytesIO):
    """A body as urllib3 has it."""

    def stream(self, **_: object) -> "list[bytes]":
        """All of it."""
        return [self.getvalue()]


def _sort_key(row: Row) -> str:
    return str((row.get("waits_for") or row["context"])["S"])


@dataclass(frozen=True)
class Scene:
    """One invocation: of which module below `lambdas`, and with what event."""

    module: str
    event: Callable[[], Any]


def stage() -> tuple[Scene, ...]:
    """Put one connection and its callbacks into a stand-in, which answers from now on; and the scenes that meet it."""
    stand_in = StandIn()
    stand_in.install()
    now = datetime.now(UTC)
    connection = _connection(now)
    ConnectionTable(CONNECTIONS).put(connection)
    stand_in.rows[CONNECTIONS] = list(stand_in.stored)
    for park in (CallbackTable(CALLBACKS).park_for_reconnect, CallbackTable(CALLBACKS).park_for_acknowledgement):
        park(_callback(now))
        stand_in.rows[CALLBACKS] += stand_in.stored
    task = _task(now)
    posting = {**task, "connections": [connection.to_state()]}
    waiting = {"taskToken": "t" * 600, "entry": {"enteredAt": _text(now), "retry": 0}}
    wait = {"tried": [], "triedAt": _text(now), "unacknowledged": False, "maxAttempts": 270}
    inserted = {"dynamodb": {"NewImage": stand_in.rows[CONNECTIONS][0], "SequenceNumber": "1"}, "eventName": "INSERT"}
    # Nobody is there, or there would be nothing to wait for: one who has just been tried does not count.
    missed = {**wait, "tried": [connection.connection_id]}
    return (
        Scene("calls.accept", lambda: {"messages": [_envelope()]}),
        Scene("tasks.resolve_connections", lambda: task),
        Scene("tasks.post_to_connections", lambda: posting),
        Scene("tasks.post_and_await_acknowledgement", lambda: {**posting, **waiting}),
        Scene("tasks.wait_for_reconnect", lambda: {**task, **waiting, **missed}),
        Scene("triggers.wake", lambda: {"Records": [inserted]}),
        Scene("triggers.ingest", lambda: {"Records": [_record(now)]}),
        Scene("routes.acknowledge", lambda: _frame({"action": "ack", "id": MESSAGE_ID})),
        Scene("routes.connect", _handshake),
        Scene("routes.disconnect", lambda: _frame(kind="DISCONNECT")),
        Scene("routes.authorizer", authorizer_event),
    )


def authorizer_event() -> Json:
    """A handshake as the authorizer gets it, with a token that `environment` has the key of."""
    event = _handshake()
    claims = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": ANA.user, "exp": datetime.now(UTC) + timedelta(hours=1)}
    headers = {"Authorization": f"Bearer {jwt.encode(claims, _KEY, 'ES256', {'kid': 'one'})}"}
    return {
        **event,
        "methodArn": "arn:aws:execute-api:eu-central-1:123456789012:abcdefabcd/v1/$connect",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "multiValueQueryStringParameters": {"context": [ANA.context], "contextId": [ANA.context_id]},
    }


def _connection(now: datetime) -> Connection:
    return Connection(
        recipient=ANA,
        connection_id="Sm9tZUNvbm5lY3Q=",
        endpoint=ENDPOINT,
        connected_at=now - timedelta(minutes=10),
        expires_at=now + timedelta(hours=2),
        token_expires_at=now + timedelta(hours=1),
    )


def _callback(now: datetime) -> Callback:
    return Callback(
        recipient=ANA,
        message_id=MESSAGE_ID,
        execution_name=MESSAGE_ID,
        entry=1,
        task_token="t" * 600,
        since=now,
        expires_at=now + timedelta(hours=1),
        accepted_at=now,
        attempt=1,
        sequence=None,
    )


def _envelope() -> Json:
    recipient = {"user": ANA.user, "context": ANA.context, "contextId": ANA.context_id}
    return {"id": MESSAGE_ID, "recipient": recipient, "type": "news", "payload": {"text": "x" * 400}}


def _task(now: datetime) -> Json:
    execution = {"name": MESSAGE_ID, "arn": f"{MACHINE}:{MESSAGE_ID}".replace("stateMachine", "execution")}
    return {"message": _envelope(), "execution": {**execution, "startedAt": _text(now)}, "attempt": 1}


def _record(now: datetime) -> Json:
    return {
        "messageId": "b1946ac9-2d5f-4f7b-a8d5-000000000000",
        "receiptHandle": "handle",
        "body": json.dumps(_envelope()),
        "messageAttributes": {},
        "attributes": {"SentTimestamp": str(round(now.timestamp() * 1000)), "ApproximateReceiveCount": "1"},
    }


def _frame(body: Json | None = None, *, kind: str = "MESSAGE") -> Json:
    granted = {"user": ANA.user, "context": ANA.context, "contextId": ANA.context_id}
    expires_at = round((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    return {
        "requestContext": {
            "eventType": kind,
            "connectionId": "Sm9tZUNvbm5lY3Q=",
            "authorizer": {**granted, "tokenExpiresAt": str(expires_at), "attributes": "{}", "inConversation": "false"},
            "identity": {"sourceIp": "203.0.113.7"},
        },
        **({"body": json.dumps(body)} if body else {}),
    }


def _handshake() -> Json:
    return {**_frame(kind="CONNECT"), "headers": {"Host": "abcdefabcd.execute-api.eu-central-1.amazonaws.com"}}


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
