"""What the benchmarks came to, as it is kept: `build/bench.json`, and `docs/performance.json`, which is committed.

One document: `date` and `machine` of the last run, and `results` by name. A result has `date`, `machine`, `seconds`,
`ok`, `what`, `ratios` (with `ok`), `tables`, `plots`, `not_measured` and `details`; a benchmark that failed has
`ok: false` and `error` alone beside the first three. The committed copy is without `seconds` and `details`, which are
different each time, and without what failed.
"""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from benchmarks.report import Plot, Ratio, Result, Table

Machine = Mapping[str, str | int]


def this_machine() -> Machine:
    """What a reader wants to know of it."""
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "processor": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


@dataclass(frozen=True)
class Entry:
    """One benchmark's last run: its result, or why there is none."""

    date: str
    machine: Machine
    seconds: float = 0
    result: Result | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it ran, and every promise is kept."""
        return self.result is not None and self.result.ok

    def to_json(self) -> dict[str, Any]:
        """As it stands in the document."""
        about: dict[str, Any] = {"date": self.date, "machine": dict(self.machine), "seconds": round(self.seconds, 1)}
        if self.result is None:
            return {**about, "ok": False, "error": self.error}
        fields = asdict(self.result)
        del fields["name"]
        for ratio, value in zip(fields["ratios"], self.result.ratios, strict=True):
            ratio["ok"] = value.ok
        return {**about, "ok": self.ok, **fields}

    @classmethod
    def from_json(cls, name: str, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        result = None if value.get("error") else _result(name, value)
        return cls(value["date"], value["machine"], value.get("seconds", 0), result, value.get("error"))


@dataclass
class Record:
    """The document."""

    date: str = ""
    machine: Machine = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it; an empty one where there is none, or one of another form."""
        try:
            document = json.loads(path.read_text("utf-8"))
            entries = {name: Entry.from_json(name, value) for name, value in document["results"].items()}
            return cls(document["date"], document["machine"], entries)
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return cls()

    def add(self, name: str, entry: Entry) -> None:
        """Put it in the place of the same benchmark's last run."""
        self.date, self.machine = entry.date, entry.machine
        self.entries[name] = entry

    def write(self, path: Path) -> None:
        """Write it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_text(self.to_json()), "utf-8")

    def to_json(self) -> dict[str, Any]:
        """The whole document."""
        results = {name: entry.to_json() for name, entry in sorted(self.entries.items())}
        return {"date": self.date, "machine": dict(self.machine), "results": results}

    def figures(self) -> str:
        """The text that is committed."""
        document = self.to_json()
        document["results"] = {
            name: {key: item for key, item in value.items() if key not in {"seconds", "details"}}
            for name, value in document["results"].items()
            if "error" not in value
        }
        return _text(document)


def now() -> str:
    """The time, for the record."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def check(result: Result) -> None:
    """Raise TypeError or ValueError for a result that cannot be kept."""
    _text(Entry("", {}, result=result).to_json())


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _result(name: str, value: Mapping[str, Any]) -> Result:
    return Result(
        name=name,
        what=value["what"],
        tables=tuple(
            Table(
                table["title"],
                tuple(table["columns"]),
                tuple(tuple(row) for row in table["rows"]),
                table["note"],
            )
            for table in value["tables"]
        ),
        ratios=tuple(
            Ratio(ratio["name"], ratio["value"], ratio["required"], ratio["bound"]) for ratio in value["ratios"]
        ),
        plots=tuple(Plot(**{**plot, "labels": tuple(plot["labels"])}) for plot in value["plots"]),
        not_measured=tuple(value["not_measured"]),
        details=value.get("details", {}),
    )
