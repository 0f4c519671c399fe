"""No serious accessibility fault in any view, in both themes, on a desk and on a phone."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from local.console import Console
from local.demo.stage import Stage, envelope
from tests.browser import playground
from tests.browser.axe import serious_faults
from tests.browser.pages import window

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
PATIENT = {"backoffBaseSeconds": 3600, "backoffCapSeconds": 3600}


@pytest.fixture(scope="module")
def runs(stage: Stage) -> dict[str, str]:
    """A run that waits, one that is over, and one whose message is a dead letter, by what they are; their ARNs."""
    waits = envelope("zoe", {"text": "Hello"}, ack="client", retry=PATIENT)
    fails = envelope("zoe", {"text": "Too late"}, track=True, retry={"maxAttempts": 1, "backoffBaseSeconds": 1})
    arrives = envelope("yan", {"text": "Here"}, ack="client", ordered=True)
    client = stage.client("yan")
    client.acknowledges = True
    with stage.connected(client):
        stage.accept(waits, fails, arrives)
        arns = {
            name: stage.runs.arn_of(message["id"])
            for name, message in {"waiting": waits, "dead letter": fails, "acknowledged": arrives}.items()
        }
        stage.runs.await_end(arns["acknowledged"])
    stage.runs.await_waiting(arns["waiting"])
    stage.runs.await_end(arns["dead letter"])
    return arns


@pytest.fixture(params=[(theme, size) for theme in ("light", "dark") for size in ("desk", "phone")], ids="-".join)
def page(request: pytest.FixtureRequest, chromium: Browser, console: Console) -> Iterator[Page]:
    theme, size = request.param
    options: dict[str, Any] = {"color_scheme": theme, "viewport": DESK if size == "desk" else PHONE}
    # A transition is neither the one colour nor the other.
    with window(chromium, reduced_motion="reduce", **options) as opened:
        page = opened.page(console.url)
        playground.opened(page).connect(user="xaver")
        yield page


def each_view(page: Page, runs: dict[str, str]) -> Iterator[str]:
    """Go from view to view; each is there, with what it is to hold."""
    views = {
        "runs": ("#/runs", "zoe"),
        "no such run": ("#/runs?id=nothing", "No run is like that"),
        **{name: (f"#/runs/{quote(arn, safe='')}", "Resolve Connections") for name, arn in runs.items()},
        "connections": ("#/connections", "xaver"),
        "dead letters": ("#/dead-letters", "zoe"),
        "send": ("#/send", "Send"),
        "playground": ("#/playground", "xaver"),
        "chat": ("#/chat", "Start a chat"),
    }
    for name, (fragment, holds) in views.items():
        page.evaluate("fragment => { location.hash = fragment; }", fragment)
        expect(page.locator("main")).to_contain_text(holds)
        yield name


def test_no_view_has_a_serious_fault(page: Page, runs: dict[str, str]) -> None:
    faults = {name: serious_faults(page) for name in each_view(page, runs)}

    assert {name: found for name, found in faults.items() if found} == {}


def test_nothing_is_wider_than_the_window(page: Page, runs: dict[str, str]) -> None:
    beyond = {
        name: page.evaluate("document.documentElement.scrollWidth - innerWidth") for name in each_view(page, runs)
    }

    assert {name: pixels for name, pixels in beyond.items() if pixels > 0} == {}
