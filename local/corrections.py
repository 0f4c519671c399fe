"""Where MiniStack differs from AWS in what Ringback stands on: each difference, and its correction.

Every correction says what AWS does and what MiniStack 1.5.33 does instead, and replaces as little as it can. Each has
a test that runs with and without it (`tests/integration/local/test_corrections.py`) and fails once MiniStack does
the right thing by itself: then the correction goes. A correction whose place has gone fails at start.
"""

import hashlib
import json
import tempfile
import threading
import zipfile
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import responses
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from ministack.core import lambda_runtime  # type: ignore[import-untyped]
from ministack.services import apigateway, lambda_svc, stepfunctions  # type: ignore[import-untyped]
from ministack.services.cloudformation import provisioners  # type: ignore[import-untyped]

from local import settings

Json = dict[str, Any]

_LARGEST_MESSAGE_BYTES = 128 * 1024


class CorrectionError(Exception):
    """MiniStack is not the one these corrections were written for."""


def apply() -> None:
    """Correct the MiniStack of this process.

    Raises:
        CorrectionError: a place to correct is not there any more.
    """
    if (version := metadata.version("ministack")) != settings.MINISTACK_VERSION:
        raise CorrectionError(f"These corrections are for MiniStack {settings.MINISTACK_VERSION}, not for {version}.")
    for correction in (
        _raising_handlers,
        _silent_handlers,
        _code_unpacked_once,
        _callers_wait_for_a_worker,
        _computed_timeouts,
        _raising_callback_tasks,
        _ordinary_websocket_invocations,
        _remembered_sockets,
        _chosen_subprotocols,
        _refused_handshakes,
        _unauthorized_handshakes,
        _closed_sockets,
        _route_responses,
        _route_response_resources,
        _large_messages,
    ):
        correction()


def _replace(module: ModuleType, name: str, make: Callable[[Any], Any]) -> None:
    """Put `make(upstream)` in the place of `module.name`."""
    upstream = getattr(module, name, None)
    if upstream is None:
        raise CorrectionError(f"{module.__name__}.{name} is gone: look what MiniStack does now.")
    setattr(module, name, make(upstream))


# Lambda

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
            if socket := _socket.get(None):
                socket.raised = raised
            traceback = "".join(["Traceback (most recent call last):\n", *raised["stackTrace"]])
            log = f"{result['log']}\n[ERROR] {raised['errorType']}: {raised['errorMessage']}\n{traceback}"
            return {"body": raised, "error": True, "log": log}

        return execute

    _replace(lambda_svc, "_execute_function_warm", make)


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

    _replace(lambda_runtime, "_PYTHON_WORKER_SCRIPT", make)


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

    _replace(lambda_runtime, "zipfile", make)


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

    _replace(lambda_svc, "acquire_worker", acquiring)
    _replace(lambda_svc, "release_worker", releasing)


# Step Functions


