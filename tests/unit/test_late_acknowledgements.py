"""No lost acknowledgement: in whatever order the calls of a client's acknowledgement and of its run's states come."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any

from lambdas.core import delivery
from tests.builders import attempt, callback, connection, recipient, waiting
from tests.fakes import FakeCallbacks, FakeClock, FakeConnections, FakeTokens

CLIENT, RUN = "client", "run"
PATIENCE_SECONDS = 30


class Turns:
    """Lets two threads make their calls one at a time, in an order that was drawn up before.

    A thread that has no more calls to make leaves the rest of its turns to the other. After the last turn, the client
    makes what calls it has left, and then the run does.
    """

    def __init__(self, order: list[str]) -> None:
        self._order = order
        self._there = {CLIENT, RUN}
        self._changed = threading.Condition()

    @contextmanager
    def mine(self) -> Iterator[None]:
        with self._changed:
            assert self._changed.wait_for(self._is_mine, PATIENCE_SECONDS)
            if self._order:
                self._order.pop(0)
            yield
            self._changed.notify_all()

    def leave(self, name: str) -> None:
        with self._changed:
            self._there.discard(name)
            self._changed.notify_all()

    def _is_mine(self) -> bool:
        while self._order and self._order[0] not in self._there:
            self._order.pop(0)
        following = self._order[0] if self._order else min(self._there)
        return threading.current_thread().name == following


class World:
    """A run that waits for the acknowledgement of its first post, and a client that is about to give it."""

    def __init__(self, order: list[str]) -> None:
        self.turns = Turns(order)
        self.clock = FakeClock()
        self.connections = FakeConnections()
        self.callbacks = FakeCallbacks()
        self.tokens = FakeTokens(waiting={"token-1"})
        self.callbacks.park_for_acknowledgement(callback(entry=1))
        self._in_turn(self.callbacks)
        self._in_turn(self.tokens)

    def play(self, run: Callable[["World"], None]) -> None:
        def act(name: str, work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001
                failures.append(error)
            finally:
                self.turns.leave(name)

        failures: list[BaseException] = []
        works = {CLIENT: self._acknowledge, RUN: lambda: run(self)}
        threads = [threading.Thread(target=act, args=item, name=item[0]) for item in works.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures

    def enter(self, entry: int) -> bool:
        """Have the state before time out, and the run enter the next; False if it went on in time."""
        with self.turns.mine():
            if f"token-{entry - 1}" not in self.tokens.waiting:
                return False
            self.tokens.waiting = {f"token-{entry}"}
            return True

    def go_on(self, entry: int) -> bool:
        """Have the run go on to the next state if it was woken for another attempt."""
        with self.turns.mine():
            if "connections" not in self.tokens.outputs.get(f"token-{entry - 1}", {}):
                return False
            self.tokens.waiting = {f"token-{entry}"}
            return True

    def park(self, entry: int, number: int) -> None:
        delivery.park_for_reconnect(
            attempt(number, ack="client"),
            waiting(entry),
            tried=["tab"],
            tried_at=self.clock.now(),
            unacknowledged=True,
            max_attempts=5,
            connections=self.connections,
            callbacks=self.callbacks,
            tokens=self.tokens,
            clock=self.clock,
        )

    def acknowledged(self) -> list[str]:
        """The tokens with which the run was told of the acknowledgement."""
        return [
            token
            for token, output in self.tokens.outputs.items()
            if output.get("acknowledgement", output).get("status") == "acknowledged"
        ]

    def _acknowledge(self) -> None:
        delivery.acknowledge(
            ["m-1"],
            sender=recipient(),
            connection_id="tab",
            connections=self.connections,
            callbacks=self.callbacks,
            tokens=self.tokens,
            clock=self.clock,
        )

    def _in_turn(self, port: Any) -> None:
        for name in dir(port):
            method = getattr(port, name)
            # Which token a removal hits, it says itself; when it comes does not matter.
            if callable(method) and not name.startswith(("_", "remove_")):
                setattr(port, name, self._when_it_is_time(method))

    def _when_it_is_time(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any, **named: Any) -> Any:
            with self.turns.mine():
                answer = method(*values, **named)
                return iter(list(answer)) if isinstance(answer, Iterator) else answer

        return call


def orders(of_client: int, of_run: int) -> Iterator[list[str]]:
    """Every order in which the client can make so many calls, and the run so many."""
    for clients in combinations(range(of_client + of_run), of_client):
        yield [CLIENT if turn in clients else RUN for turn in range(of_client + of_run)]


def test_an_acknowledgement_and_a_park_find_each_other_in_every_order() -> None:
    def run(world: World) -> None:
        if world.enter(2):
            world.park(2, 1)

    for order in orders(of_client=5, of_run=4):
        world = World(list(order))
        world.play(run)
        assert len(world.acknowledged()) == 1, order


def test_an_acknowledgement_that_comes_around_a_second_attempt_ends_the_run_in_every_order() -> None:
    """The run parks, is woken by a new connection, posts again, hears nothing and parks again."""

    def run(world: World) -> None:
        world.connections.put(connection("new"))
        if not world.enter(2):
            return
        world.park(2, 1)
        if not world.go_on(3):
            return
        with delivery.awaiting_acknowledgement(
            attempt(2, ack="client"), waiting(3), callbacks=world.callbacks, clock=world.clock
        ):
            del world.connections.rows[recipient(), "new"]
        if world.enter(4):
            world.park(4, 2)

    for order in orders(of_client=5, of_run=9):
        world = World(list(order))
        world.play(run)
        assert len(world.acknowledged()) == 1, order
