"""Waiting for what will be so."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.02


def until(look: Callable[[], T], what: str, *, seconds: float = 20) -> T:
    """Look until there is something; raises `TimeoutError` saying what did not come."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(_POLL_SECONDS)
    return found
