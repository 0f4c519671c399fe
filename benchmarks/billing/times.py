"""How long functions are taken to work on AWS, wherever this is reckoned.

The same for everybody. How long they take here says nothing about AWS; an account's REPORT lines know better.
"""

CALL_SECONDS = 0.010
"""How long a function waits for each call of AWS that it makes, one after the other."""
PROCESSOR_SECONDS = 0.0015
"""How long an invocation takes a whole processor, its calls' clients included: `make bench-handlers` measures 0.2 to
1.5 ms, on another processor."""
WHOLE_PROCESSOR_MB = 1769
"""Lambda gives as much of a processor as there is of this much memory."""


def own_seconds(memory_mb: float, *, processor_seconds: float = PROCESSOR_SECONDS) -> float:
    """How long that part of an invocation takes with this memory: the less of it, the longer."""
    return processor_seconds * max(1.0, WHOLE_PROCESSOR_MB / memory_mb)


def seconds(memory_mb: float, *, calls: float) -> float:
    """How long an invocation takes that makes so many calls."""
    return own_seconds(memory_mb) + calls * CALL_SECONDS


ASSUMED = (
    f"an invocation waits {CALL_SECONDS * 1000:g} ms for each call that it makes, and takes "
    f"{PROCESSOR_SECONDS * 1000:g} ms of a whole processor for itself, {own_seconds(256) * 1000:.0f} ms with 256 MB"
)
"""The same in words."""
