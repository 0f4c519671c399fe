"""Posting to connections and closing them, with the answers that API Gateway gives."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.config import Config

from lambdas.adapters import aws
from lambdas.adapters.management_api import ManagementApi
from lambdas.core import presence
from lambdas.core.errors import InvalidMessage, ServiceUnavailable
from lambdas.core.model import Connection
from lambdas.core.ports import CALLS_AT_ONCE, PostResult
from tests.builders import connection
from tests.fakes import FakeClock, FakeConnections
from tests.integration.service import Answer, Service, refused_url

POSTED, GONE, THROTTLED, FAILED = PostResult.POSTED, PostResult.GONE, PostResult.THROTTLED, PostResult.FAILED
FRAME = '{"payload":"say \\"hi\\" 👩‍🚀"}'.encode()


def error(status: int, code: str = "", body: bytes = b"") -> Answer:
    """A fault; API Gateway names it in a header, and often has no body."""
    return Answer(status, body, {"x-amzn-ErrorType": code} if code else {})


@pytest.fixture
def gateway() -> Iterator[Service]:
    with Service().running() as service:
        yield service


@pytest.fixture
def tab(gateway: Service) -> Connection:
    return at(f"{gateway.url}/prod")


def at(endpoint: str) -> Connection:
    return connection("Sm9/+ZQ=")._replace(endpoint=endpoint)


def test_a_frame_arrives_byte_for_byte_at_exactly_this_connection(gateway: Service, tab: Connection) -> None:
    assert ManagementApi().post(tab, FRAME) is POSTED

    (request,) = gateway.requests
    assert (request.method, request.path) == ("POST", "/prod/@connections/Sm9%2F%2BZQ%3D")
    assert request.body == FRAME


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        pytest.param(error(410, "GoneException"), GONE, id="410"),
        pytest.param(error(410), GONE, id="410 without a name"),
        pytest.param(error(400, "BadRequestException", b'{"message":"Invalid connectionId: x"}'), GONE, id="400"),
        pytest.param(error(429, "LimitExceededException"), THROTTLED, id="429, the connection's"),
        pytest.param(error(429, "TooManyRequestsException", b'{"message":"Rate"}'), THROTTLED, id="429, the account's"),
        pytest.param(error(429), THROTTLED, id="429 without a name"),
        pytest.param(error(403, "ForbiddenException", b'{"Message":"s3cr3t"}'), FAILED, id="403"),
        pytest.param(error(500, "InternalServerErrorException"), FAILED, id="500"),
        pytest.param(error(503), FAILED, id="503"),
        pytest.param(error(502, body=b"<html>Bad gateway</html>"), FAILED, id="502 from a proxy"),
    ],
)
def test_what_an_answer_means(gateway: Service, tab: Connection, answer: Answer, result: PostResult) -> None:
    gateway.answer = answer

    assert ManagementApi().post(tab, FRAME) is result
    assert len(gateway.requests) == 1, "the rules repeat a post, not the client"


@pytest.mark.parametrize("answer", [error(413, "PayloadTooLargeException"), error(413)])
def test_a_frame_that_is_too_large(gateway: Service, tab: Connection, answer: Answer) -> None:
    gateway.answer = answer

    with pytest.raises(InvalidMessage, match=f"^payload: API Gateway takes no frame of {len(FRAME)} bytes$"):
        ManagementApi().post(tab, FRAME)


def test_nobody_there_to_answer() -> None:
    assert ManagementApi().post(at(refused_url()), FRAME) is FAILED


def test_an_answer_that_comes_too_late(gateway: Service, tab: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "_POST_CONFIG", aws._POST_CONFIG.merge(Config(read_timeout=0.05)))
    gateway.answer = Answer(delay_seconds=0.2)

    assert ManagementApi().post(tab, FRAME) is FAILED


def test_many_posts_at_once_have_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(0.02)
        return make(*args, **options)

    make: Any = aws.session().create_client
    monkeypatch.setattr(aws.session(), "create_client", slowly)
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        clients = list(pool.map(aws.management_api, ["https://api.example/prod"] * CALLS_AT_ONCE))

    assert len(set(map(id, clients))) == 1
    config: Any = clients[0].meta.config
    assert config.max_pool_connections >= CALLS_AT_ONCE, "or they would wait for each other's connection"


@pytest.mark.parametrize("answer", [Answer(), error(500), error(410, "GoneException")])
def test_who_is_evicted_is_told_and_then_closed_even_if_that_fails(
    gateway: Service, tab: Connection, answer: Answer
) -> None:
    gateway.answer = answer
    connections = FakeConnections({(tab.recipient, tab.connection_id): tab})

    presence.admit(
        connection("new", age_seconds=0),
        limit=1,
        policy="evict_oldest",
        connections=connections,
        sockets=ManagementApi(),
        clock=FakeClock(),
    )

    told, *closed = gateway.requests
    assert (told.method, told.path) == ("POST", "/prod/@connections/Sm9%2F%2BZQ%3D")
    assert told.body == b'{"kind":"close","reason":"evicted","reconnect":false}'
    assert {(request.method, request.path) for request in closed} == {("DELETE", told.path)}


@pytest.mark.parametrize(
    ("answer", "closed"),
    [(Answer(204), True), (error(410, "GoneException"), False), (error(400, "BadRequestException"), False)],
)
def test_closing(gateway: Service, tab: Connection, answer: Answer, *, closed: bool) -> None:
    gateway.answer = answer

    assert ManagementApi().close(tab) is closed

    assert [(request.method, request.path) for request in gateway.requests] == [
        ("DELETE", "/prod/@connections/Sm9%2F%2BZQ%3D")
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (error(403, "ForbiddenException", b'{"Message":"s3cr3t"}'), "DeleteConnection: ForbiddenException"),
        (error(429, "LimitExceededException"), "DeleteConnection: LimitExceededException"),
        (error(500), "DeleteConnection: 500"),
    ],
)
def test_closing_may_fail(gateway: Service, tab: Connection, answer: Answer, said: str) -> None:
    gateway.answer = answer

    with pytest.raises(ServiceUnavailable, match=f"^{said}$"):
        ManagementApi().close(tab)


def test_nobody_there_to_close_it() -> None:
    with pytest.raises(ServiceUnavailable, match=r"^EndpointConnectionError$"):
        ManagementApi().close(at(refused_url()))
