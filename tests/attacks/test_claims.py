"""Tokens that the issuer has signed, with claims that it should not have: 401, or 403 where only the place is wrong."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from local import tokens
from tests.attacks.conftest import Case
from tests.attacks.forging import ABSENT, Forge
from tests.attacks.target import Target

LAYER = "stack"
Make = Callable[[Forge], str]


def _claims(**claims: Any) -> Make:
    return lambda forge: forge.token(**claims)


def _at(claim: str, seconds: float) -> Make:
    return lambda forge: forge.token(None, None, **{claim: time.time() + seconds})


def _written(claim: str, text: bytes) -> Make:
    """A claim whose value is written as no JSON library would."""
    return lambda forge: forge.raw(
        None, json.dumps(forge.claims(**{claim: "<here>"})).encode().replace(b'"<here>"', text)
    )


def _tail(text: bytes) -> Make:
    return lambda forge: forge.with_tail(text)


def _payload(text: bytes) -> Make:
    return lambda forge: forge.raw(None, text)


TIMES: dict[str, Make] = {
    "exp: a second ago": _at("exp", -1),
    "exp: long ago": _claims(exp=1),
    "exp: missing": _claims(exp=ABSENT),
    "exp: null": _claims(exp=None),
    "exp: a text": lambda forge: forge.token(exp=str(int(time.time()) + 600)),
    "exp: true": _claims(exp=True),
    "exp: a list": lambda forge: forge.token(exp=[int(time.time()) + 600]),
    "exp: negative": _claims(exp=-1),
    "exp: in milliseconds": lambda forge: forge.token(exp=int(time.time() + 600) * 1000),
    "exp: without end": _written("exp", b"1e999"),
    "exp: Infinity": _written("exp", b"Infinity"),
    "exp: NaN": _written("exp", b"NaN"),
    "exp: four thousand digits": _written("exp", b"9" * 4000),
    "nbf: in a minute": _at("nbf", 60),
    "nbf: a text": _claims(nbf="0"),
    "nbf: null": _claims(nbf=None),
    "nbf: without end": _written("nbf", b"1e999"),
    "iat: in a minute": _at("iat", 60),
    "iat: next year": _at("iat", 365 * 86_400),
    "iat: a text": _claims(iat="0"),
    "iat: false": _claims(iat=False),
}
PARTIES: dict[str, Make] = {
    "iss: missing": _claims(iss=ABSENT),
    "iss: another": _claims(iss="https://evil.example"),
    "iss: with a slash": _claims(iss=tokens.ISSUER + "/"),
    "iss: as a prefix": _claims(iss=tokens.ISSUER + ".evil.example"),
    "iss: behind a user": _claims(iss="https://ringback.local@evil.example"),
    "iss: in capitals": _claims(iss=tokens.ISSUER.upper()),
    "iss: a list with it": _claims(iss=[tokens.ISSUER]),
    "iss: a look-alike": _claims(iss=tokens.ISSUER.replace("a", "\N{CYRILLIC SMALL LETTER A}")),
    "iss: the backends'": lambda forge: forge.token(iss=forge.keys.backend_issuer),
    "aud: missing": _claims(aud=ABSENT),
    "aud: null": _claims(aud=None),
    "aud: empty": _claims(aud=[]),
    "aud: another": _claims(aud="other"),
    "aud: as a prefix": _claims(aud=tokens.AUDIENCE + "-http-api"),
    "aud: a part": _claims(aud=tokens.AUDIENCE[:-1]),
    "aud: in capitals": _claims(aud=tokens.AUDIENCE.upper()),
    "aud: two in one text": _claims(aud=f"other {tokens.AUDIENCE}"),
    "aud: a list of others": _claims(aud=["other", tokens.AUDIENCE + "2"]),
    "aud: a list in a list": _claims(aud=[[tokens.AUDIENCE]]),
    "aud: an object": _claims(aud={tokens.AUDIENCE: True}),
    "aud: the backends'": _claims(aud=tokens.BACKEND_AUDIENCE),
    "aud: none, but a client": _claims(aud=ABSENT, client_id=tokens.AUDIENCE),
    "aud: none, but an id token's client": _claims(aud=ABSENT, client_id=tokens.AUDIENCE, token_use="id"),
    "aud: another, and a client": _claims(aud="other", client_id=tokens.AUDIENCE, token_use="access"),
}
_NAMES = {
    "missing": ABSENT,
    "null": None,
    "empty": "",
    "a number": 42,
    "a list": ["ana"],
    "an object": {"ana": 1},
    "a key's separator": "ana#chat",
    "a key": "user#ana",
    "a NUL": "ana\0",
    "a blank": "ana ",
    "a tab before": "\tana",
    "a line break": "ana\n",
    "CR and LF": "ana\r\nx: y",
    "an escape sequence": "ana\x1b[2J",
    "a Cyrillic look-alike": "\N{CYRILLIC SMALL LETTER A}na",
    "a fullwidth look-alike": "\N{FULLWIDTH LATIN SMALL LETTER A}na",
    "composed (NFC)": "an\N{LATIN SMALL LETTER A WITH ACUTE}",
    "decomposed (NFD)": "ana\N{COMBINING ACUTE ACCENT}",
    "a Kelvin sign": "\N{KELVIN SIGN}ana",
    "a dotless i": "\N{LATIN SMALL LETTER DOTLESS I}na",
    "zero width": "ana\N{ZERO WIDTH SPACE}",
    "a zero width joiner": "a\N{ZERO WIDTH JOINER}na",
    "a soft hyphen": "a\N{SOFT HYPHEN}na",
    "turned right to left": "\N{RIGHT-TO-LEFT OVERRIDE}ana",
    "isolated": "\N{LEFT-TO-RIGHT ISOLATE}ana",
    "a no-break space": "ana\N{NO-BREAK SPACE}",
    "a byte order mark": "\ufeffana",
    "a variation selector": "ana\N{VARIATION SELECTOR-16}",
    "a tag character": "ana\U000e0061",
    "half a surrogate pair": "ana\ud800",
    "a fullwidth number sign": "ana\N{FULLWIDTH NUMBER SIGN}chat",
    "too long": "a" * 256,
}
SUBJECTS: dict[str, Make] = {f"sub: {name}": _claims(sub=value) for name, value in _NAMES.items()}
JSON_TRICKS: dict[str, Make] = {
    "payload: sub twice": _tail(b'"sub":"ana"'),
    "payload: sub twice, once escaped": _tail(b'"s\\u0075b":"ana"'),
    "payload: sub twice, alike": _tail(b'"sub":"mallory"'),
    "payload: exp twice": _tail(b'"exp":99999999999'),
    "payload: contexts twice": _tail(b'"contexts":["chat","desk"]'),
    "payload: a name twice deep inside": _tail(b'"x":[{"a":1,"a":2}]'),
    "payload: NaN": _tail(b'"x":NaN'),
    "payload: Infinity": _tail(b'"x":-Infinity'),
    "payload: a number of 5,000 digits": _tail(b'"x":' + b"9" * 5000),
    "payload: deep": _tail(b'"x":' + b"[" * 2600 + b"]" * 2600),
    "payload: deep, without end": _payload(b"[" * 5500),
    "payload: deep objects": _payload(b'{"a":' * 1100),
    "payload: a list": _payload(b'[{"sub":"ana"}]'),
    "payload: a text": _payload(b'"ana"'),
    "payload: a number": _payload(b"1"),
    "payload: null": _payload(b"null"),
    "payload: an empty object": _payload(b"{}"),
    "payload: no UTF-8": _tail(b'"x":"\xff"'),
    "payload: a surrogate as UTF-8": _tail(b'"x":"\xed\xa0\x80"'),
    "payload: an overlong slash": _tail(b'"x":"\xc0\xaf"'),
    "payload: something behind it": lambda f: f.raw(None, json.dumps(f.claims()).encode() + b"{}"),
    "payload: a comment": lambda f: f.raw(None, json.dumps(f.claims()).encode() + b"//"),
    "payload: a byte order mark": lambda f: f.raw(None, b"\xef\xbb\xbf" + json.dumps(f.claims()).encode()),
    "payload: a NUL behind it": lambda f: f.raw(None, json.dumps(f.claims()).encode() + b"\0"),
    "payload: a token": lambda forge: forge.raw(forge.header(cty="JWT"), forge.token().encode()),
}
UNAUTHENTICATED = TIMES | PARTIES | SUBJECTS | JSON_TRICKS

_CONTEXTS = {
    "missing": ABSENT,
    "null": None,
    "empty": [],
    "true": True,
    "another": ["desk"],
    "a prefix": ["cha"],
    "longer": ["chats"],
    "in capitals": ["CHAT"],
    "a star": ["*"],
    "two stars": ["*/*"],
    "a star with the id": ["*/42"],
    "another id": ["chat/43"],
    "a pattern": ["chat/4*"],
    "an empty id": ["chat/"],
    "two slashes": ["chat//42"],
    "a blank at its end": ["chat/42 "],
    "a key's separator": ["chat#42"],
    "a list in a list": [["chat"]],
    "an object": {"chat": "42"},
    "a list of objects": [{"chat": "42"}],
    "with a comma": "desk,chat",
    "a Cyrillic look-alike": ["ch\N{CYRILLIC SMALL LETTER A}t"],
    "zero width": ["chat\N{ZERO WIDTH SPACE}"],
    "a NUL": ["chat\0"],
    "a regular expression": ["ch.t", ".*"],
}
FORBIDDEN: dict[str, Make] = {f"contexts: {name}": _claims(contexts=value) for name, value in _CONTEXTS.items()}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("make", UNAUTHENTICATED.values(), ids=UNAUTHENTICATED)
def test_claims(case: Case, target: Target, forge: Forge, make: Make) -> None:
    case.answer(target.handshake(make(forge)), 401)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("make", FORBIDDEN.values(), ids=FORBIDDEN)
def test_claims_for_another_place(case: Case, target: Target, forge: Forge, make: Make) -> None:
    case.answer(target.handshake(make(forge)), 403)


QUERIES = {
    "none": "",
    "no context": "contextId=42",
    "no contextId": "context=chat",
    "context twice": "context=chat&context=desk&contextId=42",
    "context twice, alike": "context=chat&context=chat&contextId=42",
    "contextId twice": "context=chat&contextId=42&contextId=43",
    "context twice, once encoded": "context=chat&%63ontext=desk&contextId=42",
    "as a list": "context[]=chat&contextId[]=42",
    "as an object": "context[a]=chat&contextId=42",
    "in capitals": "CONTEXT=chat&contextId=42",
    "empty": "context=&contextId=",
    "a key's separator": "context=chat%2342&contextId=1",
    "a key's separator in the id": "context=chat&contextId=42%231",
    "a NUL": "context=chat%00&contextId=42",
    "a blank": "context=chat+&contextId=42",
    "a line break": "context=chat&contextId=42%0d%0ax:%20y",
    "encoded twice": "context=%2563hat&contextId=42",
    "a path": "context=chat/../desk&contextId=42",
    "another context": "context=desk&contextId=chat",
    "a context in capitals": "context=CHAT&contextId=42",
    "a Cyrillic look-alike": "context=ch%D0%B0t&contextId=42",
    "a fullwidth look-alike": "context=%EF%BD%83hat&contextId=42",
    "an id with an accent (NFC)": "context=chat&contextId=%C3%A9",
    "an id with an accent (NFD)": "context=chat&contextId=e%CC%81",
    "an id of zero width": "context=chat&contextId=42%E2%80%8B",
    "an id turned right to left": "context=chat&contextId=%E2%80%AE42",
    "no UTF-8": "context=chat&contextId=%FF",
    "too long": "context=chat&contextId=" + "x" * 129,
    "a context too long": "context=" + "x" * 65 + "&contextId=42",
    "much too long": "context=chat&contextId=" + "x" * 8000,
    "injected": "context=chat&contextId=42%20OR%20caller_id%20%3D%20ana",
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_query(case: Case, target: Target, forge: Forge, query: str) -> None:
    case.answer(target.handshake(forge.token(), query), 403)


PLACES = {
    "in the query": ("context=chat&contextId=42&token={token}", {}),
    "in the query, as Authorization": ("context=chat&contextId=42&Authorization=Bearer%20{token}", {}),
    "in a cookie, where the stage names none": ("context=chat&contextId=42", {"Cookie": "session={token}"}),
    "in X-Authorization": ("context=chat&contextId=42", {"X-Authorization": "Bearer {token}"}),
    "in Proxy-Authorization": ("context=chat&contextId=42", {"Proxy-Authorization": "Bearer {token}"}),
    "in a header that the platform could have set": ("context=chat&contextId=42", {"x-amzn-oidc-data": "{token}"}),
    "as Basic": ("context=chat&contextId=42", {"Authorization": "Basic {token}"}),
    "without a scheme": ("context=chat&contextId=42", {"Authorization": "{token}"}),
    "twice in one header": ("context=chat&contextId=42", {"Authorization": "Bearer {token}, Bearer {token}"}),
    "as subprotocol, without bearer": ("context=chat&contextId=42", {"Sec-WebSocket-Protocol": "{token}"}),
    "as subprotocol, before bearer": ("context=chat&contextId=42", {"Sec-WebSocket-Protocol": "{token}, bearer"}),
    "as subprotocol, and one more": ("context=chat&contextId=42", {"Sec-WebSocket-Protocol": "bearer, {token}, mqtt2"}),
    "as subprotocol, in capitals": ("context=chat&contextId=42", {"Sec-WebSocket-Protocol": "Bearer, {token}"}),
    "bearer, without a token": ("context=chat&contextId=42", {"Sec-WebSocket-Protocol": "bearer"}),
    "in two places": (
        "context=chat&contextId=42",
        {"Sec-WebSocket-Protocol": "bearer, {token}", "Authorization": "Bearer {token}"},
    ),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("query", "headers"), PLACES.values(), ids=PLACES)
def test_place(case: Case, target: Target, forge: Forge, query: str, headers: dict[str, str]) -> None:
    token = forge.token()
    sent = {name: value.replace("{token}", token) for name, value in headers.items()}
    case.answer(target.handshake(None, query.replace("{token}", token), sent), 401)


ATTRIBUTES = {
    "half a surrogate pair": "\ud800",
    "a NUL": "gold\0",
    "turned right to left": "\N{RIGHT-TO-LEFT OVERRIDE}dlog",
    "a line of log": 'gold\n{"level": "ERROR"}',
    "too large": "x" * 4000,
    "without end": float("inf"),
    "a list": ["gold"],
    "an object": {"S": "gold"},
    "lists in each other": json.loads("[" * 300 + "]" * 300),
    "null": None,
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("value", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_attribute(case: Case, target: Target, value: Any) -> None:
    """What stays with a connection may be odd: its bearer is let in all the same, at most without it."""
    forge = Forge(target.stage.keys, user=f"odd-{uuid.uuid4()}")
    text = "1e999" if value == float("inf") else json.dumps(value)
    token = forge.raw(None, json.dumps(forge.claims(plan="<here>")).replace('"<here>"', text).encode())
    status = target.handshake(token)
    target.stage.await_rows(target.stage.client(forge.user), forge.user, 0)
    case.answer(status, 101)
