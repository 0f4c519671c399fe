"""Known vulnerabilities of what is locked, as OSV and npm's registry know them."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any, NamedTuple

from uv import find_uv_bin

from tests.supply_chain import ROOT
from tests.supply_chain.locks import tells_of_network

UV: tuple[str, ...] = (
    *(find_uv_bin(), "audit", "--frozen", "--output-format", "json"),
    *("--preview-features", "audit-command"),
)
NPM: tuple[str, ...] = ("npm", "audit", "--package-lock-only", "--json")


class Audit(NamedTuple):
    """What came of one: what is wrong, or why nobody could be asked."""

    of: str
    found: tuple[str, ...] = ()
    unreachable: str | None = None


def of_python(command: Sequence[str] = UV) -> Audit:
    """Ask about everything in uv.lock."""
    status, answer, errors = _ask(command)
    if status == 0 and answer is not None:
        return Audit("uv.lock")
    if answer is None:
        return _unanswered("uv.lock", errors)
    return Audit("uv.lock", found=(json.dumps(answer)[:4000],))


def of_npm(command: Sequence[str] = NPM) -> Audit:
    """Ask about everything in package-lock.json."""
    _, answer, errors = _ask(command)
    if not isinstance(answer, dict) or "auditReportVersion" not in answer:
        told = answer.get("message") if isinstance(answer, dict) else None
        return _unanswered("package-lock.json", f"{told or ''} {errors}".strip())
    vulnerable: dict[str, Any] = answer.get("vulnerabilities", {})
    return Audit("package-lock.json", found=tuple(f"{name}: {each['severity']}" for name, each in vulnerable.items()))


def _unanswered(of: str, errors: str) -> Audit:
    """Whether the network is to blame, or the tool."""
    if tells_of_network(errors):
        return Audit(of, unreachable=errors)
    return Audit(of, found=(f"the tool gave no answer: {errors}",))


def _ask(command: Sequence[str]) -> tuple[int, Any, str]:
    done = subprocess.run(  # noqa: S603 - our own tools
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    return done.returncode, answer, done.stderr.strip()[-500:] or "no answer"
