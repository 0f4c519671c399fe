"""The authorizer on API Gateway's events: cookies, origins, subprotocols, doubled headers, and networks.

The stage of these takes cookies, names the pages that may connect and the networks that may, and wants a scope.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from lambdas.routes import authorizer
from local import tokens
from local.tokens import Keys
from tests.attacks.conftest import REFUSALS, Case
from tests.attacks.forging import Forge
from tests.builders import NOW
from tests.contract.conftest import Stage
from tests.contract.test_authorizer import HANDSHAKE

LAYER = "handler"
ORIGIN = "https://app.example"
SETTINGS = {
    "TOKEN_ALGORITHMS": tokens.ALGORITHM,
    "TOKEN_ISSUER": tokens.ISSUER,
    "TOKEN_AUDIENCE": tokens.AUDIENCE,
    "TOKEN_CONTEXTS_CLAIM": tokens.CONTEXTS_CLAIM,
    "TOKEN_COOKIE_NAME": "session",
    "TOKEN_REQUIRED_SCOPE": "sockets",
    "ALLOWED_ORIGINS": f"{ORIGIN}, https://app.example:8443, null",
    "ALLOWED_NETWORKS": "203.0.113.0/24, 2001:db8::/32",
}
FORGE = Forge(Keys.make(), user="ana")
SIGNED_AT = int(NOW.timestamp())
GOOD = FORGE.token(iat=SIGNED_AT, exp=SIGNED_AT + 600, scope="openid sockets")
OF_BOB = FORGE.token(iat=SIGNED_AT, exp=SIGNED_AT + 600, scope="sockets", sub="bob")
Headers = Mapping[str, Sequence[str]]
_RULES = set(re.findall(r"`(\w+)`", REFUSALS["403"]))

_COOKIE: Headers = {"Cookie": [f"session={GOOD}"], "Origin": [ORIGIN]}
_BEARER: Headers = {"Authorization": [f"Bearer {GOOD}"]}
_PROTOCOL: Headers = {"Sec-WebSocket-Protocol": [f"bearer, {GOOD}"], "Origin": [ORIGIN]}


@pytest.fixture
def door(stage: Stage) -> Iterator[Stage]:
    """The stage's authorizer. It logs no token."""
    stage.set(**SETTINGS, TOKEN_JWKS=json.dumps(FORGE.keys.stage_settings()["jwks"]))
    authorizer.wired.cache_clear()
    yield stage
    authorizer.wired.cache_clear()
    written = stage.written()
    assert not any(token.rpartition(".")[2] in written for token in (GOOD, OF_BOB))
    assert "ERROR" not in written


def event(headers: Headers, *, query: Mapping[str, Sequence[str]] | None = None, ip: str | None = None) -> Any:
    """API Gateway's event: what is doubled stands whole in the fields for many values, and its last in the others."""
    asked = copy.deepcopy(HANDSHAKE)
    many = {**{name: [value] for name, value in asked["headers"].items()}, **{n: [*v] for n, v in headers.items() if v}}
    asked["multiValueHeaders"] = many
    asked["headers"] = {name: values[-1] for name, values in many.items()}
    if query is not None:
        asked["multiValueQueryStringParameters"] = {name: [*values] for name, values in query.items()}
        asked["queryStringParameters"] = {name: values[-1] for name, values in query.items()}
    if ip is not None:
        asked["requestContext"]["identity"]["sourceIp"] = ip
    return asked


def answer(door: Stage, asked: Any) -> str:
    """What the handshake is answered: 401, 403 with the rules that were broken, or 101 with who it is."""
    try:
        policy = door.call(authorizer.handler, asked)
    except authorizer.Unauthorized as refusal:
        return "401" if str(refusal) == "Unauthorized" else "500"
    (statement,) = policy["policyDocument"]["Statement"]
    assert statement["Resource"] == asked["methodArn"]
    if statement["Effect"] == "Deny":
        broken = str(policy["context"]["reason"]).removeprefix("not allowed: ")
        assert set(broken.split(", ")) <= _RULES, "docs/asyncapi.json names no such rule"
        return f"403 {broken}"
    return f"101 {policy['context']['user']} {policy['context']['context']} {policy['context']['contextId']}"


