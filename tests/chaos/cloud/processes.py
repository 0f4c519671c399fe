"""The processes that functions run in: which is whose, how they die, and what their clocks say.

A process tells its id in the User-Agent of its calls, as AWS's SDKs tell an application's name.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ministack.core import lambda_runtime  # type: ignore[import-untyped]
from ministack.services import lambda_svc  # type: ignore[import-untyped]

from local.corrections.places import CorrectionError, Json, replace
from tests.chaos.cloud.decisions import Chaos

MOST_SKEW_SECONDS = 1.0

_TELLS_ITS_ID = """import os as _os
_os.environ["AWS_SDK_UA_APP_ID"] = str(_os.getpid())
del _os
"""
_IMPORTED = "        handler_fn = getattr(mod, handler_name)\n"
_HAS_ANOTHER_CLOCK = """
        import datetime as _datetime
        _true_time, _skew = time.time, {skew!r}
        time.time = lambda: _true_time() + _skew
        if "lambdas.clock" in sys.modules:
            _clock = sys.modules["lambdas.clock"].SystemClock
            _true_now = _clock.now
            _clock.now = lambda self: _true_now(self) + _datetime.timedelta(seconds=_skew)
"""
_KILLED = "Runtime exited with error: signal: killed"


class Processes:
    """All that are there. Any thread may ask."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self._functions: dict[int, str] = {}
        self._pids: dict[Any, int] = {}  # by worker
        self._killed: dict[int, str] = {}  # what the invocation ends with
        self._starting = threading.local()

    def function_of(self, pid: int) -> str | None:
        """The function that runs in this process."""
        return self._functions.get(pid)

    def kill(self, pid: int) -> None:
        """Kill a process, as when it takes too much memory or its machine fails."""
        self._end(pid, _KILLED)

    def time_out(self, pid: int, timeout_seconds: float) -> None:
        """Kill a process, and say of its invocation that it took too long."""
        self._end(pid, f"Task timed out after {timeout_seconds}.00 seconds")

    def timeout_of(self, pid: int) -> float:
        """How long an invocation may take in this process, in seconds."""
        return next((float(worker.config["Timeout"]) for worker, its in self._pids.items() if its == pid), 0.0)

    def kill_all(self) -> None:
        """Kill every process."""
        for worker, pid in list(self._pids.items()):
            if _lives(worker):
                self.kill(pid)

    def kill_idle(self) -> None:
        """Kill the processes in which nothing runs; whoever is invoked next starts anew."""
        for worker, pid in list(self._pids.items()):
            if not worker.in_use and _lives(worker):
                self.kill(pid)

    def _end(self, pid: int, error: str) -> None:
        self._killed[pid] = error
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def install(self) -> None:
        """Hear of every process that starts, and of every invocation that ends with one.

        Raises:
            CorrectionError: MiniStack's script for them has changed.
        """
        if lambda_runtime._PYTHON_WORKER_SCRIPT.count(_IMPORTED) != 1:
            raise CorrectionError("MiniStack's Python worker has changed; look where it imports the handler now.")
        replace(lambda_runtime, "_PYTHON_WORKER_SCRIPT", lambda script: _TELLS_ITS_ID + script)
        replace(lambda_runtime, "_detect_runtime_binary", self._with_its_clock)
        replace(lambda_runtime.Worker, "_spawn", self._starting_one)
        replace(lambda_runtime.Worker, "invoke", self._saying_why)
        replace(lambda_svc, "_execute_function_warm", _as_lambda_reports_it)

    def _starting_one(self, upstream: Callable[[Any], None]) -> Callable[[Any], None]:
        def spawn(worker: Any) -> None:
            function = function_name(worker.config)
            place = self._chaos.place(function, "start", "")
            skewed = self._chaos.happens("skewed_clock", place)
            skew = self._chaos.between(-MOST_SKEW_SECONDS, MOST_SKEW_SECONDS, "skewed_clock", place) if skewed else 0.0
            self._starting.skew = skew
            upstream(worker)
            old = self._pids.pop(worker, None)
            if old is not None:
                self._functions.pop(old, None)
            self._pids[worker] = worker._proc.pid
            self._killed.pop(worker._proc.pid, None)
            self._functions[worker._proc.pid] = function

        return spawn

    def _with_its_clock(self, upstream: Callable[[str], tuple[str, str]]) -> Callable[[str], tuple[str, str]]:
        def detect(runtime: str) -> tuple[str, str]:
            binary, script = upstream(runtime)
            skew = getattr(self._starting, "skew", 0.0)
            if skew:
                script = script.replace(_IMPORTED, _IMPORTED + _HAS_ANOTHER_CLOCK.format(skew=skew))
            return binary, script

        return detect

    def _saying_why(self, upstream: Callable[..., Json]) -> Callable[..., Json]:
        def invoke(worker: Any, *args: Any, **kwargs: Any) -> Json:
            result = upstream(worker, *args, **kwargs)
            error = self._killed.pop(self._pids.get(worker, 0), None)
            if error and result.get("status") == "error":
                return {**result, "error": error}
            return result

        return invoke


def _lives(worker: Any) -> bool:
    """Whether its process is there; an ended one's id may be another's by now."""
    process = worker._proc
    return process is not None and process.poll() is None


def _as_lambda_reports_it(upstream: Callable[..., Json]) -> Callable[..., Json]:
    def execute(function: Json, event: Any, request_id: str) -> Json:
        result = upstream(function, event, request_id)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict) and body.get("errorMessage") == _KILLED:
            reported = {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {request_id} Error: {_KILLED}"}
            return {**result, "body": reported}
        return result

    return execute


def function_name(config: Json) -> str:
    """What a function is called here: the last module of its handler, such as `connect`."""
    return str(config.get("Handler", "")).split(".")[-2:][0]


def is_task_or_trigger(config: Json) -> bool:
    """Whether a state machine, a stream, a queue or a bus invokes it, and does so again when that fails."""
    return str(config.get("Handler", "")).startswith(("lambdas.tasks.", "lambdas.triggers.", "lambdas.chat.tasks."))
