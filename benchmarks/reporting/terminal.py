"""Results as tables on the terminal."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.report import Cell, Result
from benchmarks.reporting.cells import cell, number

_WIDTH = 140


def show(result: Result) -> None:
    """Print its tables, its promises, and what was not measured."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print()
    for table in result.tables:
        _print(console, table.title, table.columns, table.rows, table.note)
    ratios = [
        (ratio.name, ratio.value, f"{ratio.bound} {number(ratio.required)}", "kept" if ratio.ok else "NOT KEPT")
        for ratio in result.ratios
    ]
    if ratios:
        _print(console, f"{result.name}: promises", ("promise", "measured", "promised", ""), ratios, "")
    for what in result.not_measured:
        console.print(f"not measured: {what}", markup=False, highlight=False)


def _print(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], note: str) -> None:
    table = RichTable(title=title, caption=note or None, title_justify="left", caption_justify="left")
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    console.print(table, highlight=False)
