"""The HTTP API as API Gateway calls it: events of payload 2.0, with Step Functions and DynamoDB behind."""

import json
import uuid
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from moto.stepfunctions.models import stepfunctions_backends
from openapi_spec_validator import validate

from lambdas.adapters import aws, wiring
from lambdas.adapters.tables import ConnectionTable
from lambdas.routes import http_api, problems
from lambdas.routes.openapi import openapi
from tests.builders import NOW, connection, envelope, recipient
from tests.contract.conftest import SECRET, Stage
from tests.contract.http_gateway import http_event
from tests.fakes import FakeSockets

ARN = "arn:aws:states:eu-central-1:123456789012"
FAN_OUT = {
    "id": "f-1",
    "message": {"payload": SECRET, "ttlSeconds": 60},
    "audience": {"users": ["ana", "ben"], "context": "chat", "contextId": "42"},
}


class Answer:
    """What the caller gets."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.status: int = answer["statusCode"]
        self.headers: dict[str, str] = answer["headers"]
        self.body: dict[str, Any] = json.loads(answer["body"])

    def problem(self, kind: problems.Kind) -> dict[str, Any]:
        """The problem that it must be."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.body["type"] == kind.uri
        assert self.body["title"] == kind.title
        assert self.status == self.body["status"] == kind.status
        assert SECRET not in json.dumps(self.body)
        return self.body


class Backend:
    """Calls the API."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Call it; a body that is no text is sent as JSON."""
        text = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        return Answer(self._stage.call(http_api.handler, http_event(method, path, text, **headers)))

    def send(self, **changes: Any) -> Answer:
        """Send one message."""
        return self.call("POST", "/messages", envelope(payload=SECRET, **changes))


@pytest.fixture
def backend(stage: Stage, connections_table: str, sequences_table: str) -> Backend:
    for name in ("Delivery", "FanOut"):
        boto3.client("stepfunctions").create_state_machine(
            name=name,
            definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
            roleArn="arn:aws:iam::123456789012:role/role",
        )
    stage.set(
        DELIVERY_STATE_MACHINE_ARN=f"{ARN}:stateMachine:Delivery",
        FAN_OUT_STATE_MACHINE_ARN=f"{ARN}:stateMachine:FanOut",
        CONNECTIONS_TABLE_NAME=connections_table,
        SEQUENCES_TABLE_NAME=sequences_table,
        EVERY_MESSAGE_IS_A_RUN="false",
    )
    return Backend(stage)


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> FakeSockets:
    sockets = FakeSockets()
    monkeypatch.setattr(wiring, "ManagementApi", lambda: sockets)
    return sockets


def run(name: str) -> Any:
    """A run in moto's books."""
    (machine,) = [
        machine
        for machine in stepfunctions_backends["123456789012"]["eu-central-1"].state_machines
        if machine.name == "Delivery"
    ]
    (found,) = [run for run in machine.executions if run.name == name]
    return found


# POST /messages


def test_a_message_for_somebody_away_is_started(backend: Backend, stage: Stage) -> None:
    answer = backend.send()

    assert answer.status == 202
    assert answer.body == {"id": "m-1", "status": "started", "executionArn": f"{ARN}:execution:Delivery:m-1"}
    assert answer.headers["Location"] == "/messages/m-1"
    assert json.loads(run("m-1").execution_input)["payload"] == SECRET
    assert stage.metrics() == {"Accepted": 1}


def test_a_message_for_somebody_there_is_delivered(
    backend: Backend, stage: Stage, sockets: FakeSockets, connections_table: str
) -> None:
    ConnectionTable(connections_table).put(connection())

    answer = backend.send()

    assert answer.status == 202
    assert answer.body == {"id": "m-1", "status": "delivered"}
    assert "Location" not in answer.headers
    (frame,) = sockets.posts["Sm9tZQ="]
    assert json.loads(frame)["payload"] == SECRET
    assert stage.metrics() == {"Accepted": 1, "Delivered": 1, "Posted": 1}


def test_a_message_that_is_not_durable_is_missed_by_somebody_away(
    backend: Backend, stage: Stage, sockets: FakeSockets, connections_table: str
) -> None:
    missed = backend.send(durable=False)
    ConnectionTable(connections_table).put(connection())
    delivered = backend.send(durable=False)

    assert (missed.status, missed.body) == (200, {"id": "m-1", "status": "missed"})
    assert "Location" not in missed.headers
    assert (delivered.status, delivered.body) == (202, {"id": "m-1", "status": "delivered"})
    assert len(sockets.posts["Sm9tZQ="]) == 1
    assert backend.call("GET", "/messages/m-1").status == 404, "there is no run"
    assert stage.metrics() == {"Missed": 1, "Accepted": 1, "Delivered": 1, "Posted": 1}


