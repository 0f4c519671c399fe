"""What is delivered to functions: twice, late, in another order, or not at all."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from ministack.services import apigateway, eventbridge, lambda_svc, sns  # type: ignore[import-untyped]

from local.corrections.places import Json, replace
from tests.chaos.cloud.decisions import Chaos, Place, share
from tests.chaos.cloud.processes import function_name, is_task_or_trigger
from tests.chaos.cloud.sockets import Sockets
from tests.chaos.cloud.subjects import Subjects, message_ids

_AGAIN_SECONDS = (0.0, 0.5)
_LATER_SECONDS = (0.05, 0.5)
_STREAM_LATE_SECONDS = (0.2, 2.0)
_HANDSHAKE_SECONDS = (0.05, 0.4)
_LONG_HANDSHAKE_SECONDS = (0.5, 2.5)
_DISCONNECT_SECONDS = (0.2, 6.0)
_GIVEN_UP_SECONDS = (0.0, 1.0)
# How invoking fails; the state machine, the stream, the queue and the bus try again.
_FAILURES = {
    "throttled": {"errorType": "Lambda.TooManyRequestsException", "errorMessage": "Rate Exceeded."},
    "error": {"errorType": "Lambda.ServiceException", "errorMessage": "An error occurred and the request failed."},
}

_ALL = "all"

Execute = Callable[[Json, Any], Json]


class Deliveries:
    """Stands where MiniStack invokes functions."""

    def __init__(self, chaos: Chaos, *, sockets: Sockets, subjects: Subjects) -> None:
        self._chaos = chaos
        self._sockets = sockets
        self._subjects = subjects
        self._loop: asyncio.AbstractEventLoop | None = None

    def install(self) -> None:
        """Take these places.

        Raises:
            CorrectionError: MiniStack has no such place any more.
        """
        replace(lambda_svc, "_execute_function", self._executing)
        replace(sns, "_deliver_to_sqs", self._telling_a_queue)
        replace(eventbridge, "_dispatch_to_sqs", self._sending_an_event_to_a_queue)
        replace(eventbridge, "_dispatch_to_lambda", self._invoking_for_an_event)
        replace(apigateway, "_invoke_ws_lambda", self._invoking_for_a_socket)
        replace(apigateway, "handle_connections_api", self._noting_posts)

    def give_up(self, connection_id: str, place: Place) -> bool:
        """Drop a connection as API Gateway does: posts get 410 from now on, the client hears of it a little later.

        On AWS, too, a 410 is the end of a connection, except for one whose handshake goes on.
        """
        if apigateway._ws_connections.pop(connection_id, None) is None:
            return False
        seconds = self._chaos.between(*_GIVEN_UP_SECONDS, "gone", place)
        asyncio.get_running_loop().call_later(seconds, self._sockets.reset_connection, connection_id)
        return True

    def _executing(self, upstream: Execute) -> Execute:
        def execute(function: Json, event: Any) -> Json:
            config = function.get("config") or function
            if lambda_svc._function_config_scope_mismatch(config):
                return upstream(function, event)  # which comes here again
            self._chaos.invoked()
            if not self._chaos.orders.active:
                return upstream(function, event)
            records = event.get("Records") if isinstance(event, dict) else None
            if records and records[0].get("eventSource") == "aws:sqs":
                return self._execute_queued(upstream, function, event)
            if records and records[0].get("eventSource") == "aws:dynamodb":
                return self._execute_streamed(upstream, function, event)
            if is_task_or_trigger(config):
                (subject,) = self._subjects.of_event(event)
                place = self._chaos.place(function_name(config), "Invoke", subject)
                for fault, body in _FAILURES.items():
                    if self._chaos.happens(fault, place):
                        return {"error": True, "body": body, "log": ""}
            return upstream(function, event)

        return execute

    def _execute_queued(self, upstream: Execute, function: Json, event: Json) -> Json:
        places = self._places(function, "aws:sqs", event)
        again = [record for record, at in places if self._chaos.happens("duplicate_batch", at)]
        if again:
            # Beside the first, or soon after: a queue that delivers twice deletes nothing and hears no answer.
            seconds = self._chaos.between(*_AGAIN_SECONDS, "again", places[0][1])
            _later(seconds, upstream, function, {**event, "Records": again})
        if len(places) > 1 and [at for _, at in places if self._chaos.happens("reordered_batch", at)]:
            places.sort(key=lambda each: share(self._chaos.orders.seed, "which order", each[1]))
        return upstream(function, {**event, "Records": [record for record, _ in places]})

    def _execute_streamed(self, upstream: Execute, function: Json, event: Json) -> Json:
        places = self._places(function, "aws:dynamodb", event)
        late = [at for _, at in places if self._chaos.happens("late_records", at)]
        if late:
            _wait(max(self._chaos.between(*_STREAM_LATE_SECONDS, "late_records", at) for at in late))
        result = upstream(function, event)
        self._note_heard(function_name(function.get("config") or function), places, result)
        again = [record for record, at in places if self._chaos.happens("duplicate_records", at)]
        if again and not result.get("error"):
            upstream(function, {**event, "Records": again})
        return result

    def _note_heard(self, name: str, places: list[tuple[Json, Place]], result: Json) -> None:
        """Write down of which connections `wake` has heard by now."""
        if name != "wake":
            return
        failed = _first_failure(result)
        for record, at in places:
            if record["dynamodb"]["SequenceNumber"] == failed:
                return
            image = record["dynamodb"].get("NewImage", {})
            if failed != _ALL and record["eventName"] == "INSERT" and "connected_at" in image:
                self._chaos.journal.heard(int(image["connected_at"]["N"]) / 1000, at.subject)

    def _places(self, function: Json, source: str, event: Json) -> list[tuple[Json, Place]]:
        name = function_name(function.get("config") or function)
        subjects = self._subjects.of_event(event)
        return [
            (record, self._chaos.place(name, source, subject))
            for record, subject in zip(event["Records"], subjects, strict=True)
        ]

    def _telling_a_queue(self, upstream: Callable[..., None]) -> Callable[..., None]:
        def deliver(endpoint: str, envelope: str, raw: object, message: str, *args: Any, **kwargs: Any) -> None:
            (subject,) = self._subjects.of_event({"message": message})
            self._deliver("aws:sns", subject, lambda: upstream(endpoint, envelope, raw, message, *args, **kwargs))

        return deliver

    def _sending_an_event_to_a_queue(self, upstream: Callable[..., None]) -> Callable[..., None]:
        def dispatch(spec: Any, payload: str, *args: Any) -> None:
            (subject,) = self._subjects.of_event({"message": payload})
            self._deliver("aws:events", subject, lambda: upstream(spec, payload, *args))

        return dispatch

    def _deliver(self, source: str, subject: str, deliver: Callable[[], None]) -> None:
        """Hand a message over to the ingest queue."""
        place = self._chaos.place("ingest", source, subject)
        if self._chaos.happens("duplicate_batch", place):
            _later(self._chaos.between(*_AGAIN_SECONDS, "again", place), deliver)
        if self._chaos.happens("reordered_batch", place):
            _later(self._chaos.between(*_LATER_SECONDS, "later", place), deliver)
        else:
            deliver()

    def _invoking_for_an_event(self, upstream: Callable[[str, str], None]) -> Callable[[str, str], None]:
        def dispatch(arn: str, payload: str) -> None:
            _function, config, _name = lambda_svc._get_func_record_for_ref(arn)
            (subject,) = self._subjects.of_event({"message": payload})
            place = self._chaos.place(function_name(config or {}), "aws:events", subject)
            if self._chaos.happens("duplicate_batch", place):
                _later(self._chaos.between(*_AGAIN_SECONDS, "again", place), upstream, arn, payload)
            upstream(arn, payload)

        return dispatch

    def _invoking_for_a_socket(self, upstream: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        async def invoke(*args: Any, **kwargs: Any) -> Any:
            connection_id, kind = args[5:7]
            subject = str((kwargs.get("authorizer") or {}).get("user", ""))
            if kind == "CONNECT":
                self._subjects.connected(connection_id, subject)
                self._sockets.belongs_to(connection_id)
                response = await upstream(*args, **kwargs)
                place = self._chaos.place("connect", kind, subject)
                if _is_accepted(response) and self._chaos.happens("young_410", place):
                    # `$connect` has stored the connection, and its handshake goes on.
                    is_long = share(self._chaos.orders.seed, "which handshake", place) < 0.5
                    bounds = _LONG_HANDSHAKE_SECONDS if is_long else _HANDSHAKE_SECONDS
                    await asyncio.sleep(self._chaos.between(*bounds, "young_410", place))
                return response
            if kind == "DISCONNECT":
                self._sockets.closed(connection_id)
                return await self._disconnect(self._chaos.place("disconnect", kind, subject), upstream, args, kwargs)
            return await upstream(*args, **kwargs)

        return invoke

    async def _disconnect(
        self, place: Place, upstream: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...], kwargs: Json
    ) -> Any:
        if self._chaos.happens("disconnect_lost", place):
            return None
        if self._chaos.happens("disconnect_late", place):
            await asyncio.sleep(self._chaos.between(*_DISCONNECT_SECONDS, "disconnect_late", place))
        if self._chaos.happens("disconnect_doubled", place):
            await upstream(*args, **kwargs)
            await asyncio.sleep(self._chaos.between(*_DISCONNECT_SECONDS, "disconnect_doubled", place))
        return await upstream(*args, **kwargs)

    def _noting_posts(self, upstream: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        async def handle(method: str, api_id: str, stage: str, connection_id: str, body: bytes, headers: Any) -> Any:
            answer = await upstream(method, api_id, stage, connection_id, body, headers)
            if method == "POST" and answer[0] == HTTPStatus.OK and (ids := message_ids(body)):
                self._chaos.journal.posted(ids, connection_id, self._subjects.of_connection(connection_id))
            return answer

        return handle


def _first_failure(result: Json) -> str:
    """The sequence number of the first record that failed, "" for none; `_ALL` if none was done."""
    if not result.get("error"):
        return ""
    body = result.get("body")
    if isinstance(body, dict) and body.get("errorType") == "BatchItemFailures":
        return str(body["errorMessage"]).split()[1]  # as local.corrections.event_sources says it
    return _ALL


def _is_accepted(response: Any) -> bool:
    return int((response or {}).get("statusCode", HTTPStatus.OK)) < HTTPStatus.MULTIPLE_CHOICES


def _later(seconds: float, call: Callable[..., object], *args: Any) -> None:
    """Call it in a thread of its own, for the same account and region."""
    timer = threading.Timer(seconds, contextvars.copy_context().run, (call, *args))
    timer.daemon = True
    timer.start()


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)
