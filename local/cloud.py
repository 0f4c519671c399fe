"""MiniStack as a process of ours: started, awaited, and ended with everything it started.

One run owns one directory, told by two locks: `run.lock` is held by whoever started MiniStack, `server.lock` by
MiniStack itself. It leads a process group, its handlers are in it, and the group is killed as a whole: all state is
in memory, so there is nothing to save. It also ends itself when its standard input does, that is, when the process
that started it is gone for whatever reason.
"""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local import settings
from local.errors import AlreadyRunning, CloudFailed, PortBusy
from local.locks import PidLock, holder

RUN_LOCK = "run.lock"
SERVER_LOCK = "server.lock"
LOG = "cloud.log"
SERVER = "local.server"

_START_SECONDS = 60
_STOP_SECONDS = 10
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Cloud:
    """A running MiniStack."""

    endpoint: str
    directory: Path
    process: subprocess.Popen[bytes]

    def ensure_alive(self) -> None:
        """Say what its log says, when it has died."""
        if (code := self.process.poll()) is not None:
            raise CloudFailed(f"MiniStack ended (exit code {code}). {last_lines(self.directory / LOG)}")

    def wait(self) -> None:
        """Stay until it ends, which it never does by itself."""
        self.process.wait()
        self.ensure_alive()


@contextlib.contextmanager
def running(
    directory: Path,
    *,
    port: int | None = None,
    corrected: bool = True,
    enforce_iam: bool = False,
    server: str = SERVER,
) -> Iterator[Cloud]:
    """Have MiniStack run in this directory, on this port or on a free one.

    Args:
        directory: where it lives.
        port: a free one unless told.
        corrected: whether it does what AWS does.
        enforce_iam: whether roles may do what their policies allow, and nothing else.
        server: the module that is run.

    Raises:
        AlreadyRunning, PortBusy, CloudFailed
    """
    directory = directory.resolve()
    run = PidLock(directory / RUN_LOCK)
    if not run.acquire():
        run.close()
        raise AlreadyRunning(
            f"A run already holds {directory} (process {holder(directory / RUN_LOCK)}). "
            + ("`make down` stops it." if directory == settings.DIRECTORY else "Wait for it, or end that process.")
        )
    temporary = directory / "tmp"
    try:
        run.name(os.getpid())
        _kill_group(holder(directory / SERVER_LOCK))
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        with bound(port) as listener:
            endpoint = f"http://{settings.HOST}:{listener.getsockname()[1]}"
            process = _start(
                directory, temporary, listener, corrected=corrected, enforce_iam=enforce_iam, server=server
            )
        try:
            cloud = Cloud(endpoint, directory, process)
            _await_ready(cloud)
            yield cloud
        finally:
            _end(process)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        run.close()


def stop(directory: Path) -> bool:
    """End whatever still runs in this directory; False when nothing does."""
    run, server = holder(directory / RUN_LOCK), holder(directory / SERVER_LOCK)
    if run:
        # It takes its MiniStack with it; one that cannot any more is killed, and MiniStack notices.
        _signal(run, signal.SIGTERM)
        if not _await_free(directory / RUN_LOCK):
            _signal(run, signal.SIGKILL)
            _await_free(directory / RUN_LOCK)
    _kill_group(holder(directory / SERVER_LOCK))
    _await_free(directory / SERVER_LOCK)
    shutil.rmtree(directory / "tmp", ignore_errors=True)
    return bool(run or server)


def is_running(directory: Path) -> bool:
    """Whether a run holds this directory."""
    return holder(directory / RUN_LOCK) is not None


def answers(endpoint: str) -> bool:
    """Whether MiniStack is up and says so."""
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=2)
    try:
        connection.request("GET", "/_ministack/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def last_lines(log: Path, count: int = 20) -> str:
    """The end of a log, for an error message."""
    lines = log.read_text(errors="replace").splitlines()[-count:] if log.exists() else []
    return "\n".join([f"The end of {log}:", *(f"  {line}" for line in lines or ["(empty)"])])


@contextlib.contextmanager
def bound(port: int | None, *, variable: str = "PORT", target: str = "up") -> Iterator[socket.socket]:
    """The socket a server will listen on. Bound here, so no other program can take the port in between.

    Raises:
        PortBusy: says with which variable of `make up`, or of another target, to choose another.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.HOST, port or 0))
        except OSError as error:
            raise PortBusy(
                f"Port {port} is not free: {error.strerror}. Choose another: make {target} {variable}={(port or 0) + 1}"
            ) from error
        yield listener


def _start(
    directory: Path, temporary: Path, listener: socket.socket, *, corrected: bool, enforce_iam: bool, server: str
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", server, str(directory), str(listener.fileno())]
    if not corrected:
        command.append("--uncorrected")
    with (directory / LOG).open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own module
            command,
            cwd=settings.ROOT,
            env=settings.cloud_environment(
                port=listener.getsockname()[1], temporary=temporary, enforce_iam=enforce_iam
            ),
            stdin=subprocess.PIPE,  # its end is how MiniStack learns that we are gone
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(listener.fileno(),),
            start_new_session=True,  # Ctrl-C is for us alone; we end it, and its group with it
        )


def _await_ready(cloud: Cloud) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers(cloud.endpoint):
        cloud.ensure_alive()
        if time.monotonic() > deadline:
            raise CloudFailed(
                f"MiniStack did not answer within {_START_SECONDS} s. {last_lines(cloud.directory / LOG)}"
            )
        time.sleep(_POLL_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    _kill_group(process.pid)
    process.wait()
    if process.stdin:
        process.stdin.close()


def _kill_group(pid: int | None) -> None:
    """Kill MiniStack and its handlers. It leads their group, so the group's id is its own."""
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says so of a group of zombies
            os.killpg(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _await_free(lock: Path) -> bool:
    deadline = time.monotonic() + _STOP_SECONDS
    while holder(lock) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
