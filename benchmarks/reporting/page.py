"""`docs/performance.md`: its text is written by hand, its figures only by the command.

Between `<!-- bench:NAME -->` and `<!-- /bench -->` stands what the benchmark of that name came to; NAME `promises` is
the list of all ratios that are promised. Outside of these there are no figures.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Cell, Plot, Ratio, Table
from benchmarks.reporting import plots
from benchmarks.reporting.cells import cell, number
from benchmarks.reporting.record import Entry, Record

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = "performance.md"
FIGURES = "performance.json"
IMAGES = "images/performance"
PROMISES = "promises"

_PART = re.compile(r"(<!-- bench:([a-z_]+) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def write(record: Record, folder: Path = DOCS) -> list[Path]:
    """Take these results over into the docs; answers which files are different now.

    What failed, or was not run, stays as it was.
    """
    committed = Record.read(folder / FIGURES)
    for name, entry in record.entries.items():
        if entry.result is not None:
            committed.add(name, entry)
    wanted = files(committed, (folder / PAGE).read_text("utf-8"))
    changed = []
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            changed.append(path)
    for path in left_over(folder, wanted):
        path.unlink()
        changed.append(path)
    return changed


def files(record: Record, page: str) -> dict[str, str]:
    """Every generated file, by its name in `docs/`: the figures, the page with its parts filled in, the plots."""
    drawn = [plot for entry in record.entries.values() if entry.result for plot in entry.result.plots]
    if len({plot.name for plot in drawn}) < len(drawn):
        raise ValueError(f"two plots have one name: {sorted(plot.name for plot in drawn)}")
    return {
        FIGURES: record.figures(),
        PAGE: fill(page, record),
        **{_image(plot): plots.svg(plot) for plot in drawn},
    }


def left_over(folder: Path, wanted: dict[str, str]) -> list[Path]:
    """Plots that nothing makes any more."""
    return sorted({*(folder / IMAGES).glob("*.svg")} - {folder / name for name in wanted})


def fill(page: str, record: Record) -> str:
    """The page with its parts as these results have them."""

    def part(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        if name == PROMISES:
            return f"{begin}\n{_promises(record)}\n{end}"
        entry = record.entries.get(name)
        return f"{begin}\n{_part(entry) if entry else _missing(name)}\n{end}"

    return _PART.sub(part, page)


def by_hand(page: str) -> str:
    """The page without its parts."""
    return _PART.sub("", page)


def names(page: str) -> list[str]:
    """The parts that the page has."""
    return [found[2] for found in _PART.finditer(page)]


def _missing(name: str) -> str:
    return f"Not measured yet: `make bench-{name.replace('_', '-')}`.\n"


def _promises(record: Record) -> str:
    rows = [
        (name, *_promise(ratio))
        for name, entry in sorted(record.entries.items())
        for ratio in (entry.result.ratios if entry.result else ())
    ]
    if not rows:
        return "Not measured yet: `make bench`.\n"
    return _table(("benchmark", "promise", "measured", "promised", "kept"), rows, numeric=(2,))


def _promise(ratio: Ratio) -> tuple[str, str, str, str]:
    required = f"{ratio.bound} {number(ratio.required)}"
    return ratio.name, number(ratio.value), required, "yes" if ratio.ok else "**no**"


def _part(entry: Entry) -> str:
    result = entry.result
    if result is None:
        raise ValueError("what failed has no part in the page")
    machine = entry.machine
    blocks = [f"{result.what}\n"]
    if result.ratios:
        rows = [_promise(ratio) for ratio in result.ratios]
        blocks.append(_table(("promise", "measured", "promised", "kept"), rows, numeric=(1,)))
    blocks += [_titled(table) for table in result.tables]
    blocks += [f"![{plot.title}]({_image(plot)})\n" for plot in result.plots]
    if result.not_measured:
        blocks.append("Not measured:\n\n" + "".join(f"- {what}\n" for what in result.not_measured))
    blocks.append(
        f"<sub>{entry.date[:10]}, {machine['cpus']} CPUs ({machine['processor']}), {machine['system']}, "
        f"Python {machine['python']}</sub>\n"
    )
    return "\n".join(blocks)


def _titled(table: Table) -> str:
    numeric = tuple(
        index for index in range(len(table.columns)) if any(isinstance(row[index], int | float) for row in table.rows)
    )
    text = f"**{table.title}**\n\n{_table(table.columns, table.rows, numeric=numeric)}"
    return f"{text}\n{table.note}\n" if table.note else text


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, numeric: Sequence[int]) -> str:
    rule = ["---:" if index in numeric else "---" for index in range(len(columns))]
    lines = [list(columns), rule, *([cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |\n" for line in lines)


def _image(plot: Plot) -> str:
    return f"{IMAGES}/{plot.name}.svg"
