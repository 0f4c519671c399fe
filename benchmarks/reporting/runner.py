"""Running one benchmark, in a process of its own: what one imports or leaves behind is not there for the next."""

import importlib
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks.report import Result
from benchmarks.reporting import record
from benchmarks.reporting.record import Entry


def measure(name: str) -> Entry:
    """Run the benchmark of this name, and answer what it came to, or why it failed."""
    begun = time.monotonic()
    result, error = None, None
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        try:
            result = process.submit(run, name).result()
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is said, and the others go on
            cause = failure.__cause__  # the other process's traceback
            say(str(cause or "").strip())
            error = f"{type(failure).__name__}: {failure}"
    return Entry(record.now(), record.this_machine(), time.monotonic() - begun, result, error)


def run(name: str) -> Result:
    """Run it in this process."""
    result: Result = importlib.import_module(f"benchmarks.{name}").run(lambda text: say(f"  {text}"))
    record.check(result)
    return result


def say(text: str) -> None:
    """Tell whoever waits; the figures go to the other stream."""
    print(text, file=sys.stderr, flush=True)
