"""The HTTP API: send messages, ask what became of them, cancel them, see who is connected, start a fan-out.

The caller is a backend; API Gateway has authorized it before any of this. `openapi.py` describes it all for callers.
"""

import json
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters import aws, wiring
from lambdas.adapters.fan_outs import FanOutMachine
from lambdas.adapters.runs import DeliveryMachine
from lambdas.clock import SystemClock
from lambdas.core.errors import InvalidMessage
from lambdas.core.fan_out import FanOut, require_room
from lambdas.core.frames import MAX_FRAME_BYTES
from lambdas.core.intake import Answer, Status
from lambdas.core.model import timestamp
from lambdas.core.ports import Start
from lambdas.observability import count_intake, instrumented
from lambdas.problems import Problem, fields, json_object
from lambdas.routes import http_requests, problems
from lambdas.routes.problems import Kind
from lambdas.routing import Request, Response, Routes
from ringback import connections, runs, status
from ringback.limits import MAX_TTL_SECONDS
from ringback.names import execution_name

MAX_MESSAGES = 100
_OF_THE_FRAME_ITSELF = 1024  # its other fields are less than that

ROUTES = Routes()


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a request; every error is a problem (RFC 9457)."""
    return ROUTES.answer(event, context, problem=lambda error: problems.of(error).answer())


@ROUTES.add("POST", "/messages", "sendMessages")
def send_messages(request: Request) -> Response:
    """Take one message, or a batch."""
    body, size = json_object(request.event, give='one message, or several as {"messages": […]}')
    environment = settings.load(settings.HttpApi)
    values = http_requests.batch(body, most=MAX_MESSAGES)
    intake = wiring.intake(environment, request.context)
    answers = intake.take_values([body] if values is None else values, new_id=lambda: str(uuid.uuid4()))
    count_intake(intake, answers)
    machine = DeliveryMachine(environment.delivery_state_machine_arn)
    if values is not None:
        return _json(HTTPStatus.OK, {"results": [wiring.result(answer, machine) for answer in answers]})
    return _one(answers[0], machine, size)


@ROUTES.add("POST", "/messages/fan-out", "startFanOut")
def start_fan_out(request: Request) -> Response:
    """Start a fan-out, once."""
    given, text = _fan_out(*json_object(request.event))
    machine = FanOutMachine(settings.load(settings.HttpApi).fan_out_state_machine_arn)
    name = execution_name(given)
    start = machine.start(name, text)
    if start is Start.ID_TAKEN:
        detail = "id: another fan-out has it; give this one an id of its own"
        raise Problem(Kind.ID_CONFLICT, detail, more={"id": given})
    started = start is Start.STARTED
    result = {"id": given, "status": "started" if started else "duplicate", "executionArn": machine.execution_arn(name)}
    return _json(HTTPStatus.ACCEPTED if started else HTTPStatus.OK, result)


@ROUTES.add("GET", "/messages/{id+}", "getMessage")
def get_message(_: Request, name: str) -> Response:
    """Answer what became of a message."""
    message_id = http_requests.message_id(name)
    arn = settings.load(settings.HttpApi).delivery_state_machine_arn
    found = status.read_status(aws.step_functions(), arn, message_id)
    return Response(HTTPStatus.OK, json.dumps(found.to_json(), ensure_ascii=False, separators=(",", ":")))


@ROUTES.add("DELETE", "/messages/{id+}", "cancelMessage")
def cancel_message(_: Request, name: str) -> Response:
    """Let a message go no further."""
    message_id = http_requests.message_id(name)
    runs.cancel(aws.step_functions(), settings.load(settings.HttpApi).delivery_state_machine_arn, message_id)
    return _json(HTTPStatus.OK, {"id": message_id, "state": "cancelled"})


@ROUTES.add("GET", "/users/{user+}/connections", "listConnections")
def list_connections(_: Request, name: str) -> Response:
    """Answer who is there."""
    user = http_requests.user(name)
    table_name = settings.load(settings.HttpApi).connections_table_name
    found = connections.read_connections(aws.dynamodb(), table_name, user, now=SystemClock().now())
    return _json(HTTPStatus.OK, {"connections": [one.to_json() for one in found]})


def _one(answer: Answer, machine: DeliveryMachine, size: int) -> Response:
    """The answer for a message that came alone."""
    detail, named = answer.detail or "", {"id": answer.id} if answer.id else {}
    match answer.status:
        case Status.INVALID:
            raise _invalid(Kind.INVALID_MESSAGE, detail, size)
        case Status.CONFLICT:
            raise Problem(Kind.ID_CONFLICT, detail, more=named)
        case Status.UNAVAILABLE:
            raise problems.unavailable(named)
    on_its_way = answer.status in {Status.DELIVERED, Status.STARTED}
    headers = {}
    if answer.execution_name and answer.id:
        headers["Location"] = f"/messages/{quote(answer.id, safe='')}"
    status_code = HTTPStatus.ACCEPTED if on_its_way else HTTPStatus.OK
    return _json(status_code, wiring.result(answer, machine), headers)


def _fan_out(body: dict[str, Any], size: int) -> tuple[str, str]:
    """The id of a fan-out and its JSON.

    Raises:
        Problem: it is none, or no run can take it.
    """
    given = body.get("id")
    value = {**body, "id": str(uuid.uuid4()) if given is None else given}
    now = SystemClock().now()
    try:
        # As the run will read it, which would fail where nobody waits for an answer.
        execution = {"name": value["id"], "startedAt": timestamp(now)}
        task = {"fanOut": value, "execution": execution}
        fan_out = FanOut.from_task(task, default_ttl_seconds=MAX_TTL_SECONDS)
        fan_out.frames(now)
    except InvalidMessage as error:
        raise _invalid(Kind.INVALID_FAN_OUT, str(error), size) from None
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:  # an overlong number such as 1e999
        raise Problem(Kind.INVALID_FAN_OUT, "it holds a number that JSON cannot carry") from None
    try:
        require_room(fan_out)
    except InvalidMessage as error:
        raise Problem(Kind.TOO_LARGE, str(error)) from None
    return fan_out.id, text


def _invalid(kind: Kind, detail: str, size: int) -> Problem:
    too_large = detail.startswith("payload: ") and size > MAX_FRAME_BYTES - _OF_THE_FRAME_ITSELF
    return Problem(Kind.TOO_LARGE if too_large else kind, detail, errors=fields(detail))


def _json(status_code: HTTPStatus, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(status_code, json.dumps(body, separators=(",", ":")), headers=headers or {})
