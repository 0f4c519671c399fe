"""The HTTP API: send messages, ask what became of them, cancel them, see who is connected, start a fan-out.

The caller is a backend; API Gateway has authorized it before any of this. `openapi.py` describes it all for callers.
"""

import json
import uuid
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from lambdas import settings
from lambdas.adapters import aws, wiring
from lambdas.adapters.fan_outs import FanOutMachine
from lambdas.adapters.runs import DeliveryMachine
from lambdas.core.clock import SystemClock
from lambdas.core.errors import InvalidMessage
from lambdas.core.fan_out import FanOut, require_room
from lambdas.core.frames import MAX_FRAME_BYTES
from lambdas.core.intake import Answer, Status
from lambdas.core.model import timestamp
from lambdas.core.ports import Start
from lambdas.observability import count_intake, instrumented
from lambdas.problems import Problem, fields, json_object, nothing_there
from lambdas.routes import http_requests, problems
from lambdas.routes.problems import Kind
from ringback import connections, runs, status
from ringback.envelope import MAX_TTL_SECONDS
from ringback.names import execution_name

MAX_MESSAGES = 100
_OF_THE_FRAME_ITSELF = 1024  # its other fields are less than that

app = APIGatewayHttpResolver(enable_validation=True)


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a request; every error is a problem (RFC 9457)."""
    return app.resolve(http_requests.with_named_segments(event), context)


@app.post("/messages", operation_id="sendMessages")
def send_messages() -> Response[str]:
    """Take one message, or a batch."""
    body, size = json_object(app.current_event)
    environment = settings.load(settings.HttpApi)
    values = http_requests.batch(body, most=MAX_MESSAGES)
    intake = wiring.intake(environment, app.lambda_context)
    answers = intake.take_values([body] if values is None else values, new_id=lambda: str(uuid.uuid4()))
    count_intake(intake, answers)
    machine = DeliveryMachine(environment.delivery_state_machine_arn)
    if values is not None:
        return _json(HTTPStatus.OK, {"results": [wiring.result(answer, machine) for answer in answers]})
    return _one(answers[0], machine, size)


@app.get("/messages/<id>", operation_id="getMessage")
def get_message(id: http_requests.MessageId) -> Response[str]:  # noqa: A002 - the path's own name for it
    """Answer what became of a message."""
    arn = settings.load(settings.HttpApi).delivery_state_machine_arn
    return _json(HTTPStatus.OK, status.read_status(aws.step_functions(), arn, id))


@app.delete("/messages/<id>", operation_id="cancelMessage")
def cancel_message(id: http_requests.MessageId) -> Response[str]:  # noqa: A002
    """Let a message go no further."""
    runs.cancel(aws.step_functions(), settings.load(settings.HttpApi).delivery_state_machine_arn, id)
    return _json(HTTPStatus.OK, {"id": id, "state": "cancelled"})


@app.get("/users/<user>/connections", operation_id="listConnections")
def list_connections(user: http_requests.User) -> Response[str]:
    """Answer who is there."""
    table_name = settings.load(settings.HttpApi).connections_table_name
    found = connections.read_connections(aws.dynamodb(), table_name, user, now=SystemClock().now())
    return _json(HTTPStatus.OK, {"connections": [one.model_dump(mode="json", by_alias=True) for one in found]})


@app.post("/messages/fan-out", operation_id="startFanOut")
def start_fan_out() -> Response[str]:
    """Start a fan-out, once."""
    given, text = _fan_out(*json_object(app.current_event))
    machine = FanOutMachine(settings.load(settings.HttpApi).fan_out_state_machine_arn)
    name = execution_name(given)
    start = machine.start(name, text)
    if start is Start.ID_TAKEN:
        detail = "id: another fan-out has it; give this one an id of its own"
        raise Problem(Kind.ID_CONFLICT, detail, more={"id": given})
    started = start is Start.STARTED
    result = {"id": given, "status": "started" if started else "duplicate", "executionArn": machine.execution_arn(name)}
    return _json(HTTPStatus.ACCEPTED if started else HTTPStatus.OK, result)


def _problem(error: Exception) -> Response[str]:
    return (nothing_there(app) if isinstance(error, NotFoundError) else problems.of(error)).answer()


app.exception_handler(Exception)(_problem)


def _one(answer: Answer, machine: DeliveryMachine, size: int) -> Response[str]:
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
    response = _json(HTTPStatus.ACCEPTED if on_its_way else HTTPStatus.OK, wiring.result(answer, machine))
    if answer.execution_name and answer.id:
        response.headers["Location"] = f"/messages/{quote(answer.id, safe='')}"
    return response


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


def _json(status_code: HTTPStatus, body: BaseModel | dict[str, Any]) -> Response[str]:
    text = (
        body.model_dump_json(by_alias=True) if isinstance(body, BaseModel) else json.dumps(body, separators=(",", ":"))
    )
    return Response(status_code=status_code.value, content_type="application/json", body=text)
