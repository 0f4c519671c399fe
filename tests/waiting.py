"""Waiting for what will be so, where nothing tells that it is."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.02
_ASYNC_POLL_SECONDS = 0.005


def until(look: Callable[[], T], what: str, *, seconds: float = 20) -> T:
    """Look until there is something; raises `TimeoutError` saying what did not come."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(_POLL_SECONDS)
    return found


async def async_until(look: Callable[[], object], *, seconds: float) -> None:
    """The same in an event loop; raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not look():  # noqa: ASYNC110 - what is looked at knows nothing of events
            await asyncio.sleep(_ASYNC_POLL_SECONDS)
