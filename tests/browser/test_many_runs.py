"""The console with a thousand runs that wait."""

import datetime
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from local.console import Console
from local.demo.stage import Stage, envelope
from ringback import Installation, Publisher
from tests.browser.pages import Window
from tests.waiting import until

RUNS = 1_000
PER_CALL = 100
QUICK_MS = 1_000

_IDS = """() => [...document.querySelectorAll("[role=row] .c-id a")].map((link) => link.textContent)"""
# From typing to the frame in which the list is another one.
_FILTER = """async ({ text, rows }) => {
  const field = document.querySelector("input[placeholder=Id]");
  const started = performance.now();
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  while (document.querySelectorAll(".run-row").length !== rows)
    await new Promise((resolve) => requestAnimationFrame(resolve));
  return performance.now() - started;
}"""
_NEXT_ATTEMPT = """() => {
  const shown = document.querySelector(".run-row .countdown");
  return { at: shown.dateTime, text: shown.textContent, now: Date.now() };
}"""
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


@pytest.fixture
def publisher(stage: Stage, tmp_path: Path) -> Publisher:
    stage.installation.save(tmp_path / "local.json")
    return Publisher(Installation.local(tmp_path / "local.json"))


def waiting(user: str, number: int) -> dict[str, Any]:
    retry = {"backoffBaseSeconds": 3000, "backoffCapSeconds": 3000}
    return {**envelope(user, number, track=True, retry=retry), "id": f"{user}-{number:04}"}


def all_ids(page: Page) -> set[str]:
    """The ids in the list, over its whole length: only what is near the window is in the page."""
    ids: set[str] = set(page.evaluate(_IDS))
    at, height = 0, page.evaluate("document.documentElement.scrollHeight")
    while at < height:
        at += 600
        page.evaluate(
            "async (at) => { scrollTo(0, at); for (const _ of '12') await new Promise(requestAnimationFrame); }", at
        )
        ids |= set(page.evaluate(_IDS))
    page.evaluate("scrollTo(0, 0)")
    return ids


def seconds(text: str) -> float:
    """1 min 15 s → 75."""
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+) (\w+)", text))


def test_a_thousand_waiting_runs_are_all_there_and_quickly_filtered(
    windows: Window, stage: Stage, console: Console, publisher: Publisher, user: str
) -> None:
    page = windows.page(f"{console.url}/#/runs?user={user}")
    page.evaluate("window.notReloaded = true")
    messages = [waiting(user, number) for number in range(RUNS)]
    for start in range(0, RUNS, PER_CALL):
        stage.accept(*messages[start : start + PER_CALL])

    chip = page.get_by_role("group", name="Status").get_by_role("button", name=re.compile("waiting"))
    expect(chip).to_have_text(re.compile(rf"{RUNS:,}$"), timeout=180_000)
    expect(page.get_by_test_id("shown")).to_have_text(re.compile(rf"^{RUNS:,} "))
    expect(page.get_by_role("table", name="Runs")).to_have_attribute("aria-rowcount", f"{RUNS + 1}")
    assert all_ids(page) == {message["id"] for message in messages}

    assert page.evaluate(_FILTER, {"text": f"{user}-0777", "rows": 1}) < QUICK_MS
    shown = page.evaluate(_NEXT_ATTEMPT)
    status = publisher.status(f"{user}-0777")
    assert status.next_attempt_at is not None
    at = datetime.datetime.fromisoformat(shown["at"])
    assert abs((at - status.next_attempt_at).total_seconds()) < 1
    left = status.next_attempt_at.timestamp() - shown["now"] / 1000
    assert abs(seconds(shown["text"]) - left) <= 1.25  # it is rounded up, and drawn four times a second

    stage.installation.clients.stepfunctions.stop_execution(
        executionArn=stage.runs.arn_of(f"{user}-0777"), error="Cancelled"
    )
    until(lambda: "cancelled" in page.locator(".run-row").inner_text(), "the list says that it is cancelled")
    assert page.evaluate("window.notReloaded === true")
