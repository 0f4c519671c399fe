"""The network link with faults, between a client and a server that answers what it is told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import pytest

from local import links
from local.links import Link
from tests.waiting import async_until

PATIENCE_SECONDS = 10

T = TypeVar("T")


@dataclass
class Echo:
    """Answers every line with the same line, and keeps what it got."""

    received: list[bytes] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while line := await reader.readline():
                self.received.append(line)
                writer.write(line)
            self.ended.append("closed")
        except ConnectionResetError:
            self.ended.append("reset")
        finally:
            writer.close()


@dataclass
class Client:
    """One connection through the link."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, line: bytes) -> None:
        self.writer.write(line + b"\n")

    async def receive(self) -> bytes:
        return await soon(self.reader.readline())

    async def ask(self, line: bytes) -> bytes:
        self.send(line)
        return await self.receive()


@dataclass
class Network:
    """A link, the server behind it, and clients in front of it."""

    echo: Echo
    link: Link
    clients: list[Client] = field(default_factory=list)

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.link.port))
        self.clients.append(client)
        return client


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    link = await Link.open(*server.sockets[0].getsockname())
    network = Network(echo, link)
    try:
        yield network
    finally:
        await soon(link.close())
        for writer in [client.writer for client in network.clients] + echo.writers:
            writer.transport.abort()
        server.close()


