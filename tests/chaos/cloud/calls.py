"""What functions call: held, refused, done and not answered; and the function that calls, killed."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import unquote

from local.asgi import App, Receive, Scope, Send, body_of, header
from tests.chaos.cloud import answers
from tests.chaos.cloud.answers import Answer
from tests.chaos.cloud.decisions import Chaos, Place, share
from tests.chaos.cloud.processes import Processes
from tests.chaos.cloud.sockets import Sockets
from tests.chaos.cloud.subjects import Subjects, row_of

# The functions' clients wait for an answer for 3 seconds.
_SLOW_SECONDS = (0.3, 1.5)
_TOO_SLOW_SECONDS = 3.5
_TOO_SLOW = 0.15  # of those that are slow
_DELAY_SECONDS = (0.02, 0.4)
# Some are done when nobody waits for them any more: the client has given up, or its process is dead, and another one
# has done the same meanwhile, or what comes after it.
_LATE_SECONDS = (1.0, 4.5)
_DEAD_SECONDS = 15.0
_LATE = 0.7  # of those whose process is killed first
_HANGS_SECONDS = 0.5  # stands for the time until a function's timeout

_CONNECTIONS = "/@connections/"
_INVOCATIONS = "/invocations"
_METHODS = {"POST": "PostToConnection", "DELETE": "DeleteConnection", "GET": "GetConnection"}
_SERVICES = {
    "DynamoDB_20120810": "dynamodb",
    "AWSStepFunctions": "states",
    "AmazonSQS": "sqs",
    "AWSEvents": "events",
}

GiveUp = Callable[[str, Place], bool]


class _Call(NamedTuple):
    pid: int
    service: str
    body: bytes
    connection_id: str
    place: Place

    @property
    def row(self) -> str:
        """The table's row that it writes, "" if none."""
        return row_of(self.body) if self.service == "dynamodb" else ""


class _Rows:
    """Lets a late write wait for the one that comes after it, which is when it does most harm. For one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Event]] = {}

    async def next_write(self, row: str, seconds: float) -> None:
        """Wait until somebody else has written this row, but at most so long."""
        if not row:
            await asyncio.sleep(seconds)
            return
        event = asyncio.Event()
        self._waiting.setdefault(row, []).append(event)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    def written(self, row: str) -> None:
        """This row has been written."""
        for event in self._waiting.pop(row, []):
            event.set()


class Calls:
    """Stands before MiniStack.

    Args:
        give_up: drops a connection as API Gateway does; False if there is none.
    """

    def __init__(
        self, chaos: Chaos, *, processes: Processes, sockets: Sockets, subjects: Subjects, give_up: GiveUp
    ) -> None:
        self._chaos = chaos
        self._processes = processes
        self._sockets = sockets
        self._subjects = subjects
        self._give_up = give_up
        self._rows = _Rows()

    def around(self, app: App) -> App:
        """The same application; calls of functions meet with faults."""

        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            pid = _caller(scope) if scope["type"] == "http" else None
            function = self._processes.function_of(pid) if pid else None
            service, operation, connection_id = _operation(scope) if function else ("", "", "")
            if pid is None or function is None or not service:
                await app(scope, receive, send)
                return
            body = await body_of(receive)
            whom = self._subjects
            subject = whom.of_connection(connection_id) if connection_id else whom.of_call(service, body)
            self._chaos.called()
            place = self._chaos.place(function, operation, subject)
            answer = await self._answer(app, scope, _Call(pid, service, body, connection_id, place))
            if answer:
                await say(send, answer)

        return faulty

    async def _answer(self, app: App, scope: Scope, call: _Call) -> Answer | None:
        """What the caller hears; None if it is dead, or its connection is."""
        chaos, place = self._chaos, call.place
        if chaos.happens("delayed", place):
            await asyncio.sleep(chaos.between(*_DELAY_SECONDS, "delayed", place))
        if chaos.happens("done_late", place):
            await self._rows.next_write(call.row, chaos.between(*_LATE_SECONDS, "done_late", place))
        if chaos.happens("killed_before", place):
            self._processes.kill(call.pid)
            return None
        times_out = chaos.happens("timed_out", place)
        if times_out and self._share("timed_out", place) < 0.5:
            await self._time_out(call.pid)
            return None
        if chaos.happens("killed_after", place):
            if self._share("late", place) < _LATE:
                self._processes.kill(call.pid)
                await self._rows.next_write(call.row, _DEAD_SECONDS)
            await self._do(app, scope, call)
            self._processes.kill(call.pid)
            return None
        answer = self._refusal(call) or await self._do(app, scope, call)
        if times_out:
            await self._time_out(call.pid)
            return None
        if chaos.happens("slow", place):
            too_slow = self._share("too slow", place) < _TOO_SLOW
            await asyncio.sleep(_TOO_SLOW_SECONDS if too_slow else chaos.between(*_SLOW_SECONDS, "slow", place))
        if chaos.happens("lost_answer", place):
            if self._share("lost_answer", place) < 0.5:
                self._sockets.reset_current()
                return None
            return answers.failed(call.service, self._share("failed", place))
        return answer

    async def _do(self, app: App, scope: Scope, call: _Call) -> Answer:
        answer = await _done(app, scope, call.body)
        if call.place.operation == "PutItem" and answer.status == HTTPStatus.OK:
            self._rows.written(call.row)
        return answer

    def _refusal(self, call: _Call) -> Answer | None:
        """An error instead of the call's being done."""
        place = call.place
        if (
            place.operation == "PostToConnection"
            and self._chaos.orders.want("gone", place)
            and self._give_up(call.connection_id, place)
        ):
            self._chaos.journal.fault("gone", place)
            return answers.GONE
        if self._chaos.happens("throttled", place):
            return answers.throttled(call.service, self._share("throttled", place))
        if self._chaos.happens("error", place):
            return answers.failed(call.service, self._share("failed", place))
        return None

    async def _time_out(self, pid: int) -> None:
        await asyncio.sleep(_HANGS_SECONDS)
        self._processes.time_out(pid, self._processes.timeout_of(pid))

    def _share(self, what: str, place: Place) -> float:
        return share(self._chaos.orders.seed, f"which {what}", place)


async def _done(app: App, scope: Scope, body: bytes) -> Answer:
    """Have MiniStack do it, and keep what it answers."""
    status, answer = 0, b""
    headers: list[tuple[bytes, bytes]] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def hear(message: Mapping[str, Any]) -> None:
        nonlocal status, headers, answer
        status, headers = message.get("status", status), list(message.get("headers", headers))
        answer += message.get("body", b"")

    await app(scope, receive, hear)
    return Answer(status, headers, answer)


async def say(send: Send, answer: Answer) -> None:
    """Send an answer."""
    headers = [each for each in answer.headers if each[0].lower() != b"content-length"]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _caller(scope: Scope) -> int | None:
    """The process that makes this call, if it is a function's."""
    parts = header(scope, b"user-agent").split()
    name = next((part[len("app/") :] for part in parts if part.startswith("app/")), "")
    return int(name) if name.isdecimal() else None


def _operation(scope: Scope) -> tuple[str, str, str]:
    """Service, operation and connection id, as far as functions use them; empty for anything else."""
    path, method = unquote(scope["path"]), str(scope["method"])
    if _CONNECTIONS in path:
        return "connections", _METHODS.get(method, method), path.rpartition(_CONNECTIONS)[2]
    if path.endswith(_INVOCATIONS):
        return "lambda", "Invoke", ""
    target, _, operation = header(scope, b"x-amz-target").partition(".")
    return _SERVICES.get(target, ""), operation, ""