def test_a_message_without_an_id_gets_one(backend: Backend) -> None:
    answer = backend.call("POST", "/messages", {**envelope(), "id": None})
    assert uuid.UUID(answer.body["id"]).version == 4
    assert answer.body["executionArn"].endswith(answer.body["id"])


def test_the_same_message_again_is_a_duplicate_and_another_one_a_conflict(backend: Backend) -> None:
    assert backend.send(ttlSeconds=60).status == 202
    again = backend.send(ttlSeconds=61)
    assert (again.status, again.body["status"]) == (200, "duplicate")

    conflict = backend.call("POST", "/messages", envelope(payload="another")).problem(problems.Kind.ID_CONFLICT)
    assert conflict["id"] == "m-1"


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"ack": SECRET}, {"ack": "must be 'none' or 'client'"}),
        (
            {"recipient": {"user": f"{SECRET} #", "context": "chat"}, "oops": SECRET},
            {
                "recipient.user": "must be printable ASCII, without spaces and #",
                "recipient.contextId": "is missing",
                "oops": "there is no such field",
            },
        ),
        ({"expiresAt": "2030-02-28T12:00:00Z"}, {"expiresAt": "at most 604800 seconds ahead"}),
        ({"payload": json.loads('{"deep": 1e999}')}, {"payload": None}),
    ],
    ids=["one field", "several fields", "too long a life", "no JSON"],
)
def test_what_is_no_message_is_told_field_by_field(
    backend: Backend, changes: dict[str, Any], errors: dict[str, str | None]
) -> None:
    body = json.dumps({**envelope(payload=SECRET), **changes}).replace("Infinity", "1e999")
    problem = backend.call("POST", "/messages", body).problem(problems.Kind.INVALID_MESSAGE)
    told = {error["field"]: error["detail"] for error in problem["errors"]}
    assert told.keys() == errors.keys()
    assert all(detail in (None, told[field]) for field, detail in errors.items())


def test_a_message_that_fits_no_frame_is_too_large(backend: Backend) -> None:
    assert backend.call("POST", "/messages", envelope(payload="x" * 130_000)).status == 202
    too_large = backend.call("POST", "/messages", envelope(payload="x" * 131_000)).problem(problems.Kind.TOO_LARGE)
    assert "131072" in too_large["detail"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", problems.Kind.INVALID_REQUEST),
        ("{", problems.Kind.INVALID_REQUEST),
        ("[]", problems.Kind.INVALID_REQUEST),
        ('"text"', problems.Kind.INVALID_REQUEST),
        ("null", problems.Kind.INVALID_REQUEST),
        ('{"payload": NaN}', problems.Kind.INVALID_REQUEST),
        ("[" * 100_000, problems.Kind.INVALID_REQUEST),
        ('{"payload":' + "[" * 600 + "]" * 600 + "}", problems.Kind.INVALID_MESSAGE),
        (b'{"payload": "\xff"}', problems.Kind.INVALID_REQUEST),
        ('{"messages": []}', problems.Kind.INVALID_REQUEST),
        ('{"messages": {}}', problems.Kind.INVALID_REQUEST),
        ('{"messages": null}', problems.Kind.INVALID_REQUEST),
        (json.dumps({"messages": [1] * 101}), problems.Kind.INVALID_REQUEST),
        (json.dumps({"messages": [envelope()], "id": SECRET}), problems.Kind.INVALID_REQUEST),
    ],
)
@pytest.mark.parametrize("path", ["/messages", "/messages/fan-out"])
def test_what_is_no_request_is_refused(backend: Backend, path: str, body: str | bytes, kind: problems.Kind) -> None:
    of_a_fan_out = kind is problems.Kind.INVALID_MESSAGE or '"messages"' in str(body)
    expected = problems.Kind.INVALID_FAN_OUT if path.endswith("fan-out") and of_a_fan_out else kind
    backend.call("POST", path, body).problem(expected)


