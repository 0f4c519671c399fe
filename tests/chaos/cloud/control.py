"""How the faults are controlled: over HTTP, on the cloud's own port, by this machine's programs alone.

`PUT /_ringback/chaos` ``{"seed": int, "active": bool, "rates": {fault: probability}, "only": [[fault, function,
operation, subject, nth], …]}``; all may be absent. A fault's name in `rates` may be narrowed down:
``killed_after:wait_for_reconnect``, ``delayed:wait_for_reconnect:PutItem``, ``gone:accept@a`` for users whose names
begin with ``a``.
`GET /_ringback/chaos` → ``{"faults": {fault: count}, "calls": n, "invocations": n}``.
`POST /_ringback/chaos/outage` ``{"seconds": s}``: the cloud restarts, with all that it has stored.
"""

import json
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from ministack.services import lambda_svc  # type: ignore[import-untyped]

from local.asgi import App, Receive, Scope, Send, body_of
from local.corrections.places import Json, replace
from tests.chaos.cloud.answers import Answer
from tests.chaos.cloud.calls import say
from tests.chaos.cloud.decisions import Chaos, ControlError, Orders, Place, share
from tests.chaos.cloud.processes import Processes
from tests.chaos.cloud.sockets import Sockets

PATH = "/_ringback/chaos"
OUTAGE_PATH = f"{PATH}/outage"
MOST_OUTAGE_SECONDS = 60.0

_UNAVAILABLE = Answer(HTTPStatus.SERVICE_UNAVAILABLE, [(b"content-type", b"text/html")], b"<html>unavailable</html>")


class Outage:
    """Whether the cloud is down. Any thread may ask."""

    def __init__(self) -> None:
        self._until = 0.0
        self.count = 0

    def begin(self, seconds: float) -> None:
        """Have it down for so long."""
        self.count += 1
        self._until = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """How long it will still be down; 0 if it is up."""
        return max(0.0, self._until - time.monotonic())

    def install(self) -> None:
        """Invoke nothing meanwhile: who would do so is down, too, and goes on afterwards."""

        def executing(upstream: Callable[..., Json]) -> Callable[..., Json]:
            def execute(function: Json, event: Any, request_id: str) -> Json:
                while self.seconds_left:
                    threading.Event().wait(self.seconds_left)
                return upstream(function, event, request_id)

            return execute

        replace(lambda_svc, "_execute_function_warm", executing)


class Control:
    """The outermost layer: takes orders, and lets nobody in while the cloud is down."""

    def __init__(self, chaos: Chaos, outage: Outage, *, processes: Processes, sockets: Sockets) -> None:
        self._chaos = chaos
        self._outage = outage
        self._processes = processes
        self._sockets = sockets
        self._refused = 0

    def around(self, app: App) -> App:
        """The same application, and this."""

        async def controlled(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] in (PATH, OUTAGE_PATH):
                await say(send, self._obey(scope["method"], scope["path"], await body_of(receive)))
            elif scope["type"] in ("http", "websocket") and self._outage.seconds_left:
                await self._refuse(scope, send)
            else:
                await app(scope, receive, send)

        return controlled

    def _obey(self, method: str, path: str, body: bytes) -> Answer:
        try:
            if (method, path) == ("PUT", PATH):
                self._take(Orders.read(body))
            elif (method, path) == ("POST", OUTAGE_PATH):
                self._begin_outage(_seconds(body))
            elif (method, path) != ("GET", PATH):
                return _json(
                    HTTPStatus.METHOD_NOT_ALLOWED, {"error": f"{method} {path}: see tests/chaos/cloud/control.py"}
                )
        except ControlError as error:
            return _json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        return _json(HTTPStatus.OK, self._told())

    def _take(self, orders: Orders) -> None:
        begins = _skews(orders) and not _skews(self._chaos.orders)
        self._chaos.obey(orders)
        if begins:
            self._processes.kill_idle()  # a process has the clock that it started with

    def _told(self) -> dict[str, Any]:
        chaos = self._chaos
        return {"faults": dict(chaos.journal.faults), "calls": chaos.calls, "invocations": chaos.invocations}

    def _begin_outage(self, seconds: float) -> None:
        self._outage.begin(seconds)
        self._chaos.journal.fault("outage", Place("", "", "", self._outage.count))
        self._processes.kill_all()
        self._sockets.reset_all_but_current()

    async def _refuse(self, scope: Scope, send: Send) -> None:
        self._refused += 1
        reset = share(self._chaos.orders.seed, "which refusal", Place("", "", "", self._refused)) < 0.5
        if reset or scope["type"] == "websocket":
            self._sockets.reset_current()
        else:
            await say(send, _UNAVAILABLE)


def _skews(orders: Orders) -> bool:
    return orders.active and any(name.startswith("skewed_clock") for name in orders.rates)


def _seconds(body: bytes) -> float:
    try:
        seconds = float(json.loads(body)["seconds"])
    except (KeyError, TypeError, ValueError):
        raise ControlError("seconds: a number") from None
    if not 0 < seconds <= MOST_OUTAGE_SECONDS:
        raise ControlError(f"seconds: more than 0, and at most {MOST_OUTAGE_SECONDS:g}")
    return seconds


def _json(status: HTTPStatus, value: Any) -> Answer:
    return Answer(status, [(b"content-type", b"application/json")], json.dumps(value).encode())
