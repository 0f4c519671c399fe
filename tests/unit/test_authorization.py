"""Who may open a socket: the rules, with keys that have already verified every token."""

import json
import re
import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lambdas.core import authorization
from lambdas.core.authorization import (
    Forbidden,
    Grant,
    Token,
    TokenSource,
    Unauthenticated,
    attribute_text,
    attributes_of,
    authorize,
    check_claims,
    conversation_granted,
    find_token,
    network_allowed,
    origin_allowed,
    scope_granted,
)
from lambdas.settings import Authorizer
from ringback import envelope

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
SETTINGS = Authorizer(token_algorithms=("ES256",), token_issuer="https://issuer.example", token_audience="ringback")
CLAIMS = {"iss": "https://issuer.example", "aud": "ringback", "sub": "ana", "exp": SECONDS + 60}
TOKEN = "aGVhZGVy.cGF5bG9hZA.c2ln"
LONGEST = "h.p." + "s" * (authorization.MAX_TOKEN_LENGTH - 4)

AUTHORIZATION, COOKIE, SUBPROTOCOL = TokenSource.AUTHORIZATION, TokenSource.COOKIE, TokenSource.SUBPROTOCOL


class Signed:
    """Keys that find every token to be signed, with these claims in it."""

    def __init__(self, **claims: Any) -> None:
        self.payload = json.dumps(CLAIMS | claims).encode()

    def verified(self, token: str) -> bytes:
        return self.payload


def settings(**changes: Any) -> Authorizer:
    return Authorizer(**(vars(SETTINGS) | changes))


def event(
    *,
    headers: dict[str, list[str]] | None = None,
    query: dict[str, list[str]] | None = None,
    source_ip: str | None = "203.0.113.7",
) -> dict[str, Any]:
    return {
        "multiValueHeaders": headers or {"Authorization": [f"Bearer {TOKEN}"]},
        "multiValueQueryStringParameters": {"context": ["chat"], "contextId": ["42"]} if query is None else query,
        "requestContext": {"identity": {"sourceIp": source_ip}},
    }


