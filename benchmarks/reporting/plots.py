"""Plots as SVG: the same data makes the same file, and it can be read on a light page and on a dark one."""

import math
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, cast
from xml.etree.ElementTree import Comment, Element

import pygal  # type: ignore[import-untyped]
from pygal.etree import etree  # type: ignore[import-untyped]
from pygal.style import Style  # type: ignore[import-untyped]

from benchmarks.report import Plot
from benchmarks.reporting.cells import number

# pygal leaves an import hook for its maps, of a kind that later imports warn of.
sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
# pygal takes lxml where there is one, and writes other spaces then.
etree.to_etree()

_COMMENTS: tuple[Any, ...] = (Comment,)  # which have a function for a tag
_WIDTH, _HEIGHT = 860, 460
_GUIDES = 10
_LABELS_IN_A_ROW = 100
_AROUND, _BAR = 160, 20
_MARGIN, _LEGEND_ROW, _LEGEND_COLUMNS = 20, 20, 4
_SVG = "{http://www.w3.org/2000/svg}"
_LONG = re.compile(r"-?\d+\.\d{3,}(e-?\d+)?")
_STEPS = (1, 2, 5)
_SHORT_AXIS = 1.5
"""Decades; a shorter axis has marks between its powers of ten."""

# The series' colours have a contrast of 3 or more against both backgrounds, and differ for the colour-blind.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b0619b", "#7a7f87", "#a67c00")
_CSS = """
svg { font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; background: #ffffff; }
.graph > .background { fill: #ffffff; }
.plot > .background, .guide.line { fill: none; }
text { fill: #24292f; stroke: none; font-size: 12px; }
.title { font-size: 16px; text-anchor: middle; }
.titles .title:not(.plot_title) { font-size: 13px; }
.legends text { font-size: 13px; }
.axis.x text { text-anchor: middle; }
.axis.y text { text-anchor: end; }
.axis .line { stroke: #57606a; }
.axis .guide.line { stroke: #8c959f; stroke-opacity: 0.35; }
.vertical .axis.x .guide.line, .horizontal .axis.y .guide.line { stroke-opacity: 0; }
.line { stroke-width: 2px; }
.axis .line, .axis .guide.line { stroke-width: 1px; }
.nofill { fill: none; }
.tooltip, .tooltip-overlay { display: none; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; }
  .graph > .background { fill: #0d1117; }
  text { fill: #e6edf3; }
}
"""


def svg(plot: Plot) -> str:
    """Draw it."""
    chart = _bars(plot) if plot.labels else _lines(plot)
    chart.add_xml_filter(_clean)
    return cast("str", chart.render(is_unicode=True)) + "\n"


def _bars(plot: Plot) -> Any:
    # Names that do not fit beside each other stand below each other.
    lying = sum(map(len, plot.labels)) > _LABELS_IN_A_ROW
    bar = pygal.HorizontalBar if lying else pygal.Bar
    chart = bar(logarithmic=plot.log_y, **_options(plot))
    if lying:
        chart.height = _AROUND + _BAR * len(plot.labels) * len(plot.series)
        chart.x_title, chart.y_title = plot.y_title, plot.x_title
    # pygal begins at the bottom.
    order = slice(None, None, -1 if lying else None)
    chart.x_labels = plot.labels[order]
    if plot.log_y:
        values = [cast("float", value) for series in plot.series.values() for value in series]
        lowest, *others = _powers(values)
        # A bar that is a power of ten stands on the one below, or it could not be seen.
        lower = [lowest - 1] if 10.0**lowest in values else []
        chart.y_labels = [10.0**power for power in (*lower, lowest, *others)]
        chart.zero = chart.y_labels[0]
    for name, series in plot.series.items():
        chart.add(name, list(series)[order])
    return chart


def _lines(plot: Plot) -> Any:
    # pygal has logarithmic axes only both at once: here a logarithm is taken of what is drawn, and not of the labels.
    chart = pygal.XY(dots_size=4, **_options(plot))
    across, up = _axis(logarithmic=plot.log_x), _axis(logarithmic=plot.log_y)
    points = {name: _drawable(plot, series) for name, series in plot.series.items()}
    every = [point for series in points.values() for point in series]
    if plot.log_x:
        chart.x_labels = [{"value": math.log10(mark), "label": number(mark)} for mark in _marks(x for x, _ in every)]
    if plot.log_y:
        chart.y_labels = [{"value": math.log10(mark), "label": number(mark)} for mark in _marks(y for _, y in every)]
    else:
        chart.range = (min(0, *(y for _, y in every)), max(0, *(y for _, y in every)))
    for name, series in points.items():
        chart.add(name, [(across(x), up(y)) for x, y in series])
    return chart


def _drawable(plot: Plot, series: Sequence[Any]) -> list[tuple[float, float]]:
    """Nothing has no place on a logarithmic axis."""
    return [(x, y) for x, y in series if (x > 0 or not plot.log_x) and (y > 0 or not plot.log_y)]


def _options(plot: Plot) -> dict[str, Any]:
    columns = len(plot.series) if len(plot.series) <= _LEGEND_COLUMNS else _LEGEND_COLUMNS - 1
    rows = math.ceil(len(plot.series) / columns) if columns else 1
    return {
        "title": plot.title,
        "x_title": plot.x_title,
        "y_title": plot.y_title,
        "width": _WIDTH,
        "height": _HEIGHT,
        "style": Style(colors=_COLOURS, label_font_size=12, legend_font_size=13),
        "js": (),
        "css": (),
        "no_prefix": True,
        "disable_xml_declaration": True,
        "max_scale": _GUIDES,
        "legend_at_bottom": True,
        "legend_at_bottom_columns": columns,
        "margin_bottom": _MARGIN + _LEGEND_ROW * (rows - 1),
        "truncate_legend": -1,
        "truncate_label": -1,
        "value_formatter": number,
        "x_value_formatter": number,
    }


def _clean(root: Element) -> Element:
    """Leave out the date, the texts for a script that is not there, and pygal's own style."""
    for parent in root.iter():
        for child in list(parent):
            if str(child.tag).removeprefix(_SVG) in {"desc", "script"} or child.tag in _COMMENTS:
                parent.remove(child)
        for name, value in parent.attrib.items():
            # The last digits are not the same on every machine.
            parent.set(name, _LONG.sub(lambda found: f"{float(found[0]):.2f}", value))
    del root.attrib["id"]
    for style in root.iter("style"):
        series = "".join(
            f".color-{index} {{ stroke: {colour}; fill: {colour}; }}\n" for index, colour in enumerate(_COLOURS)
        )
        style.text = f"{_CSS}{series}.line.nofill {{ fill: none; }}\n"
    return root


def _axis(*, logarithmic: bool) -> Any:
    return math.log10 if logarithmic else float


def _powers(values: Iterable[float]) -> range:
    """The powers of ten around these values."""
    there = [value for value in values if value > 0] or [1.0]
    return range(math.floor(math.log10(min(there))), math.ceil(math.log10(max(there))) + 1)


def _marks(values: Iterable[float]) -> list[float]:
    """What stands beside a logarithmic axis."""
    powers = _powers(values)
    steps = _STEPS if len(powers) - 1 <= _SHORT_AXIS else (1,)
    return [step * 10.0**power for power in powers for step in steps if step == 1 or power < powers[-1]]
