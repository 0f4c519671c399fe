"""The client module in real Chromium, on the deployed stack, through a network that fails."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from local import links
from local.console import Console
from local.demo.stage import Stage, envelope
from local.links import LinkThread
from tests.browser.pages import BROKEN_NETWORK, Window
from tests.browser.sleep import asleep
from tests.browser.tab import Tab
from tests.waiting import until

# So patient a backoff that only something else can bring a client back within the test.
PATIENT: dict[str, Any] = {"backoffBaseSeconds": 3600, "backoffCapSeconds": 3600}
IMPATIENT: dict[str, Any] = {"pingSeconds": 0.5, "pongSeconds": 2, "backoffBaseSeconds": 0.1, "backoffCapSeconds": 1}


@pytest.fixture
def link(stage: Stage) -> Iterator[LinkThread]:
    with links.running(*links.target(stage.installation.websocket_url)) as link:
        yield link


@pytest.fixture
def open_tab(
    windows: Window, stage: Stage, console: Console, link: LinkThread, user: str
) -> Iterator[Callable[[], Tab]]:
    """Opens a tab of the user on the console's origin, behind the link."""
    url = links.websocket_url(link, stage.installation.websocket_url)
    yield lambda: Tab(windows.page(f"{console.url}/page/icon.svg"), url, user)
    windows.close_pages()  # before the link, which they would miss


@pytest.fixture
def tab(open_tab: Callable[[], Tab]) -> Tab:
    return open_tab()


def ordered(user: str, number: int, **options: Any) -> dict[str, Any]:
    return envelope(user, number, ordered=True, ack="client", ackTimeoutSeconds=5, **options)


def ids(messages: list[dict[str, Any]]) -> list[str]:
    return [message["id"] for message in messages]


def hand_over(stage: Stage, *messages: dict[str, Any]) -> None:
    answers = stage.accept(*messages)
    assert {answer["status"] for answer in answers} <= {"started", "delivered"}


def hand_over_one_by_one(stage: Stage, *messages: dict[str, Any]) -> None:
    for message in messages:
        hand_over(stage, message)


def await_acknowledged(stage: Stage, *messages: dict[str, Any]) -> None:
    for message in messages:
        run = stage.runs.await_end(stage.runs.arn_of(message["id"]))
        assert run.output is not None
        assert run.output["status"] == "acknowledged"


def test_comes_back_as_soon_as_the_network_does(
    windows: Window, stage: Stage, tab: Tab, link: LinkThread, user: str
) -> None:
    windows.expect_errors(BROKEN_NETWORK)
    messages = [ordered(user, number) for number in range(3)]
    tab.start(**PATIENT)
    tab.await_open()

    windows.context.set_offline(True)
    link.go_down()
    until(lambda: tab.state == "waiting", "the client waits")
    hand_over(stage, *messages)
    for message in messages:
        stage.runs.await_waiting(stage.runs.arn_of(message["id"]))
    link.heal()
    windows.context.set_offline(False)

    tab.await_open()
    tab.await_messages(*ids(messages))
    await_acknowledged(stage, *messages)
    assert tab.ids == ids(messages)
    assert tab.states == ["connecting", "open", "waiting", "connecting", "open"]


def test_half_open_connection_is_noticed_and_replaced(stage: Stage, tab: Tab, link: LinkThread, user: str) -> None:
    messages = [ordered(user, number) for number in range(3)]
    tab.start(**IMPATIENT)
    tab.await_open()

    link.go_half_open()
    hand_over(stage, *messages)

    tab.await_messages(*ids(messages))
    await_acknowledged(stage, *messages)
    assert tab.ids == ids(messages)
    assert link.accepted >= 2


def test_sleeping_tab_wakes_up_and_has_everything(
    chromium: Browser, stage: Stage, tab: Tab, link: LinkThread, user: str
) -> None:
    messages = [ordered(user, number) for number in range(5)]
    tab.start(pongSeconds=2, backoffBaseSeconds=0.1)
    tab.await_open()

    with asleep(chromium, tab.page):
        hand_over(stage, *messages[:2])
        for message in messages[:2]:
            stage.runs.await_waiting(stage.runs.arn_of(message["id"]))
        link.go_half_open()
        hand_over(stage, *messages[2:])

    tab.await_messages(*ids(messages))
    await_acknowledged(stage, *messages)
    assert tab.ids == ids(messages)


def test_token_that_ends_is_replaced_without_losing_or_doubling_a_message(
    stage: Stage, tab: Tab, link: LinkThread, user: str
) -> None:
    messages = [ordered(user, number) for number in range(40)]
    sender = threading.Thread(target=hand_over_one_by_one, args=(stage, *messages))
    tab.start(ttl_seconds=8, lingerSeconds=1)
    tab.await_open()

    until(lambda: link.accepted == 2, "a second connection")
    sender.start()
    until(lambda: link.open_connections == 1, "the first connection is closed")
    sender.join()

    tab.await_messages(*ids(messages))
    await_acknowledged(stage, *messages)
    assert tab.ids == ids(messages)
    assert set(tab.states) == {"connecting", "open"}
    assert tab.states.count("connecting") == 1
    assert tab.seen["errors"] == []


def test_two_tabs_of_one_user_both_get_it_and_each_acknowledges(
    stage: Stage, open_tab: Callable[[], Tab], user: str
) -> None:
    tabs = [open_tab(), open_tab()]
    messages = [ordered(user, number) for number in range(5)]
    for tab in tabs:
        tab.start()
        tab.await_open()

    hand_over(stage, *messages)

    for tab in tabs:
        tab.await_messages(*ids(messages))
        assert tab.ids == ids(messages)
        assert tab.seen["gaps"] == []
    await_acknowledged(stage, *messages)


def test_reload_in_the_middle_of_a_series_keeps_what_was_seen_and_the_order(
    windows: Window, stage: Stage, tab: Tab, user: str
) -> None:
    windows.expect_errors(BROKEN_NETWORK)
    messages = [ordered(user, number) for number in range(30)]
    tab.start(handler_milliseconds=50)
    tab.await_open()

    hand_over(stage, *messages)
    until(lambda: len(tab.ids) >= 5, "the first five")
    tab.reload()
    before = tab.ids
    tab.start()

    tab.await_messages(messages[-1]["id"], seconds=45)
    await_acknowledged(stage, *messages)
    assert tab.ids == ids(messages)
    assert 5 <= len(before) < len(messages)
