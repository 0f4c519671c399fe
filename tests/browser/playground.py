"""The page's playground, as a person clicks it."""

from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

_PATIENCE_MS = 30_000
_OPTIONS = {"plan", "pingSeconds", "gapTimeoutSeconds"}


@dataclass(frozen=True)
class Player:
    """One client's card."""

    card: Locator

    def click(self, testid: str) -> None:
        self.card.get_by_test_id(testid).click()

    def connect(self, **settings: str) -> None:
        """Fill in who it is, connect, and wait until it is open."""
        if _OPTIONS & settings.keys():
            self.card.get_by_text("Options", exact=True).click()
        for name, value in settings.items():
            self.card.get_by_test_id(f"setting-{name}").fill(value)
        self.click("connect")
        self.await_state("open")

    def await_state(self, state: str) -> None:
        expect(self.card).to_have_attribute("data-state", state, timeout=_PATIENCE_MS)

    def await_count(self, name: str, number: int) -> None:
        """The same for a number that the card shows."""
        expect(self.card.get_by_test_id(f"count-{name}")).to_have_text(str(number))

    @property
    def messages(self) -> Locator:
        """The messages on the page, newest first."""
        return self.card.get_by_test_id("message")

    @property
    def ids(self) -> list[str]:
        """The ids of the messages on the page, in the order of arrival."""
        newest_first: list[str] = self.messages.evaluate_all("items => items.map(item => item.dataset.id)")
        return newest_first[::-1]

    def count(self, name: str) -> int:
        """A number that the card shows now: `handled`, `duplicates`, `connections`, …"""
        return int(self.card.get_by_test_id(f"count-{name}").inner_text())


def opened(page: Page) -> Player:
    """The first client of the playground, in this page."""
    page.get_by_role("navigation").get_by_role("link", name="Playground").click()
    return Player(page.get_by_test_id("client-card").first)
