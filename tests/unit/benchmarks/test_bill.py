"""What follows from the counts: looks and tries one by one, sides against each other, and what the tables say."""

import re
from dataclasses import replace

import pytest

from benchmarks import bill
from benchmarks.bill.plays import PLAYS, Played
from benchmarks.bill.reckoning import Bills, kinds_of
from benchmarks.billing.counts import Counts
from benchmarks.billing.schedules import WHILE_AWAY

ONLINE = Counts(invocations=1, reads=1, publishes=1, frames=1)
TRY = Counts(invocations=1, reads=0.5)
PUBLISH = Counts(publishes=1)
LETTER = Counts(queue_requests=1)


@pytest.fixture
def played() -> dict[str, Played]:
    return {
        **{name: Played(ONLINE) for name in PLAYS},
        "absent": Played(ONLINE + Counts(transitions=4)),
        "absent, with looks": Played(ONLINE + Counts(transitions=4 + 3 * 2, reads=3), looks=3),
        "(a) absent": Played(PUBLISH + TRY * 3 + LETTER),
        "(b) online": Played(ONLINE + Counts(transitions=1)),
        "(b) absent": Played(ONLINE + Counts(transitions=1 + 3 * 2), looks=3),
        "burst": Played(ONLINE * 2 + Counts(log_bytes=1024**3 / 1_000_000)),
        "burst by topic": Played(ONLINE + Counts(invocations=1)),
        "(a) burst": Played(ONLINE * 4),
    }


def test_single_looks_and_tries_are_what_more_of_them_add(played: dict[str, Played]) -> None:
    kinds = kinds_of(played)
    assert kinds.look == Counts(transitions=2, reads=1)
    assert kinds.poll == Counts(transitions=2)
    assert kinds.sns_try_in_vain == TRY


def test_a_burst_comes_in_as_many_batches_however_many_it_happened_to_be(played: dict[str, Played]) -> None:
    batch = Counts(invocations=1, reads=1, frames=1, queue_requests=2)
    played["by topic"] = Played(batch + PUBLISH + LETTER)
    for happened in (1, 1.5, 4):
        played["burst by topic"] = Played(PUBLISH + LETTER * 10 + batch * happened)
        assert kinds_of(played).burst_by_topic == PUBLISH + LETTER * 10 + batch * 2


def test_baseline_a_is_billed_for_what_it_tries_and_loses(played: dict[str, Played]) -> None:
    kinds = kinds_of(played)
    late, lost = (Bills(kinds, seconds, 0) for seconds in (100, 180))
    assert late.sns_lambda(0.0) == pytest.approx((ONLINE + TRY * 2).usd())
    assert lost.sns_lambda(0.0) == pytest.approx((PUBLISH + TRY * 3 + LETTER).usd())
    assert (late.is_lost, lost.is_lost) == (False, True)
    assert lost.sns_lambda(1.0) == pytest.approx(ONLINE.usd())


def test_those_who_wait_are_billed_for_each_look(played: dict[str, Played]) -> None:
    one = Bills(kinds_of(played), 10, 1.5)
    waits = ONLINE + Counts(transitions=4) + Counts(transitions=2, reads=1) * 1.5
    assert one.ringback(0.0) == pytest.approx(waits.usd())
    assert one.ringback(0.9) == pytest.approx(0.9 * ONLINE.usd() + 0.1 * waits.usd())
    # It looks at seconds 0, 1, 3 and 7, and then finds them.
    assert one.polling(0.0) == pytest.approx((ONLINE + Counts(transitions=1 + 4 * 2)).usd())


def test_by_topic_only_the_way_in_differs(played: dict[str, Played]) -> None:
    played["by topic"] = Played(ONLINE + LETTER * 3)
    one = Bills(kinds_of(played), 10, 1.5)
    for share in (1.0, 0.3):
        assert one.by_topic(share) - one.ringback(share) == pytest.approx(LETTER.usd() * 3)


def test_logs_are_priced_on_both_sides(played: dict[str, Played]) -> None:
    logged = Counts(log_bytes=1024**3)
    played["online"] = Played(ONLINE + logged)
    played["(a) absent"] = Played(PUBLISH + TRY * 3 + LETTER + logged * 3)
    one = Bills(kinds_of(played), 36_000, 0)
    assert one.ringback_with_logs(1.0) - one.ringback(1.0) == pytest.approx(0.5)
    assert one.sns_with_logs(0.5) - one.sns_lambda(0.5) == pytest.approx(0.75)


def test_without_its_topic_baseline_a_saves_the_publish(played: dict[str, Played]) -> None:
    one = Bills(kinds_of(played), 36_000, 0)
    for share in (1.0, 0.3):
        assert one.sns_lambda(share) - one.invoked(share) == pytest.approx(PUBLISH.usd())


