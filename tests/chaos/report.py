"""What a chaos run shows, for the terminal and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.ledger import BREACHES, FATES, Ledger

MOST_VIOLATIONS_SHOWN = 20
_BAR = 40
_BOUNDS_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_PERCENTILES = (50, 90, 99, 100)


@dataclass
class Report:
    """One run: what was played, what became of it, and how it went.

    ``load`` are the figures of the run itself: seconds, calls, reconnects and the like. ``errors`` are the clients', by
    code; `frame` is what the server refused. ``problems`` are what keeps a run from being judged, or from showing much.
    """

    seed: int
    script: str
    ledger: Ledger
    faults: Mapping[str, int]
    patience_seconds: float
    load: dict[str, float] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    problems: Sequence[str] = ()

    @property
    def passes(self) -> bool:
        """Whether the promise was kept, in a run that can tell."""
        return self.ledger.balances and not self.problems

    def to_json(self) -> dict[str, Any]:
        """Its JSON form."""
        ledger = self.ledger
        return {
            "seed": self.seed,
            "script": self.script,
            "messages": ledger.messages,
            "balances": ledger.balances,
            "problems": list(self.problems),
            "violations": {breach: ledger.count(breach) for breach in BREACHES},
            "examples": [str(one) for one in ledger.violations[:MOST_VIOLATIONS_SHOWN]],
            "fates": [
                {"kind": kind, "way": way, "fate": fate, "messages": count}
                for (kind, way, fate), count in sorted(ledger.fates.items())
            ],
            "plain": {fate: round(share, 4) for fate, share in ledger.plain.items()},
            "redriven": ledger.redriven,
            "postedAgain": ledger.comes_again,
            "gapsGivenUp": ledger.gaps,
            "late": ledger.late,
            "parkedLate": len(ledger.late_parks),
            "longestLateParkSeconds": round(max(ledger.late_parks, default=0.0), 1),
            "lagSeconds": {
                "recipientWasThere": percentiles(ledger.lags_there),
                "afterTheyCameBack": percentiles(ledger.lags_came_back),
                "stream": percentiles(ledger.stream_lags),
            },
            "faults": dict(sorted(self.faults.items())),
            "clientErrors": dict(sorted(self.errors.items())),
            "patienceSeconds": round(self.patience_seconds, 1),
            "load": {name: round(value, 2) for name, value in self.load.items()},
        }

    def save(self, file: Path) -> None:
        """Write it down."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.to_json(), indent=2) + "\n")

    def lines(self) -> list[str]:
        """The same for people."""
        ledger, plain = self.ledger, self.ledger.plain
        return [
            f"Seed {self.seed}: {self.script}",
            "",
            *_table(ledger),
            "",
            f"of the plain ones: into a dead link {plain['into a dead link']:.1%}, in doubt {plain['in doubt']:.1%}",
            f"redriven {ledger.redriven}, posted more than once {ledger.comes_again}",
            f"numbers given up {ledger.gaps}, handled late {ledger.late}",
            f"parked late {len(ledger.late_parks)}, the longest after {max(ledger.late_parks, default=0):.0f} s",
            f"the stream told wake of a connection after {_times(ledger.stream_lags) or 'no time that was noted'}",
            "",
            *_histogram("lag, recipient was there: from sending to handling", ledger.lags_there),
            "",
            *_histogram("lag, recipient came back: from their connection to handling", ledger.lags_came_back),
            "",
            "faults: " + _counts(self.faults),
            "clients' errors: " + _counts(self.errors),
            "load: " + ", ".join(f"{name} {value:,.4g}" for name, value in self.load.items()),
            f"a run may wait {self.patience_seconds:.0f} s for somebody who is there",
            "",
            "   ".join(f"{breach.replace('_', ' ')} {ledger.count(breach)}" for breach in BREACHES),
            *(f"  {one}" for one in ledger.violations[:MOST_VIOLATIONS_SHOWN]),
            *self.problems,
            "The ledger balances." if ledger.balances else "The ledger does not balance.",
        ]


def percentiles(values: Sequence[float], shares: Sequence[int] = _PERCENTILES) -> dict[str, float]:
    """How long it took, for so many of a hundred."""
    ordered = sorted(values)
    return {
        f"p{share}": round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 3)
        for share in shares
        if ordered
    }


def _times(values: Sequence[float]) -> str:
    return ", ".join(f"{name} {value:g} s" for name, value in percentiles(values).items())


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _table(ledger: Ledger) -> list[str]:
    """The ledger by kind and way."""
    used = [fate for fate in FATES if any(key[2] == fate for key in ledger.fates)]
    widths = [max(len(fate), 6) for fate in used]
    lines = [
        "  ".join([f"{'kind':<10}{'way':<8}", *(f"{fate:>{width}}" for fate, width in zip(used, widths, strict=True))])
    ]
    for kind, way in sorted({(kind, way) for kind, way, _ in ledger.fates}):
        counts = [ledger.fates[kind, way, fate] for fate in used]
        cells = [f"{count or '':>{width}}" for count, width in zip(counts, widths, strict=True)]
        lines.append("  ".join([f"{kind:<10}{way:<8}", *cells]))
    totals = [sum(count for key, count in ledger.fates.items() if key[2] == fate) for fate in used]
    cells = [f"{count:>{width}}" for count, width in zip(totals, widths, strict=True)]
    lines.append("  ".join([f"{'all':<10}{'':<8}", *cells]))
    return lines


def _histogram(title: str, values: Sequence[float]) -> list[str]:
    if not values:
        return [f"{title}: none"]
    shares = _times(values)
    bounds = [*_BOUNDS_SECONDS, float("inf")]
    counts, lower = [], 0.0
    for bound in bounds:
        counts.append((bound, sum(lower <= value < bound for value in values)))
        lower = bound
    while counts and not counts[-1][1]:
        counts.pop()
    most = max(count for _, count in counts)
    lines = [f"{title}: {len(values)}, {shares}"]
    for bound, count in counts:
        bar = "█" * max(count > 0, round(_BAR * count / most))
        name = "more" if bound == float("inf") else f"< {bound:g} s"
        lines.append(f"  {name:>8} {count:>7}  {bar}".rstrip())
    return lines