# --- where the token is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        ({"authorization": [f"Bearer {TOKEN}"]}, AUTHORIZATION),
        ({"authorization": [f"bearer   {TOKEN} "]}, AUTHORIZATION),
        ({"cookie": [f"session={TOKEN}"]}, COOKIE),
        ({"cookie": [f"a=b; session={TOKEN};c=d"]}, COOKIE),
        ({"cookie": [f"Session=x; xsession=y; session={TOKEN}"]}, COOKIE),
        ({"sec-websocket-protocol": [f"bearer, {TOKEN}"]}, SUBPROTOCOL),
        ({"sec-websocket-protocol": [f"bearer,{TOKEN}"]}, SUBPROTOCOL),
        ({"sec-websocket-protocol": ["graphql-ws"], "cookie": [f"session={TOKEN}"]}, COOKIE),
        ({"authorization": [f"Bearer {TOKEN}"], "cookie": ["theme=dark"]}, AUTHORIZATION),
    ],
)
def test_a_token_is_found_in_each_of_its_places(headers: dict[str, list[str]], source: TokenSource) -> None:
    assert find_token(headers, "session") == Token(source, TOKEN)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param({}, "no token", id="nothing"),
        pytest.param({"cookie": [""]}, "no token", id="empty cookie header"),
        pytest.param({"cookie": [f"other={TOKEN}"]}, "no token", id="another cookie"),
        pytest.param({"cookie": [f"SESSION={TOKEN}"]}, "no token", id="cookie names have a case"),
        pytest.param({"sec-websocket-protocol": [TOKEN]}, "no token", id="subprotocol without bearer"),
        pytest.param({"sec-websocket-protocol": [""]}, "no token", id="empty subprotocol"),
        pytest.param({"authorization": [f"Basic {TOKEN}"]}, "Authorization", id="another scheme"),
        pytest.param({"authorization": [TOKEN]}, "Authorization", id="no scheme"),
        pytest.param({"authorization": ["Bearer"]}, "Authorization", id="scheme alone"),
        pytest.param({"authorization": ["Bearer "]}, "Authorization", id="scheme and a blank"),
        pytest.param({"authorization": [""]}, "Authorization", id="empty Authorization"),
        pytest.param({"authorization": [f"Bearer{TOKEN}"]}, "Authorization", id="no blank"),
        pytest.param({"authorization": [f"Bearer {TOKEN} {TOKEN}"]}, "Authorization", id="two in one"),
        pytest.param({"authorization": [f"Bearer {TOKEN},{TOKEN}"]}, "compact", id="two with a comma"),
        pytest.param({"authorization": [f"Bearer {TOKEN}"] * 2}, "more than one", id="doubled Authorization"),
        pytest.param({"cookie": [f"session={TOKEN}; session={TOKEN}"]}, "more than one", id="doubled cookie"),
        pytest.param({"cookie": [f"session={TOKEN}; session ={TOKEN}"]}, "more than one", id="doubled with a blank"),
        pytest.param({"cookie": [f"session={TOKEN}", "session="]}, "more than one", id="doubled Cookie"),
        pytest.param({"cookie": ["session="]}, "compact", id="empty cookie"),
        pytest.param({"cookie": ["session"]}, "compact", id="cookie without a value"),
        pytest.param({"cookie": [f'session="{TOKEN}"']}, "compact", id="quoted cookie"),
        pytest.param({"cookie": [f'a="x; session={TOKEN}"']}, "compact", id="smuggled in another's quotes"),
        pytest.param({"cookie": [f"session=a={TOKEN}"]}, "compact", id="equals sign in a cookie"),
        pytest.param({"cookie": [f"session={TOKEN}, session={TOKEN}"]}, "compact", id="cookies with a comma"),
        pytest.param({"sec-websocket-protocol": ["bearer"]}, "subprotocols", id="bearer alone"),
        pytest.param({"sec-websocket-protocol": ["bearer,"]}, "compact", id="bearer and nothing"),
        pytest.param({"sec-websocket-protocol": [f"{TOKEN}, bearer"]}, "subprotocols", id="the other way round"),
        pytest.param({"sec-websocket-protocol": [f"bearer, {TOKEN}, x"]}, "subprotocols", id="a third one"),
        pytest.param({"sec-websocket-protocol": [f"bearer,, {TOKEN}"]}, "subprotocols", id="an empty one"),
        pytest.param({"sec-websocket-protocol": [f"x, bearer, {TOKEN}"]}, "subprotocols", id="not the first"),
        pytest.param({"sec-websocket-protocol": [f"Bearer, {TOKEN}"]}, "subprotocols", id="names have a case"),
        pytest.param({"sec-websocket-protocol": ["bearer, bearer"]}, "compact", id="bearer twice"),
        pytest.param({"sec-websocket-protocol": [f"bearer {TOKEN}"]}, "no token", id="bearer without a comma"),
        pytest.param({"sec-websocket-protocol": [f"bearer, {TOKEN}="]}, "compact", id="padded"),
        pytest.param({"sec-websocket-protocol": ["bearer", TOKEN]}, "subprotocols", id="doubled subprotocol header"),
        pytest.param(
            {"authorization": [f"Bearer {TOKEN}"], "cookie": [f"session={TOKEN}"]}, "more than one", id="two places"
        ),
        pytest.param(
            {"authorization": [f"Bearer {TOKEN}"], "sec-websocket-protocol": [f"bearer, {TOKEN}"]},
            "more than one",
            id="two other places",
        ),
        pytest.param({"authorization": [f"Bearer {LONGEST}s"]}, "too long", id="too long"),
        pytest.param({"authorization": ["Bearer " + "." * 100_000]}, "too long", id="much too long"),
        pytest.param({"authorization": ["Bearer h.p."]}, "compact", id="no signature"),
        pytest.param({"authorization": ["Bearer h.p"]}, "compact", id="two parts"),
        pytest.param({"authorization": ["Bearer h.k.i.c.t"]}, "compact", id="encrypted"),
        pytest.param({"authorization": ["Bearer h.p.s\n"]}, "Authorization", id="a line break"),
        pytest.param({"authorization": ["Bearer h.p.\N{CYRILLIC SMALL LETTER A}"]}, "compact", id="a look-alike"),
        pytest.param({"authorization": ["Bearer h.p.\ud800"]}, "compact", id="half a surrogate pair"),
    ],
)
def test_whatever_is_not_exactly_one_token_is_refused(headers: dict[str, list[str]], reason: str) -> None:
    with pytest.raises(Unauthenticated, match=reason):
        find_token(headers, "session")


