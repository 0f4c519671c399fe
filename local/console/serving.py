"""The console's server as a thread of the process that has the stack."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web

from local import settings
from local.cloud import bound
from local.console.server import Deployed, make_application

_SECONDS_TO_CLOSE = 2.0


@dataclass(frozen=True)
class Console:
    """A running console."""

    url: str


@contextlib.contextmanager
def reserved(port: int | None) -> Iterator[socket.socket]:
    """The socket that a console will listen on, so that it is known at once whether the port is free.

    Raises:
        PortBusy
    """
    with bound(port, variable="CONSOLE_PORT") as listener:
        yield listener


@contextlib.contextmanager
def running(stack: Deployed, *, port: int | None = None, listener: socket.socket | None = None) -> Iterator[Console]:
    """Have a console for this stack, on this port, on a free one, or on a socket that is bound.

    It ends before the stack does: its calls get their answers.

    Raises:
        PortBusy
    """
    with contextlib.ExitStack() as closing:
        if listener is None:
            listener = closing.enter_context(reserved(port))
        thread = _Thread(stack, listener)
        thread.start()
        try:
            thread.await_ready()
            yield Console(f"http://{settings.HOST}:{listener.getsockname()[1]}")
        finally:
            thread.stop()


class _Thread(threading.Thread):
    def __init__(self, stack: Deployed, listener: socket.socket) -> None:
        super().__init__(name="console", daemon=True)
        self._stack = stack
        self._listener = listener
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._ready = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
        finally:
            self._ready.set()

    def await_ready(self) -> None:
        self._ready.wait()
        if self._error:
            raise self._error

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended by itself
            self._loop.call_soon_threadsafe(self._over.set)
        self.join()

    async def _serve(self) -> None:
        application = make_application(self._stack, port=self._listener.getsockname()[1])
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SECONDS_TO_CLOSE)
        await runner.setup()
        try:
            await web.SockSite(runner, self._listener).start()
            self._ready.set()
            await self._over.wait()
        finally:
            await runner.cleanup()
