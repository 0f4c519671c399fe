"""The services that a wake calls, in a process of their own on loopback: Step Functions with its quota, and DynamoDB.

They answer as AWS does, JSON errors and all, after the time that such a call takes there. What they were called for
is asked by `X-Amz-Target: Storm.…`, as the other calls are told apart.
"""

import asyncio
import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import beside
from benchmarks.storm.quotas import Bucket, Quota

HOST = "127.0.0.1"
SEND_TASK_SUCCESS_SECONDS = 0.025
DYNAMODB_SECONDS = 0.005
PAGE_BYTES = 1024 * 1024
"""What DynamoDB reads for one answer to a Query."""

_LENGTH = b"\r\ncontent-length: "
_TARGET = b"\r\nx-amz-target: "

Json = dict[str, Any]
Answer = tuple[int, Json]


@dataclass(frozen=True)
class Report:
    """What has happened since the last reset. Times are this machine's monotonic clock's, in seconds."""

    woken: dict[str, float]
    throttled: list[float]
    waiting: int
    calls: dict[str, int]


class Services:
    """Their state, and what they answer."""

    def __init__(self) -> None:
        self.reset({"burst": 1, "perSecond": 1})

    def reset(self, request: Json) -> Answer:
        """Begin anew, with this quota of SendTaskSuccess."""
        self._bucket = Bucket(Quota(request["burst"], request["perSecond"]))
        self._tables: dict[str, dict[str, dict[str, Json]]] = {"Callbacks": {}, "Connections": {}}
        self._waiting: set[str] = set()
        self._woken: dict[str, float] = {}
        self._throttled: list[float] = []
        self._calls: Counter[str] = Counter()
        return 200, {}

    def answer(self, operation: str, request: Json, now: float) -> Answer:
        """Answer one call, whose operation is named as in `X-Amz-Target`, without the service's version."""
        if operation == "Reset":
            return self.reset(request)
        if operation == "Report":
            return 200, vars(Report(self._woken, self._throttled, len(self._waiting), self._calls))
        if operation == "Connections":
            return 200, {"items": [item for rows in self._tables["Connections"].values() for item in rows.values()]}
        self._calls[operation] += 1
        match operation:
            case "SendTaskSuccess":
                return self._succeed(request["taskToken"], now)
            case "PutItem":
                return self._put(request)
            case "DeleteItem":
                return self._delete(request)
            case "Query":
                return self._query(request)
            case _:
                return _error("UnknownOperationException", "")

    def _succeed(self, token: str, now: float) -> Answer:
        if not self._bucket.take(now):
            self._throttled.append(now)
            return _error("ThrottlingException", "Rate exceeded")
        if token not in self._waiting:
            return _error("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        self._waiting.remove(token)
        self._woken[token] = now
        return 200, {}

    def _put(self, request: Json) -> Answer:
        item = request["Item"]
        rows = self._tables[request["TableName"]].setdefault(item["caller_id"]["S"], {})
        rows[item[_sort_key(request)]["S"]] = item
        if token := item.get("task_token"):
            self._waiting.add(token["S"])
        return 200, {}

    def _delete(self, request: Json) -> Answer:
        rows = self._tables[request["TableName"]].get(request["Key"]["caller_id"]["S"], {})
        sort_key = request["Key"][_sort_key(request)]["S"]
        if rows.get(sort_key, {}).get("task_token") != request["ExpressionAttributeValues"][":mine"]:
            return _error("ConditionalCheckFailedException", "The conditional request failed")
        del rows[sort_key]
        return 200, {}

    def _query(self, request: Json) -> Answer:
        values, sort_key = request["ExpressionAttributeValues"], _sort_key(request)
        rows = self._tables[request["TableName"]].get(values[":user"]["S"], {})
        after = request.get("ExclusiveStartKey", {}).get(sort_key, {"S": ""})["S"]
        items: list[Json] = []
        size = 0
        for name in sorted(rows):
            if name <= after or not name.startswith(values[":prefix"]["S"]):
                continue
            size += len(json.dumps(rows[name]))
            if size > PAGE_BYTES:
                last = {key: items[-1][key] for key in ("caller_id", sort_key)}
                return 200, {"Items": items, "Count": len(items), "LastEvaluatedKey": last}
            items.append(rows[name])
        return 200, {"Items": items, "Count": len(items)}


class Client:
    """Asks the services what they were called for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = f"http://{HOST}:{port}"

    def reset(self, quota: Quota) -> None:
        """Begin anew, with this quota of SendTaskSuccess."""
        self._ask("Reset", burst=quota.burst, perSecond=quota.per_second)

    def report(self) -> Report:
        """What has happened since."""
        return Report(**self._ask("Report"))

    def connections(self) -> list[Json]:
        """The rows of the connections table."""
        items: list[Json] = self._ask("Connections")["items"]
        return items

    def _ask(self, operation: str, **request: float) -> Json:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=30)
        try:
            connection.request("POST", "/", json.dumps(request), {"X-Amz-Target": f"Storm.{operation}"})
            answer: Json = json.load(connection.getresponse())
        finally:
            connection.close()
        return answer


@contextmanager
def running() -> Iterator[Client]:
    """Have them listen on a free port of this machine."""
    with beside.running(_serve) as port:
        yield Client(port)


def _sort_key(request: Json) -> str:
    return {"Callbacks": "waits_for", "Connections": "context"}[request["TableName"]]


def _error(code: str, message: str) -> Answer:
    return 400, {"__type": code, "message": message}


def _serve(pipe: Connection) -> None:
    asyncio.run(_listen(pipe))


async def _listen(pipe: Connection) -> None:
    services = Services()
    server = await asyncio.get_running_loop().create_server(lambda: _Calls(services), HOST, 0, backlog=1024)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class _Calls(asyncio.Protocol):
    """One connection, kept open: one call after the other."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP server's
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = int(_field(head, _LENGTH))
            if len(self._received) < end + 4 + length:
                return
            body = self._received[end + 4 : end + 4 + length]
            self._received = self._received[end + 4 + length :]
            self._take(_field(head, _TARGET).decode().rpartition(".")[2], json.loads(body))

    def _take(self, operation: str, request: Json) -> None:
        took = SEND_TASK_SUCCESS_SECONDS if operation == "SendTaskSuccess" else DYNAMODB_SECONDS
        status, answer = self._services.answer(operation, request, time.monotonic())
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
        asyncio.get_running_loop().call_later(took, self._transport.write, head.encode() + body)


def _field(head: bytes, name: bytes) -> bytes:
    start = head.lower().index(name) + len(name)
    return head[start:].partition(b"\r\n")[0]
