"""Axe, which finds accessibility faults. Its source is evaluated: the page's own policy for scripts stays as it is."""

from functools import cache
from typing import Any

from playwright.sync_api import Page

from local.settings import ROOT

_SERIOUS = {"serious", "critical"}


@cache
def _source() -> str:
    return (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()


def serious_faults(page: Page) -> list[str]:
    """What is seriously wrong with the page as it is now, and where."""
    page.evaluate(f"() => {{ {_source()} }}")
    found: dict[str, Any] = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{violation['id']}: {node['target']}: {node['failureSummary']}"
        for violation in found["violations"]
        if violation["impact"] in _SERIOUS
        for node in violation["nodes"]
    ]