LET_IN: dict[str, Headers] = {
    "a header": _BEARER,
    "a cookie, from the page": _COOKIE,
    "a subprotocol, from the page": _PROTOCOL,
    "another cookie, in capitals": {**_COOKIE, "Cookie": [f"SESSION={OF_BOB}; session={GOOD}"]},
    "a cookie whose name ends alike": {**_COOKIE, "Cookie": [f"xsession={OF_BOB}; session={GOOD}"]},
    "a cookie with another's prefix": {**_COOKIE, "Cookie": [f"__Host-session={OF_BOB}; session={GOOD}"]},
    "an origin in capitals": {**_COOKIE, "Origin": ["HTTPS://APP.EXAMPLE"]},
    "headers in capitals": {"AUTHORIZATION": [f"BEARER {GOOD}"]},
    "an empty cookie header": {**_BEARER, "Cookie": [""]},
    "a token of 8,192 characters": {
        "Authorization": [f"Bearer {FORGE.token_of(8192, iat=SIGNED_AT, exp=SIGNED_AT + 600, scope='sockets')}"]
    },
    "a stray subprotocol beside a header": {**_BEARER, "Sec-WebSocket-Protocol": ["graphql-ws"]},
}
NO_TOKEN: dict[str, Headers] = {
    "smuggling: Authorization twice": {"Authorization": [f"Bearer {GOOD}", f"Bearer {OF_BOB}"]},
    "smuggling: Authorization twice, alike": {"Authorization": [f"Bearer {GOOD}"] * 2},
    "smuggling: Authorization twice, one empty": {"Authorization": [f"Bearer {GOOD}", ""]},
    "smuggling: Authorization twice, one Basic": {"Authorization": ["Basic eDp5", f"Bearer {GOOD}"]},
    "smuggling: Authorization in two spellings": {
        "Authorization": [f"Bearer {GOOD}"],
        "authorization": [f"Bearer {OF_BOB}"],
    },
    "smuggling: Authorization folded": {"Authorization": [f"Bearer\r\n {GOOD}"]},
    "smuggling: Authorization folded behind": {"Authorization": [f"Bearer {GOOD}\r\n X: y"]},
    "smuggling: Authorization with a line end": {"Authorization": [f"Bearer {GOOD}\n"]},
    "smuggling: Authorization with a NUL": {"Authorization": [f"Bearer {GOOD}\0"]},
    "smuggling: Authorization with a tab": {"Authorization": [f"Bearer\t{GOOD}"]},
    "smuggling: Authorization with a no-break space": {"Authorization": [f"Bearer\N{NO-BREAK SPACE}{GOOD}"]},
    "smuggling: Authorization with two tokens": {"Authorization": [f"Bearer {GOOD} {OF_BOB}"]},
    "smuggling: Authorization with a list": {"Authorization": [f"Bearer {GOOD}, Bearer {OF_BOB}"]},
    "smuggling: Authorization with parameters": {"Authorization": [f'Bearer token="{GOOD}"']},
    "smuggling: header and cookie disagree": {**_BEARER, "Cookie": [f"session={OF_BOB}"], "Origin": [ORIGIN]},
    "smuggling: header and cookie agree": {**_BEARER, "Cookie": [f"session={GOOD}"], "Origin": [ORIGIN]},
    "smuggling: header and an empty cookie": {**_BEARER, "Cookie": ["session="]},
    "smuggling: header and subprotocol disagree": {**_BEARER, "Sec-WebSocket-Protocol": [f"bearer, {OF_BOB}"]},
    "smuggling: cookie and subprotocol disagree": {**_COOKIE, "Sec-WebSocket-Protocol": [f"bearer, {OF_BOB}"]},
    "smuggling: all three": {**_BEARER, **_COOKIE, **_PROTOCOL},
    "smuggling: a bad header beside a good cookie": {**_COOKIE, "Authorization": ["Bearer x"]},
    "smuggling: Basic beside a good cookie": {**_COOKIE, "Authorization": ["Basic eDp5"]},
    "cookie: twice": {**_COOKIE, "Cookie": [f"session={GOOD}; session={OF_BOB}"]},
    "cookie: twice, the other first": {**_COOKIE, "Cookie": [f"session={OF_BOB}; session={GOOD}"]},
    "cookie: twice, alike": {**_COOKIE, "Cookie": [f"session={GOOD}; session={GOOD}"]},
    "cookie: in two headers": {**_COOKIE, "Cookie": [f"session={GOOD}", f"session={OF_BOB}"]},
    "cookie: in two spellings": {**_COOKIE, "cookie": [f"session={OF_BOB}"]},
    "cookie: twice, with blanks": {**_COOKIE, "Cookie": [f"session={GOOD};  session \t={OF_BOB}"]},
    "cookie: twice, one empty": {**_COOKIE, "Cookie": [f"session={GOOD}; session"]},
    "cookie: in capitals": {**_COOKIE, "Cookie": [f"SESSION={GOOD}"]},
    "cookie: another": {**_COOKIE, "Cookie": [f"token={GOOD}"]},
    "cookie: with a prefix": {**_COOKIE, "Cookie": [f"__Host-session={GOOD}"]},
    "cookie: quoted": {**_COOKIE, "Cookie": [f'session="{GOOD}"']},
    "cookie: inside another's quotes": {**_COOKIE, "Cookie": [f'a="; session={GOOD}"']},
    "cookie: behind a comma": {**_COOKIE, "Cookie": [f"a=b, session={GOOD}"]},
    "cookie: encoded": {**_COOKIE, "Cookie": [f"session={GOOD.replace('.', '%2E')}"]},
    "cookie: folded": {**_COOKIE, "Cookie": [f"session={GOOD}\r\n"]},
    "cookie: $Version before it": {**_COOKIE, "Cookie": [f"$Version=1, session={GOOD}"]},
    "subprotocol: bearer alone": {"Sec-WebSocket-Protocol": ["bearer"]},
    "subprotocol: bearer and a comma": {"Sec-WebSocket-Protocol": ["bearer,"]},
    "subprotocol: bearer twice": {"Sec-WebSocket-Protocol": ["bearer, bearer"]},
    "subprotocol: the token first": {"Sec-WebSocket-Protocol": [f"{GOOD}, bearer"]},
    "subprotocol: two tokens": {"Sec-WebSocket-Protocol": [f"bearer, {GOOD}, {OF_BOB}"]},
    "subprotocol: commas between": {"Sec-WebSocket-Protocol": [f"bearer,,{GOOD}"]},
    "subprotocol: a comma before": {"Sec-WebSocket-Protocol": [f",bearer,{GOOD}"]},
    "subprotocol: a hundred": {"Sec-WebSocket-Protocol": [f"bearer, {GOOD}" + ", x" * 100]},
    "subprotocol: in capitals": {"Sec-WebSocket-Protocol": [f"BEARER, {GOOD}"]},
    "subprotocol: without a comma": {"Sec-WebSocket-Protocol": [f"bearer {GOOD}"]},
    "subprotocol: with a point": {"Sec-WebSocket-Protocol": [f"bearer.{GOOD}"]},
    "subprotocol: without bearer": {"Sec-WebSocket-Protocol": [GOOD]},
    "subprotocol: in two headers": {"Sec-WebSocket-Protocol": ["bearer", GOOD]},
    "subprotocol: in two spellings": {
        "Sec-WebSocket-Protocol": [f"bearer, {GOOD}"],
        "sec-websocket-protocol": [f"bearer, {OF_BOB}"],
    },
    "size: 8,193 characters": {
        "Authorization": [f"Bearer {FORGE.token_of(8193, iat=SIGNED_AT, exp=SIGNED_AT + 600, scope='sockets')}"]
    },
    "size: a megabyte": {"Authorization": ["Bearer " + "a." * 500_000]},
    "size: a megabyte of blanks": {"Authorization": ["Bearer" + " " * 1_000_000 + "x y"]},
    "size: a hundred thousand cookies": {"Cookie": ["session=x;" * 100_000]},
    "size: ten thousand headers": {"Authorization": [f"Bearer {GOOD}"] * 10_000},
}
_STRANGE_ORIGINS = {
    "none": [],
    "null": ["null"],
    "null in capitals": ["NULL"],
    "empty": [""],
    "another": ["https://evil.example"],
    "another scheme": ["http://app.example"],
    "another port": ["https://app.example:444"],
    "the default port, spelled out": ["https://app.example:443"],
    "a longer port": ["https://app.example:84430"],
    "as a suffix": ["https://evil-app.example"],
    "as a part of another": ["https://app.example.evil.example"],
    "a subdomain": ["https://x.app.example"],
    "the domain above": ["https://example"],
    "a dot at its end": ["https://app.example."],
    "a slash at its end": ["https://app.example/"],
    "behind a user": ["https://app.example@evil.example"],
    "in the query": ["https://evil.example?https://app.example"],
    "in the fragment": ["https://evil.example#https://app.example"],
    "two in one": ["https://app.example https://evil.example"],
    "two with a comma": ["https://app.example, https://evil.example"],
    "twice": [ORIGIN, "https://evil.example"],
    "twice, alike": [ORIGIN, ORIGIN],
    "a Cyrillic look-alike": ["https://\N{CYRILLIC SMALL LETTER A}pp.example"],
    "the look-alike's IDN": ["https://xn--pp-6kc.example"],
    "a Kelvin sign": ["https://\N{KELVIN SIGN}.example"],
    "a fullwidth dot": ["https://app\N{FULLWIDTH FULL STOP}example"],
    "an ideographic full stop": ["https://app\N{IDEOGRAPHIC FULL STOP}example"],
    "a sharp s": ["https://app.example\N{LATIN SMALL LETTER SHARP S}"],
    "a NUL": ["https://app.example\0.evil.example"],
    "a blank before": [" https://app.example"],
    "a line break": ["https://app.example\r\n"],
    "a star": ["*"],
    "an extension's": ["chrome-extension://app.example"],
    "a file's": ["file://"],
    "a data URL's": ["data:text/html,https://app.example"],
}
CROSS_SITE: dict[str, Headers] = {
    **{f"cookie, origin: {name}": {**_COOKIE, "Origin": origins} for name, origins in _STRANGE_ORIGINS.items()},
    **{
        f"subprotocol, origin: {name}": {**_PROTOCOL, "Origin": origins}
        for name, origins in _STRANGE_ORIGINS.items()
        if origins
    },
    "cookie, origin under another header": {"Cookie": _COOKIE["Cookie"], "X-Origin": [ORIGIN], "Referer": [ORIGIN]},
    "cookie, the good origin beside a bad one": {**_COOKIE, "origin": ["https://evil.example"]},
}