def test_who_sends_a_list_is_told_how_several_messages_are_sent(backend: Backend) -> None:
    problem = backend.call("POST", "/messages", json.dumps([envelope()])).problem(problems.Kind.INVALID_REQUEST)
    assert problem["detail"] == 'the body is no JSON object: give one message, or several as {"messages": […]}'
    fan_out = backend.call("POST", "/messages/fan-out", "[]").problem(problems.Kind.INVALID_REQUEST)
    assert fan_out["detail"] == "the body is no JSON object"


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "x"])
def test_what_is_not_sent_as_json_is_refused(backend: Backend, media_type: str) -> None:
    answer = backend.call("POST", "/messages", json.dumps(envelope()), content_type=media_type)
    assert "Content-Type: application/json" in answer.problem(problems.Kind.UNSUPPORTED_MEDIA_TYPE)["detail"]


@pytest.mark.parametrize("headers", [{}, {"content_type": "Application/JSON; charset=utf-8"}])
def test_json_may_come_without_its_type_and_as_bytes(backend: Backend, headers: dict[str, str]) -> None:
    answer = backend.call("POST", "/messages", json.dumps(envelope(payload="ü")).encode(), **headers)
    assert answer.status == 202
    assert json.loads(run("m-1").execution_input)["payload"] == "ü"


def test_a_batch_is_answered_message_by_message(backend: Backend, stage: Stage) -> None:
    backend.send(id="m-0")
    messages = [
        envelope(id="m-0", payload=SECRET),
        envelope(id="m-0", payload="another"),
        envelope(id="m-2", ack=SECRET),
        SECRET,
        envelope(id="m-3"),
    ]

    answer = backend.call("POST", "/messages", {"messages": messages})

    assert answer.status == 200
    results = answer.body["results"]
    assert [result["status"] for result in results[1:]] == ["conflict", "invalid", "invalid", "started"]
    assert results[0]["status"] in {"started", "duplicate"}  # to Step Functions it is the same start while that runs
    assert [result.get("id") for result in results] == ["m-0", "m-0", "m-2", None, "m-3"]
    assert results[4]["executionArn"] == f"{ARN}:execution:Delivery:m-3"
    assert results[2]["detail"] == "ack: must be 'none' or 'client'"
    assert SECRET not in json.dumps(answer.body)
    assert stage.metrics()["Rejected"] == 2


def test_what_cannot_be_started_now_may_be_sent_again(backend: Backend, stage: Stage) -> None:
    stage.set(DELIVERY_STATE_MACHINE_ARN=f"{ARN}:stateMachine:Missing")
    answer = backend.send()
    answer.problem(problems.Kind.UNAVAILABLE)
    assert answer.headers["Retry-After"] == "1"

    (result,) = backend.call("POST", "/messages", {"messages": [envelope()]}).body["results"]
    assert (result["id"], result["status"]) == ("m-1", "unavailable")
    assert stage.metrics() == {"Errors": 2}


# GET and DELETE /messages/{id}

STRANGE = ["order/17", "/", "a%2Fb", "100%", "%25", "?x=1&y", "a\\b", '"', "`{|}", "a/../b", "fan-out"]


@pytest.mark.parametrize("message_id", ["m-1", *STRANGE])
def test_the_state_of_a_message(backend: Backend, message_id: str) -> None:
    backend.send(id=message_id, track=True)

    answer = backend.call("GET", f"/messages/{quote(message_id, safe='')}")

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body["id"] == message_id
    assert answer.body.keys() == {
        *("id", "state", "attempts", "acceptedAt", "waitingFor", "waitingSince", "nextAttemptAt"),
        *("endedAt", "reason", "cause", "executionArn", "consoleUrl"),
    }


@pytest.mark.parametrize("message_id", ["m-1", *STRANGE])
def test_a_message_is_cancelled_also_twice(backend: Backend, message_id: str) -> None:
    backend.send(id=message_id, track=True)
    path = f"/messages/{quote(message_id, safe='')}"
    for _ in range(2):
        answer = backend.call("DELETE", path)
        assert (answer.status, answer.body) == (200, {"id": message_id, "state": "cancelled"})
    assert backend.call("GET", path).body["state"] == "cancelled"


