"""Many posts at once, with the answers that API Gateway gives."""

import socket
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import botocore.session
import pytest

from lambdas.adapters import channels, poster
from lambdas.adapters.poster import AsyncPoster
from lambdas.adapters.signing import Credentials
from lambdas.core.errors import InvalidMessage, ServiceUnavailable
from lambdas.core.ports import Post, PostResult
from tests.integration.service import Answer, Service, _Handler, refused_url

POSTED, GONE, THROTTLED, FAILED = PostResult.POSTED, PostResult.GONE, PostResult.THROTTLED, PostResult.FAILED
FRAME = '{"payload":"say \\"hi\\" 👩‍🚀"}'.encode()
CREDENTIALS = Credentials("AKID", "s3cr3t")


@pytest.fixture
def gateway() -> Iterator[Service]:
    with Service().running() as service:
        yield service


@pytest.fixture
def posting() -> Iterator[AsyncPoster]:
    with AsyncPoster(lambda: CREDENTIALS, region="eu-central-1") as made:
        yield made


def to(gateway: Service, *connection_ids: str) -> list[Post]:
    return [Post(f"{gateway.url}/prod", connection_id, FRAME) for connection_id in connection_ids]


def test_a_frame_arrives_byte_for_byte_at_exactly_this_connection(gateway: Service, posting: AsyncPoster) -> None:
    assert posting.post(to(gateway, "Sm9/+ZQ=")) == [POSTED]

    (request,) = gateway.requests
    assert (request.method, request.path) == ("POST", "/prod/@connections/Sm9%2F%2BZQ%3D")
    assert request.body == FRAME


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, POSTED),
        (410, GONE),
        (400, GONE),
        (429, THROTTLED),
        (403, FAILED),
        (302, FAILED),
        (500, FAILED),
        (503, FAILED),
    ],
)
def test_what_an_answer_means(gateway: Service, posting: AsyncPoster, status: int, result: PostResult) -> None:
    gateway.answer = Answer(status, b'{"message":"x"}', {"Location": "/elsewhere"})

    assert posting.post(to(gateway, "a", "b")) == [result, result]
    assert len(gateway.requests) == 2, "the rules repeat a post, not the client"


def test_results_are_in_the_order_of_the_posts(gateway: Service) -> None:
    nowhere = refused_url()
    posts = to(gateway, *map(str, range(250)))
    posts[7::50] = [post._replace(endpoint=nowhere) for post in posts[7::50]]

    with AsyncPoster(lambda: CREDENTIALS, region="eu-central-1", posts_at_once=4) as posting:
        results = posting.post(posts)

    assert [number for number, result in enumerate(results) if result is FAILED] == list(range(7, 250, 50))
    assert results.count(POSTED) == 245
    assert len({request.path for request in gateway.requests}) == 245


class KeepingService(Service):
    """Keeps connections open, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = KeepingHandler
        self.accepted: list[socket.socket] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        self.accepted.append(request)
        super().process_request(request, client_address)


class KeepingHandler(_Handler):
    protocol_version = "HTTP/1.1"


def test_connections_are_kept_from_call_to_call(posting: AsyncPoster) -> None:
    with KeepingService().running() as gateway:
        for _ in range(3):
            assert posting.post(to(gateway, "a")) == [POSTED]
        assert len(gateway.accepted) == 1


def test_a_connection_that_was_closed_meanwhile_is_replaced(posting: AsyncPoster) -> None:
    """As after a pause in which the function was frozen."""
    with KeepingService().running() as gateway:
        posting.post(to(gateway, "a"))
        gateway.accepted[0].shutdown(socket.SHUT_RDWR)

        # Whether it is noticed before or by the post: at the latest, the rules' second try is taken.
        results = [posting.post(to(gateway, "a")) for _ in range(2)]

    assert results[1] == [POSTED]
    assert len(gateway.accepted) == 2


def test_nothing_to_post(posting: AsyncPoster) -> None:
    assert posting.post([]) == []


def test_a_frame_that_is_too_large(gateway: Service, posting: AsyncPoster) -> None:
    gateway.answer = Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    with pytest.raises(InvalidMessage, match=f"^payload: API Gateway takes no frame of {len(FRAME)} bytes$"):
        posting.post(to(gateway, "a", "b", "c"))

    gateway.answer = Answer()
    assert posting.post(to(gateway, "a")) == [POSTED]


def test_an_answer_that_comes_too_late(gateway: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "ANSWER_SECONDS", 0.05)
    gateway.answer = Answer(delay_seconds=0.2)
    with AsyncPoster(lambda: CREDENTIALS, region="eu-central-1") as posting:
        assert posting.post(to(gateway, "a")) == [FAILED]


def test_new_credentials_are_used_from_the_next_call_on(gateway: Service) -> None:
    current = CREDENTIALS
    with AsyncPoster(lambda: current, region="eu-central-1") as posting:
        posting.post(to(gateway, "a"))
        current = Credentials("NEWER", "s3cr3t", "session")
        posting.post(to(gateway, "a"))

    first, second = (request.headers for request in gateway.requests)
    assert "Credential=AKID/" in first["Authorization"]
    assert "X-Amz-Security-Token" not in first
    assert "Credential=NEWER/" in second["Authorization"]
    assert second["X-Amz-Security-Token"] == "session"


def test_the_functions_poster_signs_as_the_function(gateway: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FUNCTION")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    poster.shared.cache_clear()
    try:
        with poster.shared() as posting:
            assert posting.post(to(gateway, "a")) == [POSTED]
            assert poster.shared() is posting
    finally:
        poster.shared.cache_clear()

    (request,) = gateway.requests
    assert "Credential=FUNCTION/" in request.headers["Authorization"]
    assert "/eu-north-1/execute-api/aws4_request" in request.headers["Authorization"]


def test_without_credentials_nothing_is_posted(monkeypatch: pytest.MonkeyPatch) -> None:
    session = botocore.session.get_session()
    monkeypatch.setattr(session, "get_credentials", lambda: None)
    with pytest.raises(ServiceUnavailable, match="no AWS credentials"):
        poster._credentials(session)