@pytest.mark.parametrize("headers", LET_IN.values(), ids=LET_IN)
def test_who_may(case: Case, door: Stage, headers: Headers) -> None:
    """So that the others are refused for what is wrong with them, and with nobody else's token."""
    case.answer(answer(door, event(headers)), "101 ana chat 42")


@pytest.mark.parametrize("headers", NO_TOKEN.values(), ids=NO_TOKEN)
def test_token(case: Case, door: Stage, headers: Headers) -> None:
    case.answer(answer(door, event(headers)), "401")


@pytest.mark.parametrize("headers", CROSS_SITE.values(), ids=CROSS_SITE)
def test_cross_site(case: Case, door: Stage, headers: Headers) -> None:
    case.answer(answer(door, event(headers)), "403 origin")


QUERIES: dict[str, tuple[Mapping[str, Sequence[str]], str]] = {
    "nothing": ({}, "context, contextId, conversation"),
    "context twice": ({"context": ["chat", "desk"], "contextId": ["42"]}, "context, conversation"),
    "context twice, alike": ({"context": ["chat", "chat"], "contextId": ["42"]}, "context, conversation"),
    "contextId twice": ({"context": ["chat"], "contextId": ["42", "43"]}, "contextId"),
    "in capitals beside": ({"Context": ["chat"], "contextId": ["42"]}, "context, conversation"),
    "a thousand values": ({"context": ["chat"] * 1000, "contextId": ["42"]}, "context, conversation"),
    "a lone surrogate": ({"context": ["chat"], "contextId": ["\ud800"]}, "contextId"),
    "a prototype's name": ({"context": ["__proto__"], "contextId": ["constructor"]}, "conversation"),
    "a key's separator": ({"context": ["chat"], "contextId": ["42#Sm9tZQ="]}, "contextId"),
    "a million characters": ({"context": ["chat"], "contextId": ["x" * 1_000_000]}, "contextId"),
}


