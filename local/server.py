"""MiniStack's own process: `python -m local.server DIRECTORY SOCKET [--uncorrected]`, started by `local.cloud`."""

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack.app import app  # type: ignore[import-untyped]

from local import corrections
from local.asgi import App
from local.cloud import SERVER_LOCK
from local.feed import Feed
from local.guard import guarded
from local.locks import PidLock


def main(around: Callable[[App, Path], App] | None = None) -> None:
    """Serve on a socket that is already bound, until killed.

    Args:
        around: what stands around MiniStack beside all that is here; it also gets the run's directory.
    """
    parser = argparse.ArgumentParser(prog="python -m local.server")
    parser.add_argument("directory", type=Path)
    parser.add_argument("socket", type=int, help="file descriptor of the socket to listen on")
    parser.add_argument("--uncorrected", action="store_true", help="MiniStack as it comes, for the corrections' tests")
    arguments = parser.parse_args()

    lock = PidLock(arguments.directory / SERVER_LOCK)
    if not lock.acquire():
        sys.exit(f"Another MiniStack runs in {arguments.directory}.")
    lock.name(os.getpid())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    # It tells what is published to a topic, and what people are sent is nothing for a log.
    logging.getLogger("sns").setLevel(logging.WARNING)

    served = app
    if not arguments.uncorrected:
        corrections.apply()
        feed = Feed()
        feed.install()
        served = feed.beside(app)
    if around:
        served = around(served, arguments.directory)
    _serve(guarded(served), arguments.socket)


def _end_with_parent() -> None:
    """Standard input is a pipe that only the parent holds: when it ends, go, and take the handlers along."""
    sys.stdin.buffer.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _serve(served: Any, socket: int) -> None:
    # A WebSocket each for hundreds of clients, and three pipes for each handler.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    config = Config()
    config.bind = [f"fd://{socket}"]
    config.backlog = 1024
    config.keep_alive_timeout = 75
    asyncio.run(serve(served, config))


if __name__ == "__main__":
    main()