def test_what_has_ended_cannot_be_cancelled(backend: Backend) -> None:
    backend.send()
    run("m-1").status = "SUCCEEDED"
    run("m-1").output = '{"status": "acknowledged"}'
    problem = backend.call("DELETE", "/messages/m-1").problem(problems.Kind.NOT_CANCELLABLE)
    assert (problem["id"], problem["state"]) == ("m-1", "acknowledged")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_message_is_explained(backend: Backend, method: str) -> None:
    problem = backend.call(method, "/messages/m-404").problem(problems.Kind.MESSAGE_NOT_FOUND)
    assert '"track": true' in problem["detail"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("message_id", ["a%20b", "a%23b", "%C3%A4", "%FF", "%0A", "%00", "x" * 129])
def test_what_can_be_no_id_is_refused(backend: Backend, method: str, message_id: str) -> None:
    problem = backend.call(method, f"/messages/{message_id}").problem(problems.Kind.INVALID_REQUEST)
    assert [error["field"] for error in problem["errors"]] == ["id"]


def test_a_service_that_does_not_answer_may_later(backend: Backend) -> None:
    with Stubber(aws.step_functions()) as service:
        service.add_client_error("describe_execution", "ThrottlingException", SECRET, 400)
        answer = backend.call("GET", "/messages/m-1")
    answer.problem(problems.Kind.UNAVAILABLE)
    assert answer.headers["Retry-After"] == "1"


def test_what_nobody_thought_of_is_a_problem_too(
    backend: Backend, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("nobody thought of it")

    monkeypatch.setattr("ringback.status.read_status", fail)
    backend.call("GET", "/messages/m-1").problem(problems.Kind.INTERNAL_ERROR)
    assert stage.metrics() == {"Errors": 1}
    assert "LookupError" in stage.log()[-1]["exception"]


# GET /users/{user}/connections


def test_the_connections_of_a_user(backend: Backend, connections_table: str) -> None:
    table = ConnectionTable(connections_table)
    ana = recipient(user="ana/x")
    table.put(connection("Old=", to=ana, age_seconds=120))
    table.put(connection("Young=", to=ana, age_seconds=1))
    table.put(connection("Expired=", to=ana, life_seconds=-1))
    table.put(connection("Other="))
    table.mark_stale(ana, "Old=", NOW)

    answer = backend.call("GET", "/users/ana%2Fx/connections")

    assert answer.status == 200
    assert [(one["connectionId"], one["state"]) for one in answer.body["connections"]] == [
        ("Old=", "stale"),
        ("Young=", "active"),
    ]
    assert answer.body["connections"][0]["staleSince"] == "2030-01-31T12:00:00Z"
    assert backend.call("GET", "/users/nobody/connections").body == {"connections": []}


@pytest.mark.parametrize("user", ["a%20b", "%0A", "x" * 256])
def test_what_can_be_no_user_is_refused(backend: Backend, user: str) -> None:
    problem = backend.call("GET", f"/users/{user}/connections").problem(problems.Kind.INVALID_REQUEST)
    assert [error["field"] for error in problem["errors"]] == ["user"]


# POST /messages/fan-out


def test_a_fan_out_is_started_once(backend: Backend) -> None:
    expected = {"id": "f-1", "executionArn": f"{ARN}:execution:FanOut:f-1"}

    first = backend.call("POST", "/messages/fan-out", FAN_OUT)
    assert (first.status, first.body) == (202, {**expected, "status": "started"})

    for ttl_seconds in (60, 61):
        again = {**FAN_OUT, "message": {"payload": SECRET, "ttlSeconds": ttl_seconds}}
        second = backend.call("POST", "/messages/fan-out", again)
        assert (second.status, second.body) == (200, {**expected, "status": "duplicate"})

    other = backend.call("POST", "/messages/fan-out", {**FAN_OUT, "durable": True})
    assert other.problem(problems.Kind.ID_CONFLICT)["id"] == "f-1"
    started = boto3.client("stepfunctions").describe_execution(executionArn=expected["executionArn"])
    assert json.loads(started["input"]) == FAN_OUT


def test_a_fan_out_without_an_id_gets_one(backend: Backend) -> None:
    answer = backend.call("POST", "/messages/fan-out", {**FAN_OUT, "id": None})
    started = boto3.client("stepfunctions").describe_execution(executionArn=answer.body["executionArn"])
    assert json.loads(started["input"])["id"] == answer.body["id"] == started["name"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"audience": {"users": [f"{SECRET} "]}}, "audience.users.0"),
        ({"audience": {}}, "audience"),
        ({"to": SECRET}, "to"),
        ({"message": {"payload": 1, "ack": SECRET}}, "message.ack"),
    ],
)
def test_what_is_no_fan_out_is_told_field_by_field(backend: Backend, changes: dict[str, Any], field: str) -> None:
    problem = backend.call("POST", "/messages/fan-out", FAN_OUT | changes).problem(problems.Kind.INVALID_FAN_OUT)
    assert field in [error["field"] for error in problem["errors"]]


