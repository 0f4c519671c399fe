"""DynamoDB in this process, behind the functions' real clients: every request is counted as it goes out.

The clients sign and serialize as ever; only what would go over the network is taken off them. MiniStack answers for
DynamoDB, and its store takes rows directly, a million of them in seconds. Step Functions and the management API say
yes to everything.
"""

import asyncio
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from unittest import mock

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.httpsession import URLLib3Session
from ministack.services import dynamodb  # type: ignore[import-untyped]

from benchmarks.billing.units import Item, read_units, write_units

Row = dict[str, dict[str, Any]]

_DYNAMODB = "DynamoDB_20120810."
_STEP_FUNCTIONS = "AWSStepFunctions."
_SORT_KEYS = {"Connections": "context", "Callbacks": "waits_for", "Sequences": "position"}
_PARTITION_KEY = "caller_id"


@dataclass
class Used:
    """What requests came to: DynamoDB's round trips and units, and the calls of the others by name."""

    round_trips: int = 0
    reads: float = 0
    writes: float = 0
    others: Counter[str] = field(default_factory=Counter)


class Wire:
    """The three tables, and what was used since `used` was last set."""

    def __init__(self) -> None:
        self.used = Used()
        self._lock = Lock()
        for name, sort_key in _SORT_KEYS.items():
            self._dynamodb(
                "CreateTable",
                {
                    "TableName": name,
                    "KeySchema": [
                        {"AttributeName": _PARTITION_KEY, "KeyType": "HASH"},
                        {"AttributeName": sort_key, "KeyType": "RANGE"},
                    ],
                    "AttributeDefinitions": [
                        {"AttributeName": key, "AttributeType": "S"} for key in (_PARTITION_KEY, sort_key)
                    ],
                    "BillingMode": "PAY_PER_REQUEST",
                },
            )

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Take what all clients send."""

        def send(_session: URLLib3Session, request: AWSPreparedRequest) -> AWSResponse:
            return self._answer(request)

        with mock.patch.object(URLLib3Session, "send", send):
            yield

    def close(self) -> None:
        """Forget the tables."""
        for name in _SORT_KEYS:
            self._dynamodb("DeleteTable", {"TableName": name})

    def rows(self, table: str) -> dict[str, dict[str, Row]]:
        """A table's rows as they are stored, by partition and sort key. What is put here is there."""
        rows: dict[str, dict[str, Row]] = dynamodb._tables[table]["items"]
        return rows

    def _answer(self, request: AWSPreparedRequest) -> AWSResponse:
        target = request.headers.get("X-Amz-Target", b"")
        name = target.decode() if isinstance(target, bytes) else target
        if not name.startswith(_DYNAMODB):
            with self._lock:
                self.used.others[name.removeprefix(_STEP_FUNCTIONS) or "PostToConnection"] += 1
            return _response(request, 200, b"{}")
        operation, asked = name.removeprefix(_DYNAMODB), json.loads(_body(request))
        with self._lock:
            before = self._touched(operation, asked)
            status, body = self._dynamodb(operation, asked)
            self.used.round_trips += 1
            self._count(operation, asked, json.loads(body), before, self._touched(operation, asked))
        return _response(request, status, body)

    def _dynamodb(self, operation: str, asked: Mapping[str, Any]) -> tuple[int, bytes]:
        call = dynamodb.handle_request(
            "POST", "/", {"x-amz-target": f"{_DYNAMODB}{operation}"}, json.dumps(asked).encode(), {}
        )
        status, _, body = asyncio.run(call)
        return status, body if isinstance(body, bytes) else body.encode()

    def _touched(self, operation: str, asked: Mapping[str, Any]) -> list[Item | None]:
        """The rows that this writes, as they are stored."""
        match operation:
            case "PutItem":
                writes = [(asked["TableName"], asked["Item"])]
            case "DeleteItem" | "UpdateItem":
                writes = [(asked["TableName"], asked["Key"])]
            case "TransactWriteItems":
                parts = [part for item in asked["TransactItems"] for part in item.values()]
                writes = [(part["TableName"], part.get("Item") or part["Key"]) for part in parts]
            case _:
                writes = []
        return [
            self.rows(table).get(item[_PARTITION_KEY]["S"], {}).get(item[_SORT_KEYS[table]]["S"])
            for table, item in writes
        ]

    def _count(
        self,
        operation: str,
        asked: Mapping[str, Any],
        answer: Mapping[str, Any],
        before: list[Item | None],
        after: list[Item | None],
    ) -> None:
        match operation:
            case "PutItem" | "DeleteItem" | "UpdateItem" | "TransactWriteItems":
                times = 2 if operation == "TransactWriteItems" else 1
                for was, is_now in zip(before, after, strict=True):
                    self.used.writes += times * write_units(was, is_now)
            case _:
                self.used.reads += read_units(operation, asked, answer)


def _body(request: AWSPreparedRequest) -> bytes | str:
    if not isinstance(request.body, bytes | str):
        raise TypeError("a request to DynamoDB is text")
    return request.body


def _response(request: AWSPreparedRequest, status: int, body: bytes) -> AWSResponse:
    headers = HTTPHeaders()
    headers["Content-Type"] = "application/x-amz-json-1.0"
    headers["x-amz-crc32"] = str(zlib.crc32(body))
    return AWSResponse(request.url, status, headers, _Raw(body))


class _Raw(io.BytesIO):
    """A body as botocore reads one of urllib3."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()
