"""The scenes of the model: each is small enough to try all of its interleavings.

The large ones take minutes and 4 GB.
"""

from typing import NamedTuple


class Scene(NamedTuple):
    """Macros of `ringback.pml`."""

    what: str
    macros: tuple[str, ...]
    large: bool = False


def _scene(
    what: str,
    *more: str,
    runs: int = 2,
    acked: int = 0,
    faults: int = 0,
    timeouts: int = 0,
    repeats: int = 0,
    large: bool = False,
) -> Scene:
    budgets = f"FAULTS={faults}", f"TIMEOUTS={timeouts}", f"REPEATS={repeats}"
    place = "ONE_IS_THERE", "THE_LAST_STAYS"
    return Scene(what, (*place, f"RUNS={runs}", f"CLIENT_ACKS={acked}", *budgets, *more), large)


# `acked` is a set of messages, as bits. Without STAYS_YOUNG a young connection may grow old: that doubles the states.
SCENES = {
    "one": _scene("one message, a crash anywhere, functions that outlive their state", "SLOTS=2", runs=1, faults=1),
    "acked": _scene("one message, acknowledged, a crash anywhere", "STAYS_YOUNG", runs=1, acked=1, faults=1),
    "two": _scene("two messages, a crash anywhere", "STAYS_YOUNG", faults=1),
    "mixed": _scene("two messages, one of them acknowledged", "STAYS_YOUNG", acked=2),
    "late": _scene("one message, a token timeout at any time, late acknowledgements", runs=1, acked=1, timeouts=1),
    "repeated": _scene("two messages, a stream record or a `$disconnect` that comes again", "STAYS_YOUNG", repeats=1),
    "cancelled": _scene("two messages, one cancelled at any time", "STAYS_YOUNG", "CANCELS=1"),
    "redriven": _scene(
        "two messages of one attempt each, one redriven, a crash anywhere",
        "MAX_ATTEMPTS=1",
        "STAYS_YOUNG",
        runs=3,
        faults=1,
    ),
    "both": _scene(
        "two messages, one of them acknowledged, a crash anywhere", "STAYS_YOUNG", acked=2, faults=1, large=True
    ),
    "impatient": _scene(
        "two messages, one of them acknowledged, a token timeout at any time",
        "STAYS_YOUNG",
        acked=2,
        timeouts=1,
        large=True,
    ),
}
