"""The scenes of the model: each is small enough to try all of its interleavings."""

from typing import NamedTuple


class Scene(NamedTuple):
    """Macros of `ringback.pml`."""

    what: str
    macros: tuple[str, ...]


_PLACE = ("ONE_IS_THERE", "THE_LAST_STAYS")


def _scene(what: str, *macros: str, faults: int = 0, timeouts: int = 0, repeats: int = 0) -> Scene:
    return Scene(what, (*_PLACE, *macros, f"FAULTS={faults}", f"TIMEOUTS={timeouts}", f"REPEATS={repeats}"))


SCENES = {
    "one": _scene("one message, functions that outlive their state", "RUNS=1", "CLIENT_ACKS=0"),
    "two": _scene("two messages, one of them acknowledged", "RUNS=2", "CLIENT_ACKS=2", "NO_OUTLIVING"),
    "redrive": _scene(
        "two messages of one attempt each, one redriven", "RUNS=3", "CLIENT_ACKS=0", "NO_OUTLIVING", "MAX_ATTEMPTS=1"
    ),
}
