"""What stands in a plot's file; how it looks is for people to see."""

from xml.etree import ElementTree

import pytest

from benchmarks.report import Plot
from benchmarks.reporting import plots

LINES = Plot("lines", "Lines", "stored", "units", {"one": [(1, 1), (1e6, 30)], "other": [(1, 2), (1e6, 3)]}, log_x=True)
BARS = Plot("bars", "Bars", "share", "USD", {"one": [1, 20.5], "other": [3, 4]}, labels=("10 %", "100 %"))


def numbers_of(plot: Plot, *, axis: str) -> list[str]:
    """What stands beside an axis."""
    root = ElementTree.fromstring(plots.svg(plot))  # noqa: S314 - our own
    groups = [group for group in root.iter() if group.get("class", "").startswith(f"axis {axis}")]
    return [text.text or "" for group in groups for text in group.iter() if text.tag.endswith("text")]


@pytest.mark.parametrize("plot", [LINES, BARS], ids=lambda plot: plot.name)
def test_the_same_data_make_the_same_file_with_no_date_and_no_script_in_it(plot: Plot) -> None:
    text = plots.svg(plot)

    assert text == plots.svg(plot)
    assert "<!--" not in text
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("plot", [LINES, BARS], ids=lambda plot: plot.name)
def test_every_series_and_title_is_in_it(plot: Plot) -> None:
    root = ElementTree.fromstring(plots.svg(plot))  # noqa: S314 - our own
    texts = {node.text for node in root.iter() if node.tag.endswith("text")}

    assert {plot.title, plot.x_title, plot.y_title, *plot.series, *plot.labels} <= texts


def test_a_logarithmic_axis_has_powers_of_ten_beside_it() -> None:
    assert numbers_of(LINES, axis="x") == ["1", "10", "100", "1,000", "10,000", "100,000", "1,000,000"]


def test_a_short_logarithmic_axis_has_marks_between_them() -> None:
    short = Plot("short", "Short", "x", "y", {"one": [(1, 12), (2, 85)]}, log_y=True)

    assert numbers_of(short, axis="y") == ["10", "20", "50", "100"]


def test_an_axis_of_units_begins_at_zero() -> None:
    assert numbers_of(LINES, axis="y")[0] == "0"


def test_long_names_stand_below_each_other_the_first_one_on_top() -> None:
    names = tuple(f"a function with a long name, {number}" for number in range(5))
    root = ElementTree.fromstring(  # noqa: S314 - our own
        plots.svg(Plot("long", "Long", "function", "times", {"init": [1, 2, 3, 4, 5]}, labels=names))
    )

    heights = {node.text: float(node.attrib["y"]) for node in root.iter() if node.text in names}
    widths = [float(node.attrib["width"]) for node in root.iter() if "rect reactive" in node.get("class", "")]

    assert sorted(heights, key=heights.__getitem__) == list(names)
    assert widths == sorted(widths, reverse=True)  # drawn from the bottom


def test_nothing_has_no_place_on_a_logarithmic_axis() -> None:
    plot = Plot("zero", "Zero", "x", "y", {"one": [(0, 5), (10, 5), (100, 0)]}, log_x=True, log_y=True)

    assert plots.svg(plot).count("<circle") == 1
