"""The threat model names the tests that show what it says: they are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
THREATS = [line for line in (ROOT / "docs" / "threat-model.md").read_text().splitlines() if line.startswith("| ")][2:]


def test_every_threat_names_a_test_that_there_is() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(THREATS) > 10
    for threat in THREATS:
        shown_by = re.findall(r"`([^`]+)`", threat.split("|")[-2])
        assert shown_by, threat
        for name in shown_by:
            assert name.removeprefix("make ") in targets or (ROOT / "tests" / f"{name}.py").is_file(), name
