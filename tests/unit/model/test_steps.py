"""The model's steps are the code's calls: none can be added or taken away on one side alone."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdas.core import delivery
from tests.builders import attempt, callback, connection, recipient, waiting
from tests.fakes import FakeCallbacks, FakeClock, FakeConnections, FakeTokens

MODEL = Path(__file__).parents[2] / "model/ringback.pml"


class Watched:
    """A port that notes each call."""

    def __init__(self, name: str, port: Any, calls: list[str]) -> None:
        self._name, self._port, self._calls = name, port, calls

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._port, method)

        def noted(*given: Any, **named: Any) -> Any:
            self._calls.append(f"{self._name}.{method}")
            return call(*given, **named)

        return noted


class World:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.connections = FakeConnections()
        self.callbacks = FakeCallbacks()
        self.tokens = FakeTokens(waiting={"token-1"})

    def ports(self, *names: str) -> dict[str, Any]:
        return {name: Watched(name, getattr(self, name), self.calls) for name in names}


def park(world: World, *, unacknowledged: bool = False, tried: tuple[str, ...] = (), ack: str = "client") -> None:
    delivery.park_for_reconnect(
        attempt(ack=ack),
        waiting(),
        tried=tried,
        tried_at=connection("x", age_seconds=0).connected_at,
        unacknowledged=unacknowledged,
        max_attempts=5,
        clock=FakeClock(),
        **world.ports("connections", "callbacks", "tokens"),
    )


def parked_and_missed(world: World) -> None:
    for name in ("old", "new"):
        world.connections.put(connection(name))
    park(world, unacknowledged=True, tried=("old",))


def parked_with_a_late_acknowledgement(world: World) -> None:
    world.callbacks.keep_acknowledgement(callback(), {})
    park(world)


def woken(world: World) -> None:
    world.callbacks.park_for_reconnect(callback())
    delivery.wake([connection()], has_time=lambda: True, **world.ports("callbacks", "tokens"))


def acknowledged(world: World, *, late: bool) -> None:
    world.callbacks.park_for_acknowledgement(callback(attempt=2, task_token="token-0" if late else "token-1"))
    if late:
        world.callbacks.park_for_reconnect(callback())
    delivery.acknowledge(
        ["m-1"],
        sender=recipient(),
        connection_id="tab",
        clock=FakeClock(),
        **world.ports("connections", "callbacks", "tokens"),
    )


# What is called, and the model's functions that it stands for.
BRANCHES: dict[str, tuple[Callable[[World], None], tuple[str, ...]]] = {
    "missed": (parked_and_missed, ("park_for_reconnect",)),
    "late": (parked_with_a_late_acknowledgement, ("park_for_reconnect",)),
    "woken": (woken, ("wake",)),
    "in time": (lambda world: acknowledged(world, late=False), ("acknowledge",)),
    "too late": (lambda world: acknowledged(world, late=True), ("acknowledge", "_complete_late")),
}


def steps(functions: tuple[str, ...]) -> list[str]:
    """The calls of these functions in the model; a call that stands on two ways through is named once."""
    text = MODEL.read_text(encoding="utf-8")
    found = re.findall(r"/\* code: (\S+) (\S+) \*/", text)
    return [call for function, call in dict.fromkeys(found) if function in functions]


@pytest.mark.parametrize("branch", BRANCHES)
def test_every_call_of_the_code_is_a_step_of_the_model(branch: str) -> None:
    play, functions = BRANCHES[branch]
    world = World()
    play(world)

    assert world.calls
    assert set(world.calls) <= set(steps(functions))


def test_every_step_of_the_model_is_a_call_of_the_code() -> None:
    for function in ({"park_for_reconnect"}, {"wake"}, {"acknowledge", "_complete_late"}):
        called: set[str] = set()
        for play, functions in BRANCHES.values():
            if function >= set(functions):
                world = World()
                play(world)
                called |= set(world.calls)
        assert called == set(steps(tuple(function)))


# The order that the model checks. Who changes it here has to change tests/model/ringback.pml.
ORDERS = {
    "missed": [
        "callbacks.park_for_reconnect",
        "callbacks.kept_acknowledgement",
        "connections.of_recipient",
        "connections.mark_stale",
        "tokens.succeed",
        "callbacks.remove_reconnect",
    ],
    "woken": ["callbacks.waiting_for_reconnect", "tokens.succeed", "callbacks.remove_reconnect"],
    "too late": [
        "callbacks.waiting_for_acknowledgement",
        "tokens.succeed",
        "callbacks.keep_acknowledgement",
        "callbacks.reconnect_of",
        "tokens.succeed",
        "callbacks.remove_reconnect",
        "connections.mark_active",
    ],
}


@pytest.mark.parametrize("branch", ORDERS)
def test_the_calls_are_made_in_the_models_order(branch: str) -> None:
    world = World()
    BRANCHES[branch][0](world)

    assert world.calls == ORDERS[branch]