async def soon(happens: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await happens


until = partial(async_until, seconds=PATIENCE_SECONDS)


def play(scene: Callable[[Network], Awaitable[None]]) -> None:
    async def scenery() -> None:
        async with network() as there:
            await scene(there)

    asyncio.run(scenery())


def test_good_link_carries_both_ways_and_hands_on_the_end() -> None:
    async def scene(network: Network) -> None:
        client = await network.client()

        assert await client.ask(b"x" * 50_000) == b"x" * 50_000 + b"\n"
        client.writer.write_eof()

        assert await client.receive() == b""
        assert network.echo.ended == ["closed"]
        await until(lambda: network.link.open_connections == 0)

    play(scene)


def test_cut_resets_both_ends_and_new_connections_work() -> None:
    async def scene(network: Network) -> None:
        client = await network.client()
        assert await client.ask(b"one") == b"one\n"

        network.link.cut()

        with pytest.raises(ConnectionResetError):
            await client.receive()
        await until(lambda: network.echo.ended == ["reset"])
        assert await (await network.client()).ask(b"two") == b"two\n"
        assert (network.link.open_connections, network.link.accepted) == (1, 2)

    play(scene)


def test_half_open_connection_loses_what_either_end_says() -> None:
    async def scene(network: Network) -> None:
        client = await network.client()
        assert await client.ask(b"one") == b"one\n"

        network.link.go_half_open()
        client.send(b"lost")
        network.echo.writers[0].write(b"lost as well\n")

        fresh = await network.client()
        assert await fresh.ask(b"two") == b"two\n"
        network.link.heal()
        client.send(b"lost still")
        assert await fresh.ask(b"three") == b"three\n"
        assert network.echo.received == [b"one\n", b"two\n", b"three\n"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.1)

    play(scene)


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_half_open_connection_tells_neither_end_that_the_other_went(how: str) -> None:
    async def scene(network: Network) -> None:
        client, other = await network.client(), await network.client()
        assert await client.ask(b"one") == b"one\n"
        assert await other.ask(b"two") == b"two\n"
        network.link.go_half_open()

        if how == "closed":
            client.writer.close()
            network.echo.writers[1].close()
        else:
            links.reset(client.writer)
            links.reset(network.echo.writers[1])

        assert await (await network.client()).ask(b"three") == b"three\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.reader.read(1), 0.1)
        # A server that closes its own end hears no answer.
        assert "reset" not in network.echo.ended
        assert network.link.open_connections == 3

        network.link.cut()

        with pytest.raises(ConnectionResetError):
            await other.receive()

    play(scene)


def test_many_bytes_for_a_half_open_connection_stall_nobody() -> None:
    async def scene(network: Network) -> None:
        client = await network.client()
        assert await client.ask(b"one") == b"one\n"
        network.link.go_half_open()

        client.writer.write(b"x" * 20_000_000)

        await soon(client.writer.drain())

    play(scene)


def test_throttled_link_takes_its_time_and_loses_nothing() -> None:
    async def scene(network: Network) -> None:
        client = await network.client()
        clock = asyncio.get_running_loop().time
        network.link.throttle(bytes_per_second=100_000, delay_seconds=0.05)
        started = clock()

        assert await client.ask(b"x" * 9_999) == b"x" * 9_999 + b"\n"

        # 0.1 s for the bytes and one delay at least, each way.
        assert clock() - started >= 0.3

    play(scene)


def test_healed_link_hands_over_at_once_what_it_holds() -> None:
    async def scene(network: Network) -> None:
        client = await network.client()
        assert await client.ask(b"one") == b"one\n"
        network.link.throttle(bytes_per_second=1, delay_seconds=3600)
        client.send(b"two")
        await until(lambda: network.link.held == 1)

        network.link.heal()

        assert await client.receive() == b"two\n"

    play(scene)


def test_throttled_link_lets_go_of_what_it_holds_when_it_closes() -> None:
    async def scene(network: Network) -> None:
        client = await network.client()
        assert await client.ask(b"one") == b"one\n"
        network.link.throttle(bytes_per_second=1, delay_seconds=3600)
        client.send(b"two")
        await until(lambda: network.link.held == 1)

        network.link.cut()

        await until(lambda: network.link.open_connections == 0)

    play(scene)


@pytest.mark.parametrize(("bytes_per_second", "delay_seconds"), [(0, 0), (-1, 0), (1, -1)])
def test_pace_that_is_none_is_refused(bytes_per_second: float, delay_seconds: float) -> None:
    async def scene(network: Network) -> None:
        with pytest.raises(ValueError, match="give a positive number"):
            network.link.throttle(bytes_per_second, delay_seconds)

    play(scene)


def test_link_that_is_down_turns_away_until_it_is_healed() -> None:
    async def scene(network: Network) -> None:
        client = await network.client()
        assert await client.ask(b"one") == b"one\n"

        network.link.go_down()

        with pytest.raises(ConnectionResetError):
            await client.receive()
        with pytest.raises(ConnectionResetError):
            await (await network.client()).receive()
        assert len(network.echo.writers) == 1
        network.link.heal()
        assert await (await network.client()).ask(b"two") == b"two\n"

    play(scene)


def test_nobody_behind_the_link_is_a_reset() -> None:
    async def scene(network: Network) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            nowhere = free.getsockname()[1]
        link = await Link.open("127.0.0.1", nowhere)
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)

        with pytest.raises(ConnectionResetError):
            await soon(reader.read())

        writer.transport.abort()
        await link.close()

    play(scene)


def test_link_runs_in_a_thread_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, links.running(*server.getsockname()) as link:
        with socket.create_connection(("127.0.0.1", link.port)) as client:
            behind, _ = server.accept()
            with behind:
                client.sendall(b"one")
                assert behind.recv(3) == b"one"
                assert (link.open_connections, link.accepted) == (1, 1)

                link.throttle(1_000_000, 0)
                link.heal()
                link.go_half_open()
                client.sendall(b"two")
                link.cut()

                with pytest.raises(ConnectionResetError):
                    behind.recv(3)
        link.go_down()
        with socket.create_connection(("127.0.0.1", link.port)) as client, pytest.raises(ConnectionResetError):
            client.recv(1)


def test_websocket_url_leads_through_the_link() -> None:
    url = "ws://127.0.0.1:4600/_aws/execute-api/a1b2/v1"

    with socket.create_server(("127.0.0.1", 0)) as server, links.running(*server.getsockname()) as link:
        assert links.websocket_url(link, url) == f"ws://127.0.0.1:{link.port}/_aws/execute-api/a1b2/v1"
    assert links.target(url) == ("127.0.0.1", 4600)
    with pytest.raises(ValueError, match="no ws: URL"):
        links.target("wss://example.com/v1")
