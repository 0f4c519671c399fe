"""docs/fidelity.md says what the cases and their marks say, and what it links to is there."""

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
TEXT = PAGE.read_text(encoding="utf-8")
_NO_CASES = {"test_account", "test_document"}
MODULES = [path.stem for path in sorted(Path(__file__).parent.glob("test_*.py")) if path.stem not in _NO_CASES]


def section(heading: str) -> str:
    """What stands below a heading, up to the next one of its level."""
    level = heading.partition(" ")[0]
    return re.split(rf"^{level} ", TEXT.split(f"\n{heading}\n")[1], flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in a text, without heads and rules."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if not set(cells[0]) <= {"-", " "} and cells[0] not in {"name", "on AWS"}]


def cases(module: str) -> Iterator[Callable[..., object]]:
    found = vars(importlib.import_module(f"tests.fidelity.{module}"))
    return (function for name, function in found.items() if name.startswith("test_"))


def marks(module: str) -> Iterator[pytest.Mark]:
    for case in cases(module):
        yield from getattr(case, "pytestmark", [])


def test_known_differences_are_those_that_cases_are_marked_with() -> None:
    marked = {(mark.args[1], mark.args[0]) for module in MODULES for mark in marks(module) if mark.name == "differs"}
    listed = [(cells[0], where) for cells in rows(section("## Known differences")) for where in cells[1].split(", ")]

    assert sorted(listed) == sorted(marked)


@pytest.mark.parametrize("module", MODULES)
def test_known_difference_is_one_assertion(module: str) -> None:
    """Else it would pass as known whichever of them fails."""
    for case in cases(module):
        found = [mark for mark in getattr(case, "pytestmark", []) if mark.name == "differs"]
        if any(issubclass(AssertionError, mark.args[2]) for mark in found):
            body = ast.parse(inspect.getsource(case))
            assert sum(isinstance(node, ast.Assert) for node in ast.walk(body)) == 1, case.__name__


@pytest.mark.parametrize("module", MODULES)
def test_cases_are_listed_by_their_names(module: str) -> None:
    areas = [area for area in re.split(r"^### ", TEXT, flags=re.MULTILINE) if f"[{module}]" in area]
    assert len(areas) == 1

    listed = [cells[0] for cells in rows(areas[0].split("\n## ")[0])]

    assert listed == [case.__name__.removeprefix("test_").replace("_", " ") for case in cases(module)]


def test_what_is_linked_to_is_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", TEXT)

    assert targets
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []
