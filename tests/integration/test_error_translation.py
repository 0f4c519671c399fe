"""Every failure of every call becomes an error of ours, which names the call and the code but no value."""

import json
import traceback
from collections.abc import Callable

import pytest
from botocore.config import Config

from lambdas.adapters import aws
from lambdas.adapters.queues import DeadLetterQueue, IngestDeadLetterQueue
from lambdas.adapters.runs import DeliveryMachine, WaitingRuns
from lambdas.adapters.tables import CallbackTable, ConnectionTable, SequenceTable
from lambdas.core.errors import ServiceUnavailable, StoreUnavailable, Throttled
from tests.builders import NOW, callback, connection, recipient
from tests.integration.service import Answer, Service, refused_url

SECRET = "s3cr3t"
CONNECTIONS, CALLBACKS = ConnectionTable("Connections"), CallbackTable("Callbacks")
SEQUENCES = SequenceTable("Sequences")
MACHINE = DeliveryMachine("arn:aws:states:eu-central-1:123456789012:stateMachine:Delivery")
QUEUE = IngestDeadLetterQueue("https://sqs.eu-central-1.amazonaws.com/123456789012/IngestDeadLetters")
DEAD_LETTERS = DeadLetterQueue("https://sqs.eu-central-1.amazonaws.com/123456789012/DeadLetters")

Call = Callable[[], object]
STORE_CALLS: dict[str, list[Call]] = {
    "PutItem": [
        lambda: CONNECTIONS.put(connection()),
        lambda: CALLBACKS.park_for_reconnect(callback()),
        lambda: CALLBACKS.park_for_acknowledgement(callback()),
        lambda: CALLBACKS.keep_acknowledgement(callback(), {}),
    ],
    "DeleteItem": [
        lambda: CONNECTIONS.delete(recipient(), "tab"),
        lambda: CALLBACKS.remove_reconnect(callback()),
        lambda: CALLBACKS.remove_acknowledgement(callback()),
    ],
    "Query": [
        lambda: CONNECTIONS.of_recipient(recipient()),
        lambda: CONNECTIONS.of_user("ana"),
        lambda: list(CALLBACKS.waiting_for_reconnect(recipient())),
        lambda: list(CALLBACKS.waiting_for_acknowledgement("ana", "m-1")),
    ],
    "UpdateItem": [
        lambda: CONNECTIONS.mark_stale(recipient(), "tab", NOW),
        lambda: CONNECTIONS.mark_active(recipient(), "tab"),
    ],
    "GetItem": [
        lambda: CALLBACKS.reconnect_of(callback()),
        lambda: CALLBACKS.kept_acknowledgement(callback()),
    ],
    "BatchGetItem": [lambda: SEQUENCES.number(recipient(), "m-1", until=NOW)],
}
SERVICE_CALLS: dict[str, list[Call]] = {
    "SendTaskSuccess": [lambda: WaitingRuns().succeed(SECRET, {})],
    "StartExecution": [lambda: MACHINE.start("m-1", f'"{SECRET}"')],
    "DescribeExecution": [lambda: MACHINE.input_of(MACHINE.execution_arn("m-1"))],
    "SendMessage": [lambda: QUEUE.put(SECRET, "no JSON"), lambda: DEAD_LETTERS.put({"message": SECRET})],
}
EVERY_CALL = [
    pytest.param(call, operation, error, id=f"{operation}-{number}")
    for calls, error in ((STORE_CALLS, StoreUnavailable), (SERVICE_CALLS, ServiceUnavailable))
    for operation, variants in calls.items()
    for number, call in enumerate(variants, start=1)
]


def fault(code: str, status: int = 400) -> Answer:
    """An error of the JSON protocols, whose message repeats what it was given."""
    return Answer(status, json.dumps({"__type": f"com.amazonaws#{code}", "message": f"Invalid: {SECRET}"}).encode())


