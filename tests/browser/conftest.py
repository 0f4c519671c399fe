"""The browser, and the deployed stack with its console: one of each for a test session."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from local import browser, settings, stack
from local.console import Console
from local.console import running as running_console
from local.demo.stage import Stage
from local.errors import NoBrowser
from local.stack import Stack
from tests.browser.pages import Window, window

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One browser is enough for all workers. Without one, say what is not run, once for each module."""
    ours = [item for item in items if item.path.is_relative_to(_HERE)]
    missing = _missing_browser()
    for item in ours:
        item.add_marker(pytest.mark.xdist_group("browser"))
        if missing and not settings.in_ci():
            item.add_marker(pytest.mark.skip(f"NOT RUN in a real browser: {missing}"))


# Of the package: outside of it tests run event loops, which a running Playwright does not allow in its thread.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if missing := _missing_browser():
        pytest.fail(f"nothing is skipped in CI: {missing}", pytrace=False)
    with browser.running() as running:
        yield running


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Console]]:
    with stack.running(tmp_path_factory.mktemp("stack")) as started, running_console(started) as console:
        yield started, console


@pytest.fixture(scope="session")
def stage(deployed: tuple[Stack, Console]) -> Stage:
    started, _ = deployed
    return Stage(started.installation, started.keys, say=print)


@pytest.fixture(scope="session")
def console(deployed: tuple[Stack, Console]) -> Console:
    _, console = deployed
    return console


@pytest.fixture
def windows(chromium: Browser) -> Iterator[Window]:
    with window(chromium) as made:
        yield made


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4()}"


def _missing_browser() -> str:
    """What is missing, and what to do; empty words if nothing is."""
    try:
        browser.find()
    except NoBrowser as error:
        return str(error)
    return ""