def test_the_longest_token_is_taken() -> None:
    assert find_token({"authorization": [f"Bearer {LONGEST}"]}, None).text == LONGEST


def test_without_a_cookie_name_no_cookie_is_looked_at() -> None:
    with pytest.raises(Unauthenticated, match="no token"):
        find_token({"cookie": [f"session={TOKEN}; ={TOKEN}; None={TOKEN}"]}, None)


_HEADER_TEXT = st.text(alphabet=[*string.printable, "é", "\ud800"]) | st.sampled_from(["bearer", f"session={TOKEN}"])


@given(st.dictionaries(st.sampled_from(["authorization", "cookie", "sec-websocket-protocol"]), st.lists(_HEADER_TEXT)))
def test_what_is_found_is_always_a_compact_jws(headers: dict[str, list[str]]) -> None:
    try:
        token = find_token(headers, "session")
    except Unauthenticated:
        return
    assert re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}", token.text)


# --- what its claims say ----------------------------------------------------------------------------------------

MISSING = object()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["other", "ringback"]},
        {"aud": MISSING, "token_use": "access", "client_id": "ringback"},
        {"exp": SECONDS + 1},
        {"exp": SECONDS + 0.5},
        {"nbf": SECONDS, "iat": SECONDS},
        {"nbf": SECONDS + 5, "iat": SECONDS + 5},
        {"sub": "a" * authorization.MAX_USER_LENGTH},
        {"sub": "auth0|5f7c8ec7c33c6c004bbafe82"},
    ],
)
def test_good_claims_are_taken(changes: dict[str, Any]) -> None:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not MISSING}
    assert check_claims(json.dumps(claims).encode(), SETTINGS, NOW) == claims


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *[(claim, value) for claim in ("iss", "aud", "sub", "exp") for value in (MISSING, None, [], {}, "", True)],
        ("iss", "https://issuer.example/"),
        ("iss", "HTTPS://ISSUER.EXAMPLE"),
        ("iss", ["https://issuer.example"]),
        ("aud", "ringback2"),
        ("aud", ["other"]),
        ("aud", [["ringback"]]),
        ("aud", {"ringback": 1}),
        ("sub", 42),
        ("sub", ["ana"]),
        ("sub", "ana#bob"),
        ("sub", "ana bob"),
        ("sub", "ana\n"),
        ("sub", "\N{CYRILLIC SMALL LETTER A}na"),
        ("sub", "a" * (authorization.MAX_USER_LENGTH + 1)),
        ("exp", SECONDS),
        ("exp", SECONDS - 1),
        ("exp", -1e999),
        ("exp", str(SECONDS + 60)),
        ("exp", (SECONDS + 60) * 1000_000),
        ("nbf", SECONDS + 6),
        ("nbf", None),
        ("nbf", str(SECONDS)),
        ("iat", SECONDS + 6),
        ("iat", False),
    ],
)
def test_a_wrong_claim_is_refused_by_its_name(claim: str, value: object) -> None:
    claims = {name: value for name, value in (CLAIMS | {claim: value}).items() if value is not MISSING}
    payload = json.dumps(claims).replace("-Infinity", "-1e999").encode()
    with pytest.raises(Unauthenticated, match=f"^missing or wrong: {claim}$"):
        check_claims(payload, SETTINGS, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_id": "ringback"}, id="not said to be an access token"),
        pytest.param({"token_use": "id", "client_id": "ringback"}, id="an id token"),
        pytest.param({"token_use": "access", "client_id": "other"}, id="another client"),
        pytest.param({"token_use": "access", "client_id": ["ringback"]}, id="a list of clients"),
        pytest.param({"token_use": "access"}, id="no client"),
        pytest.param({"token_use": "access", "client_id": "ringback", "aud": "other"}, id="meant for someone else"),
        pytest.param({"token_use": "access", "client_id": "ringback", "aud": None}, id="an audience of none"),
    ],
)
def test_a_client_stands_for_the_audience_only_in_an_access_token_without_one(changes: dict[str, Any]) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != "aud"} | changes
    with pytest.raises(Unauthenticated, match=r"^missing or wrong: aud$"):
        check_claims(json.dumps(claims).encode(), SETTINGS, NOW)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"ana"', id="a text"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
        pytest.param(json.dumps(CLAIMS).encode("utf-16"), id="UTF-16"),
        pytest.param(json.dumps(CLAIMS).encode("utf-8-sig"), id="a byte order mark"),
        pytest.param(json.dumps(CLAIMS)[:-1].encode() + b',"x":"\xed\xa0\x80"}', id="a surrogate in UTF-8"),
        pytest.param(b"[" * 6000, id="deep"),
        pytest.param(json.dumps(CLAIMS)[:-1].encode() + b',"sub":"bob"}', id="a claim twice"),
        pytest.param(json.dumps(CLAIMS)[:-1].encode() + b',"a":{"b":1,"b":2}}', id="a member twice"),
        pytest.param(json.dumps(CLAIMS)[:-1].encode() + b',"s\\u0075b":"bob"}', id="a claim twice, escaped"),
        pytest.param(json.dumps(CLAIMS)[:-1].encode() + b',"nbf":NaN}', id="not a number"),
        pytest.param(json.dumps(CLAIMS)[:-1].encode() + b',"n":' + b"9" * 5000 + b"}", id="a number without end"),
    ],
)
def test_claims_that_are_no_json_object_are_refused(payload: bytes) -> None:
    with pytest.raises(Unauthenticated, match="claims"):
        check_claims(payload, SETTINGS, NOW)


def test_a_refusal_names_claims_and_never_shows_them() -> None:
    with pytest.raises(Unauthenticated) as caught:
        check_claims(json.dumps(CLAIMS | {"iss": "secret-issuer", "sub": "who\tever"}).encode(), SETTINGS, NOW)
    assert str(caught.value) == "missing or wrong: iss, sub"


# --- where it may be used from ----------------------------------------------------------------------------------

APP = "https://app.example:8443"


@pytest.mark.parametrize(
    ("origins", "source", "allowed", "expected"),
    [
        ([APP], COOKIE, [APP], True),
        (["HTTPS://App.Example:8443"], COOKIE, [APP], True),
        ([APP], COOKIE, ["https://other.example", APP.upper()], True),
        ([], COOKIE, [APP], False),
        ([APP], COOKIE, [], False),
        ([], COOKIE, [], False),
        ([APP], AUTHORIZATION, [APP], True),
        ([APP], SUBPROTOCOL, [], True),
        (["null"], SUBPROTOCOL, [], True),
        ([], AUTHORIZATION, [APP], True),
        ([], SUBPROTOCOL, [APP], True),
        (["https://evil.example"], AUTHORIZATION, [APP], False),
        (["https://evil.example"], SUBPROTOCOL, [APP], False),
        *[
            ([origin], source, [APP, "null"], False)
            for source in (COOKIE, SUBPROTOCOL)
            for origin in (
                "null",
                "NULL",
                "",
                "http://app.example:8443",
                "https://app.example",
                "https://app.example:84430",
                "https://app.example:8443/",
                "https://app.example:8443.evil.example",
                "https://evil.example?https://app.example:8443",
                "https://x.app.example:8443",
                "https://app.example:8443 https://evil.example",
                "https://app.example:8443, https://evil.example",
            )
        ],
        ([APP, APP], COOKIE, [APP], False),
        ([APP, "https://evil.example"], SUBPROTOCOL, [APP], False),
        (["https://\N{KELVIN SIGN}.example"], COOKIE, ["https://k.example"], False),
    ],
)
def test_origins(origins: list[str], source: TokenSource, allowed: list[str], *, expected: bool) -> None:
    assert origin_allowed(origins, source, allowed) is expected


