"""A call of a function and what becomes of it: done or not, answered or not, and who dies."""

import asyncio
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from local.asgi import Receive, Scope, Send
from tests.chaos.cloud.calls import Calls
from tests.chaos.cloud.decisions import Chaos, Journal, Orders
from tests.chaos.cloud.subjects import Subjects

PID = 4711
QUERY = [(b"user-agent", b"Botocore/1 app/4711 md/x"), (b"x-amz-target", b"DynamoDB_20120810.Query")]
POST_PATH = "/api/stage/@connections/c-1"


@dataclass
class World:
    """A cloud that answers 200, and everything that the calls' layer does to it."""

    done: list[bytes] = field(default_factory=list)
    killed: list[tuple[int, int]] = field(default_factory=list)  # process, calls done by then
    resets: int = 0
    there: set[str] = field(default_factory=lambda: {"c-1"})
    said: list[Mapping[str, Any]] = field(default_factory=list)
    lines: io.StringIO = field(default_factory=io.StringIO)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.done.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    def function_of(self, pid: int) -> str | None:
        return "wake" if pid == PID else None

    def kill(self, pid: int) -> None:
        self.killed.append((pid, len(self.done)))

    def time_out(self, pid: int, seconds: float) -> None:
        self.killed.append((pid, len(self.done)))

    def timeout_of(self, pid: int) -> float:
        return 10.0

    def reset_current(self) -> None:
        self.resets += 1

    def give_up(self, connection_id: str, _place: object) -> bool:
        if connection_id not in self.there:
            return False
        self.there.remove(connection_id)
        return True

    @property
    def status(self) -> int | None:
        return next((message["status"] for message in self.said if "status" in message), None)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("tests.chaos.cloud.calls.asyncio.sleep", sleep)
    return slept


def call(
    world: World,
    rates: dict[str, float] | None,
    *,
    headers: Any = QUERY,
    path: str = "/",
    seed: int = 1,
) -> Chaos:
    chaos = Chaos(Journal(world.lines))
    chaos.obey(Orders(seed=seed, active=rates is not None, rates=rates or {}))
    anything: Any = world
    layer = Calls(chaos, processes=anything, sockets=anything, subjects=Subjects(), give_up=world.give_up)

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": b'{"Key": {"caller_id": {"S": "user#ana"}}}', "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        world.said.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    asyncio.run(layer.around(world)(scope, receive, send))
    return chaos


def test_without_orders_it_is_done(world: World) -> None:
    chaos = call(world, None)
    assert (len(world.done), world.status, chaos.calls) == (1, 200, 1)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"user-agent", b"Botocore/1 md/x"), (b"x-amz-target", b"DynamoDB_20120810.Query")],
        [(b"user-agent", b"Botocore/1 app/1 md/x"), (b"x-amz-target", b"DynamoDB_20120810.Query")],
        [(b"user-agent", b"Botocore/1 app/cdk md/x"), (b"x-amz-target", b"DynamoDB_20120810.Query")],
    ],
    ids=["no function", "another process", "an application"],
)
def test_others_are_left_alone(world: World, headers: Any) -> None:
    chaos = call(world, {"error": 1.0, "killed_before": 1.0}, headers=headers)
    assert (len(world.done), world.status, chaos.calls, world.killed) == (1, 200, 0, [])


@pytest.mark.parametrize(
    ("fault", "done", "status"),
    [("throttled", 0, 400), ("error", 0, 500), ("delayed", 1, 200), ("slow", 1, 200), ("lost_answer", 1, None)],
)
def test_what_the_caller_hears(world: World, fault: str, done: int, status: int | None) -> None:
    chaos = call(world, {fault: 1.0})
    assert len(world.done) == done
    assert world.status == status or (world.status or 0) >= 500
    assert chaos.journal.faults == {fault: 1}


def test_a_lost_answer_is_an_error_or_a_reset() -> None:
    seen = set()
    for seed in range(20):
        world = World()
        call(world, {"lost_answer": 1.0}, seed=seed)
        assert len(world.done) == 1
        assert (world.status is None) == (world.resets == 1)
        seen.add(world.status)
    assert seen == {None, 500, 503}


def test_killed_before(world: World) -> None:
    call(world, {"killed_before": 1.0})
    assert (world.killed, world.done, world.said) == ([(PID, 0)], [], [])


def test_killed_after_though_some_calls_are_done_late() -> None:
    when: set[tuple[int, int]] = set()
    for seed in range(20):
        world = World()
        call(world, {"killed_after": 1.0}, seed=seed)
        assert (len(world.done), world.said) == (1, [])
        when.add(world.killed[0])
    assert when == {(PID, 0), (PID, 1)}


def test_timed_out_before_or_after() -> None:
    when: set[tuple[int, int]] = set()
    for seed in range(20):
        world = World()
        call(world, {"timed_out": 1.0}, seed=seed)
        assert world.said == []
        when.add(*world.killed)
    assert when == {(PID, 0), (PID, 1)}


def test_gone_is_the_end_of_the_connection(world: World) -> None:
    agent = QUERY[:1]
    call(world, {"gone": 1.0}, headers=agent, path=POST_PATH)
    assert (world.status, world.there, world.done) == (410, set(), [])


def test_who_is_gone_already_is_not_counted_again(world: World) -> None:
    world.there.clear()
    chaos = call(world, {"gone": 1.0}, headers=QUERY[:1], path=POST_PATH)
    assert (len(world.done), chaos.journal.faults) == (1, {})


def test_a_fault_names_its_place(world: World) -> None:
    call(world, {"error": 1.0})
    line = json.loads(world.lines.getvalue())
    assert {name: line[name] for name in ("function", "operation", "subject", "nth")} == {
        "function": "wake",
        "operation": "Query",
        "subject": "ana",
        "nth": 1,
    }