def test_a_polling_machine_may_pay_one_transition_a_look(played: dict[str, Played]) -> None:
    one = Bills(kinds_of(played), 10, 0)
    assert one.polling(0.0, transitions_a_look=1) == pytest.approx((ONLINE + Counts(transitions=1 + 4)).usd())


def test_connections_are_shared_by_the_messages_that_they_carry(played: dict[str, Played]) -> None:
    played["connection"] = Played(Counts(invocations=10))
    one = Bills(kinds_of(played), 36_000, 0)
    added = one.ringback_with_connections(0.99, 5) - one.ringback(0.99)
    assert added == pytest.approx(Counts(invocations=2).usd())


@pytest.mark.parametrize("share", [0.999, 0.99])
def test_the_fewest_messages_are_those_from_which_on_the_ratio_holds(played: dict[str, Played], share: float) -> None:
    played["connection"] = Played(Counts(frames=100))
    one = Bills(kinds_of(played), 36_000, 0)
    required = one.against_sns(share) * 1.5
    fewest = one.fewest_messages(share, required)
    assert fewest is not None
    assert fewest > 1
    assert one.ringback_with_connections(share, fewest) / one.sns_lambda(share) <= required
    assert one.ringback_with_connections(share, fewest - 1) / one.sns_lambda(share) > required


def test_the_table_says_from_how_many_messages_on_a_promise_is_kept(played: dict[str, Played]) -> None:
    # So that a message of Ringback's costs 1.5 of (a)'s, and a connection as much as (a)'s.
    played |= {name: Played(ONLINE * 1.5) for name in ("online", "absent", "absent, with looks")}
    played["absent, with looks"] = replace(played["absent, with looks"], looks=3)
    played["(a) absent"] = Played(PUBLISH + LETTER)
    sns = Bills(kinds_of(played), 36_000, 0).sns_lambda(0.99) / Counts(frames=1).usd()
    played["connection"] = Played(Counts(frames=sns))
    table = bill.result(played, {}).tables[3]
    ratios = {int(row[0]): float(row[6]) for row in table.rows}
    assert ratios[1] - ratios[100] == pytest.approx(0.99, abs=0.011)
    kept = [number for number, ratio in ratios.items() if ratio <= 1.6]
    found = re.search(r"At 99 % online, 1.6 is kept from (\d+) messages", table.note)
    assert found
    assert max(set(ratios) - set(kept)) < int(found[1]) <= min(kept)
    assert "At 99.9 % online, 1.15 is kept with no number" in table.note


def test_there_may_be_no_such_number(played: dict[str, Played]) -> None:
    one = Bills(kinds_of(played), 36_000, 0)
    assert one.fewest_messages(0.99, one.against_sns(0.99) * 0.99) is None


def test_ratios_are_of_the_dearest_absence(played: dict[str, Played]) -> None:
    result = bill.result(played, {})
    ratios = {ratio.name: ratio for ratio in result.ratios}
    kinds = kinds_of(played)
    looks = WHILE_AWAY.expected_looks(36_000)
    worst = Bills(kinds, 36_000, looks)
    near, far = (ratios[f"bill, {share} % online, against SNS and Lambda"] for share in ("99.9", "99"))
    assert near.value == pytest.approx(worst.ringback(0.999) / worst.sns_lambda(0.999))
    assert far.value == pytest.approx(worst.ringback(0.99) / worst.sns_lambda(0.99))
    assert [ratio.value for name, ratio in ratios.items() if "at once" in name] == [
        pytest.approx((ONLINE * 2).usd() / (ONLINE * 4).usd())
    ]
    assert ratios["bill, all absent for 10 h, against polling"].value == pytest.approx(
        worst.ringback(0.0) / worst.polling(0.0)
    )
    assert [ratio.required for ratio in result.ratios] == [1.15, 1.6, 0.5, 0.05]


def test_tables_price_a_million(played: dict[str, Played]) -> None:
    played["online"] = replace(played["online"], counts=Counts(frames=1))
    _kinds, mixes, _otherwise, _connections, looks, ways, logs = bill.result(played, {}).tables
    assert mixes.rows[0][:3] == ("100.0%", "", 1.0)
    assert mixes.columns[4] == "(a) loses"
    assert {row[4] for row in mixes.rows if row[1] == "10 s"} == {"none"}
    assert [row[4] for row in mixes.rows if row[1] == "10 h"] == ["0.1%", "1.0%", "10.0%", "50.0%", "100.0%"]
    assert looks.rows == (("10 s", 0, 4), ("10 min", 0, 15), ("10 h", 0.83, 605))
    assert ways.rows[0][1] == 1.0
    assert [row[2] for row in logs.rows if "10 at once" in str(row[0])] == [0.5, 0.0, 0.0]
