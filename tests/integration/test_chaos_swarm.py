"""The clients of a chaos run: what they tell, and what is known of their connections."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from local.tokens import Keys
from tests.chaos.plan import Go, Move, User
from tests.chaos.swarm import Swarm
from tests.waiting import async_until

SECONDS = 20


class Server:
    """Takes every connection, and can post to those that are open."""

    def __init__(self) -> None:
        self.sockets: list[ServerConnection] = []

    async def handle(self, socket: ServerConnection) -> None:
        """Keep it until it ends."""
        self.sockets.append(socket)
        try:
            async for _ in socket:
                pass
        except ConnectionClosed:
            pass
        finally:
            self.sockets.remove(socket)

    async def post(self, message_id: str, user: str, **more: object) -> None:
        """Post a message to all."""
        frame = {"kind": "message", "id": message_id, "type": "chaos.plain", "payload": {"user": user}, **more}
        for socket in list(self.sockets):
            await socket.send(json.dumps(frame))


@asynccontextmanager
async def swarm_of(*users: User) -> AsyncIterator[tuple[Server, Swarm]]:
    """A swarm of these users, each device connected."""
    server = Server()
    async with serve(
        server.handle, "127.0.0.1", 0, subprotocols=[Subprotocol("bearer")], ping_interval=None
    ) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        async with Swarm.running(f"ws://127.0.0.1:{port}/v1", Keys.make(), client_module=None) as swarm:
            for user in users:
                await swarm.add(user)
                for device in range(user.devices):
                    swarm.go(user.name, Go(0, "connect", device))
            await async_until(lambda: swarm.all_there, seconds=SECONDS)
            yield server, swarm


def test_every_device_tells_what_it_handled_in_that_order() -> None:
    async def play() -> None:
        async with swarm_of(User("ana", 2, ())) as (server, swarm):
            await server.post("m-1", "ana", ordered=True, sequence=1)
            await server.post("m-1", "ana", ordered=True, sequence=1)
            await server.post("m-2", "ana", ordered=True, sequence=2)
            await async_until(lambda: len(swarm.handled.get("m-2", ())) == 2, seconds=SECONDS)
            first, second = swarm.handled["m-1"], swarm.handled["m-2"]
            assert {one.client for one in first} == {"ana.0", "ana.1"}
            assert [one.sequence for one in first + second] == [1, 1, 2, 2]
            assert max(one.nth for one in first if one.client == "ana.0") < max(
                one.nth for one in second if one.client == "ana.0"
            )

    asyncio.run(play())


@pytest.mark.parametrize("move", ["cut", "down", "close", "half_open", "replace"])
def test_a_connection_is_sound_until_its_device_moves_and_again_when_it_is_back(move: Move) -> None:
    async def play() -> None:
        async with swarm_of(User("ana", 1, ())) as (_, swarm):
            before = time.time()
            swarm.go("ana", Go(0, move, 0, 0.3))
            device = swarm.devices["ana.0"]
            await async_until(lambda: device.opened_at is not None and device.opened_at > before, seconds=SECONDS)
            await swarm.settle()
            presence = swarm.presence(time.time() + 1)["ana"]
            (_, first_end), *_, (last_start, _) = sorted(presence.sound)
            assert before <= first_end < last_start
            assert any(before <= moment <= first_end for moment in presence.breaks)
            assert bool(presence.dead) == (move in {"half_open", "replace"})
            assert not presence.was_there(first_end)

    asyncio.run(play())
