"""MiniStack's process, with a meter, in the place of `local.server`.

`python -m benchmarks.cloud.metered DIRECTORY SOCKET` writes down every invocation, and every call that a function makes
to AWS, in the file `meter.jsonl` of the run's directory: one JSON object a line, for `benchmarks.cloud.meter`.

Functions tell their names in the User-Agent, as AWS's SDKs do it (`AWS_SDK_UA_APP_ID`). DynamoDB is asked for the
capacity that each of their calls consumed.
"""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote

from ministack.core import lambda_runtime  # type: ignore[import-untyped]
from ministack.services import lambda_svc, sns, stepfunctions  # type: ignore[import-untyped]

from benchmarks.billing.units import TASK_TOKEN_CHARACTERS
from benchmarks.cloud.meter import FILE, consumed
from local import server
from local.asgi import App, Receive, Scope, Send, body_of, header
from local.corrections.places import Json, replace

_TELLS_ITS_NAME = """import os as _os
_os.environ["AWS_SDK_UA_APP_ID"] = _os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
del _os
"""
_DYNAMODB = "DynamoDB_20120810."


class Meter:
    """Writes down what is used."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def note(self, **values: Any) -> None:
        """Add a line. Any thread may call it."""
        with self._lock:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()

    def install(self) -> None:
        """Hear of every invocation, and have functions tell their names."""

        def executing(upstream: Callable[[Json, Any, str], Json]) -> Callable[[Json, Any, str], Json]:
            def execute(function: Json, event: Any, request_id: str) -> Json:
                result = upstream(function, event, request_id)
                config = function.get("config") or function
                self.note(
                    function=config["FunctionName"],
                    memory_mb=config["MemorySize"],
                    source=_source(event),
                    failed=bool(result.get("error")),
                    log_bytes=len(result.get("log", "").encode()),
                )
                return result

            return execute

        replace(lambda_svc, "_execute_function_warm", executing)
        replace(lambda_runtime, "_PYTHON_WORKER_SCRIPT", lambda script: _TELLS_ITS_NAME + script)

    def around(self, app: App) -> App:
        """The same application, whose calls by functions are written down."""

        async def metered(scope: Scope, receive: Receive, send: Send) -> None:
            caller = _caller(scope) if scope["type"] == "http" else None
            if caller is None:
                await app(scope, receive, send)
            else:
                await self._pass_on(app, scope, await body_of(receive), send, caller)

        return metered

    async def _pass_on(self, app: App, scope: Scope, body: bytes, send: Send, caller: str) -> None:
        service, operation = _operation(scope)
        if service == "dynamodb":
            body = json.dumps({**json.loads(body), "ReturnConsumedCapacity": "TOTAL"}).encode()
            scope = {**scope, "headers": [each for each in scope["headers"] if each[0].lower() != b"content-length"]}
            scope["headers"].append((b"content-length", str(len(body)).encode()))
        status, answer = 0, b""

        async def receive() -> Mapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def hear(message: Mapping[str, Any]) -> None:
            nonlocal status, answer
            status = message.get("status", status)
            answer += message.get("body", b"")
            if message["type"] == "http.response.body" and not message.get("more_body"):
                # Before the answer: when the function has ended, its calls are written down.
                used = consumed(service, operation, body, status, answer)
                self.note(caller=caller, service=service, operation=operation, status=status, **used)
            await send(message)

        await app(scope, receive, hear)


def _caller(scope: Scope) -> str | None:
    """The function that makes this call, if one does."""
    agent = header(scope, b"user-agent")
    return next((part[len("app/") :] for part in agent.split() if part.startswith("app/")), None)


def _operation(scope: Scope) -> tuple[str, str]:
    """Service and operation, as far as functions use them."""
    target = header(scope, b"x-amz-target")
    if target:
        service, _, operation = target.partition(".")
        return ("dynamodb" if target.startswith(_DYNAMODB) else service.lower().removeprefix("aws")), operation
    if "/@connections/" in unquote(scope["path"]):
        return "connections", scope["method"]
    return "other", f"{scope['method']} {scope['path']}"


def _source(event: Any) -> str | None:
    """Which service handed records to a function, such as `aws:sqs`."""
    records = event.get("Records") if isinstance(event, dict) else None
    return (records[0].get("eventSource") or records[0].get("EventSource")) if records else None


def _topics_try_functions_again() -> None:
    """A function that SNS invokes, and that fails.

    AWS invokes it asynchronously: twice more, then comes the function's own destination or dead letter queue. MiniStack
    has this for other invocations, but tries here only once. It tries again after 1 and 2 seconds, where AWS takes 60
    and 120.
    """

    def make(_upstream: object) -> Callable[..., None]:
        def deliver(endpoint: str, envelope: str, _topic: str, subscription: str, *_others: Any) -> None:
            function, config, _name = lambda_svc._get_func_record_for_ref(endpoint)
            record = {
                "EventVersion": "1.0",
                "EventSubscriptionArn": subscription,
                "EventSource": "aws:sns",
                "Sns": json.loads(envelope),
            }
            lambda_svc.invoke_async_with_retry(
                lambda_svc._execution_record_for_config(function, config), {"Records": [record]}
            )

        return deliver

    replace(sns, "_deliver_to_lambda", make)


def with_long_tokens(apply: Callable[[Json, Any, Json], Any]) -> Callable[[Json, Any, Json], Any]:
    """Task tokens of AWS's length, where MiniStack makes short ones: who stores them is billed by the size of the row.

    Args:
        apply: reads a Task's arguments, in which the token is, from the state, its input and the context.
    """

    def apply_with_long_token(state: Json, raw_input: Any, context: Json) -> Any:
        if "Task" in context:
            context["Task"]["Token"] = context["Task"]["Token"].ljust(TASK_TOKEN_CHARACTERS, "x")
        return apply(state, raw_input, context)

    return apply_with_long_token


def _around(app: App, directory: Path) -> App:
    _topics_try_functions_again()
    replace(stepfunctions, "_apply_jsonata_arguments", with_long_tokens)
    meter = Meter((directory / FILE).open("w", encoding="utf-8"))
    meter.install()
    return meter.around(app)


if __name__ == "__main__":
    server.main(_around)
