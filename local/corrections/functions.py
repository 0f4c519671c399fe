"""Lambda: the functions themselves."""

import hashlib
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ministack.core import lambda_runtime  # type: ignore[import-untyped]
from ministack.services import lambda_svc  # type: ignore[import-untyped]

from local import settings
from local.corrections.places import CorrectionError, Json, replace
from local.corrections.web_sockets import current_socket

_RAISED = "ringback.local/raised"
_WORKER_REPORTS = 'json.dumps({"status": "error", "error": str(e), "trace": traceback.format_exc()})'
_WORKER_HAS_ANSWERED = "        _real_stdout.flush()\n"
_WORKER_ENDS = f"{_WORKER_HAS_ANSWERED}\nrun()"
_WORKER_SHOULD_REPORT = f"""json.dumps({{"status": "ok", "result": {{"{_RAISED}": {{
                "errorMessage": str(e), "errorType": type(e).__name__, "requestId": context.aws_request_id,
                "stackTrace": traceback.format_tb(e.__traceback__)[1:]}}}}}})"""


def _raising_handlers() -> None:
    """A handler that raises.

    AWS reports the exception's class as errorType, with message and stackTrace; Step Functions takes them as Error
    and as the JSON in Cause; and the environment goes on to serve the next invocation.
    MiniStack reports every exception as Runtime.HandlerError, without a stackTrace, and kills the worker.
    Here the worker answers an exception as it answers a result, in an envelope that is opened one level up, where
    nothing is killed any more. A worker that exits or times out is still replaced.
    """
    _rewrite_worker(_WORKER_REPORTS, _WORKER_SHOULD_REPORT)

    def make(upstream: Callable[..., Json]) -> Callable[..., Json]:
        def execute(func: Json, event: Any, request_id: str) -> Json:
            result = upstream(func, event, request_id)
            body = result.get("body")
            if not (isinstance(body, dict) and _RAISED in body):
                return result
            raised = body[_RAISED]
            if socket := current_socket.get(None):
                socket.raised = raised
            traceback = "".join(["Traceback (most recent call last):\n", *raised["stackTrace"]])
            log = f"{result['log']}\n[ERROR] {raised['errorType']}: {raised['errorMessage']}\n{traceback}"
            return {"body": raised, "error": True, "log": log}

        return execute

    replace(lambda_svc, "_execute_function_warm", make)


def _silent_handlers() -> None:
    """A handler that logs nothing.

    AWS answers as soon as the handler does. MiniStack waits 50 ms for a first line of log; here it gets an empty one.
    """
    _rewrite_worker(_WORKER_ENDS, f"{_WORKER_HAS_ANSWERED}        print(flush=True)\nrun()")


def _rewrite_worker(part: str, replacement: str) -> None:
    """Change the script that runs a Python handler."""

    def make(script: str) -> str:
        if script.count(part) != 1:
            raise CorrectionError(f"MiniStack's Python worker has changed; there is no single {part!r} any more.")
        return script.replace(part, replacement)

    replace(lambda_runtime, "_PYTHON_WORKER_SCRIPT", make)


def _code_unpacked_once() -> None:
    """A function's code and layers.

    AWS starts an environment in a fraction of a second. MiniStack unpacks the code and every layer for each worker
    anew, and Python compiles them anew: seconds, and a hundred megabytes for a handful of workers.
    Here the same package is unpacked once, and workers get links to it.
    """
    unpacking = threading.Lock()

    class SharedZipFile(zipfile.ZipFile):
        def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
            assert self.filename  # noqa: S101 - MiniStack opens them by name
            digest = hashlib.sha256(Path(self.filename).read_bytes()).hexdigest()
            shared = Path(tempfile.gettempdir()) / "unpacked" / digest
            with unpacking:
                if not shared.exists():
                    unfinished = shared.with_suffix(".unfinished")
                    super().extractall(unfinished, members, pwd)
                    unfinished.rename(shared)
            Path(path).rmdir()  # MiniStack has made it, empty
            Path(path).symlink_to(shared)

    def make(upstream: ModuleType) -> ModuleType:
        shared = ModuleType(upstream.__name__)
        vars(shared).update(vars(upstream), ZipFile=SharedZipFile)
        return shared

    replace(lambda_runtime, "zipfile", make)


def _callers_wait_for_a_worker() -> None:
    """Many invocations of one function at once.

    AWS runs a thousand at once. MiniStack starts a process for each, and five hundred processes are more than a
    laptop has memory for; the limit it offers refuses instead of queueing.
    Here a caller waits for one of a few workers. (A handler that invoked its own function and waited for it could
    wait for ever; ours invoke nothing.)
    """
    freed = threading.Condition()

    def acquiring(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def acquire(*args: Any, **kwargs: Any) -> Any:
            kwargs["max_concurrency"] = settings.WORKERS_PER_FUNCTION
            with freed:
                while (lease := upstream(*args, **kwargs))[0] is None:
                    freed.wait(timeout=1)  # a worker can also go without being released
            return lease

        return acquire

    def releasing(upstream: Callable[[Any], None]) -> Callable[[Any], None]:
        def release(worker: Any) -> None:
            with freed:
                upstream(worker)
                freed.notify_all()

        return release

    replace(lambda_svc, "acquire_worker", acquiring)
    replace(lambda_svc, "release_worker", releasing)


CORRECTIONS = (_raising_handlers, _silent_handlers, _code_unpacked_once, _callers_wait_for_a_worker)
