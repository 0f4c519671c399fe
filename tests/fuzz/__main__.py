"""Fuzz everything for a while: `python -m tests.fuzz [--seconds N] [--seed N] [TARGET …]`.

Findings go to `build/fuzz`, each with how to play it again: `python -m tests.fuzz --replay FILE`. Those of `requests:`
leave no file: their finding names a seed of Schemathesis, and `--seed` with its millions comes to it again. A finding
that is mended becomes a test at the lowest layer that could have caught it, and a line in `tests.fuzz.PAST_FINDINGS`.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

FINDINGS = Path("build/fuzz")
AT_ONCE = 2
# A finding is made smaller before it is told; and the first start of a machine may be slow.
GRACE_SECONDS = 420

HANDLERS = {
    "calls": ("accept", "post_once"),
    "socket-routes": ("authorizer", "connect", "disconnect", "acknowledge"),
    "http-routes": ("http_api", "chat_api"),
    "tasks": ("resolve_connections", "post_to_connections", "post_and_await_acknowledgement", "wait_for_reconnect"),
    "fan-out-tasks": ("plan_fan_out", "post_to_audience", "hand_over_to_deliveries"),
    "triggers": ("ingest", "ended", "wake", "presence"),
    "chat": ("publish_events", "notice_presence", "await_change", "settle_overdue"),
}
REQUESTS = {"http-api": "test_http_api_requests", "chat-api": "test_chat_api_requests"}
PARSERS = (
    *("envelope", "direct-envelope", "fan-out", "acknowledgement", "frame", "headers", "claims", "queued", "task"),
    *("fan-out-task", "row", "chat-body", "chat-caller", "http-body"),
)
TARGETS = (*(f"handlers:{name}" for name in HANDLERS), *(f"requests:{name}" for name in REQUESTS))
TARGETS += tuple(f"parser:{name}" for name in PARSERS)


class Outcome(NamedTuple):
    """What came of a target."""

    target: str
    found: bool
    seconds: float
    output: str


def command(target: str, *, seconds: float, seed: int, findings: Path = FINDINGS) -> list[str]:
    """What runs a target for so long. Parsers take half: they are tried thousands of times a second."""
    kind, _, name = target.partition(":")
    if kind == "parser":
        arguments = [name, str(findings), str(max(1, round(seconds / 2))), str(seed)]
        return [sys.executable, "-m", "tests.fuzz.parsers", *arguments]
    if kind == "handlers":
        tests = [f"tests/fuzz/test_handlers.py::test_{handler}_handler" for handler in HANDLERS[name]]
        each = seconds / len(tests)
    else:
        tests, each = [f"tests/fuzz/test_http.py::{REQUESTS[name]}"], seconds / (2 if name == "chat-api" else 1)
    options = [f"--fuzz-seconds={each}", f"--fuzz-seed={seed}", f"--fuzz-findings={findings}"]
    return [*_PYTEST, *options, *tests]


# Without what pytest keeps of a log: a test here writes thousands of times what another does.
_PYTEST = (sys.executable, "-m", "pytest", "-q", "-s", "--tb=short", "-p", "no:randomly", "-p", "no:logging")


def replay(file: Path) -> list[str]:
    """What plays a finding again."""
    if file.suffix == ".json":
        name = file.stem
        return [*_PYTEST, f"--fuzz-replay={file}", f"tests/fuzz/test_handlers.py::{name}"]
    name = next((name for name in sorted(PARSERS, key=len, reverse=True) if file.name.startswith(f"{name}-")), "")
    return [sys.executable, "-m", "tests.fuzz.parsers", name, str(file)]


def run(target: str, *, seconds: float, seed: int) -> Outcome:
    """Run one target to its end."""
    since = time.monotonic()
    try:
        done = subprocess.run(  # noqa: S603 - our own modules
            command(target, seconds=seconds, seed=seed),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=seconds + GRACE_SECONDS,
            check=False,
        )
        found, output = done.returncode != 0, done.stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired as error:
        found, output = True, (error.stdout or b"").decode("utf-8", "replace") + "\nit did not come to an end"
    log = FINDINGS / "logs" / f"{target.replace(':', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(output, "utf-8")
    return Outcome(target, found, time.monotonic() - since, output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the targets, two at a time; 1 if there is a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz handlers, HTTP APIs and parsers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all, or some of: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=20, help="how long a target is fuzzed (20); parsers: half")
    parser.add_argument("--seed", type=int, default=1, help="what is tried first (1)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play a finding's file again, and nothing else")
    given = parser.parse_args(arguments)
    if given.replay:
        return subprocess.run(replay(given.replay), check=False).returncode  # noqa: S603 - our own modules
    if unknown := set(given.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; see --help")
    targets = [target for target in TARGETS if target in (given.targets or TARGETS)]
    missing = [target for target in targets if target.startswith("parser:") and find_spec("atheris") is None]
    if missing:
        _say(f"NOT FUZZED, for there is no atheris for this Python or machine: {', '.join(missing)}")
        targets = [target for target in targets if target not in missing]
    outcomes, started_at = [], time.time()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = [pool.submit(run, target, seconds=given.seconds, seed=given.seed) for target in targets]
        for number, ended in enumerate(as_completed(started), start=1):
            outcome = ended.result()
            outcomes.append(outcome)
            _say(f"[{number}/{len(targets)}] {outcome.target}: {_in_words(outcome)} ({outcome.seconds:.0f} s)")
    found = [outcome for outcome in outcomes if outcome.found]
    for outcome in found:
        print(f"\n{outcome.target}\n{outcome.output[-3000:]}")
    files = sorted(FINDINGS.glob("*-*-*")) + sorted(FINDINGS.glob("*.json"))
    for file in (file for file in files if file.stat().st_mtime >= started_at):  # others are of earlier runs
        print(f"Again: python -m tests.fuzz --replay {file}")
    print(f"{len(outcomes) - len(found)} passed, {len(found)} failed")
    in_ci = "CI" in os.environ  # noqa: TID251 - a developer may have a machine without atheris, CI may not
    return 1 if found or (missing and in_ci) else 0


def _in_words(outcome: Outcome) -> str:
    if outcome.found:
        return "FINDING"
    words = (" events", " requests:", "stat::number_of_executed_units")
    lines = [line.lstrip(".") for line in outcome.output.splitlines() if any(word in line for word in words)]
    return "; ".join(lines).replace("stat::number_of_executed_units: ", "inputs: ") or "nothing found"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
