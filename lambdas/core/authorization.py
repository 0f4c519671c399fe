"""Who may open a socket, and as whom: which token counts, what its claims must say, what it opens.

Nothing here knows a key: whose signature a token carries is `TokenKeys`' question. This module avoids pydantic,
which would take longer to import than everything else here together; a test keeps the rules for identifiers
equal to those of `ringback.envelope`.

::

    RingbackError
    ├── Unauthenticated   no token, or one that proves nothing
    └── Forbidden         a good token that does not open this
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from ipaddress import IPv6Address, ip_address, ip_network
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from lambdas.core.errors import RingbackError
from lambdas.settings import Authorizer

MAX_TOKEN_LENGTH: Final = 8192
MAX_USER_LENGTH: Final = 255
MAX_CONTEXT_LENGTH: Final = 64
MAX_CONTEXT_ID_LENGTH: Final = 128
# API Gateway repeats them on every event of the connection, and every row of it has them.
MAX_ATTRIBUTES_BYTES: Final = 1024

# How far the issuer's clock may be ahead of ours. `exp` has no leeway: it is also the end of the connection.
_CLOCK_LEEWAY_SECONDS: Final = 5
_LAST_SECOND: Final = 253_402_300_799  # of the year 9999, the last that a datetime can hold
_SUBPROTOCOL: Final = "bearer"
_IDENTIFIER: Final = re.compile(r'[!-"$-~]+')
_JWS: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_BEARER: Final = re.compile(r"bearer +(\S+)", re.IGNORECASE)
_BLANKS: Final = " \t"


class Unauthenticated(RingbackError):
    """There is no token, or one that proves nothing. The reason is safe to log."""


class Forbidden(RingbackError):
    """The token is good, but does not open this. The reason is safe to log and to show."""

    def __init__(self, reason: str, *, user: str) -> None:
        super().__init__(reason)
        self.user = user


class TokenKeys(Protocol):
    """The keys that tokens are signed with."""

    def verified(self, token: str) -> bytes:
        """The payload of a compact JWS that one of the keys signed.

        Raises:
            Unauthenticated: none did, or the token asks for what the stage does not allow.
            ServiceUnavailable: there are no keys to verify with.
        """


class TokenSource(Enum):
    """Where in the handshake a token was."""

    AUTHORIZATION = auto()
    COOKIE = auto()
    SUBPROTOCOL = auto()


class Token:
    """A token as it came, not yet verified. No tuple, which a log would write out."""

    __slots__ = ("source", "text")

    def __init__(self, source: TokenSource, text: str) -> None:
        self.source = source
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and (self.source, self.text) == (other.source, other.text)

    def __repr__(self) -> str:
        """Leave the secret out."""
        return f"Token({self.source})"


class Grant(NamedTuple):
    """What a connection is opened with. ``token_expires_at`` counts seconds since 1970, in UTC.

    ``attributes`` are what the token says of its bearer, ``left_out`` names the claims that are too large for one or
    are no text, number or boolean. ``in_conversation``: the token named this conversation.
    """

    user: str
    context: str
    context_id: str
    token_expires_at: int
    attributes: Mapping[str, str] = MappingProxyType({})
    in_conversation: bool = False
    left_out: tuple[str, ...] = ()

    def as_context(self) -> dict[str, str]:
        """The form in which API Gateway repeats it on every later event: flat, and text only."""
        return {
            "user": self.user,
            "context": self.context,
            "contextId": self.context_id,
            "tokenExpiresAt": str(self.token_expires_at),
            "attributes": json.dumps(dict(self.attributes), separators=(",", ":")),
            "inConversation": "true" if self.in_conversation else "false",
        }


def authorize(event: Mapping[str, Any], settings: Authorizer, keys: TokenKeys, now: datetime) -> Grant:
    """Decide about one handshake.

    Raises:
        Unauthenticated: there is no good token.
        Forbidden: there is, but it does not open this; names every rule that was broken.
        ServiceUnavailable: there are no keys to verify the token with.
    """
    headers = _headers(event)
    query = _values(event, "multiValueQueryStringParameters", "queryStringParameters")
    token = find_token(headers, settings.token_cookie_name)
    claims = check_claims(keys.verified(token.text), settings, now)
    context = _only(query.get("context", []))
    context_id = _only(query.get("contextId", []))
    if "contextId" not in query and settings.generate_context_id:
        context_id = f"conv-{_uuid()}"
    rules = {
        "origin": origin_allowed(headers.get("origin", []), token.source, settings.allowed_origins),
        "network": network_allowed(event["requestContext"]["identity"].get("sourceIp"), settings.allowed_networks),
        "scope": scope_granted(claims, settings.token_required_scope),
        "context": is_identifier(context, MAX_CONTEXT_LENGTH),
        "contextId": is_identifier(context_id, MAX_CONTEXT_ID_LENGTH),
        "conversation": conversation_granted(claims, settings.token_contexts_claim, context, context_id),
    }
    if broken := [rule for rule, kept in rules.items() if not kept]:
        raise Forbidden(f"not allowed: {', '.join(broken)}", user=claims["sub"])
    attributes, left_out = attributes_of(claims, settings.token_attribute_claims)
    return Grant(
        user=claims["sub"],
        context=context,
        context_id=context_id,
        token_expires_at=int(claims["exp"]),
        attributes=attributes,
        in_conversation=settings.token_contexts_claim is not None,
        left_out=left_out,
    )


def find_token(headers: Mapping[str, Sequence[str]], cookie_name: str | None) -> Token:
    """Take the one token from the handshake's headers (names in lower case).

    Raises:
        Unauthenticated: there is none, more than one, or what is in its place is not a token.
    """
    tokens = [
        *_in_authorization(headers.get("authorization", [])),
        *(_in_cookies(headers.get("cookie", []), cookie_name) if cookie_name else []),
        *_in_subprotocols(headers.get("sec-websocket-protocol", [])),
    ]
    if not tokens:
        raise Unauthenticated("there is no token")
    if len(tokens) > 1:
        raise Unauthenticated("there is more than one token")
    if len(tokens[0].text) > MAX_TOKEN_LENGTH:
        raise Unauthenticated("the token is too long")
    if not _JWS.fullmatch(tokens[0].text):
        raise Unauthenticated("the token is not a compact JWS")
    return tokens[0]


def check_claims(payload: bytes, settings: Authorizer, now: datetime) -> dict[str, Any]:
    """Read verified claims, and hold them against what the stage asks for. ``sub`` and ``exp`` are usable then.

    Raises:
        Unauthenticated: names the claim that is missing or wrong, never its value.
    """
    try:
        # Decoded here: of bytes, `loads` would take other encodings, too, and surrogates.
        claims = json.loads(payload.decode(), object_pairs_hook=_unique, parse_constant=_not_json)
    except (ValueError, RecursionError):
        raise Unauthenticated("the claims are not JSON, or one is there twice") from None
    if not isinstance(claims, dict):
        raise Unauthenticated("the claims are not an object")
    seconds = now.timestamp()
    latest_start = seconds + _CLOCK_LEEWAY_SECONDS
    kept = {
        "iss": claims.get("iss") == settings.token_issuer,
        "aud": _meant_for(settings.token_audience, claims),
        "exp": seconds < _time(claims.get("exp")) <= _LAST_SECOND,
        "nbf": "nbf" not in claims or _time(claims["nbf"]) <= latest_start,
        "iat": "iat" not in claims or _time(claims["iat"]) <= latest_start,
        "sub": isinstance(claims.get("sub"), str) and is_identifier(claims["sub"], MAX_USER_LENGTH),
    }
    if wrong := [name for name, right in kept.items() if not right]:
        raise Unauthenticated(f"missing or wrong: {', '.join(wrong)}")
    return claims


def is_identifier(text: str, max_length: int) -> bool:
    """Whether a text may be a user, a context or a context id: as `ringback.envelope` has it."""
    return len(text) <= max_length and _IDENTIFIER.fullmatch(text) is not None


def origin_allowed(origins: Sequence[str], source: TokenSource, allowed: Iterable[str]) -> bool:
    """Whether the page that opens the socket may.

    A browser sends cookies along from any page, so a cookie counts only with an allowed origin. The other tokens
    have to be put there on purpose: without an origin it is no browser, and without a list any origin will do.
    """
    permitted = {origin.lower() for origin in allowed} - {"null"}
    if source is not TokenSource.COOKIE and not (permitted and origins):
        return True
    origin = _only(origins)
    return origin.isascii() and origin.lower() in permitted


def network_allowed(source_ip: str | None, networks: Sequence[str]) -> bool:
    """Whether the address is in one of the networks; with no networks, any address is."""
    if not networks:
        return True
    try:
        address = ip_address(source_ip or "")
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ip_network(network) for network in networks)


def scope_granted(claims: Mapping[str, Any], required: str | None) -> bool:
    """Whether the token carries every scope that is asked for, in ``scope`` or (Entra, Okta) in ``scp``."""
    granted = _texts(claims["scope"] if "scope" in claims else claims.get("scp"))
    return set((required or "").split()) <= granted


def conversation_granted(claims: Mapping[str, Any], claim: str | None, context: str, context_id: str) -> bool:
    """Whether the token opens this conversation: ``chat`` and ``chat/*`` open all of a context, ``chat/42`` one.

    The first slash parts the two, so no context that has one in its name can be opened this way.
    """
    if not claim:
        return True
    for entry in _texts(claims.get(claim)):
        opened, slash, opened_id = entry.partition("/")
        if opened == context and (not slash or opened_id in {"*", context_id}):
            return True
    return False


def attributes_of(claims: Mapping[str, Any], names: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What these claims say of the bearer, as text, and which of them are left out.

    A claim that is missing is no attribute. One that is no text, number or boolean is left out, and so is what does not
    fit into 1 KB together with those before it: the handshake goes on, and filters do not find the connection by it.
    """
    attributes: dict[str, str] = {}
    left_out = []
    size = 0
    for name in dict.fromkeys(names):
        if claims.get(name) is None:
            continue
        text = attribute_text(claims[name])
        more = 0 if text is None else len(json.dumps({name: text}))
        if text is None or size + more > MAX_ATTRIBUTES_BYTES:
            left_out.append(name)
            continue
        attributes[name] = text
        size += more
    return attributes, tuple(left_out)


def attribute_text(value: object) -> str | None:
    """An attribute's text: of a number or a boolean as JSON writes it; None if it can be no attribute."""
    if isinstance(value, str):
        # JSON can escape half a surrogate pair, which is in no text: no table would store it.
        return None if any("\ud800" <= character <= "\udfff" for character in value) else value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # JSONata and some issuers know no other numbers
    return json.dumps(value) if isinstance(value, int | float) else None


def _uuid() -> str:
    import uuid  # looks at the platform when it is imported, and most stages make up no ids

    return str(uuid.uuid4())


def _headers(event: Mapping[str, Any]) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, values in _values(event, "multiValueHeaders", "headers").items():
        headers.setdefault(name.lower(), []).extend(values)
    return headers


def _values(event: Mapping[str, Any], many: str, one: str) -> dict[str, list[str]]:
    """Every value by name: what is doubled shows only in the event's multi-value fields."""
    if event.get(many):
        return {name: list(values) for name, values in event[many].items()}
    return {name: [value] for name, value in (event.get(one) or {}).items()}


def _in_authorization(values: Iterable[str]) -> Iterable[Token]:
    for value in values:
        match = _BEARER.fullmatch(value.strip(_BLANKS))
        if not match:
            raise Unauthenticated("the Authorization header does not hold a bearer token")
        yield Token(TokenSource.AUTHORIZATION, match[1])


def _in_cookies(values: Iterable[str], cookie_name: str) -> Iterable[Token]:
    for value in values:
        for cookie in value.split(";"):
            name, _, text = cookie.partition("=")
            if name.strip(_BLANKS) == cookie_name:
                yield Token(TokenSource.COOKIE, text.strip(_BLANKS))


def _in_subprotocols(values: Sequence[str]) -> Iterable[Token]:
    """The token beside ``bearer``; `$connect` may answer that, for in any other form it is refused here."""
    offers = [offer.strip(_BLANKS) for value in values for offer in value.split(",")]
    if not any(offer.lower() == _SUBPROTOCOL for offer in offers):
        return
    if len(values) > 1 or len(offers) != 2 or offers[0] != _SUBPROTOCOL:
        raise Unauthenticated("the subprotocols are not `bearer, <token>`")
    yield Token(TokenSource.SUBPROTOCOL, offers[1])


def _meant_for(audience: str, claims: Mapping[str, Any]) -> bool:
    """Whether the token is for us. Cognito's access tokens have no ``aud``: they name the client."""
    if "aud" not in claims:
        return claims.get("token_use") == "access" and claims.get("client_id") == audience
    return audience in ([claims["aud"]] if isinstance(claims["aud"], str) else _strings(claims["aud"]))


def _time(value: object) -> float:
    """A NumericDate; what is none compares as false with everything."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _texts(value: object) -> set[str]:
    """The words of a claim that is a list of them, or one text with blanks between."""
    return set(value.split()) if isinstance(value, str) else set(_strings(value))


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _only(values: Sequence[str]) -> str:
    """The value, if there is exactly one."""
    return values[0] if len(values) == 1 else ""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is there twice")
    return members


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
