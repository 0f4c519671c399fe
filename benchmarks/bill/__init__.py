"""What a million messages cost, with Ringback and with the baselines: counted, and priced from one table.

Each kind of message is played on the local stack, and what it uses is counted: transitions in the histories of the
runs; invocations, and every call that a function makes, by the meter (`benchmarks.cloud.metered`). How often a message
that waits is looked after in vain follows from the machines' own formulas, and what one such look uses is counted, too.

What is promised compares what each side's user would do: Ringback's SDK calls the function `accept`, the baselines are
handed messages by their topics. Logs, and what only Ringback does for a connection, are reckoned beside that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import mean

from benchmarks.bill import tables
from benchmarks.bill.plays import BURST, PLAYS, Played
from benchmarks.bill.reckoning import Bills, dearest, kinds_of
from benchmarks.bill.tables import PROMISED
from benchmarks.billing import prices
from benchmarks.billing.counts import total
from benchmarks.billing.schedules import WHILE_AWAY
from benchmarks.cloud import stage
from benchmarks.report import Ratio, Result, Say

ABSENCES = {"10 s": 10, "10 min": 600, "10 h": 36_000}
ROUNDS = 2


def run(say: Say) -> Result:
    """Play every kind, and price the mixes."""
    with stage.running(say) as played_on:
        rounds: dict[str, list[Played]] = {name: [] for name in PLAYS}
        for number in range(ROUNDS):
            for name, play in PLAYS.items():
                say(f"round {number + 1} of {ROUNDS}: {name}")
                rounds[name].append(play(played_on))
    return result({name: _average(plays) for name, plays in rounds.items()}, rounds)


def result(played: Mapping[str, Played], rounds: Mapping[str, Sequence[Played]]) -> Result:
    """Tables, ratios and plot of what was counted."""
    kinds = kinds_of(played)
    bills = {
        absence: Bills(kinds, seconds, WHILE_AWAY.expected_looks(seconds)) for absence, seconds in ABSENCES.items()
    }

    promises = {share: dearest(bills, share).against_sns(share) for share in PROMISED}
    return Result(
        name="bill",
        what="What a million messages cost, in USD: what runs and functions have used, priced from one table.",
        tables=(
            tables.used(played),
            tables.mixes(bills),
            tables.otherwise(bills),
            tables.with_connections(bills),
            tables.looks_in_vain(bills),
            tables.ways_in(played),
            tables.logs(played),
        ),
        ratios=(
            *(
                Ratio(f"bill, {share * 100:g} % online, against SNS and Lambda", promises[share], required, "at most")
                for share, required in PROMISED.items()
            ),
            Ratio(
                f"bill, {BURST} messages at once for one person, against SNS and Lambda",
                kinds.burst.usd() / kinds.sns_burst.usd(),
                0.5,
                "at most",
            ),
            Ratio(
                "bill, all absent for 10 h, against polling",
                bills["10 h"].ringback(0.0) / bills["10 h"].polling(0.0),
                1 / 20,
                "at most",
            ),
        ),
        plots=(tables.plot(bills),),
        not_measured=tables.not_measured(),
        details={
            "prices": dict(prices.PRICES),
            "backoff": asdict(WHILE_AWAY),
            "counted": {name: [asdict(one) for one in plays] for name, plays in rounds.items()},
        },
    )


def _average(plays: Sequence[Played]) -> Played:
    return Played(total(each.counts for each in plays) / len(plays), mean(each.looks for each in plays))