@pytest.mark.parametrize(("call", "operation", "error"), EVERY_CALL)
def test_every_call_is_translated(
    service: Service, call: Call, operation: str, error: type[ServiceUnavailable]
) -> None:
    service.answer = fault("AccessDeniedException")

    with pytest.raises(ServiceUnavailable) as translated:
        call()

    assert type(translated.value) is error
    assert str(translated.value) == f"{operation}: AccessDeniedException"
    assert SECRET not in "".join(traceback.format_exception(translated.value)), "as a log shows it"
    assert len(service.requests) == 1


def test_a_taken_name_whose_run_cannot_be_read_is_translated_too(service: Service) -> None:
    service.answer = fault("ExecutionAlreadyExists")  # to either call

    with pytest.raises(ServiceUnavailable, match=r"^DescribeExecution: ExecutionAlreadyExists$"):
        MACHINE.start("m-1", "{}")

    assert len(service.requests) == 2


def test_what_botocore_refuses_to_send_is_not_quoted(service: Service) -> None:
    with pytest.raises(ServiceUnavailable, match=r"^ParamValidationError$") as translated:
        WaitingRuns().succeed([SECRET], {})  # type: ignore[arg-type]

    assert SECRET not in "".join(traceback.format_exception(translated.value)), "as a log shows it"
    assert service.requests == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(fault("ThrottlingException"), "Query: ThrottlingException", id="throttled"),
        pytest.param(fault("InternalServerError", 500), "Query: InternalServerError", id="fault"),
        pytest.param(Answer(503), "Query: 503", id="no body"),
        pytest.param(Answer(502, b"<html>"), "Query: 502", id="a proxy's answer"),
    ],
)
def test_every_kind_of_failure_is_translated(service: Service, answer: Answer, said: str) -> None:
    service.answer = answer

    with pytest.raises(StoreUnavailable, match=f"^{said}$"):
        CONNECTIONS.of_user("ana")


def test_an_answer_that_comes_too_late(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "_CONFIG", aws._CONFIG.merge(Config(read_timeout=0.05)))
    service.answer = Answer(delay_seconds=0.2)

    with pytest.raises(StoreUnavailable, match=r"^ReadTimeoutError$"):
        CONNECTIONS.put(connection())


def test_nobody_there_to_answer(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", refused_url())

    with pytest.raises(StoreUnavailable, match=r"^EndpointConnectionError$"):
        CONNECTIONS.put(connection())


def test_a_page_that_fails_midway_is_translated_too(service: Service) -> None:
    row = {"caller_id": {"S": "user#ana"}, "waits_for": {"S": "reconnect#chat#42#run"}}
    stored = {
        **row,
        "recipient": {"S": recipient().to_json()},
        "message_id": {"S": "m-1"},
        "execution_name": {"S": "run"},
        "entry": {"N": "1"},
        "task_token": {"S": SECRET},
        "since": {"N": "1"},
        "accepted_at": {"N": "1"},
        "attempt": {"N": "1"},
        "expiration_date": {"N": "1"},
    }
    service.answer = Answer(200, json.dumps({"Items": [stored], "LastEvaluatedKey": row}).encode())
    waiting = CALLBACKS.waiting_for_reconnect(recipient())

    assert next(waiting).message_id == "m-1"
    service.answer = fault("ThrottlingException")
    with pytest.raises(StoreUnavailable, match=r"^Query: ThrottlingException$"):
        next(waiting)


def test_a_throttled_wake_is_told_apart_and_not_tried_again(service: Service) -> None:
    service.answer = fault("ThrottlingException")

    with pytest.raises(Throttled, match=r"^SendTaskSuccess: ThrottlingException$"):
        WaitingRuns(tries_again=False).succeed(SECRET, {})

    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: WaitingRuns().succeed("token", {}), "TaskTimedOut"),
        (lambda: WaitingRuns().succeed("token", {}), "TaskDoesNotExist"),
        (lambda: WaitingRuns().succeed("token", {}), "InvalidToken"),
    ],
)
def test_some_faults_are_answers(service: Service, call: Call, code: str) -> None:
    service.answer = fault(code)

    assert call() is False
