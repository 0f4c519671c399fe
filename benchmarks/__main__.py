"""`python -m benchmarks [name …]`: run them, print what they came to, keep it in `build/bench.json`.

A promise that is not kept is measured once more, because whatever else this machine does can spoil a figure. Ends with
1 if it is not kept then, or if a benchmark failed; the others are run all the same.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.reporting import page, runner
from benchmarks.reporting.cells import number
from benchmarks.reporting.record import Entry, Record
from benchmarks.reporting.runner import say
from benchmarks.reporting.terminal import show

REPORT = Path(__file__).resolve().parent.parent / "build" / "bench.json"

BENCHMARKS: Mapping[str, str] = {
    "bill": "what a million messages cost, against SNS with Lambda and against a state machine that polls",
    "wake": "how long after the handshake the frame is there, against the same two",
    "init": "the cold start of every function, against `import boto3` and one client",
    "handlers": "the time of every hot function beyond the calls that it makes",
    "fan_out": "posts per second and core, against boto3 and against a client that only signs",
    "growth": "DynamoDB units and requests as the tables grow",
    "storm": "many who come back at once, under AWS's quotas",
    "paper": "quotas, partitions and the bill of ten million connected users, computed",
}
"""Every benchmark: a module of this package with ``run(say) -> Result``, and what it measures."""


def main(arguments: Sequence[str] | None = None, *, report: Path = REPORT, docs: Path = page.DOCS) -> int:
    """Run the benchmarks that are named, or all of them."""
    options = _parser().parse_args(arguments)
    kept = Record.read(report)
    problems = []
    names = list(dict.fromkeys(options.names)) or list(BENCHMARKS)
    for position, name in enumerate(names, start=1):
        say(f"{name} ({position} of {len(names)}): {BENCHMARKS[name]}")
        entry = runner.measure(name)
        if entry.result and not entry.result.ok:
            say("\n".join([*_problems(name, entry), f"{name}: once more, on a machine that may be less busy"]))
            entry = runner.measure(name)
        kept.add(name, entry)
        kept.write(report)
        if entry.result:
            show(entry.result)
        problems += _problems(name, entry)
    say(f"wrote {report}")
    if options.write_docs:
        for path in page.write(kept, docs):
            say(f"wrote {path}")
    for problem in problems:
        say(problem)
    return 1 if problems else 0


def _problems(name: str, entry: Entry) -> list[str]:
    if entry.result is None:
        return [f"FAILED: {name}: {entry.error}"]
    return [
        f"NOT KEPT: {name}: {ratio.name} is {number(ratio.value)}, not {ratio.bound} {number(ratio.required)}"
        for ratio in entry.result.ratios
        if not ratio.ok
    ]


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<10} {what}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Ringback against what one would build instead.",
        epilog=f"benchmarks:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="name", type=_name, help="which ones; all of them if none is named")
    parser.add_argument("--write-docs", action="store_true", help="also write the figures and plots into docs/")
    return parser


def _name(text: str) -> str:
    name = text.replace("-", "_")
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"there is no benchmark {text!r}; there are {', '.join(BENCHMARKS)}")
    return name


if __name__ == "__main__":
    sys.exit(main())
