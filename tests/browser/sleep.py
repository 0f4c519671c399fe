"""A machine that sleeps: the processes of its pages are stopped, so that no timer and no event of them runs.

(Playwright keeps headless pages visible, and those cannot be frozen by CDP.)
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page


@contextmanager
def asleep(browser: Browser, page: Page) -> Iterator[None]:
    """Have all pages of the browser sleep. When they wake, this page becomes visible: its person is back."""
    processes = _renderers(browser)
    assert processes, "there is no process of a page"
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def _renderers(browser: Browser) -> list[int]:
    session = browser.new_browser_cdp_session()
    try:
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    finally:
        session.detach()
    return [process["id"] for process in processes if process["type"] == "renderer"]
