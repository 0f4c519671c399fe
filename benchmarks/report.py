"""What a benchmark comes to: tables, plots, ratios that are required, and what it could not measure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Say = Callable[[str], None]
"""Tells the person who waits how far it is."""

Cell = str | int | float


@dataclass(frozen=True)
class Ratio:
    """A figure that the project promises: ``value`` has to be at most, or at least, what is ``required``."""

    name: str
    value: float
    required: float
    bound: Literal["at most", "at least"]

    @property
    def ok(self) -> bool:
        """Whether the promise is kept."""
        return self.value <= self.required if self.bound == "at most" else self.value >= self.required


@dataclass(frozen=True)
class Table:
    """Rows under columns; a column's unit stands in its name. ``note`` says what a reader has to know."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """Series of points (lines), or of one value for each of the ``labels`` (bars). ``name`` names the file."""

    name: str
    title: str
    x_title: str
    y_title: str
    series: Mapping[str, Sequence[tuple[float, float]] | Sequence[float]]
    labels: tuple[str, ...] = ()
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Result:
    """One benchmark's outcome. ``details`` are the single rounds and counts, for who wants to reckon again."""

    name: str
    what: str
    tables: tuple[Table, ...]
    ratios: tuple[Ratio, ...] = ()
    plots: tuple[Plot, ...] = ()
    not_measured: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every promise is kept."""
        return all(ratio.ok for ratio in self.ratios)
