"""Pages of a browser that take notice of every error on them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page

# What Chromium writes by itself when a handshake fails or a connection breaks: the test's own doing.
BROKEN_NETWORK = r"WebSocket connection to '[^']*' failed"


@dataclass
class Window:
    """A context of its own (cookies, storage) and the errors of all its pages."""

    context: BrowserContext
    errors: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def page(self, url: str) -> Page:
        """A new tab at this address."""
        page = self.context.new_page()
        page.goto(url)
        return page

    def close_pages(self) -> None:
        """Close all its tabs."""
        for page in self.context.pages:
            page.close()

    def expect_errors(self, pattern: str) -> None:
        """Let the errors pass whose text matches."""
        self.expected.append(pattern)

    def take_console(self, message: ConsoleMessage) -> None:
        url = message.location["url"]
        if message.type == "error" and not url.endswith("/favicon.ico"):  # which nobody has but the browser asks for
            self._take(f"{message.text} ({url})")

    def take_error(self, error: Error) -> None:
        self._take(f"uncaught: {error}")

    @property
    def unexpected(self) -> list[str]:
        return [text for text in self.errors if not any(re.search(pattern, text) for pattern in self.expected)]

    def _take(self, text: str) -> None:
        self.errors.append(text)


@contextmanager
def window(browser: Browser, **options: Any) -> Iterator[Window]:
    """Have a context; fails in the end if there was an error on one of its pages that nobody expected."""
    context = browser.new_context(**options)
    made = Window(context)
    context.on("console", made.take_console)
    context.on("weberror", lambda event: made.take_error(event.error))
    try:
        yield made
    finally:
        context.close()
    if made.unexpected:
        raise AssertionError(f"errors on the page: {made.unexpected}")
