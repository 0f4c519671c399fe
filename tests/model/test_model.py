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
    "BUG_ENTRY_NOT_COMPARED": "one",
    "BUG_INEXACT_DISCONNECT": "one",
    "BUG_NO_GRACE_FOR_THE_YOUNG": "one",
    "BUG_NO_DEDUPE": "one",
    "BUG_LATE_ACKNOWLEDGEMENT_NOT_KEPT": "late",
    "BUG_LETTER_DELETED_FIRST": "redriven",
    "BUG_STALE_WHERE_NOTHING_TOOK_IT": "impatient",
}


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    missing = [tool for tool in ("spin", "gcc") if not shutil.which(tool)]
    if missing:
        pytest.fail(f"{' and '.join(missing)} not found; on Debian: sudo apt-get install spin gcc", pytrace=False)


def search(scene: str, directory: Path, *bugs: str) -> str:
    """Try all interleavings; answers what Spin's verifier prints."""
    _run(["spin", "-a", *_macros(scene, *bugs), str(MODEL)], directory)
    # -O2 takes longer to compile than it saves.
    compiler = ["gcc", "-O1", "-w", "-DSAFETY", "-DNOFAIR", "-DCOLLAPSE", "-DMEMLIM=6000"]
    _run([*compiler, "-o", "pan", "pan.c"], directory)
    return _run(["./pan", f"-m{DEPTH}"], directory)


def story(scene: str, directory: Path, *bugs: str) -> str:
    """What happened on the way to the error that the search has found, in a few lines."""
    told = _run(["spin", "-t", "-T", "-k", f"{MODEL.name}.trail", *_macros(scene, *bugs), str(MODEL)], directory)
    return told.partition("spin: trail ends")[0]


def _macros(scene: str, *bugs: str) -> list[str]:
    return [f"-D{macro}" for macro in (*SCENES[scene].macros, *bugs)]


def _run(command: list[str], directory: Path) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(command)}\n{said}"
    return said


@pytest.mark.parametrize(
    "scene", [pytest.param(name, marks=[pytest.mark.large] * scene.large) for name, scene in SCENES.items()]
)
def test_nothing_is_lost_stuck_or_counted_twice(scene: str, tmp_path: Path) -> None:
    said = search(scene, tmp_path)

    assert "errors: 0" in said, f"{said}\n{story(scene, tmp_path) if 'errors: 1' in said else ''}"
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
    told = story(BUGS[bug], tmp_path, bug)
    print(told)
    assert "failed assertion" in told
