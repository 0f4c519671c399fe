"""A process beside the one that measures: for stand-ins, whose own time must not count."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def running(serve: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """Have ``serve(pipe, *arguments)`` run in a process of its own, and give what it sends first.

    Raises:
        EOFError: the process ended before that.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()  # or one that ends at once would be waited for
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()