def test_a_fan_out_that_no_run_can_take_is_refused(backend: Backend) -> None:
    for payload in ("1e999", '"\\ud800"', '{"\\ud800": 1}'):
        body = json.dumps({**FAN_OUT, "message": {"payload": "PAYLOAD"}}).replace('"PAYLOAD"', payload)
        backend.call("POST", "/messages/fan-out", body).problem(problems.Kind.INVALID_FAN_OUT)
    where = json.dumps({**FAN_OUT, "where": {"age": "AGE"}}).replace('"AGE"', "1e999")
    backend.call("POST", "/messages/fan-out", where).problem(problems.Kind.INVALID_FAN_OUT)
    frame = {**FAN_OUT, "message": {"payload": "x" * 131_072}}
    backend.call("POST", "/messages/fan-out", frame).problem(problems.Kind.TOO_LARGE)
    large = {**FAN_OUT, "audience": {**FAN_OUT["audience"], "users": [f"user-{n:04}" * 5 for n in range(6000)]}}  # type: ignore[dict-item]
    assert "bucket" in backend.call("POST", "/messages/fan-out", large).problem(problems.Kind.TOO_LARGE)["detail"]


def test_a_fan_out_that_fits_alone_but_not_with_a_part_beside_it_is_refused(backend: Backend) -> None:
    """As its run would be, where nobody waits for an answer."""
    excluded = [f"{number:0>30}" for number in range(6_000)]
    conversation = {"conversation": {"context": "chat", "contextId": "42"}}
    large = {**FAN_OUT, "audience": conversation, "exclude": excluded}

    assert backend.call("POST", "/messages/fan-out", large).status == 202
    problem = backend.call("POST", "/messages/fan-out", {**large, "durable": True}).problem(problems.Kind.TOO_LARGE)
    assert "name fewer users" in problem["detail"]


def test_a_fan_out_that_somebody_else_has_just_started_is_tried_again(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """StartExecution knows it already, and DescribeExecution not yet: nobody knows whether it is the same."""

    def exists(**request: Any) -> None:
        raise ClientError({"Error": {"Code": "ExecutionAlreadyExists"}}, "StartExecution")

    monkeypatch.setattr(aws.step_functions(), "start_execution", exists)

    backend.call("POST", "/messages/fan-out", FAN_OUT).problem(problems.Kind.UNAVAILABLE)


# Everything else


@pytest.mark.parametrize("path", ["/", "/message", "/messages/", "/users/ana", "/users//connections", "/%FF"])
def test_a_path_that_leads_nowhere_is_a_problem(backend: Backend, path: str) -> None:
    backend.call("GET", path).problem(problems.Kind.NO_SUCH_ROUTE)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/messages", "POST"),
        ("OPTIONS", "/messages", "POST"),
        ("PUT", "/messages/m-1", "DELETE, GET"),
        ("PATCH", "/messages/fan-out", "POST"),
        ("POST", "/users/ana/connections", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_told_which_it_does(
    backend: Backend, method: str, path: str, allow: str
) -> None:
    answer = backend.call(method, path)
    answer.problem(problems.Kind.METHOD_NOT_ALLOWED)
    assert answer.headers["Allow"] == allow


@pytest.mark.parametrize("headers", [{"cookie": "a=b; ;=;x"}, {"accept": "text/html, */*"}, {"x_weird": "\u00fc,,"}])
def test_other_headers_change_nothing(backend: Backend, headers: dict[str, str]) -> None:
    assert backend.call("GET", "/users/ana/connections", **headers).status == 200


# The description


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi()


def test_the_description_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert set(document["components"]["securitySchemes"]) == {"jwt", "iam"}


def test_every_problem_is_described_with_an_example(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    told = set()
    for operation in operations:
        for status, response in operation["responses"].items():
            for example in response["content"].get("application/problem+json", {}).get("examples", {}).values():
                assert str(example["value"]["status"]) == status
                told.add(example["value"]["type"])
    of_no_operation = {problems.Kind.NO_SUCH_ROUTE.uri, problems.Kind.METHOD_NOT_ALLOWED.uri}
    assert told == {kind.uri for kind in problems.Kind} - of_no_operation
    assert all(set(operation["responses"]) >= {"401", "403", "429", "500", "503"} for operation in operations)


def test_nothing_in_the_description_is_left_over(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, name
    assert "422" not in text
