"""What a chaos run prints and writes."""

import json
from collections import Counter
from pathlib import Path

from tests.chaos.ledger import Ledger, Violation
from tests.chaos.report import Report, percentiles


def report(ledger: Ledger) -> Report:
    """Of this ledger."""
    return Report(7, "2 users", ledger, {"gone": 3}, 15.0, {"seconds": 12.3456})


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
    assert "lost 1   foreign 0   doubled 0   out of order 0" in text
    assert "lost: m-1 (ana): it is gone" in text
    assert text.endswith("The ledger does not balance.")


def test_one_that_balances_says_so() -> None:
    assert report(Ledger()).lines()[-1] == "The ledger balances."


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
