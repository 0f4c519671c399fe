"""The machine's own Chromium, driven by Playwright: nothing is downloaded, and it asks nobody beyond this machine."""

import contextlib
import os
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

from local import settings
from local.errors import NoBrowser

COMMANDS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str:
    """The path of the browser.

    Raises:
        NoBrowser
    """
    chosen = settings.chosen_browser()
    for command in (chosen,) if chosen else COMMANDS:
        if path := shutil.which(command):
            return path
    missing = f"CHROMIUM names {chosen}, which is no program" if chosen else "there is no Chromium on this machine"
    raise NoBrowser(f"{missing}: `apt-get install chromium`, or name one with CHROMIUM=/path")


@contextlib.contextmanager
def running() -> Iterator[Browser]:
    """Have a browser without a window.

    While it runs, this thread has an event loop that runs: `asyncio.run` works in other threads only.

    Raises:
        NoBrowser
    """
    path = find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=_FLAGS,
            # Chromium refuses to have one as root.
            chromium_sandbox=os.geteuid() != 0,
        )
        try:
            yield browser
        finally:
            browser.close()
