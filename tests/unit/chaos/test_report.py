"""What a chaos run prints and writes."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.chaos.ledger import Fate, Ledger, Violation
from tests.chaos.report import Report, percentiles


def report(ledger: Ledger) -> Report:
    """Of this ledger."""
    return Report(7, "2 users", ledger, {"gone": 3}, 15.0, {"seconds": 12.3456}, {"frame": 2})


def ledger() -> Ledger:
    """One with a violation that befell one message twice."""
    lost = Violation("lost", "ana", "m-1", "it is gone")
    return Ledger(
        fates=Counter({("plain", "sns", "delivered"): 40, ("ack", "accept", "lost"): 1}),
        violations=[lost, lost],
        lags_there=[0.04, 0.3, 0.3, 700.0],
    )


def test_it_shows_the_ledger_the_lags_and_the_faults() -> None:
    text = "\n".join(report(ledger()).lines())
    assert "kind      way       delivered    lost" in text
    assert "plain     sns              40" in text
    assert "all                        40       1" in text
    assert "    more       1  ████████████████████" in text
    assert "lag, recipient came back: from their connection to handling: none" in text
    assert "faults: gone 3" in text
    assert "clients' errors: frame 2" in text
    assert "lost 1   foreign 0   doubled 0   out of order 0" in text
    assert "lost: m-1 (ana): it is gone" in text
    assert text.endswith("The ledger does not balance.")


def test_it_tells_how_much_is_excused() -> None:
    fates: tuple[tuple[Fate, int], ...] = (("delivered", 5), ("into a dead link", 2), ("in doubt", 1))
    one = report(Ledger(fates=Counter({("plain", "sns", fate): count for fate, count in fates})))
    assert "of the plain ones: into a dead link 25.0%, in doubt 12.5%" in one.lines()
    assert one.to_json()["plain"]["in doubt"] == 0.125


def test_one_that_balances_says_so() -> None:
    one = report(Ledger())
    assert one.lines()[-1] == "The ledger balances."
    assert one.passes


def test_one_that_balances_and_can_tell_nothing_does_not_pass() -> None:
    one = replace(report(Ledger()), problems=["It stood still."])
    assert not one.passes
    assert one.lines()[-2:] == ["It stood still.", "The ledger balances."]
    assert one.to_json()["problems"] == ["It stood still."]


def test_it_is_written_down(tmp_path: Path) -> None:
    file = tmp_path / "new" / "chaos.json"
    report(ledger()).save(file)
    written = json.loads(file.read_text())
    assert written["violations"] == {"lost": 1, "foreign": 0, "doubled": 0, "out_of_order": 0}
    assert written["balances"] is False
    assert written["messages"] == 41
    assert written["lagSeconds"]["recipientWasThere"] == {"p50": 0.3, "p90": 700.0, "p99": 700.0, "p100": 700.0}


def test_percentiles_of_nothing_are_none() -> None:
    assert percentiles([]) == {}
    assert percentiles([float(number) for number in range(100)], (50, 95)) == {"p50": 50.0, "p95": 95.0}
