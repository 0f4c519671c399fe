"""Keys from where they live: an issuer's URL on a real HTTP server, and Secrets Manager."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from moto import mock_aws

from lambdas.adapters import token_keys
from lambdas.core.authorization import Unauthenticated
from lambdas.core.errors import ServiceUnavailable
from lambdas.settings import Authorizer, SettingsError

OLD, NEW, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
PAYLOAD = b'{"sub":"ana"}'


def sign(key: Any, algorithm: str = "ES256", **header: object) -> str:
    return jwt.PyJWS().encode(PAYLOAD, key, algorithm, header)


class Issuer(ThreadingHTTPServer):
    """An issuer whose answer the test sets, and which counts who asks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def publish(self, **keys: ec.EllipticCurvePrivateKey) -> None:
        members = [
            {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id} for key_id, key in keys.items()
        ]
        self.status, self.body = 200, json.dumps({"keys": members}).encode()


class _Answers(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as server:
        server.publish(old=OLD)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Timer:
    """A clock that only the test moves."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def timer() -> Timer:
    return Timer()


def at(url: str, timer: Timer, *, timeout_seconds: float = 3.0) -> token_keys.TokenKeys:
    settings = Authorizer(
        token_algorithms=("ES256",), token_issuer="issuer", token_audience="audience", token_jwks_url=url
    )
    return token_keys.of(settings, clock=timer, timeout_seconds=timeout_seconds)


def test_keys_are_read_when_the_first_token_comes_and_kept_while_fresh(issuer: Issuer, timer: Timer) -> None:
    keys = at(issuer.url + "/keys", timer)
    assert issuer.requests == []
    for _ in range(3):
        assert keys.verified(sign(OLD, kid="old")) == PAYLOAD
    timer.seconds += token_keys.FRESH_SECONDS - 1
    keys.verified(sign(OLD, kid="old"))
    assert issuer.requests == ["/keys"]
    timer.seconds += 1
    keys.verified(sign(OLD, kid="old"))
    assert issuer.requests == ["/keys"] * 2


def test_a_withdrawn_key_is_refused_once_the_keys_are_read_again(issuer: Issuer, timer: Timer) -> None:
    keys = at(issuer.url, timer)
    keys.verified(sign(OLD, kid="old"))
    issuer.publish(new=NEW)
    timer.seconds += token_keys.FRESH_SECONDS
    with pytest.raises(Unauthenticated):
        keys.verified(sign(OLD, kid="old"))


def test_a_new_key_is_found_before_the_old_ones_are_stale(issuer: Issuer, timer: Timer) -> None:
    keys = at(issuer.url, timer)
    keys.verified(sign(OLD, kid="old"))
    issuer.publish(old=OLD, new=NEW)
    timer.seconds += token_keys.RETRY_SECONDS
    assert keys.verified(sign(NEW, kid="new")) == PAYLOAD
    assert len(issuer.requests) == 2


def test_a_flood_of_unknown_keys_does_not_flood_the_issuer(issuer: Issuer, timer: Timer) -> None:
    keys = at(issuer.url, timer)
    for second in range(120):
        timer.seconds = 1000.0 + second
        with pytest.raises(Unauthenticated):
            keys.verified(sign(STRANGER, kid=f"unknown-{second}", jku=issuer.url + "/jku", x5u=issuer.url + "/x5u"))
    assert issuer.requests == ["/"] * (120 // token_keys.RETRY_SECONDS)


def test_a_token_of_no_allowed_algorithm_is_refused_without_asking(issuer: Issuer, timer: Timer) -> None:
    with pytest.raises(Unauthenticated):
        at(issuer.url, timer).verified(sign(b"x" * 32, "HS256", kid="old"))
    assert issuer.requests == []


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (404, b""),
        (204, b""),
        (200, b"<html>"),
        (200, b'{"keys": []}'),
        (200, b"\xff"),
        (200, b"[]"),
        (200, b"[" * 9999),
    ],
)
def test_an_issuer_in_trouble_leaves_the_keys_in_use(issuer: Issuer, timer: Timer, status: int, body: bytes) -> None:
    keys = at(issuer.url, timer)
    keys.verified(sign(OLD, kid="old"))
    issuer.status, issuer.body = status, body
    for _ in range(10):  # and is left alone for a while
        timer.seconds += token_keys.FRESH_SECONDS / 10
        assert keys.verified(sign(OLD, kid="old")) == PAYLOAD
    with pytest.raises(Unauthenticated):
        keys.verified(sign(NEW, kid="new"))
    assert len(issuer.requests) == 2
    issuer.publish(new=NEW)
    timer.seconds += token_keys.RETRY_SECONDS
    assert keys.verified(sign(NEW, kid="new")) == PAYLOAD


def test_without_any_keys_it_is_our_fault_until_there_are_some(issuer: Issuer, timer: Timer) -> None:
    keys = at(issuer.url, timer)
    issuer.status = 503
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match=r"^the key set of 127\.0\.0\.1: HTTP 503$"):
            keys.verified(sign(OLD, kid="old"))
    issuer.publish(old=OLD)
    assert keys.verified(sign(OLD, kid="old")) == PAYLOAD


def test_redirects_are_not_followed(issuer: Issuer, timer: Timer) -> None:
    issuer.status, issuer.headers = 302, {"Location": issuer.url + "/elsewhere"}
    with pytest.raises(ServiceUnavailable, match="HTTP 302"):
        at(issuer.url + "/keys", timer).verified(sign(OLD, kid="old"))
    assert issuer.requests == ["/keys"]


def test_a_key_set_without_end_is_not_read_to_its_end(issuer: Issuer, timer: Timer) -> None:
    issuer.body = b" " * 600_000 + issuer.body
    with pytest.raises(ServiceUnavailable):
        at(issuer.url, timer).verified(sign(OLD, kid="old"))


def test_an_issuer_that_cannot_be_reached_or_does_not_answer(timer: Timer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServiceUnavailable, match="timed out"):
            at(url, timer, timeout_seconds=0.05).verified(sign(OLD, kid="old"))
    with pytest.raises(ServiceUnavailable, match="refused"):
        at(url, timer).verified(sign(OLD, kid="old"))


SECRET = "correct horse battery staple, 1"
ROTATED = b"\x00\xff" * 16


@pytest.fixture
def secrets() -> Iterator[Any]:
    token_keys._secrets_manager.cache_clear()
    with mock_aws():
        yield boto3.client("secretsmanager")
    token_keys._secrets_manager.cache_clear()


def sharing(arn: str, timer: Timer, *algorithms: str) -> token_keys.TokenKeys:
    settings = Authorizer(
        token_algorithms=algorithms or ("HS256",),
        token_issuer="issuer",
        token_audience="audience",
        token_secret_arn=arn,
    )
    return token_keys.of(settings, clock=timer)


def test_a_shared_secret_is_used_and_its_successor_found(secrets: Any, timer: Timer) -> None:
    arn = secrets.create_secret(Name="token", SecretString=SECRET + "!")["ARN"]
    keys = sharing(arn, timer)
    assert keys.verified(sign(SECRET + "!", "HS256", kid="any")) == PAYLOAD
    secrets.put_secret_value(SecretId=arn, SecretBinary=ROTATED)
    with pytest.raises(Unauthenticated):
        keys.verified(sign(ROTATED, "HS256"))
    timer.seconds += token_keys.RETRY_SECONDS
    assert keys.verified(sign(ROTATED, "HS256")) == PAYLOAD
    with pytest.raises(Unauthenticated):
        keys.verified(sign(SECRET + "!", "HS256"))


@pytest.mark.parametrize(
    ("secret", "algorithms", "reason"),
    [
        (SECRET, ["HS256"], "has 31 bytes; HS256 needs 32"),
        (SECRET + "!", ["HS256", "HS512"], "has 32 bytes; HS256, HS512 needs 64"),
        ("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI\n-----END PUBLIC KEY-----\n", ["HS256"], "public key"),
        ('{"kty": "oct", "k": "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"}', ["HS256"], "JSON Web Key"),
    ],
)
def test_a_secret_that_cannot_serve_is_an_error_that_says_so(
    secrets: Any, timer: Timer, secret: str, algorithms: list[str], reason: str
) -> None:
    arn = secrets.create_secret(Name="token", SecretString=secret)["ARN"]
    with pytest.raises(SettingsError, match=reason) as caught:
        sharing(arn, timer, *algorithms).verified(sign("x" * 32, "HS256"))
    assert secret not in str(caught.value)


def test_a_secret_that_cannot_be_read_is_our_fault(secrets: Any, timer: Timer) -> None:
    with pytest.raises(ServiceUnavailable, match="GetSecretValue: ResourceNotFoundException"):
        sharing("arn:aws:secretsmanager:eu-central-1:123456789012:secret:none", timer).verified(sign("x" * 32, "HS256"))