def _computed_timeouts() -> None:
    """TimeoutSeconds as a JSONata expression, and TimeoutSecondsPath, in a Task.

    AWS evaluates both and requires a positive integer. MiniStack hands the expression to a timer, which fails, and
    does not look at the path.
    """

    def make(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def execute(state: Json, raw_input: Any, execution: Json, ctx: Json) -> Any:
            timeout = state.get("TimeoutSeconds")
            if "TimeoutSecondsPath" in state:
                effective = stepfunctions._apply_input_path(state, raw_input, ctx)
                timeout = stepfunctions._resolve_path_or_ctx(state["TimeoutSecondsPath"], effective, ctx)
            elif isinstance(timeout, str):
                timeout = stepfunctions._apply_jsonata_template(timeout, raw_input, ctx)
            else:
                return upstream(state, raw_input, execution, ctx)
            if not isinstance(timeout, int | float) or timeout != int(timeout) or timeout <= 0:
                raise stepfunctions._ExecutionError(
                    "States.QueryEvaluationError", f"TimeoutSeconds must be a positive integer, not {timeout!r}"
                )
            return upstream({**state, "TimeoutSeconds": int(timeout)}, raw_input, execution, ctx)

        return execute

    _replace(stepfunctions, "_execute_task", make)


def _raising_callback_tasks() -> None:
    """A Lambda that raises in a state that waits for a task token.

    AWS fails the state at once. MiniStack swallows the exception and waits until the timeout.
    Here the exception completes the token as SendTaskFailure would, unless the handler has completed it before.
    """
    waiting = threading.local()

    def with_callback(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def invoke(resource: str, input_data: Any, token: str, state: Json) -> Any:
            waiting.token = token
            try:
                return upstream(resource, input_data, token, state)
            finally:
                waiting.token = None

        return invoke

    def call(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def call_lambda(func_ref: str, event: Any) -> Any:
            try:
                return upstream(func_ref, event)
            except stepfunctions._ExecutionError as error:
                task = stepfunctions._task_tokens.get(getattr(waiting, "token", None))
                if task and not task["event"].is_set():
                    task["error"] = {"Error": error.error, "Cause": error.cause}
                    task["event"].set()
                raise

        return call_lambda

    _replace(stepfunctions, "_invoke_with_callback", with_callback)
    _replace(stepfunctions, "_call_lambda", call)


# API Gateway's WebSockets


@dataclass
class _Socket:
    """What the corrections below remember about the WebSocket whose task or thread they run in."""

    connection_id: str = ""
    connect_response: Json = field(default_factory=dict)
    raised: Json = field(default_factory=dict)

    @property
    def refusal(self) -> int | None:
        """The status with which `$connect` refused the handshake."""
        status = int(self.connect_response.get("statusCode", HTTPStatus.OK))
        return None if 200 <= status < 300 else status

    @property
    def subprotocol(self) -> str | None:
        headers = self.connect_response.get("headers") or {}
        return {name.lower(): value for name, value in headers.items()}.get("sec-websocket-protocol")


_socket: ContextVar[_Socket] = ContextVar("_socket")

Receive = Callable[[], Coroutine[Any, Any, Json]]
Send = Callable[[Json], Coroutine[Any, Any, None]]
HandleWebSocket = Callable[..., Coroutine[Any, Any, None]]


def _ordinary_websocket_invocations() -> None:
    """The function of a WebSocket route.

    AWS invokes it like any other, logs it, and answers a crash with 502, to a message with an error frame.
    MiniStack has a short cut to the worker: no log, no waiting for a free worker, and the text of the exception goes
    to the client. Here the short cut leads back to the ordinary way.
    """

    class Dispatch:
        def __init__(self, config: Json, code_zip: bytes) -> None:
            self._function = {"config": config, "code_zip": code_zip}

        def invoke(self, event: Json, _request_id: str) -> Json:
            result = lambda_svc._execute_function(self._function, event)
            if not result.get("error"):
                return {"status": "ok", "result": result["body"]}
            context = event["requestContext"]
            frame = {
                "message": "Internal server error",
                "connectionId": context["connectionId"],
                "requestId": context["requestId"],
            }
            return {"status": "ok", "result": {"statusCode": HTTPStatus.BAD_GATEWAY, "body": json.dumps(frame)}}

    def make(_upstream: object) -> Callable[..., Dispatch]:
        def get_or_create_worker(_name: str, config: Json, code_zip: bytes, **_: str) -> Dispatch:
            return Dispatch(config, code_zip)

        return get_or_create_worker

    _replace(lambda_runtime, "get_or_create_worker", make)


def _remembered_sockets() -> None:
    """No difference of its own: remembers the answer of `$connect`, for the corrections that follow."""

    def handling(upstream: HandleWebSocket) -> HandleWebSocket:
        async def handle(*args: Any, **kwargs: Any) -> None:
            _socket.set(_Socket())
            await upstream(*args, **kwargs)

        return handle

    def invoking(upstream: Callable[..., Coroutine[Any, Any, Json | None]]) -> Callable[..., Any]:
        async def invoke(*args: Any, **kwargs: Any) -> Json | None:
            response = await upstream(*args, **kwargs)
            connection_id, event_type = args[5:7]
            if event_type == "CONNECT":
                _socket.get().connection_id = connection_id
                _socket.get().connect_response = response or {}
            return response

        return invoke

    _replace(apigateway, "_invoke_ws_lambda", invoking)
    _replace(apigateway, "handle_websocket", handling)


def _intercept(adapt: Callable[[Json, Receive, Send], tuple[Receive, Send]]) -> None:
    """Put something between MiniStack's WebSocket handling and the server below it."""

    def make(upstream: HandleWebSocket) -> HandleWebSocket:
        async def handle(scope: Json, receive: Receive, send: Send, *args: Any, **kwargs: Any) -> None:
            await upstream(scope, *adapt(scope, receive, send), *args, **kwargs)

        return handle

    _replace(apigateway, "handle_websocket", make)


def _chosen_subprotocols() -> None:
    """Sec-WebSocket-Protocol in the answer of `$connect`.

    AWS passes it on to the client. MiniStack accepts without any, and browsers then drop the connection.
    """

    def adapt(scope: Json, receive: Receive, send: Send) -> tuple[Receive, Send]:
        async def accept(message: Json) -> None:
            chosen = _socket.get().subprotocol
            if message["type"] == "websocket.accept" and chosen in scope["subprotocols"]:
                message = {**message, "subprotocol": chosen}
            await send(message)

        return receive, accept

    _intercept(adapt)


def _refused_handshakes() -> None:
    """Another status than 2xx from `$connect`. AWS answers the handshake with it, MiniStack always with 403."""

    def adapt(scope: Json, receive: Receive, send: Send) -> tuple[Receive, Send]:
        async def refuse(message: Json) -> None:
            socket = _socket.get()
            if message["type"] == "websocket.close" and (status := socket.refusal):
                phrase = responses.get(status, "")
                await apigateway._refuse_ws_handshake(scope, send, status, phrase, socket.connection_id, "")
            else:
                await send(message)

        return receive, refuse

    _intercept(adapt)


def _unauthorized_handshakes() -> None:
    """An authorizer that raises Exception("Unauthorized"). AWS answers 401, as documented; MiniStack 500."""

    def make(upstream: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        async def authorize(*args: Any) -> Any:
            refusal, context = await upstream(*args)
            if refusal and _socket.get().raised.get("errorMessage") == "Unauthorized":
                refusal = (HTTPStatus.UNAUTHORIZED, "Unauthorized")
            return refusal, context

        return authorize

    _replace(apigateway, "_authorize_ws_connect", make)


def _closed_sockets() -> None:
    """A client that closes its socket.

    AWS answers the next post with 410 and runs `$disconnect`. MiniStack takes up to half a second to notice, and until
    then says 200 to posts that go nowhere.
    """

    def adapt(_scope: Json, receive: Receive, send: Send) -> tuple[Receive, Send]:
        async def notice() -> Json:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                connection = apigateway._ws_connections.pop(_socket.get().connection_id, None)
                if connection:
                    connection["outbox"].put_nowait(None)  # wakes the sender, which everything else waits for
            return message

        return notice, send

    _intercept(adapt)


def _route_responses() -> None:
    """What a route's integration returns for a message.

    AWS sends it to the client only where the route has a route response. MiniStack always does, and so would hide
    that one is missing.
    """

    def make(upstream: Callable[..., Coroutine[Any, Any, Json | None]]) -> Callable[..., Any]:
        async def invoke(api_id: str, account: str, region: str, route: Json, *args: Any, **kwargs: Any) -> Json | None:
            response = await upstream(api_id, account, region, route, *args, **kwargs)
            if response and not apigateway._route_responses.get(api_id, {}).get(route["routeId"]):
                is_gateways_own = response.get("statusCode") == HTTPStatus.BAD_GATEWAY
                return response if is_gateways_own else {**response, "body": None}
            return response

        return invoke

    _replace(apigateway, "_invoke_ws_lambda", make)


def _route_response_resources() -> None:
    """AWS::ApiGatewayV2::RouteResponse and IntegrationResponse in a template.

    AWS has them, and a route that answers without a Lambda needs both. MiniStack has the API calls, but refuses the
    resources as unsupported.
    """

    def resource(kind: str, owner: str, create: Callable[..., Any], delete: Callable[..., Any]) -> Json:
        def owner_id(props: Json) -> str:
            return str(props[owner]).rpartition("/")[2]  # a route's Ref is `api/route` here

        def creating(_logical_id: str, props: Json, _stack: str) -> tuple[str, Json]:
            data = {name[0].lower() + name[1:]: value for name, value in props.items()}
            status, _headers, body = create(props["ApiId"], owner_id(props), data)
            if status != HTTPStatus.CREATED:
                raise ValueError(f"{kind}: {body!r}")
            return json.loads(body)[f"{kind[0].lower()}{kind[1:]}Id"], {}

        def deleting(physical_id: str, props: Json) -> None:
            delete(props["ApiId"], owner_id(props), physical_id)

        return {"create": creating, "delete": deleting}

    provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::RouteResponse"] = resource(
        "RouteResponse", "RouteId", apigateway._create_route_response, apigateway._delete_route_response
    )
    provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::IntegrationResponse"] = resource(
        "IntegrationResponse",
        "IntegrationId",
        apigateway._create_integration_response,
        apigateway._delete_integration_response,
    )


def _large_messages() -> None:
    """A post of more than 128 KB. AWS answers 413, MiniStack sends it."""

    def make(upstream: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        async def handle(method: str, api_id: str, stage: str, connection_id: str, body: bytes, headers: Json) -> Any:
            if method == "POST" and len(body) > _LARGEST_MESSAGE_BYTES:
                error = {"x-amzn-ErrorType": "PayloadTooLargeException", "Content-Type": "application/json"}
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error, json.dumps({"message": "Payload too large"}).encode()
            return await upstream(method, api_id, stage, connection_id, body, headers)

        return handle

    _replace(apigateway, "handle_connections_api", make)