@pytest.mark.parametrize(
    ("source_ip", "networks", "expected"),
    [
        ("203.0.113.7", (), True),
        (None, (), True),
        ("203.0.113.7", ("203.0.113.0/24",), True),
        ("203.0.114.7", ("203.0.113.0/24",), False),
        ("203.0.114.7", ("203.0.113.0/24", "203.0.114.7/32"), True),
        ("2001:db8::7", ("203.0.113.0/24", "2001:db8::/32"), True),
        ("2001:db9::7", ("2001:db8::/32",), False),
        ("203.0.113.7", ("2001:db8::/32",), False),
        ("::ffff:203.0.113.7", ("203.0.113.0/24",), True),
        ("::ffff:203.0.114.7", ("203.0.113.0/24",), False),
        ("0.0.0.0", ("::/0",), False),  # noqa: S104
        (None, ("0.0.0.0/0",), False),
        ("", ("0.0.0.0/0",), False),
        ("203.0.113.7, 10.0.0.1", ("0.0.0.0/0",), False),
        ("localhost", ("0.0.0.0/0",), False),
    ],
)
def test_networks(source_ip: str | None, networks: tuple[str, ...], *, expected: bool) -> None:
    assert network_allowed(source_ip, networks) is expected


# --- what it opens ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "required", "expected"),
    [
        ({}, None, True),
        ({"scope": "openid sockets"}, "sockets", True),
        ({"scope": "sockets write"}, "write sockets", True),
        ({"scope": "sockets"}, "write sockets", False),
        ({"scp": "openid sockets"}, "sockets", True),
        ({"scp": ["openid", "sockets"]}, "sockets", True),
        ({"scope": "openid", "scp": ["sockets"]}, "sockets", False),
        ({"scope": "", "scp": ["sockets"]}, "sockets", False),
        ({}, "sockets", False),
        ({"scope": ""}, "sockets", False),
        ({"scope": "sockets2 xsockets SOCKETS"}, "sockets", False),
        ({"scp": ["openid sockets"]}, "sockets", False),
        ({"scope": {"sockets": True}}, "sockets", False),
        ({"scp": [["sockets"], None]}, "sockets", False),
        ({"scope": None}, "sockets", False),
    ],
)
def test_scopes(claims: dict[str, Any], required: str | None, *, expected: bool) -> None:
    assert scope_granted(claims, required) is expected


@pytest.mark.parametrize(
    ("opens", "context", "context_id", "expected"),
    [
        (["chat"], "chat", "42", True),
        (["chat/*"], "chat", "42", True),
        (["chat/42"], "chat", "42", True),
        (["orders", "chat/42"], "chat", "42", True),
        ("orders chat/42", "chat", "42", True),
        (["chat/a/b"], "chat", "a/b", True),
        (["chat/42"], "chat", "43", False),
        (["chat/42"], "chat", "*", False),
        (["chat/42"], "chat", "42/1", False),
        (["chat/4*"], "chat", "42", False),
        (["chat/"], "chat", "42", False),
        (["chats", "cha", "CHAT"], "chat", "42", False),
        (["*", "*/*", "*/42"], "chat", "42", False),
        (["chat/42"], "chat/42", "1", False),
        (["chat/a/b"], "chat/a", "b", False),
        ([""], "chat", "42", False),
        ([], "chat", "42", False),
        (["chat", 7], "chat", "42", True),
        ([{"chat": "42"}], "chat", "42", False),
        ({"chat": "42"}, "chat", "42", False),
        (True, "chat", "42", False),
    ],
)
def test_conversations(opens: object, context: str, context_id: str, *, expected: bool) -> None:
    assert conversation_granted({"rooms": opens}, "rooms", context, context_id) is expected


