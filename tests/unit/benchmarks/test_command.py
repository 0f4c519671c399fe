"""`python -m benchmarks`: what it runs, says, keeps, and ends with."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.report import Ratio, Result, Table
from benchmarks.reporting import runner
from benchmarks.reporting.record import Entry, check

Measured = dict[str, Result | str]


def result(name: str, *, cost: float = 1.0) -> Result:
    """A result with a promise: at most 1."""
    table = Table("Costs", ("what", "USD"), (("ours", cost),))
    return Result(name, "What it costs.", (table,), (Ratio("the bill", cost, 1.0, "at most"),))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "build" / "bench.json"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, report: Path) -> Callable[..., int]:
    """Run the command; the benchmarks come to what is said of them, a text being why they fail."""

    def run(*arguments: str, **measured: Result | str) -> int:
        def measure(name: str) -> Entry:
            outcome = measured.get(name, result(name))
            if isinstance(outcome, str):
                return Entry("2030-01-31T12:00:00Z", {"cpus": 2}, 1, error=outcome)
            return Entry("2030-01-31T12:00:00Z", {"cpus": 2}, 1, outcome)

        monkeypatch.setattr(runner, "measure", measure)
        return main(arguments, report=report, docs=tmp_path)

    return run


def kept(report: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return document


def test_all_are_run_unless_some_are_named(bench: Callable[..., int], report: Path) -> None:
    assert bench() == 0

    assert kept(report)["results"].keys() == BENCHMARKS.keys()


@pytest.mark.parametrize(("second", "ended"), [(0.9, 0), (1.2, 1)])
def test_what_is_not_kept_is_measured_once_more(
    monkeypatch: pytest.MonkeyPatch, report: Path, tmp_path: Path, second: float, ended: int
) -> None:
    outcomes = [result("bill", cost=cost) for cost in (1.1, second, 0.8)]
    monkeypatch.setattr(runner, "measure", lambda name: Entry("2030-01-31T12:00:00Z", {"cpus": 2}, 1, outcomes.pop(0)))

    assert main(["bill"], report=report, docs=tmp_path) == ended

    assert [ratio["value"] for ratio in kept(report)["results"]["bill"]["ratios"]] == [second]


def test_a_run_of_some_replaces_only_those(bench: Callable[..., int], report: Path) -> None:
    bench("bill", "fan-out")

    bench("fan_out", fan_out=result("fan_out", cost=0.5))

    costs = {name: each["ratios"][0]["value"] for name, each in kept(report)["results"].items()}
    assert costs == {"bill": 1.0, "fan_out": 0.5}


def test_the_document_says_when_where_and_whether_each_promise_is_kept(bench: Callable[..., int], report: Path) -> None:
    bench("bill", bill=result("bill", cost=1.2))

    document = kept(report)
    assert document["date"] == "2030-01-31T12:00:00Z"
    assert document["machine"] == {"cpus": 2}
    assert document["results"]["bill"]["ok"] is False
    assert document["results"]["bill"]["ratios"] == [
        {"name": "the bill", "value": 1.2, "required": 1.0, "bound": "at most", "ok": False}
    ]


def test_a_promise_that_is_not_kept_is_named_and_the_command_fails(
    bench: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("bill", "wake", bill=result("bill", cost=1.2)) == 1

    said = capsys.readouterr()
    assert "NOT KEPT: bill: the bill is 1.2, not at most 1\n" in said.err
    assert "Costs" in said.out


def test_one_that_fails_does_not_stop_the_others(
    bench: Callable[..., int], report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("bill", "wake", bill="OSError: no port") == 1

    assert "FAILED: bill: OSError: no port" in capsys.readouterr().err
    results = kept(report)["results"]
    assert results["bill"]["error"] == "OSError: no port"
    assert results["wake"]["ok"] is True


def test_an_unknown_name_is_refused_with_the_names_that_there_are(
    bench: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench("growt")

    assert f"there is no benchmark 'growt'; there are {', '.join(BENCHMARKS)}" in capsys.readouterr().err


def test_a_result_that_cannot_be_kept_is_an_error_of_its_benchmark() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        check(result("bill", cost=float("nan")))


def test_a_benchmark_runs_in_a_process_of_its_own() -> None:
    entry = runner.measure("paper")

    assert entry.result is not None
    assert entry.result.name == "paper"


def test_what_is_raised_there_is_said_here(capsys: pytest.CaptureFixture[str]) -> None:
    entry = runner.measure("no_such_benchmark")

    assert entry.error == "ModuleNotFoundError: No module named 'benchmarks.no_such_benchmark'"
    assert "Traceback" in capsys.readouterr().err


def test_every_target_of_the_makefile_names_a_benchmark() -> None:
    makefile = (Path(__file__).resolve().parents[3] / "Makefile").read_text("utf-8")
    (listed,) = [line for line in makefile.splitlines() if line.startswith("BENCHMARKS := ")]

    targets = listed.removeprefix("BENCHMARKS := ").split()

    assert targets == [f"bench-{name.replace('_', '-')}" for name in BENCHMARKS]
    assert [target for target in targets if f"\n{target}: ## " not in makefile] == []


def test_ci_measures_and_checks_but_leaves_the_docs_alone() -> None:
    at_hand, in_ci = (
        subprocess.run(  # noqa: S603 - our own Makefile
            ["make", "--dry-run", "bench", f"CI={ci}"],  # noqa: S607 - whichever make there is
            cwd=Path(__file__).resolve().parents[3],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for ci in ("", "true")
    )

    assert "python -m benchmarks --write-docs\n" in at_hand
    assert "python -m benchmarks" in in_ci
    assert "--write-docs" not in in_ci
