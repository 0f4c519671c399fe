"""The backends' HTTP API: whose token opens it, and what it makes of paths and bodies that are none."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.demo.stage import envelope
from local.tokens import BACKEND_SCOPE
from tests.attacks.conftest import Case
from tests.attacks.forging import ABSENT, Forge, always
from tests.attacks.target import Answer, Target

LAYER = "stack"
DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
USER = f"nobody-{uuid.uuid4()}"
OPERATIONS = [
    ("POST", "/messages"),
    ("POST", "/messages/fan-out"),
    ("GET", "/messages/m-1"),
    ("DELETE", "/messages/m-1"),
    ("GET", "/users/ana/connections"),
]


def call(target: Target, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """As a backend that may."""
    stage = target.stage
    return target.call(
        stage.installation.http_api_url, method, path, token=stage.keys.backend_token(), body=body, **headers
    )


def message(**changes: Any) -> bytes:
    """A good message, changed."""
    fields = {**envelope(USER, "hello"), **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ABSENT}).encode()


def recipient(**changes: Any) -> bytes:
    """A good message, with its recipient changed."""
    fields = {"user": USER, "context": "chat", "contextId": "42", **changes}
    return message(recipient={name: value for name, value in fields.items() if value is not ABSENT})


def fan_out(**changes: Any) -> bytes:
    """A good fan-out, changed."""
    audience = {"users": [USER], "context": "chat", "contextId": "42"}
    return json.dumps({"id": "f-1", "message": {"payload": 1}, "audience": audience, **changes}).encode()


# Which token is asked for is ours to say; that its signature is looked at is API Gateway's.
TOKENS: dict[str, tuple[Callable[[Forge], str | None], int]] = {
    "none": (lambda _: None, 401),
    "no token": (lambda _: "x", 401),
    "a client's": (lambda forge: forge.token(), 401),
    "a client's, with the scope": (lambda forge: forge.token(scope=BACKEND_SCOPE), 401),
    "a client's, for the audience": (lambda f: f.token(scope=BACKEND_SCOPE, aud="ringback-http-api"), 401),
    "a client's, in the issuer's name": (lambda f: f.token(scope=BACKEND_SCOPE, iss=f.keys.backend_issuer), 401),
    "a customer's": (lambda forge: forge.keys.chat_token("mallory"), 401),
    "an agent's, with the scope": (lambda f: f.keys.chat_token("mallory", "agent", scope=BACKEND_SCOPE), 401),
    "for clients' audience": (lambda forge: forge.keys.backend_token(aud="ringback"), 401),
    "of clients' issuer": (lambda forge: forge.keys.backend_token(iss="https://ringback.local"), 401),
    "unsigned": (lambda f: f.token(f.header(alg="none"), always(b""), scope=BACKEND_SCOPE), 401),
    "without a scope": (lambda forge: forge.keys.backend_token(scope=""), 403),
    "of a longer scope": (lambda forge: forge.keys.backend_token(scope=f"{BACKEND_SCOPE}2"), 403),
    "of a shorter scope": (lambda forge: forge.keys.backend_token(scope=BACKEND_SCOPE[:-1]), 403),
    "of a scope in capitals": (lambda forge: forge.keys.backend_token(scope=BACKEND_SCOPE.upper()), 403),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("make", "documented"), TOKENS.values(), ids=TOKENS)
def test_token(case: Case, target: Target, forge: Forge, make: Callable[[Forge], str | None], documented: int) -> None:
    """At each of the operations."""
    url, token = target.stage.installation.http_api_url, make(forge)
    bodies = {"/messages": message(track=True), "/messages/fan-out": fan_out()}
    answers = {target.call(url, method, path, token=token, body=bodies.get(path)).status for method, path in OPERATIONS}
    case.answer(answers, {documented})


INVALID_MESSAGE, INVALID_REQUEST = "400 invalid-message", "400 invalid-request"
NOT_FOUND, NO_ROUTE, NOT_ALLOWED = "404 message-not-found", "404 no-such-route", "405 method-not-allowed"
PATHS: dict[str, tuple[str, str, str]] = {
    "another method": ("PUT", "/messages", NOT_ALLOWED),
    "a method of no standard": ("MALLORY", "/messages", NOT_ALLOWED),
    "a method in lower case": ("delete", "/messages", NOT_ALLOWED),
    "TRACE": ("TRACE", "/messages/m-1", NOT_ALLOWED),
    "PATCH": ("PATCH", "/messages/m-1", NOT_ALLOWED),
    "POST to what is read": ("POST", f"/users/{USER}/connections", NOT_ALLOWED),
    "GET of what is sent": ("GET", "/messages", NOT_ALLOWED),
    "capitals": ("GET", "/Messages/m-1", NO_ROUTE),
    "a version before": ("GET", "/v1/messages/m-1", NO_ROUTE),
    "the console's": ("GET", "/admin", NO_ROUTE),
    "a file's": ("GET", "/.env", NO_ROUTE),
    "a dot segment": ("GET", f"/messages/../users/{USER}/connections", NOT_FOUND),
    "an encoded dot segment": ("GET", f"/messages/%2e%2e/users/{USER}/connections", NOT_FOUND),
    "an encoded slash": ("GET", "/messages/a%2Fb", NOT_FOUND),
    "an encoded slash, and a route": ("DELETE", "/messages/x%2F..%2F..%2Fusers", NOT_FOUND),
    "an id with a NUL": ("GET", "/messages/a%00", INVALID_REQUEST),
    "an id with a line end": ("GET", "/messages/a%0d%0aX:%20y", INVALID_REQUEST),
    "an id with a blank": ("GET", "/messages/a%20b", INVALID_REQUEST),
    "an id with a key's separator": ("GET", "/messages/a%23b", INVALID_REQUEST),
    "an id of zero width": ("GET", "/messages/%E2%80%8B", INVALID_REQUEST),
    "an id turned right to left": ("GET", "/messages/%E2%80%AEm-1", INVALID_REQUEST),
    "an id in a look-alike": ("GET", "/messages/%D0%B0", INVALID_REQUEST),
    "an id that is no UTF-8": ("GET", "/messages/%FF", INVALID_REQUEST),
    "an id too long": ("GET", "/messages/" + "m" * 129, INVALID_REQUEST),
    "an id of 4 KB": ("DELETE", "/messages/" + "m" * 4000, INVALID_REQUEST),
    "an id that is an ARN": ("GET", "/messages/arn:aws:states:us-east-1:000000000000:execution:x:y", NOT_FOUND),
    "an id that is a pattern": ("DELETE", "/messages/*", NOT_FOUND),
    "an id that is SQL": ("DELETE", "/messages/x'OR'1'='1", NOT_FOUND),
    "a prototype's name": ("GET", "/messages/__proto__", NOT_FOUND),
    "a fan-out's route read": ("GET", "/messages/fan-out", NOT_FOUND),
    "a user with a key's separator": ("GET", "/users/ana%23chat/connections", INVALID_REQUEST),
    "a user with a NUL": ("GET", "/users/ana%00/connections", INVALID_REQUEST),
    "a user in a look-alike": ("GET", "/users/%D0%B0na/connections", INVALID_REQUEST),
    "a user too long": ("GET", "/users/" + "u" * 256 + "/connections", INVALID_REQUEST),
    "no user": ("GET", "/users//connections", NO_ROUTE),
    "users": ("GET", "/users", NO_ROUTE),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("method", "path", "documented"), PATHS.values(), ids=PATHS)
def test_path(case: Case, target: Target, method: str, path: str, documented: str) -> None:
    case.answer(call(target, method, path).problem, documented)


def _text(fields: bytes, tail: bytes) -> bytes:
    return fields[:-1] + b"," + tail + b"}"


def _payload(text: bytes) -> bytes:
    return message(payload="<here>").replace(b'"<here>"', text)


BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", INVALID_REQUEST),
    "a blank": (b" ", INVALID_REQUEST),
    "null": (b"null", INVALID_REQUEST),
    "a list": (b"[" + message() + b"]", INVALID_REQUEST),
    "a text": (b'"hello"', INVALID_REQUEST),
    "a form": (b"user=ana&payload=1", INVALID_REQUEST),
    "markup with an entity": (b'<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>', INVALID_REQUEST),
    "UTF-16": (message().decode().encode("utf-16"), INVALID_REQUEST),
    "a byte order mark": (b"\xef\xbb\xbf" + message(), INVALID_REQUEST),
    "a NUL behind it": (message() + b"\0", INVALID_REQUEST),
    "two": (message() + message(), INVALID_REQUEST),
    "a comma at the end": (message()[:-1] + b",}", INVALID_REQUEST),
    "NaN": (_payload(b"NaN"), INVALID_REQUEST),
    "Infinity": (_payload(b"-Infinity"), INVALID_REQUEST),
    "a number without end": (_payload(b"1e999"), INVALID_MESSAGE),
    "5,000 digits": (_payload(b"9" * 5000), INVALID_REQUEST),
    "10,000 lists in each other": (_payload(b"[" * 10_000 + b"]" * 10_000), INVALID_REQUEST),
    "10,000 objects in each other": (_payload(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), INVALID_REQUEST),
    "800 lists in each other": (_payload(b"[" * 800 + b"]" * 800), INVALID_MESSAGE),
    "half a surrogate pair": (_payload(b'"\\ud800"'), INVALID_MESSAGE),
    "half a surrogate pair as a name": (_payload(b'{"\\ud800": 1}'), INVALID_MESSAGE),
    "a frame too large": (message(payload="x" * 131_072), "413 too-large"),
    "a field that there is not": (message(admin=True), INVALID_MESSAGE),
    "a prototype": (_text(message(), b'"__proto__": {"user": "ana"}'), INVALID_MESSAGE),
    "snake case": (message(ttl_seconds=60), INVALID_MESSAGE),
    "another recipient last": (_text(message(), b'"recipient": {"user": "ana\\u0000"}'), INVALID_MESSAGE),
    "an empty batch": (b'{"messages": []}', INVALID_REQUEST),
    "a batch of 101": (b'{"messages": [' + b",".join([message()] * 101) + b"]}", INVALID_REQUEST),
    "a batch with more beside it": (b'{"messages": [{}], "id": "m-1"}', INVALID_REQUEST),
    "a batch that is an object": (b'{"messages": {"0": {}}}', INVALID_REQUEST),
    "no recipient": (message(recipient=ABSENT), INVALID_MESSAGE),
    "a recipient that is a text": (message(recipient="ana"), INVALID_MESSAGE),
    "a recipient that is a list": (message(recipient=[{"user": "ana"}]), INVALID_MESSAGE),
    "a recipient that is a connection": (message(recipient={"connectionId": "Sm9tZQ="}), INVALID_MESSAGE),
    "a recipient with a connection": (recipient(connectionId="Sm9tZQ="), INVALID_MESSAGE),
    "no user": (recipient(user=ABSENT), INVALID_MESSAGE),
    "a user that is a list": (recipient(user=["ana", "bob"]), INVALID_MESSAGE),
    "a user that is a star and a blank": (recipient(user="* "), INVALID_MESSAGE),
    "a user with a key's separator": (recipient(user="ana#chat"), INVALID_MESSAGE),
    "a user with a NUL": (recipient(user="ana\0"), INVALID_MESSAGE),
    "a user with a line end": (recipient(user="ana\n"), INVALID_MESSAGE),
    "a user in a look-alike": (recipient(user="\N{CYRILLIC SMALL LETTER A}na"), INVALID_MESSAGE),
    "a user, composed (NFC)": (recipient(user="jos\N{LATIN SMALL LETTER E WITH ACUTE}"), INVALID_MESSAGE),
    "a user, decomposed (NFD)": (recipient(user="jose\N{COMBINING ACUTE ACCENT}"), INVALID_MESSAGE),
    "a user of zero width": (recipient(user="ana\N{ZERO WIDTH SPACE}"), INVALID_MESSAGE),
    "a context with a key's separator": (recipient(context="chat#42"), INVALID_MESSAGE),
    "a context id with a key's separator": (recipient(contextId="42#Sm9tZQ="), INVALID_MESSAGE),
    "a context id turned right to left": (recipient(contextId="\N{RIGHT-TO-LEFT OVERRIDE}42"), INVALID_MESSAGE),
    "an id with a key's separator": (message(id="m#1"), INVALID_MESSAGE),
    "an id with a line end": (message(id="m-1\n"), INVALID_MESSAGE),
    "an id that is a number": (message(id=1), INVALID_MESSAGE),
    "an id too long": (message(id="m" * 129), INVALID_MESSAGE),
    "a type with a line end": (message(type="a\nb", traceparent="x"), INVALID_MESSAGE),
    "a trace that is none": (message(traceparent="00-" + "g" * 32 + "-" + "0" * 16 + "-00"), INVALID_MESSAGE),
    "a trace with a line end": (message(traceparent="00-" + "1" * 32 + "-" + "1" * 16 + "-00\n"), INVALID_MESSAGE),
    "a life of 0": (message(ttlSeconds=0), INVALID_MESSAGE),
    "a life below 0": (message(ttlSeconds=-1), INVALID_MESSAGE),
    "a life without end": (message(ttlSeconds=10**30), INVALID_MESSAGE),
    "a life of true": (message(ttlSeconds=True), INVALID_MESSAGE),
    "a life in a text": (message(ttlSeconds="60"), INVALID_MESSAGE),
    "an end that has been": (message(expiresAt="2001-01-01T00:00:00Z"), INVALID_MESSAGE),
    "an end that is no time": (message(expiresAt="2030-02-30T00:00:00Z"), INVALID_MESSAGE),
    "an end in no zone": (message(expiresAt="2030-01-01T00:00:00"), INVALID_MESSAGE),
    "more attempts than there are": (message(retry={"maxAttempts": 10**9}), INVALID_MESSAGE),
    "a backoff of nothing": (message(retry={"backoffBaseSeconds": 0}), INVALID_MESSAGE),
    "a wait for years": (message(ack="client", ackTimeoutSeconds=10**9), INVALID_MESSAGE),
    "an acknowledgement by somebody else": (message(ack="ana"), INVALID_MESSAGE),
    "an expression as payload and as field": (message(ack="{% $states.input %}"), INVALID_MESSAGE),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("body", "documented"), BODIES.values(), ids=BODIES)
def test_body(case: Case, target: Target, body: bytes, documented: str) -> None:
    answer = call(target, "POST", "/messages", body)
    assert str(answer.status) in DOCUMENT["paths"]["/messages"]["post"]["responses"]
    case.answer(answer.problem, documented)


FAN_OUTS: dict[str, tuple[bytes, str]] = {
    "no audience": (fan_out(audience=None), "400 invalid-fan-out"),
    "everybody": (fan_out(audience={"users": "*"}), "400 invalid-fan-out"),
    "two audiences": (
        fan_out(audience={"users": [USER], "conversation": {"context": "chat", "contextId": "42"}}),
        "400 invalid-fan-out",
    ),
    "a user with a key's separator": (
        fan_out(audience={"users": ["a#b"], "context": "chat", "contextId": "42"}),
        "400 invalid-fan-out",
    ),
    "a list in another bucket's path": (
        fan_out(audience={"list": "../../other/list", "context": "chat", "contextId": "42", "bucket": "x"}),
        "400 invalid-fan-out",
    ),
    "an id with a line end": (fan_out(id="f\n"), "400 invalid-fan-out"),
    "deep": (fan_out(message={"payload": "<>"}).replace(b'"<>"', b"[" * 10_000 + b"]" * 10_000), INVALID_REQUEST),
    "100,000 users": (
        fan_out(audience={"users": [f"u{n}" for n in range(100_000)], "context": "chat", "contextId": "42"}),
        "400 invalid-fan-out",
    ),
    "1,000 long names": (
        fan_out(audience={"users": [f"{n:0250}" for n in range(1000)], "context": "chat", "contextId": "42"}),
        "413 too-large",
    ),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("body", "documented"), FAN_OUTS.values(), ids=FAN_OUTS)
def test_fan_out(case: Case, target: Target, body: bytes, documented: str) -> None:
    answer = call(target, "POST", "/messages/fan-out", body)
    assert str(answer.status) in DOCUMENT["paths"]["/messages/fan-out"]["post"]["responses"]
    case.answer(answer.problem, documented)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json, text/plain",
        "text/json",
        "",
    ],
)
def test_media_type(case: Case, target: Target, media_type: str) -> None:
    answer = call(target, "POST", "/messages", message(track=True), Content_Type=media_type)
    case.answer(answer.problem, "415 unsupported-media-type")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL"]
)
def test_header_that_says_otherwise(case: Case, target: Target, header: str) -> None:
    """It is a GET of this path, whatever a header says."""
    says = "DELETE" if "Method" in header else f"/users/{USER}/connections"
    case.answer(call(target, "GET", "/messages/m-1", None, **{header: says}).problem, NOT_FOUND)
