"""What is reckoned where nobody waits for it, and what the table makes of it."""

from statistics import median

import pytest

from benchmarks import wake
from benchmarks.billing.schedules import next_poll, next_retry


def test_who_comes_back_meets_the_next_look() -> None:
    waits = wake.reckoned(600, next_poll, 0.5)
    assert len(waits) == 1_001
    assert median(waits) == pytest.approx(30.5, abs=2)
    assert 0.5 < min(waits) < max(waits) <= 60.5
    assert waits == wake.reckoned(600, next_poll, 0.5)


def test_who_comes_after_the_last_retry_gets_nothing() -> None:
    assert wake.reckoned(600, next_retry, 0.1) == []
    assert 0 < len(wake.reckoned(170, next_retry, 0.1)) < 1_001


def test_a_stream_is_looked_at_four_times_a_second() -> None:
    waits = wake.with_stream([0.1, 0.1, 0.1])
    assert median(waits) == pytest.approx(0.1 + 0.125, abs=0.01)
    assert 0.1 <= min(waits) < max(waits) <= 0.35
    assert waits == wake.with_stream([0.1, 0.1, 0.1])


def test_measured_and_reckoned_stand_side_by_side() -> None:
    played = wake.Played(
        ringback={"1 s": [0.1, 0.2, 0.3]}, polling={"1 s": [2.0, 2.0]}, look=[0.01, 0.03], attempt=[0.05]
    )
    result = wake.result(played)
    (table,) = result.tables
    assert table.rows[0][:2] == ("1 s", "200 ms (100 ms to 300 ms)")
    assert table.rows[0][3] == "2.0 s (2.0 s to 2.0 s)"
    assert table.rows[4][4] == "never"
    assert str(table.rows[4][1]).endswith(" *")


def test_the_promise_has_the_wait_of_a_stream_in_it() -> None:
    played = wake.Played(ringback={"1 s": [0.2] * 5}, polling={"1 s": [3.25]}, look=[0.02], attempt=[0.05])
    result = wake.result(played)
    assert result.tables[0].rows[0][5] == 10
    (ratio,) = result.ratios
    assert ratio.value == pytest.approx(median(wake.reckoned(600, next_poll, 0.02)) / 0.325, rel=0.03)
    assert ratio.ok
