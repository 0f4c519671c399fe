"""What only a real browser can show of the client: its events, its storage, its sleep, its sockets."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from local import links
from local.links import LinkThread
from tests.browser.pages import BROKEN_NETWORK, Window
from tests.browser.quick import gateway
from tests.browser.quick.gateway import Connection, Gateway
from tests.browser.sleep import asleep
from tests.browser.tab import Tab
from tests.waiting import until

# So patient a backoff that only something else can bring a client back within the test.
PATIENT = {"backoffBaseSeconds": 3600, "backoffCapSeconds": 3600}


@pytest.fixture(scope="module")
def running_gateway() -> Iterator[Gateway]:
    with gateway.running() as running:
        yield running


@pytest.fixture
def server(running_gateway: Gateway) -> Gateway:
    running_gateway.connections.clear()
    return running_gateway


@pytest.fixture
def link(server: Gateway) -> Iterator[LinkThread]:
    with links.running("127.0.0.1", server.port) as link:
        yield link


@pytest.fixture
def tab(windows: Window, server: Gateway, link: LinkThread, user: str) -> Iterator[Tab]:
    yield Tab(windows.page(server.page), links.websocket_url(link, server.url), user)
    windows.close_pages()  # before the link, which they would miss


def message(number: int, **more: Any) -> dict[str, Any]:
    return {
        "kind": "message",
        "id": f"m{number}",
        "type": "note",
        "payload": number,
        "sentAt": "2030-01-31T12:00:00.000Z",
        "attempt": 1,
        "ack": "client",
        "ordered": True,
        "sequence": number,
        **more,
    }


def test_messages_come_in_order_and_are_acknowledged(tab: Tab, server: Gateway) -> None:
    tab.start()
    tab.await_open()

    server.send({"kind": "batch", "messages": [message(1), message(3)]}, message(2))
    until(lambda: set(server.acknowledged) == {"m1", "m2", "m3"}, "all are acknowledged")
    server.send(message(1))

    until(lambda: server.acknowledged.count("m1") == 2, "the second m1 is acknowledged as well")
    assert tab.ids == ["m1", "m2", "m3"]
    assert tab.states == ["connecting", "open"]
    assert tab.seen["errors"] == []


def test_reload_in_the_middle_of_a_series_keeps_what_was_seen_and_the_order(tab: Tab, server: Gateway) -> None:
    tab.start()
    tab.await_open()
    server.send(message(1), message(2), message(4))
    until(lambda: server.acknowledged == ["m1", "m2"], "two are acknowledged")

    tab.reload()
    tab.start()
    tab.await_open()
    server.send(*(message(number) for number in (5, 2, 4, 1, 3)))

    tab.await_messages("m5")
    assert tab.ids == ["m1", "m2", "m3", "m4", "m5"]
    # What was handled before the reload is acknowledged again: its acknowledgement may have been lost.
    until(lambda: set(server.connections[-1].acknowledged) == {f"m{number}" for number in range(1, 6)}, "all again")


def test_tab_does_not_take_what_another_tab_has_seen_for_its_own(
    windows: Window, tab: Tab, server: Gateway, user: str
) -> None:
    other = Tab(windows.page(server.page), server.url, user)
    for each in (tab, other):
        each.start()
        each.await_open()

    for connection in range(2):
        server.send(message(1), to=connection)

    for each in (tab, other):
        each.await_messages("m1")
    until(lambda: server.acknowledged == ["m1", "m1"], "each acknowledges")


def test_comes_back_when_the_network_does(windows: Window, tab: Tab, server: Gateway, link: LinkThread) -> None:
    windows.expect_errors(BROKEN_NETWORK)
    tab.start(**PATIENT)
    tab.await_open()

    windows.context.set_offline(True)
    link.go_down()
    until(lambda: tab.state == "waiting", "the client waits")
    assert len(server.connections) == 1
    link.heal()
    windows.context.set_offline(False)

    tab.await_open()
    server.send(message(1))
    tab.await_messages("m1")


def test_half_open_connection_is_noticed_and_replaced(tab: Tab, server: Gateway, link: LinkThread) -> None:
    tab.start(pingSeconds=0.3, pongSeconds=0.3, backoffBaseSeconds=0.1)
    tab.await_open()

    link.go_half_open()
    server.send(message(1))

    assert_replaced(tab, server)


def test_quiet_connection_that_answers_is_kept(tab: Tab, server: Gateway) -> None:
    tab.start(pingSeconds=0.1, pongSeconds=5)
    tab.await_open()

    until(lambda: len(server.connections[0].received) >= 3, "three pings")

    assert {frame["action"] for frame in server.connections[0].received} == {"ping"}
    assert len(server.connections) == 1


def test_sleeping_tab_wakes_up_on_a_dead_connection_and_replaces_it(
    chromium: Browser, tab: Tab, server: Gateway, link: LinkThread
) -> None:
    tab.start(pongSeconds=0.3, backoffBaseSeconds=0.1)
    tab.await_open()

    with asleep(chromium, tab.page):
        link.go_half_open()
        server.send(message(1))

    assert_replaced(tab, server)


def test_connection_is_replaced_before_its_token_ends_without_a_gap(tab: Tab, server: Gateway) -> None:
    tab.start(ttl_seconds=7, lingerSeconds=0.5)
    tab.await_open()
    server.send(message(1))

    until(lambda: len(server.connections) == 2, "a second connection")
    server.send(message(2), to=0)
    server.send(message(2), message(3), to=1)
    until(lambda: server.connections[0].closed, "the first connection is closed")
    server.send(message(4))

    tab.await_messages("m4")
    assert tab.ids == ["m1", "m2", "m3", "m4"]
    assert set(tab.states) == {"connecting", "open"}
    first, second = server.connections
    assert first.closed_at is not None
    assert second.opened_at < first.closed_at
    assert tab.seen["tokens"] == 2


def test_random_drops_lose_and_double_nothing(windows: Window, tab: Tab, server: Gateway, link: LinkThread) -> None:
    windows.expect_errors(BROKEN_NETWORK)
    chance = random.Random(1)  # noqa: S311 - no secret
    tab.start(backoffBaseSeconds=0.01, backoffCapSeconds=0.05)
    tab.await_open()
    ids = [f"m{number}" for number in range(1, 61)]

    while missing := [number for number in range(1, 61) if f"m{number}" not in server.acknowledged]:
        connection = server.connections[-1]
        some = missing[: chance.randint(1, 12)]
        chance.shuffle(some)
        server.send(*(message(number) for number in some))
        await_effect(connection)
        before = len(server.connections)
        (link.cut if chance.random() < 0.7 else link.go_half_open)()
        tab.page.evaluate("window.dispatchEvent(new Event('online'))")
        await_another(server, before)

    assert tab.ids == ids


def assert_replaced(tab: Tab, server: Gateway) -> None:
    """A second connection takes over: what the first one lost comes by it, and is handled once."""
    until(lambda: len(server.connections) == 2, "a second connection")
    tab.await_open()
    server.send(message(1), message(2))
    tab.await_messages("m1", "m2")
    assert tab.ids == ["m1", "m2"]


def await_effect(connection: Connection) -> None:
    until(lambda: connection.acknowledged or connection.closed, "an acknowledgement, or the end of the connection")


def await_another(server: Gateway, before: int) -> None:
    until(lambda: len(server.connections) > before, "the client is back")
