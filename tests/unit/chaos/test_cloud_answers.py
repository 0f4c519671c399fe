"""The errors that the fault layer answers are what AWS's clients make of AWS's."""

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.parsers import create_parser

from tests.chaos.cloud import answers
from tests.chaos.cloud.answers import Answer

OPERATIONS = {
    "dynamodb": ("dynamodb", "PutItem"),
    "states": ("stepfunctions", "SendTaskSuccess"),
    "sqs": ("sqs", "SendMessage"),
    "events": ("events", "PutEvents"),
    "connections": ("apigatewaymanagementapi", "PostToConnection"),
    "lambda": ("lambda", "Invoke"),
}
LOAD_BALANCER, SERVICE = 0.1, 0.9


def read(service: str, answer: Answer) -> tuple[int, str]:
    """Status and error code, as botocore reads them."""
    client, operation = OPERATIONS[service]
    model = botocore.session.get_session().get_service_model(client)
    response: Any = {
        "status_code": int(answer.status),
        "headers": {name.decode(): value.decode() for name, value in answer.headers},
        "body": answer.body,
    }
    shape: Any = model.operation_model(operation).output_shape
    parsed = create_parser(model.protocol).parse(response, shape)
    return parsed["ResponseMetadata"]["HTTPStatusCode"], parsed["Error"]["Code"]


def cases() -> Iterator[Any]:
    for service in OPERATIONS:
        yield pytest.param(answers.failed(service, LOAD_BALANCER), service, 503, "503", id=f"{service}-balancer")
    for share, code in ((0.0, "ProvisionedThroughputExceededException"), (0.9, "ThrottlingException")):
        yield pytest.param(answers.throttled("dynamodb", share), "dynamodb", 400, code, id=code)
    for service, status, code in (
        ("states", 400, "ThrottlingException"),
        ("sqs", 400, "RequestThrottled"),
        ("events", 400, "ThrottlingException"),
        ("connections", 429, "LimitExceededException"),
        ("lambda", 429, "TooManyRequestsException"),
    ):
        yield pytest.param(answers.throttled(service, SERVICE), service, status, code, id=f"{service}-throttled")
    for service, code in (
        ("dynamodb", "InternalServerError"),
        ("states", "InternalFailure"),
        ("sqs", "InternalFailure"),
        ("events", "InternalFailure"),
        ("connections", "InternalServerErrorException"),
        ("lambda", "ServiceException"),
    ):
        yield pytest.param(answers.failed(service, SERVICE), service, 500, code, id=f"{service}-failed")
    yield pytest.param(answers.GONE, "connections", 410, "GoneException", id="gone")


@pytest.mark.parametrize(("answer", "service", "status", "code"), list(cases()))
def test_clients_read_them(answer: Answer, service: str, status: int, code: str) -> None:
    assert read(service, answer) == (status, code)