def test_a_token_without_the_claim_opens_nothing_and_without_the_rule_anything() -> None:
    assert not conversation_granted({}, "rooms", "chat", "42")
    assert conversation_granted({}, None, "chat", "42")


@pytest.mark.parametrize(
    ("kind", "max_length"),
    [
        (TypeAdapter(envelope.User), authorization.MAX_USER_LENGTH),
        (TypeAdapter(envelope.Context), authorization.MAX_CONTEXT_LENGTH),
        (TypeAdapter(envelope.ContextId), authorization.MAX_CONTEXT_ID_LENGTH),
    ],
    ids=["user", "context", "contextId"],
)
@given(text=st.text(alphabet=st.characters(max_codepoint=0x180), max_size=3) | st.text(alphabet="x", min_size=60))
@example(text="")
@example(text="#")
@example(text="a\n")
@example(text="x" * 64)
@example(text="x" * 65)
@example(text="x" * 128)
@example(text="x" * 129)
@example(text="x" * 255)
@example(text="x" * 256)
@example(text="\N{FULLWIDTH NUMBER SIGN}")
@example(text="\ud800")
def test_identifiers_are_what_the_envelope_takes(kind: TypeAdapter[str], max_length: int, text: str) -> None:
    try:
        kind.validate_python(text)
    except ValidationError:
        taken = False
    else:
        taken = True
    assert authorization.is_identifier(text, max_length) is taken


# --- all of it together -----------------------------------------------------------------------------------------


def test_a_good_handshake_is_granted() -> None:
    granted = authorize(event(), SETTINGS, Signed(exp=SECONDS + 59.9), NOW)
    assert granted == Grant("ana", "chat", "42", SECONDS + 59)
    assert granted.as_context() == {
        "user": "ana",
        "context": "chat",
        "contextId": "42",
        "tokenExpiresAt": str(SECONDS + 59),
        "attributes": "{}",
        "inConversation": "false",
    }


def test_what_a_token_says_of_its_bearer_comes_along() -> None:
    naming = settings(token_attribute_claims=("plan", "team", "beta"), token_contexts_claim="rooms")
    granted = authorize(event(), naming, Signed(plan="gold", team=7, rooms=["chat/42"]), NOW)

    assert granted.in_conversation
    assert granted.attributes == {"plan": "gold", "team": "7"}
    context = granted.as_context()
    assert (json.loads(context["attributes"]), context["inConversation"]) == ({"plan": "gold", "team": "7"}, "true")
    assert all(isinstance(value, str) for value in context.values()), "API Gateway takes nothing else"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("gold", "gold"),
        ("", ""),
        ("3", "3"),
        ("\N{PARTY POPPER}", "\N{PARTY POPPER}"),
        ("half \ud83c", None),
        (3, "3"),
        (3.0, "3"),
        (-2.5, "-2.5"),
        (True, "true"),
        (False, "false"),
        ([], None),
        (["gold"], None),
        ({"a": 1}, None),
        (None, None),
    ],
)
def test_an_attribute_is_a_text_a_number_or_a_boolean(value: object, text: str | None) -> None:
    assert attribute_text(value) == text


def test_what_can_be_no_attribute_is_left_out_by_name() -> None:
    claims = {"roles": ["admin"], "long": "x" * 900, "longer": "y" * 900, "none": None, "short": "z"}

    attributes, left_out = attributes_of(claims, ("roles", "missing", "none", "long", "longer", "short", "short"))

    assert list(attributes) == ["long", "short"]
    assert left_out == ("roles", "longer")


