"""The page of `examples/progress`, and work that goes on when a test says so."""

import queue
from collections.abc import Iterator
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

_PATIENCE_MS = 30_000


class Pace:
    """Work of one job at a time: each step is done when it is told to go on."""

    def __init__(self) -> None:
        self._turns: queue.SimpleQueue[None] = queue.SimpleQueue()

    def __call__(self, steps: int) -> Iterator[int]:
        for step in range(steps):
            self._turns.get()
            yield step

    def go_on(self, steps: int) -> None:
        """Let so many further steps be done."""
        for _ in range(steps):
            self._turns.put(None)


@dataclass(frozen=True)
class Bar:
    """What a person sees of the job."""

    page: Page

    @property
    def start_button(self) -> Locator:
        return self.page.get_by_role("button", name="Start a job")

    def start(self) -> str:
        """Start a job, and answer its id."""
        with self.page.expect_response(
            lambda given: (given.request.method, given.url[-5:]) == ("POST", "/jobs")
        ) as answer:
            self.start_button.click()
        job_id: str = answer.value.json()["id"]
        self.await_connected()
        return job_id

    def await_connected(self) -> None:
        expect(self.page.get_by_text("Connected.", exact=True)).to_be_visible(timeout=_PATIENCE_MS)

    def shows(self, state: str, done: int, of: int) -> None:
        """Wait until it shows this, in words and as a bar."""
        expect(self.page.get_by_role("status")).to_have_text(
            f"{state}: {done} of {of} steps done.", timeout=_PATIENCE_MS
        )
        assert self.page.get_by_role("progressbar").evaluate("bar => [bar.value, bar.max]") == [done, of]
