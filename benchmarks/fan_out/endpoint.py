"""A stand-in for the management API, and for DynamoDB as a fan-out reads it, in a process of its own.

It does as little as it can, so that what is measured is who asks. A post is answered with 200; a query with one
connection of whoever is asked for, or with a page of a conversation.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import beside
from benchmarks.fan_out.certificates import Certificate

PAGE_SIZE = 250
# With the headers that API Gateway answers with.
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 0\r\nConnection: keep-alive\r\nx-amzn-RequestId: 1b0d9d54-5e0d-4c5a-8f51-000000000000\r\n\r\n"
)
_LENGTH = b"\r\ncontent-length: "
_HOST = "127.0.0.1"


class _Posts(asyncio.Protocol):
    """One connection, kept open: as many posts, or queries, as come."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP server's
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            if b"\r\nexpect: 100-continue" in head and len(self._received) == end + 4:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            start = head.index(_LENGTH) + len(_LENGTH)
            length = int(head[start:].partition(b"\r\n")[0])
            if len(self._received) < end + 4 + length:
                return
            body = self._received[end + 4 : end + 4 + length]
            self._received = self._received[end + 4 + length :]
            self._transport.write(_found(body) if b"\r\nx-amz-target: dynamodb" in head else _ANSWER)


def _found(asked: bytes) -> bytes:
    query = json.loads(asked)
    if "IndexName" in query:
        return _page()
    values = query["ExpressionAttributeValues"].values()
    return _items([_row(next(value["S"] for value in values if value["S"].startswith("user#")))])


@cache
def _page() -> bytes:
    return _items([_row(f"user#{number:07}") for number in range(PAGE_SIZE)])


def _row(caller_id: str) -> dict[str, Any]:
    user = caller_id.removeprefix("user#")
    return {
        "caller_id": {"S": caller_id},
        "context": {"S": f"chat#42#c{user}="},
        "conversation": {"S": "chat#42"},
        "recipient": {"S": json.dumps({"user": user, "context": "chat", "context_id": "42"})},
        "connection_id": {"S": f"c{user}="},
        "endpoint": {"S": _Endpoint.url},
        "connected_at": {"N": "1700000000000"},
        "expiration_date": {"N": "4000000000"},
    }


def _items(items: list[dict[str, Any]]) -> bytes:
    body = json.dumps({"Items": items, "Count": len(items), "ScannedCount": len(items)}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Endpoint:
    """Where the rows say that the posts go: here."""

    url = ""


@contextmanager
def running(certificate: Certificate | None = None) -> Iterator[str]:
    """Have it listen on a free port of this machine, secured if it has a certificate; gives its URL."""
    with beside.running(_serve, certificate) as url:
        yield str(url)


def _serve(pipe: Connection, certificate: Certificate | None) -> None:
    asyncio.run(_listen(pipe, certificate))


async def _listen(pipe: Connection, certificate: Certificate | None) -> None:
    tls = certificate.context() if certificate else None
    server = await asyncio.get_running_loop().create_server(_Posts, _HOST, 0, backlog=1024, ssl=tls)
    _Endpoint.url = f"{'https' if tls else 'http'}://{_HOST}:{server.sockets[0].getsockname()[1]}"
    pipe.send(_Endpoint.url)
    await server.serve_forever()
