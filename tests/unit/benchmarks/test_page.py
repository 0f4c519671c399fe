"""The page's figures are those that the command wrote, and there are no others on it."""

import re
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.report import Plot, Ratio, Result, Table
from benchmarks.reporting import page
from benchmarks.reporting.record import Entry, Machine, Record

MACHINE: Machine = {"cpus": 2, "processor": "x86_64", "system": "Linux", "python": "3.11.7"}
RESULT = Result(
    name="bill",
    what="What it costs.",
    tables=(Table("By share", ("who", "USD"), (("us | them", 1.5), ("others", 12_000)), "For a million."),),
    ratios=(Ratio("cheap", 1.2, 1.15, "at most"), Ratio("fast", 60, 50, "at least")),
    plots=(Plot("bill", "The bill", "share", "USD", {"us": [1, 2]}, labels=("a", "b")),),
    not_measured=("AWS itself",),
)
TEMPLATE = """# Page

<!-- bench:promises -->
<!-- /bench -->

By hand.

<!-- bench:bill -->
what stood there
<!-- /bench -->
"""


def entry(result: Result | None = RESULT, *, date: str = "2030-01-31T12:00:00Z") -> Entry:
    return Entry(date, MACHINE, 12.3, result, None if result else "ValueError: no")


def record(**entries: Entry) -> Record:
    kept = Record()
    for name, each in entries.items():
        kept.add(name, each)
    return kept


def test_the_committed_page_and_plots_are_what_the_committed_figures_make() -> None:
    text = (page.DOCS / page.PAGE).read_text("utf-8")

    wanted = page.files(Record.read(page.DOCS / page.FIGURES), text)

    stale = [name for name, content in wanted.items() if (page.DOCS / name).read_text("utf-8") != content]
    assert stale == [], "run `make bench`, or `python -m benchmarks NAME --write-docs`"
    assert page.left_over(page.DOCS, wanted) == []


def test_the_page_has_a_part_for_every_benchmark() -> None:
    parts = page.names((page.DOCS / page.PAGE).read_text("utf-8"))

    assert sorted(parts) == sorted([page.PROMISES, *BENCHMARKS])


def test_there_is_no_figure_on_the_page_that_is_written_by_hand() -> None:
    text = page.by_hand((page.DOCS / page.PAGE).read_text("utf-8"))
    prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", text, flags=re.DOTALL)

    # Names that have a digit in them.
    prose = prose.replace("boto3", "boto")
    assert re.findall(r".*\d.*", prose) == []


def test_a_part_has_the_ratios_the_tables_the_plots_and_what_was_not_measured() -> None:
    filled = page.fill(TEMPLATE, record(bill=entry()))

    assert filled == (
        """# Page

<!-- bench:promises -->

| benchmark | promise | measured | promised | kept |
| --- | --- | ---: | --- | --- |
| bill | cheap | 1.2 | at most 1.15 | **no** |
| bill | fast | 60 | at least 50 | yes |

<!-- /bench -->

By hand.

<!-- bench:bill -->

What it costs.

| promise | measured | promised | kept |
| --- | ---: | --- | --- |
| cheap | 1.2 | at most 1.15 | **no** |
| fast | 60 | at least 50 | yes |

**By share**

| who | USD |
| --- | ---: |
| us \\| them | 1.5 |
| others | 12,000 |

For a million.

![The bill](images/performance/bill.svg)

Not measured:

- AWS itself

<sub>2030-01-31, 2 CPUs (x86_64), Linux, Python 3.11.7</sub>

<!-- /bench -->
"""
    )


def test_filling_it_again_changes_nothing() -> None:
    filled = page.fill(TEMPLATE, record(bill=entry()))

    assert page.fill(filled, record(bill=entry())) == filled


def test_a_part_that_was_not_measured_says_how_to(tmp_path: Path) -> None:
    assert "Not measured yet: `make bench-bill`." in page.fill(TEMPLATE, Record())


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / page.PAGE).write_text(TEMPLATE, "utf-8")
    return tmp_path


def test_what_was_measured_comes_into_the_docs_and_can_be_made_again_from_there(docs: Path) -> None:
    page.write(record(bill=entry()), docs)

    kept = Record.read(docs / page.FIGURES)
    assert kept.entries["bill"].result == RESULT
    text = (docs / page.PAGE).read_text("utf-8")
    assert page.files(kept, text)[page.PAGE] == text
    assert (docs / page.IMAGES / "bill.svg").exists()
    assert page.write(record(bill=entry()), docs) == []


def test_what_is_different_each_time_is_not_committed(docs: Path) -> None:
    page.write(record(bill=entry()), docs)

    committed = (docs / page.FIGURES).read_text("utf-8")
    assert "seconds" not in committed
    assert "details" not in committed


def test_a_benchmark_that_failed_or_did_not_run_keeps_its_place_in_the_docs(docs: Path) -> None:
    page.write(record(bill=entry()), docs)

    assert page.write(record(bill=entry(None), wake=entry(None)), docs) == []


def test_a_plot_that_nothing_makes_any_more_is_removed(docs: Path) -> None:
    page.write(record(bill=entry()), docs)
    without = Result("bill", RESULT.what, RESULT.tables)

    page.write(record(bill=entry(without)), docs)

    assert list((docs / page.IMAGES).iterdir()) == []


def test_two_plots_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="two plots have one name: \\['bill', 'bill'\\]"):
        page.files(record(bill=entry(), wake=entry()), TEMPLATE)
