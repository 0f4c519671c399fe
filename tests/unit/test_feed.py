"""How MiniStack's process tells what its runs do: one listener, and who does not listen."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from ministack.services import stepfunctions  # type: ignore[import-untyped]

from local import feed, settings
from local.feed import Feed, Listener
from tests.waiting import async_until

Sent = list[dict[str, Any]]


@pytest.fixture
def executions(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """MiniStack's runs: none yet."""

    class Executions(dict[str, Any]):
        all_items = dict.items

    runs = Executions()
    monkeypatch.setattr(stepfunctions, "_executions", runs)
    return runs


def execution(name: str = "m-1", **more: Any) -> dict[str, Any]:
    """A run as MiniStack keeps it."""
    return {
        "executionArn": f"arn:{name}",
        "stateMachineArn": "machine",
        "name": name,
        "status": "RUNNING",
        "startDate": "2030-01-31T12:00:00.000Z",
        "stopDate": None,
        "input": '{"id": "m-1"}',
        "output": None,
        "events": [event("ExecutionStarted", executionStartedEventDetails={"input": "{}", "roleArn": "role"})],
        **more,
    }


def event(kind: str, **details: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": "2030-01-31T12:00:00.000Z", **details}


def runs_of(*texts: str) -> list[dict[str, Any]]:
    frames = [json.loads(text) for text in texts]
    assert all(frame["kind"] == "runs" for frame in frames)
    return [run for frame in frames for run in frame["runs"]]


@pytest.fixture
def listener() -> Iterator[Listener]:
    loop = asyncio.new_event_loop()
    yield Listener(loop)
    loop.close()


def test_each_event_is_told_once_and_the_input_with_the_first(listener: Listener) -> None:
    run = execution()
    listener.note(run)
    (first,) = runs_of(*listener.frames())
    run["events"].append(event("TaskStateEntered", stateEnteredEventDetails={"name": "Resolve", "input": "{}"}))
    listener.note(run)
    listener.note(run)
    (second,) = runs_of(*listener.frames())

    assert (first["first"], first["input"], first["status"]) == (0, '{"id": "m-1"}', "RUNNING")
    assert first["events"] == [event("ExecutionStarted", executionStartedEventDetails={"roleArn": "role"})]
    assert (second["first"], "input" in second) == (1, False)
    assert second["events"] == [event("TaskStateEntered", stateEnteredEventDetails={"name": "Resolve"})]
    assert list(listener.frames()) == []


def test_the_end_is_told_with_its_reasons(listener: Listener) -> None:
    run = execution()
    listener.note(run)
    list(listener.frames())
    run.update(status="FAILED", stopDate="2030-01-31T12:00:09.000Z", error="Expired", cause="late", output="{}")
    listener.note(run)

    (told,) = runs_of(*listener.frames())

    assert (told["status"], told["stopDate"]) == ("FAILED", "2030-01-31T12:00:09.000Z")
    assert (told["error"], told["cause"]) == ("Expired", "late")
    assert "output" not in told


def test_a_run_has_not_ended_before_it_has_the_time_of_its_end(listener: Listener) -> None:
    listener.note(execution(status="FAILED"))

    (told,) = runs_of(*listener.frames())

    assert told["status"] == "RUNNING"


def test_a_long_history_and_many_runs_come_in_pieces(listener: Listener) -> None:
    long = execution("long", events=[event(f"Event{number}") for number in range(500)])
    many = [execution(f"m-{number}", input="x" * 10_000) for number in range(100)]
    for run in (long, *many):
        listener.note(run)

    texts = list(listener.frames())
    told = runs_of(*texts)

    assert max(map(len, texts)) < 200_000
    assert len(texts) > 5
    pieces = [run for run in told if run["name"] == "long"]
    assert [piece["first"] for piece in pieces] == [0, 200, 400]
    assert [one["type"] for piece in pieces for one in piece["events"]] == [f"Event{n}" for n in range(500)]
    assert len({run["name"] for run in told}) == 101


def test_who_is_not_read_keeps_no_more_than_the_runs(listener: Listener) -> None:
    runs = [execution(f"m-{number}") for number in range(10)]
    for _ in range(1_000):
        for run in runs:
            listener.note(run)

    assert len(listener._changed) == 10


def serve(
    use: Callable[[Feed, Sent, Callable[[], None]], Awaitable[None]],
    *,
    takes: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> None:
    """Listen to a feed, and do something meanwhile; what the listener does not take is never over."""

    async def other(*_: Any) -> None:
        raise AssertionError("this was for the feed")

    async def run() -> None:
        sent: Sent = []
        hear: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        hear.put_nowait({"type": "websocket.connect"})
        told = Feed()

        async def send(message: Any) -> None:
            if not takes(message):
                await asyncio.Event().wait()
            sent.append(dict(message))

        def leave() -> None:
            hear.put_nowait({"type": "websocket.disconnect"})

        scope = {"type": "websocket", "path": settings.RUNS_PATH, "headers": []}
        serving = asyncio.create_task(told.beside(other)(scope, hear.get, send))
        async with asyncio.timeout(10):
            await use(told, sent, leave)
            await serving
        assert told._listeners == []

    asyncio.run(run())


until = partial(async_until, seconds=10)


def test_everything_there_is_and_then_each_change_from_any_thread(executions: dict[str, Any]) -> None:
    known, new = execution("known"), execution("new")
    executions["known"] = known

    async def use(told: Feed, sent: Sent, leave: Callable[[], None]) -> None:
        await until(lambda: {"kind": "complete"} in [json.loads(one["text"]) for one in sent[1:]])
        assert [run["name"] for run in runs_of(sent[1]["text"])] == ["known"]
        before = len(sent)

        def note_often() -> None:
            for _ in range(1_000):
                told.note(new)

        thread = threading.Thread(target=note_often)
        thread.start()
        await until(lambda: len(sent) > before)
        thread.join()
        assert runs_of(sent[before]["text"])[0]["name"] == "new"
        leave()

    serve(use)


def test_who_does_not_take_a_frame_is_dropped(executions: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_SEND_SECONDS", 0.05)
    executions["m-1"] = execution()

    async def use(told: Feed, sent: Sent, leave: Callable[[], None]) -> None:
        await until(lambda: told._listeners)

    serve(use, takes=lambda message: message["type"] != "websocket.send")


@pytest.mark.parametrize("more", [{"mapRunArn": "of a distributed map"}, {"sync": True}])
def test_some_runs_are_left_out(executions: dict[str, Any], more: dict[str, Any]) -> None:
    executions["left out"] = execution("left out", **more)
    executions["m-1"] = execution("m-1")

    async def use(told: Feed, sent: Sent, leave: Callable[[], None]) -> None:
        await until(lambda: len(sent) == 3)
        told.note(executions["left out"])
        told.note(executions["m-1"])
        await until(lambda: len(sent) == 4)
        assert [run["name"] for run in runs_of(sent[1]["text"], sent[3]["text"])] == ["m-1", "m-1"]
        leave()

    serve(use)


def test_everything_else_is_ministacks() -> None:
    seen: list[str] = []

    async def app(scope: Any, *_: Any) -> None:
        seen.append(scope["path"])

    async def nothing(*_: Any) -> Any:
        raise AssertionError("nobody may take this")

    both = Feed().beside(app)
    asyncio.run(both({"type": "http", "path": settings.RUNS_PATH}, nothing, nothing))
    asyncio.run(both({"type": "websocket", "path": "/_aws/execute-api/a/b"}, nothing, nothing))

    assert seen == [settings.RUNS_PATH, "/_aws/execute-api/a/b"]