@pytest.mark.parametrize(("query", "broken"), QUERIES.values(), ids=QUERIES)
def test_query(case: Case, door: Stage, query: Mapping[str, Sequence[str]], broken: str) -> None:
    case.answer(answer(door, event(_BEARER, query=query)), f"403 {broken}")


@pytest.mark.parametrize(
    "ip",
    [
        "203.0.114.1",
        "203.0.113.7, 198.51.100.1",
        "203.0.113.7:443",
        "203.0.113.07",
        "3405803783",
        "0xcb.0.113.7",
        "::ffff:198.51.100.1",
        "2001:db9::1",
        "2001:db8::1%eth0/64",
        "localhost",
        "",
    ],
)
def test_network(case: Case, door: Stage, ip: str) -> None:
    """Whatever the client says of itself in `X-Forwarded-For`."""
    headers = {**_BEARER, "X-Forwarded-For": ["203.0.113.7"], "Forwarded": ["for=203.0.113.7"]}
    case.answer(answer(door, event(headers, ip=ip)), "403 network")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"scope": ""},
        {"scope": "socket"},
        {"scope": "sockets2 xsockets"},
        {"scope": "SOCKETS"},
        {"scope": "openid,sockets"},
        {"scope": {"sockets": True}},
        {"scope": [["sockets"]]},
        {"scope": "", "scp": ["sockets"]},
        {"scp": ["openid sockets"]},
        {"scopes": ["sockets"]},
        {"scope": "socket\N{ZERO WIDTH SPACE}s"},
        {"scope": "\N{LATIN SMALL LETTER LONG S}ockets"},
    ],
    ids=lambda claims: json.dumps(claims),
)
def test_scope(case: Case, door: Stage, claims: dict[str, Any]) -> None:
    token = FORGE.token(iat=SIGNED_AT, exp=SIGNED_AT + 600, **claims)
    case.answer(answer(door, event({"Authorization": [f"Bearer {token}"]})), "403 scope")
