"""What a handler adds to the calls of AWS that it makes, in processor time.

Each hot handler runs one usual invocation, and then the same calls are made by the same clients with the same arguments
and nothing around them, in turns. AWS is a hook in front of the socket, on both sides.

Hot is what works for every message or every connection. The others work for a fan-out's part (`benchmarks.fan_out` has
that), for a message that failed, for who asks by HTTP, or for stages that want presence or the chat.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks import scenes
from benchmarks.billing.times import CALL_SECONDS, WHOLE_PROCESSOR_MB
from benchmarks.handlers.overhead import INVOCATIONS, ROUNDS
from benchmarks.report import Ratio, Result, Say, Table

REQUIRED_MILLISECONDS = 2.0
MEMORY_MB = (128, 256, 512, 1769)
WAITING_MILLISECONDS = round(2 * CALL_SECONDS * 1000)
"""For how long an invocation waits for two calls, in the reckoning of what memory buys."""
_WAITS_FOR_NOTHING = frozenset({"routes.authorizer"})
_ROOT = Path(__file__).parents[2]


def run(say: Say) -> Result:
    """Measure every scene of `benchmarks.scenes`."""
    say(f"handlers: {ROUNDS} rounds of {INVOCATIONS} invocations each")
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        subprocess.run(  # noqa: S603 - our own interpreter, our own module
            [sys.executable, "-m", "benchmarks.handlers.overhead", str(report)],
            cwd=_ROOT,
            env=scenes.environment(),
            stdout=subprocess.DEVNULL,  # the handlers' logs
            check=True,
        )
        measured = json.loads(report.read_text())
    rows = []
    ratios = []
    for module, sides in measured.items():
        added = [handler - raw for handler, raw in zip(sides["handler"], sides["raw"], strict=True)]
        overhead = round(median(added), 3)
        rows.append(
            (
                module,
                ", ".join(call.partition(":")[2] for call in sides["calls"]) or "none",
                round(median(sides["handler"]), 2),
                round(median(sides["raw"]), 2),
                overhead,
                f"{min(added):.2f} to {max(added):.2f}",
            )
        )
        ratios.append(Ratio(f"what {module} adds to its calls (ms)", overhead, REQUIRED_MILLISECONDS, "at most"))
    used = {module: median(sides["handler"]) for module, sides in measured.items()}
    return Result(
        name="handlers",
        what="What a handler adds to the calls of AWS that it makes: processor time of one invocation, warm",
        tables=(
            Table(
                "Own overhead of the hot handlers",
                ("function", "calls", "handler (ms)", "its calls alone (ms)", "overhead (ms)", "spread (ms)"),
                tuple(rows),
                note=(
                    "Medians. Hot, and measured here, is what works for every message or every connection. Not hot: "
                    "the tasks of a fan-out, which work for hundreds of people at a time and are measured as a whole "
                    "by `fan_out`; `post_once`, which does less than `accept` does; `ended`, for messages that failed; "
                    "`http_api`, the chat and presence, which only some stages have, and where a call takes longer "
                    "than what is around it. `accept` and `ingest` take one message for somebody who is online, with "
                    "one connection."
                ),
            ),
            memory_table(used),
        ),
        ratios=tuple(ratios),
        not_measured=(
            "Network and services: a hook answers in front of the socket, at once.",
            "Lambda's processor and its memory in use: only an account can tell, by the REPORT lines of the logs.",
        ),
        details=measured,
    )


def memory_table(used: Mapping[str, float]) -> Table:
    """What sizes of memory would make of an invocation that takes the processor for so many milliseconds."""
    return Table(
        "What memory buys (reckoned)",
        ("function", "processor (ms)", *(f"{size} MB" for size in MEMORY_MB)),
        tuple(
            (
                module,
                round(ms, 2),
                *(_at(size, ms, 0 if module in _WAITS_FOR_NOTHING else WAITING_MILLISECONDS) for size in MEMORY_MB),
            )
            for module, ms in used.items()
        ),
        note=(
            f"Milliseconds and GB-ms of a warm invocation that also waits {WAITING_MILLISECONDS} ms for the network "
            "(the authorizer: none). Lambda's share of a processor grows with memory, so its part takes as much less "
            "time, and costs the same; the waiting costs more. To import and to make clients, a function has a whole "
            "processor at any size."
        ),
    )


def _at(size_mb: int, processor_ms: float, waiting_ms: float) -> str:
    billed = processor_ms * WHOLE_PROCESSOR_MB / size_mb + waiting_ms
    return f"{billed:.1f} ms, {billed * size_mb / 1024:.1f} GB-ms"