def test_single_value_fields_serve_where_the_others_are_absent() -> None:
    single = {
        "headers": {"AUTHORIZATION": f"Bearer {TOKEN}"},
        "multiValueHeaders": None,
        "queryStringParameters": {"context": "chat", "contextId": "42"},
        "requestContext": {"identity": {"sourceIp": "203.0.113.7"}},
    }
    assert authorize(single, SETTINGS, Signed(), NOW).context_id == "42"


def test_a_header_doubled_under_two_spellings_is_doubled() -> None:
    headers = {"Authorization": [f"Bearer {TOKEN}"], "authorization": [f"Bearer {TOKEN}"]}
    with pytest.raises(Unauthenticated, match="more than one"):
        authorize(event(headers=headers), SETTINGS, Signed(), NOW)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"contextId": ["42"]}, "context"),
        ({"context": ["chat"]}, "contextId"),
        ({}, "context, contextId"),
        ({"context": ["chat", "chat"], "contextId": ["42"]}, "context"),
        ({"context": ["chat"], "contextId": ["42", "43"]}, "contextId"),
        ({"context": [""], "contextId": ["42"]}, "context"),
        ({"context": ["chat"], "contextId": [""]}, "contextId"),
        ({"context": ["chat#1"], "contextId": ["42"]}, "context"),
        ({"context": ["chat"], "contextId": ["42#1"]}, "contextId"),
        ({"context": ["ch\N{CYRILLIC SMALL LETTER A}t"], "contextId": ["42"]}, "context"),
        ({"context": ["chat"], "contextId": ["x" * 129]}, "contextId"),
        ({"Context": ["chat"], "contextid": ["42"]}, "context, contextId"),
    ],
)
def test_a_bad_conversation_is_forbidden(query: dict[str, list[str]], reason: str) -> None:
    with pytest.raises(Forbidden, match=f"^not allowed: {reason}$") as caught:
        authorize(event(query=query), SETTINGS, Signed(), NOW)
    assert caught.value.user == "ana"


def test_other_parameters_are_ignored() -> None:
    query = {"context": ["chat"], "contextId": ["42"], "v": ["1", "2"], "token": [TOKEN]}
    assert authorize(event(query=query), SETTINGS, Signed(), NOW).context == "chat"


def test_a_conversation_id_is_made_up_where_the_stage_says_so() -> None:
    generating = settings(generate_context_id=True)
    made = {authorize(event(query={"context": ["chat"]}), generating, Signed(), NOW).context_id for _ in range(2)}
    assert len(made) == 2
    assert all(re.fullmatch(r"conv-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f-]{17}", one) for one in made)


@pytest.mark.parametrize("given_ids", [["42"], [""], ["42", "43"]])
def test_a_conversation_id_that_is_given_is_never_replaced(given_ids: list[str]) -> None:
    try:
        granted = authorize(
            event(query={"context": ["chat"], "contextId": given_ids}),
            settings(generate_context_id=True),
            Signed(),
            NOW,
        )
    except Forbidden:
        assert given_ids != ["42"]
    else:
        assert granted.context_id == "42"


def test_a_refusal_names_every_broken_rule() -> None:
    strict = settings(
        allowed_origins=(APP,),
        allowed_networks=("10.0.0.0/8",),
        token_required_scope="sockets",
        token_contexts_claim="rooms",
    )
    headers = {"Authorization": [f"Bearer {TOKEN}"], "Origin": ["https://evil.example"]}
    with pytest.raises(Forbidden, match=r"^not allowed: origin, network, scope, conversation$"):
        authorize(event(headers=headers), strict, Signed(), NOW)
    headers["Origin"] = [APP]
    claims = Signed(scope="sockets", rooms=["chat"])
    assert authorize(event(headers=headers, source_ip="10.1.2.3"), strict, claims, NOW).user == "ana"
