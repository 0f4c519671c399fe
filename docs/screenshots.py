"""`python -m docs.screenshots`: play a story in the console, and write the README's pictures of it."""

import tempfile
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, expect

from local import browser, console, stack

IMAGES = Path(__file__).parent / "images"
SIZE: ViewportSize = {"width": 1280, "height": 900}

_PATIENCE_MS = 60_000


def play(page: Page) -> None:
    """Ana goes into a tunnel, a message is sent to her and waits, and she comes out again."""
    open_view(page, "Playground")
    page.get_by_role("button", name="Ana and Bob").click()
    ana, bob = page.get_by_label("Client 1: ana"), page.get_by_label("Client 2: bob")
    for card, what, count in ((ana, "send-burst", 10), (bob, "send-ordered", 1)):
        expect(card).to_have_attribute("data-state", "open", timeout=_PATIENCE_MS)
        card.get_by_test_id(what).click()
        expect(card.get_by_test_id("count-acknowledged")).to_have_text(f"{count}", timeout=_PATIENCE_MS)

    ana.get_by_test_id("half-open").click()
    expect(ana.get_by_test_id("fault")).to_have_text("half-open")
    ana.get_by_test_id("send-acknowledged").click()
    sent = ana.get_by_test_id("sent").filter(has_text="acknowledged-")  # the id begins with it
    sent.get_by_test_id("run-link").click(timeout=_PATIENCE_MS)
    expect(page.get_by_label("Facts")).to_contain_text("Waits for a reconnect", timeout=_PATIENCE_MS)
    take(page, "run.png")

    open_view(page, "Playground")
    ana.get_by_test_id("heal").click()
    expect(ana.get_by_test_id("count-acknowledged")).to_have_text("11", timeout=_PATIENCE_MS)
    expect(sent.locator(".badge")).to_have_text("acknowledged", timeout=_PATIENCE_MS)
    take(page, "playground.png")


def open_view(page: Page, name: str) -> None:
    """Go to a view as a person does."""
    page.get_by_role("navigation").get_by_role("link", name=name).click()


def take(page: Page, name: str) -> None:
    """Write down what the window shows, when nothing moves any more."""
    page.mouse.move(0, 0)
    page.screenshot(path=IMAGES / name, animations="disabled", caret="hide")
    print(f"docs/images/{name}")


def main() -> None:
    """Have all of it for as long as the story takes."""
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        stack.running(Path(directory)) as started,
        console.running(started) as running,
        browser.running() as chromium,
    ):
        # The times on the page are UTC, and nothing is on its way from one place to another.
        page = chromium.new_page(
            viewport=SIZE, color_scheme="light", reduced_motion="reduce", timezone_id="UTC", locale="en-GB"
        )
        page.goto(running.url)
        play(page)


if __name__ == "__main__":
    main()
