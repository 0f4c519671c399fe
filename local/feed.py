"""What MiniStack's runs do, told to whoever listens: a WebSocket at `settings.RUNS_PATH`, in MiniStack's own process.

A listener first gets every run that there is, then ``{"kind": "complete"}``, then each change as it happens, all in
frames of one form: ``{"kind": "runs", "runs": [run, …]}``. A run has ``arn``, ``machine`` (ARN), ``name``, ``status``,
``startDate``, ``stopDate``, ``output``, ``error``, ``cause`` as DescribeExecution has them (times as text), and
``events``: those that the listener has not had yet, as GetExecutionHistory gives them without data, of which the first
is number ``first`` (from 0). ``input`` comes with the first one only.

Left out are the children of a Distributed Map, which nobody looks at one by one, and synchronous runs, which have ended
when they are first heard of.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from ministack.services import stepfunctions  # type: ignore[import-untyped]

from local import settings
from local.asgi import App, Receive, Scope, Send
from local.corrections.places import Json, replace

MAX_LISTENERS = 16

# Short enough for the eye, and long enough to tell of many changes at once.
_PAUSE_SECONDS = 0.05
# Who has not taken a frame by then is gone: it connects again, and gets everything anew.
_SEND_SECONDS = 10.0
_FRAME_BYTES = 128 * 1024
_EVENTS_OF_A_RUN = 200
_DATA = frozenset({"input", "output"})


class Listener:
    """One listener: which runs have changed since it last heard of them, and how far it has heard of each.

    Nothing is kept of the changes themselves, so it is never more than the runs that MiniStack keeps anyway, and who
    notes a change never waits.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._changed: dict[str, Json] = {}
        self._told: dict[str, int] = {}
        self._news = asyncio.Event()

    def note(self, execution: Json) -> None:
        """Have it hear of this run soon. Any thread may call it."""
        with self._lock:
            is_first = not self._changed
            self._changed[execution["executionArn"]] = execution
        if is_first:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._news.set)

    async def news(self) -> None:
        """Come back when there is something to tell."""
        await self._news.wait()

    def frames(self) -> Iterator[str]:
        """Everything there is to tell now, in pieces of about 128 KB."""
        runs: list[str] = []
        size = 0
        for execution in self._take():
            for run in self._untold(execution):
                runs.append(run)
                size += len(run)
                if size >= _FRAME_BYTES:
                    yield _frame(runs)
                    runs, size = [], 0
        if runs:
            yield _frame(runs)

    def _take(self) -> list[Json]:
        with self._lock:
            changed, self._changed = self._changed, {}
            self._news.clear()
        return list(changed.values())

    def _untold(self, execution: Json) -> Iterator[str]:
        # Before the events: what they say is never older than what the run says of itself.
        head = _head(execution)
        events = execution["events"][:]
        while True:
            first = self._told.get(head["arn"], 0)
            part = events[first : first + _EVENTS_OF_A_RUN]
            self._told[head["arn"]] = first + len(part)
            data = {} if first else {"input": execution["input"]}
            yield json.dumps({**head, **data, "first": first, "events": [_without_data(event) for event in part]})
            if first + len(part) >= len(events):
                return


class Feed:
    """Everybody who listens."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def note(self, execution: Json) -> None:
        """Tell everybody that something has happened to this run."""
        if "mapRunArn" in execution or execution.get("sync"):
            return
        for listener in tuple(self._listeners):
            listener.note(execution)

    def install(self) -> None:
        """Hear of every event of every run.

        Raises:
            CorrectionError: MiniStack has no such place any more.
        """

        def adding(upstream: Callable[..., Json]) -> Callable[..., Json]:
            def add(execution: Json, kind: str, details: Json | None = None) -> Json:
                event = upstream(execution, kind, details)
                self.note(execution)
                return event

            return add

        def emitting(upstream: Callable[[Json], None]) -> Callable[[Json], None]:
            def emit(execution: Json) -> None:
                self.note(execution)  # a run's first event is there without having been added
                upstream(execution)

            return emit

        replace(stepfunctions, "_add_event", adding)
        replace(stepfunctions, "_emit_execution_status_event", emitting)

    def beside(self, app: App) -> App:
        """The same application, and this feed."""

        async def both(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket" and scope["path"] == settings.RUNS_PATH:
                await self._serve(receive, send)
            else:
                await app(scope, receive, send)

        return both

    async def _serve(self, receive: Receive, send: Send) -> None:
        await receive()
        if len(self._listeners) >= MAX_LISTENERS:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})
        listener = Listener(asyncio.get_running_loop())
        self._listeners.append(listener)
        tasks = [asyncio.create_task(_tell(listener, send)), asyncio.create_task(_until_gone(receive))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._listeners.remove(listener)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _tell(listener: Listener, send: Send) -> None:
    """Tell everything, and go on telling, until the listener does not take it."""

    async def say(text: str) -> None:
        async with asyncio.timeout(_SEND_SECONDS):
            await send({"type": "websocket.send", "text": text})
        await asyncio.sleep(0)  # others have work to do, too

    for _, execution in stepfunctions._executions.all_items():
        if "mapRunArn" not in execution and not execution.get("sync"):
            listener.note(execution)
    for frame in listener.frames():
        await say(frame)
    await say('{"kind": "complete"}')
    while True:
        await listener.news()
        await asyncio.sleep(_PAUSE_SECONDS)
        for frame in listener.frames():
            await say(frame)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass  # nothing is asked for


def _head(execution: Json) -> Json:
    # Its end is written down piece by piece: the time last, but for reasons, which the event of the end follows.
    status = execution["status"] if execution["stopDate"] else "RUNNING"
    head = {
        "arn": execution["executionArn"],
        "machine": execution["stateMachineArn"],
        "name": execution["name"],
        "status": status,
        "startDate": execution["startDate"],
        "stopDate": execution["stopDate"],
        "output": execution["output"] if status == "SUCCEEDED" else None,
        "error": execution.get("error"),
        "cause": execution.get("cause"),
    }
    return {name: value for name, value in head.items() if value is not None}


def _without_data(event: Json) -> Json:
    return {
        name: {key: text for key, text in value.items() if key not in _DATA} if isinstance(value, dict) else value
        for name, value in event.items()
    }


def _frame(runs: list[str]) -> str:
    return f'{{"kind": "runs", "runs": [{", ".join(runs)}]}}'
