"""The page of `examples/progress`, told things in an order that only a bad network makes."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from examples.progress.server import make_application
from local.tokens import Keys
from ringback import Publisher
from tests.browser.pages import BROKEN_NETWORK, Window
from tests.browser.progress import Bar, Pace
from tests.browser.quick import gateway
from tests.browser.quick.gateway import Gateway
from tests.sdk import FakeFunctions, sending_to
from tests.serving import serving
from tests.waiting import until


@pytest.fixture(scope="module")
def server() -> Iterator[Gateway]:
    with gateway.running() as running:
        yield running


@pytest.fixture
def url(server: Gateway) -> Iterator[str]:
    publisher, token = Publisher(sending_to(FakeFunctions(), WebSocketUrl=server.url)), Keys.make().token("ana")
    with serving(lambda _: make_application(publisher, lambda: token, work=Pace())) as url:
        yield url


def message(state: str, done: int) -> dict[str, Any]:
    return {
        "kind": "message",
        "id": f"{state}-{done}",
        "type": "job",
        "payload": {"state": state, "done": done, "of": 20},
        "sentAt": "2030-01-31T12:00:00.000Z",
        "attempt": 1,
        "ack": "client",  # tells the test that the page is done with it
    }


def send(server: Gateway, *messages: dict[str, Any]) -> None:
    """Have the newest page take these, in this order."""
    server.send(*messages)
    ids = {message["id"] for message in messages}
    until(lambda: ids <= set(server.connections[-1].acknowledged), "the page has taken them")


def test_what_comes_late_overwrites_nothing_newer(server: Gateway, windows: Window, url: str) -> None:
    bar = Bar(windows.page(url))
    bar.start()

    send(server, message("running", 7), message("running", 5))
    bar.shows("At work", 7, 20)
    send(server, message("failed", 9), message("running", 10))
    bar.shows("Failed", 9, 20)


def test_two_tabs_show_the_same_job(server: Gateway, windows: Window, url: str) -> None:
    windows.expect_errors(BROKEN_NETWORK)
    first, second = Bar(windows.page(url)), Bar(windows.page(url))

    first.start()
    second.await_connected()
    before = len(server.connections)
    send(server, message("running", 3))
    first.shows("At work", 3, 20)
    second.shows("At work", 3, 20)
    for bar in (first, second):
        expect(bar.start_button).to_be_disabled()
        expect(bar.page.get_by_text("Reload this page while it works")).to_be_visible()
    send(server, message("finished", 20))
    first.shows("Finished", 20, 20)
    second.start()
    first.await_connected()

    until(lambda: len(server.connections) == before + 2, "both follow the new job")
    first.shows("At work", 0, 20)
    expect(first.start_button).to_be_disabled()


def test_a_job_that_a_restart_has_lost_bars_no_other(windows: Window, url: str) -> None:
    windows.expect_errors(BROKEN_NETWORK)
    bar = Bar(windows.page(url))
    lost = bar.start()
    bar.page.reload()
    bar.await_connected()
    expect(bar.start_button).to_be_disabled()

    bar.page.route("**/jobs", lambda route: route.fulfill(json={**route.fetch().json(), "jobs": []}), times=1)
    bar.page.reload()
    bar.shows("At work", 0, 20)

    assert bar.start() != lost
