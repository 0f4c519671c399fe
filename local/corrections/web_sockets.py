"""API Gateway's WebSockets."""

import json
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import responses
from typing import Any

from ministack.core import lambda_runtime  # type: ignore[import-untyped]
from ministack.services import apigateway, lambda_svc  # type: ignore[import-untyped]

from local.corrections.places import Json, replace

_LARGEST_MESSAGE_BYTES = 128 * 1024


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


current_socket: ContextVar[_Socket] = ContextVar("current_socket")

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

    replace(lambda_runtime, "get_or_create_worker", make)


def _remembered_sockets() -> None:
    """No difference of its own: remembers the answer of `$connect`, for the corrections that follow."""

    def handling(upstream: HandleWebSocket) -> HandleWebSocket:
        async def handle(*args: Any, **kwargs: Any) -> None:
            current_socket.set(_Socket())
            await upstream(*args, **kwargs)

        return handle

    def invoking(upstream: Callable[..., Coroutine[Any, Any, Json | None]]) -> Callable[..., Any]:
        async def invoke(*args: Any, **kwargs: Any) -> Json | None:
            response = await upstream(*args, **kwargs)
            connection_id, event_type = args[5:7]
            if event_type == "CONNECT":
                current_socket.get().connection_id = connection_id
                current_socket.get().connect_response = response or {}
            return response

        return invoke

    replace(apigateway, "_invoke_ws_lambda", invoking)
    replace(apigateway, "handle_websocket", handling)


def _intercept(adapt: Callable[[Json, Receive, Send], tuple[Receive, Send]]) -> None:
    """Put something between MiniStack's WebSocket handling and the server below it."""

    def make(upstream: HandleWebSocket) -> HandleWebSocket:
        async def handle(scope: Json, receive: Receive, send: Send, *args: Any, **kwargs: Any) -> None:
            await upstream(scope, *adapt(scope, receive, send), *args, **kwargs)

        return handle

    replace(apigateway, "handle_websocket", make)


def _chosen_subprotocols() -> None:
    """Sec-WebSocket-Protocol in the answer of `$connect`.

    AWS passes it on to the client. MiniStack accepts without any, and browsers then drop the connection.
    """

    def adapt(scope: Json, receive: Receive, send: Send) -> tuple[Receive, Send]:
        async def accept(message: Json) -> None:
            chosen = current_socket.get().subprotocol
            if message["type"] == "websocket.accept" and chosen in scope["subprotocols"]:
                message = {**message, "subprotocol": chosen}
            await send(message)

        return receive, accept

    _intercept(adapt)


def _refused_handshakes() -> None:
    """Another status than 2xx from `$connect`. AWS answers the handshake with it, MiniStack always with 403."""

    def adapt(scope: Json, receive: Receive, send: Send) -> tuple[Receive, Send]:
        async def refuse(message: Json) -> None:
            socket = current_socket.get()
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
            if refusal and current_socket.get().raised.get("errorMessage") == "Unauthorized":
                refusal = (HTTPStatus.UNAUTHORIZED, "Unauthorized")
            return refusal, context

        return authorize

    replace(apigateway, "_authorize_ws_connect", make)


def _closed_sockets() -> None:
    """A client that closes its socket.

    AWS answers the next post with 410 and runs `$disconnect`. MiniStack takes up to half a second to notice, and until
    then says 200 to posts that go nowhere.
    """

    def adapt(_scope: Json, receive: Receive, send: Send) -> tuple[Receive, Send]:
        async def notice() -> Json:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                connection = apigateway._ws_connections.pop(current_socket.get().connection_id, None)
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

    replace(apigateway, "_invoke_ws_lambda", make)


def _large_messages() -> None:
    """A post of more than 128 KB. AWS answers 413, MiniStack sends it."""

    def make(upstream: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        async def handle(method: str, api_id: str, stage: str, connection_id: str, body: bytes, headers: Json) -> Any:
            if method == "POST" and len(body) > _LARGEST_MESSAGE_BYTES:
                error = {"x-amzn-ErrorType": "PayloadTooLargeException", "Content-Type": "application/json"}
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error, json.dumps({"message": "Payload too large"}).encode()
            return await upstream(method, api_id, stage, connection_id, body, headers)

        return handle

    replace(apigateway, "handle_connections_api", make)


CORRECTIONS = (
    _ordinary_websocket_invocations,
    _remembered_sockets,
    _chosen_subprotocols,
    _refused_handshakes,
    _unauthorized_handshakes,
    _closed_sockets,
    _route_responses,
    _large_messages,
)
