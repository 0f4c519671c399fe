"""The protocol's model, by Spin: every interleaving of each scene, and the bugs that it must find."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.model.scenes import SCENES

MODEL = Path(__file__).with_name("ringback.pml")
DOCUMENT = Path(__file__).parents[2] / "docs/model.md"
# Deeper than any of them goes: a search that reaches it is cut, and says so.
DEPTH = 10_000
# One macro each, and the scene that it is found in.
BUGS = {
    "BUG_NO_RECHECK": "one",
    "BUG_RECHECK_BEFORE_WRITE": "one",
    "BUG_INEXACT_DISCONNECT": "one",
    "BUG_NO_GRACE_FOR_THE_YOUNG": "one",
}


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    missing = [tool for tool in ("spin", "gcc") if not shutil.which(tool)]
    if missing:
        pytest.fail(f"{' and '.join(missing)} not found; on Debian: sudo apt-get install spin gcc", pytrace=False)


def search(scene: str, directory: Path, *bugs: str) -> str:
    """Try all interleavings; answers what Spin's verifier prints."""
    macros = [f"-D{macro}" for macro in (*SCENES[scene].macros, *bugs)]
    _run(["spin", "-a", *macros, str(MODEL)], directory)
    # On a busy machine, optimising takes longer than it saves.
    _run(["gcc", "-O0", "-w", "-DSAFETY", "-DNOFAIR", "-DMEMLIM=4000", "-o", "pan", "pan.c"], directory)
    return _run(["./pan", f"-m{DEPTH}"], directory)


def _run(command: list[str], directory: Path) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(command)}\n{said}"
    return said


@pytest.mark.parametrize("scene", SCENES)
def test_nothing_is_lost_stuck_or_counted_twice(scene: str, tmp_path: Path) -> None:
    said = search(scene, tmp_path)

    assert "errors: 0" in said, said
    assert "max search depth too small" not in said, said
    assert "Search not completed" not in said, said
    assert "out of memory" not in said, said
    (states,) = re.findall(r"^\s*(\d+) states, stored", said, re.MULTILINE)
    row = f"| `{scene}` | {SCENES[scene].what} | {int(states):,} |"
    assert row in DOCUMENT.read_text(encoding="utf-8"), f"docs/model.md has another figure; write:\n{row}"


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, tmp_path: Path) -> None:
    said = search(BUGS[bug], tmp_path, bug)

    assert "assertion violated" in said, f"{bug} was not found:\n{said}"
    assert (tmp_path / "ringback.pml.trail").exists()
