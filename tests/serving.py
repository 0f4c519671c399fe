"""An aiohttp application on a free port of this machine, in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from local.cloud import bound
from local.settings import HOST


@contextmanager
def serving(make_application: Callable[[int], web.Application]) -> Iterator[str]:
    """Serve what is made for the port; gives its URL, without a slash in the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="serving")
    thread.start()
    try:
        with bound(None) as listener:
            port = listener.getsockname()[1]
            runner = web.AppRunner(make_application(port), shutdown_timeout=0.1)

            async def start() -> None:
                await runner.setup()
                await web.SockSite(runner, listener).start()

            asyncio.run_coroutine_threadsafe(start(), loop).result(20)
            try:
                yield f"http://{HOST}:{port}"
            finally:
                asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
