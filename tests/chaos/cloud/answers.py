"""The errors of AWS's services, in the form in which each of them answers."""

import json
from http import HTTPStatus
from typing import NamedTuple

# Where its errors' types begin, as far as they say so at all.
_NAMESPACES = {
    "dynamodb": "com.amazonaws.dynamodb.v20120810#",
    "sqs": "com.amazonaws.sqs#",
}
_JSON_VERSIONS = {"events": "1.1"}


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


GONE = Answer(
    HTTPStatus.GONE,
    [(b"content-type", b"application/json"), (b"x-amzn-errortype", b"GoneException")],
    b"",
)


def throttled(service: str, share: float) -> Answer:
    """It takes no more calls now. `share` in [0, 1) chooses where there are several ways to say so."""
    if service == "connections":
        return _of_gateway(HTTPStatus.TOO_MANY_REQUESTS, "LimitExceededException", None)
    if service == "lambda":
        return _of_gateway(HTTPStatus.TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.")
    if service == "dynamodb":
        if share < 0.5:
            return _of_json(service, "ProvisionedThroughputExceededException", "The level of throughput is exceeded.")
        return _of_json(service, "ThrottlingException", "Throughput exceeds the current capacity.")
    if service == "sqs":
        return _of_json(service, "RequestThrottled", "The request was denied due to request throttling.")
    return _of_json(service, "ThrottlingException", "Rate exceeded")


def failed(service: str, share: float) -> Answer:
    """Something went wrong inside, or in front of it."""
    if share < 0.25:  # a load balancer before any service, which knows of no protocol
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, [(b"content-type", b"text/html")], b"<html>unavailable</html>")
    if service == "connections":
        return _of_gateway(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalServerErrorException", "Internal server error")
    if service == "lambda":
        return _of_gateway(HTTPStatus.INTERNAL_SERVER_ERROR, "ServiceException", "Internal failure")
    if service == "dynamodb":
        return _of_json(service, "InternalServerError", "Internal server error", HTTPStatus.INTERNAL_SERVER_ERROR)
    return _of_json(service, "InternalFailure", "Internal failure", HTTPStatus.INTERNAL_SERVER_ERROR)


def _of_json(service: str, code: str, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> Answer:
    version = _JSON_VERSIONS.get(service, "1.0")
    headers = [(b"content-type", f"application/x-amz-json-{version}".encode())]
    if service == "sqs":
        party = "Sender" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
        headers.append((b"x-amzn-query-error", f"{code};{party}".encode()))
    body = {"__type": f"{_NAMESPACES.get(service, '')}{code}", "message": message}
    return Answer(status, headers, json.dumps(body).encode())


def _of_gateway(status: HTTPStatus, code: str, message: str | None) -> Answer:
    headers = [(b"content-type", b"application/json"), (b"x-amzn-errortype", code.encode())]
    return Answer(status, headers, json.dumps({"message": message}).encode())
