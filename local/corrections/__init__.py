"""Where MiniStack differs from AWS in what Ringback stands on: each difference, and its correction.

Every correction says what AWS does and what MiniStack 1.5.33 does instead, and replaces as little as it can. Each has
a test that runs with and without it (`tests/integration/local/test_corrections*.py`) and fails once MiniStack does
the right thing by itself: then the correction goes. A correction whose place has gone fails at start.
"""

from importlib import metadata

from ministack import app  # type: ignore[import-untyped]

from local import settings
from local.corrections import event_sources, functions, http_apis, maps, permissions, runs, templates, web_sockets
from local.corrections.places import CorrectionError

__all__ = ["CorrectionError", "apply"]


def apply() -> None:
    """Correct the MiniStack of this process.

    Raises:
        CorrectionError: a place to correct is not there any more.
    """
    if (version := metadata.version("ministack")) != settings.MINISTACK_VERSION:
        raise CorrectionError(f"These corrections are for MiniStack {settings.MINISTACK_VERSION}, not for {version}.")
    # First, so that all others find a refusal where AWS has it: within the call.
    for correction in permissions.CORRECTIONS if app.AUTH else ():
        correction()
    for part in (functions, event_sources, runs, maps, web_sockets, http_apis, templates):
        for correction in part.CORRECTIONS:
            correction()
