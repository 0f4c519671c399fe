"""The index of the architecture decisions names them all."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "adr"


def test_every_decision_is_listed_by_its_number_and_title() -> None:
    listed = re.findall(r"^\| \[(\d+)\]\((\S+)\) \| (.+?) \| .+ \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    there = [(path.name, path.read_text().splitlines()[0]) for path in sorted(FOLDER.glob("[0-9]*.md"))]

    assert [(name, f"# {number}. {title}") for number, name, title in listed] == there
    assert [int(name[:4]) for name, _ in there] == list(range(1, len(there) + 1)), "numbers without gaps, each once"
