"""Tokens that prove nothing: at a real handshake each is answered 401, and no connection is stored."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.attacks.conftest import Case
from tests.attacks.forging import (
    ABSENT,
    ORDER_OF_P256,
    STRANGER,
    STRANGERS_RSA,
    Forge,
    always,
    base64url,
    der,
    ecdsa,
    hmac_with,
    numbers,
    rs256,
)
from tests.attacks.target import Target
from tests.integration.test_token_keys import Issuer, issuer  # noqa: F401 - a fixture

LAYER = "stack"
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
SUBJECT = serialization.PublicFormat.SubjectPublicKeyInfo
Make = Callable[[Forge], str]

# The order of P-256's generator as a signature's number is as bad as zero is.
_ZEROES = {
    "r and s are 0": (0, 0),
    "r is 0": (0, 1),
    "s is 0": (1, 0),
    "r is 1 and s is 1": (1, 1),
    "r and s are the curve's order": (ORDER_OF_P256, ORDER_OF_P256),
    "r is the curve's order": (ORDER_OF_P256, 1),
    "r and s are as large as can be": (2**256 - 1, 2**256 - 1),
}


def _unsigned(alg: object) -> Make:
    return lambda forge: forge.token(forge.header(alg=alg), always(b""))


def _unsigned_with_a_signature(alg: object) -> Make:
    return lambda forge: forge.token(forge.header(alg=alg), always(b"signature"))


def _header(**changes: object) -> Make:
    """A stranger's token: without the change it would be refused all the same, so that the change must not help."""
    return lambda forge: forge.token(forge.header(**changes), ecdsa(STRANGER))


def _signed_header(**changes: object) -> Make:
    """The issuer's own token, whose header asks for what the stage does not do."""
    return lambda forge: forge.token(forge.header(**changes))


def _raw_header(header: bytes) -> Make:
    return lambda forge: forge.token(header)


def _hmac(secret: Callable[[Forge], bytes], alg: str = "HS256", **header: object) -> Make:
    name = f"sha{alg[2:]}"
    return lambda forge: forge.token(forge.header(alg=alg, **header), hmac_with(secret(forge), name))


def _numbers(r: int, s: int) -> Make:
    return lambda forge: forge.token(signer=numbers(r, s))


def _jwk(forge: Forge) -> bytes:
    return json.dumps(ECAlgorithm.to_jwk(forge.public, as_dict=True)).encode()


def _edited(edit: Callable[[str, str, str], str]) -> Make:
    return lambda forge: edit(*forge.token().split("."))


_NO_ALGORITHMS: tuple[Any, ...] = ("none", "None", "NONE", "nOnE", "", None, [], {})
UNSIGNED: dict[str, Make] = {
    **{f"alg {alg!r}, no signature": _unsigned(alg) for alg in _NO_ALGORITHMS},
    **{f"alg {alg!r}, any signature": _unsigned_with_a_signature(alg) for alg in _NO_ALGORITHMS},
    "no alg, no signature": _unsigned(ABSENT),
    "no alg": lambda forge: forge.token(forge.header(alg=ABSENT)),
    "an empty third part": _edited(lambda head, payload, _: f"{head}.{payload}."),
    "no third part": _edited(lambda head, payload, _: f"{head}.{payload}"),
    "only dots": lambda _: "..",
    "a fourth part": _edited(lambda head, payload, signature: f"{head}.{payload}.{signature}.x"),
    "five parts, as if encrypted": _edited(lambda head, payload, signature: f"{head}..{payload}.{signature}.x"),
    "the JSON serialization": _edited(
        lambda head, payload, signature: json.dumps({"protected": head, "payload": payload, "signature": signature})
    ),
}
ALGORITHMS: dict[str, Make] = {
    "HS256 with the public key as PEM": _hmac(lambda forge: forge.public.public_bytes(PEM, SUBJECT)),
    "HS256 with the public key as PEM, no line end": _hmac(lambda f: f.public.public_bytes(PEM, SUBJECT).strip()),
    "HS256 with the public key as DER": _hmac(lambda forge: forge.public.public_bytes(DER, SUBJECT)),
    "HS256 with the public key as a JWK": _hmac(_jwk),
    "HS256 with the public key as a point": _hmac(
        lambda forge: forge.public.public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
    ),
    "HS256 with an empty secret": _hmac(lambda _: b""),
    "HS256 with the key's id as secret": _hmac(lambda _: b"local"),
    "HS384 with the public key as PEM": _hmac(lambda forge: forge.public.public_bytes(PEM, SUBJECT), "HS384"),
    "HS512 with the public key as PEM": _hmac(lambda forge: forge.public.public_bytes(PEM, SUBJECT), "HS512"),
    "RS256 with a stranger's key": lambda forge: forge.token(forge.header(alg="RS256"), rs256()),
    "RS256 with the backends' key": lambda f: f.token(f.header(alg="RS256"), rs256(f.keys.backend_private)),
    "ES256 with the backends' RSA signature": lambda f: f.token(signer=rs256(f.keys.backend_private)),
    "PS256 said of a good signature": _signed_header(alg="PS256"),
    "ES384 said of a good signature": _signed_header(alg="ES384"),
    "ES384 with a key of its own": lambda forge: forge.token(
        forge.header(alg="ES384"), ecdsa(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384())
    ),
    "ES512 with a key of its own": lambda forge: forge.token(
        forge.header(alg="ES512"), ecdsa(ec.generate_private_key(ec.SECP521R1()), hashes.SHA512())
    ),
    "ES256 with a key on P-384": lambda f: f.token(signer=ecdsa(ec.generate_private_key(ec.SECP384R1()))),
    "ES256 with a key on secp256k1": lambda f: f.token(signer=ecdsa(ec.generate_private_key(ec.SECP256K1()))),
    "ES256K with a key on secp256k1": lambda forge: forge.token(
        forge.header(alg="ES256K"), ecdsa(ec.generate_private_key(ec.SECP256K1()))
    ),
    "EdDSA with a stranger's key": lambda forge: forge.token(
        forge.header(alg="EdDSA"), ed25519.Ed25519PrivateKey.generate().sign
    ),
    "alg in lower case": _signed_header(alg="es256"),
    "alg with a blank": _signed_header(alg="ES256 "),
    "alg with a NUL": _signed_header(alg="ES256\0"),
    "alg with a look-alike": _signed_header(alg="\N{CYRILLIC CAPITAL LETTER IE}S256"),
    "alg as a list": _signed_header(alg=["ES256"]),
    "alg as an object": _signed_header(alg={"ES256": 1}),
    "alg as a number": _signed_header(alg=256),
    "alg twice, the good one first": _raw_header(b'{"alg":"ES256","kid":"local","alg":"none"}'),
    "alg under another name's case": _raw_header(b'{"ALG":"ES256","kid":"local"}'),
}
SIGNATURES: dict[str, Make] = {
    "a stranger's": lambda forge: forge.token(signer=ecdsa(STRANGER)),
    **{f"where {what}": _numbers(*pair) for what, pair in _ZEROES.items()},
    "as DER": lambda forge: forge.token(signer=der(forge.keys.private)),
    "zeroes as DER": lambda forge: forge.token(signer=always(encode_dss_signature(0, 0))),
    "one byte short": lambda forge: forge.token(signer=lambda data: forge.sign(data)[:-1]),
    "one byte long": lambda forge: forge.token(signer=lambda data: forge.sign(data) + b"\0"),
    "each number with a zero before": lambda forge: forge.token(signer=ecdsa(forge.keys.private, size=33)),
    "one bit turned": lambda forge: forge.token(
        signer=lambda data: (signed := forge.sign(data))[:-1] + bytes([signed[-1] ^ 1])
    ),
    "of another hash": lambda forge: forge.token(signer=ecdsa(forge.keys.private, hashes.SHA384())),
    "of the payload alone": lambda forge: forge.token(signer=lambda data: forge.sign(data.partition(b".")[2])),
    "of another token": lambda forge: ".".join([*forge.token().split(".")[:2], forge.token(sub="ana").split(".")[2]]),
    "over another's claims": lambda f: ".".join(
        [(mine := f.token().split("."))[0], base64url(json.dumps(f.claims(sub="ana")).encode()), mine[2]]
    ),
    "with padding": _edited(lambda head, payload, signature: f"{head}.{payload}.{signature}=="),
    "with a line break's escape": _edited(lambda head, payload, signature: f"{head}.{payload}.{signature}%0a"),
    "with characters of plain base64": _edited(lambda head, payload, signature: f"{head}.{payload}.+/{signature[2:]}"),
    "hidden behind a comma": _edited(lambda head, payload, signature: f"{head}.{payload}.{signature},x"),
}
_ODD_KEY_IDS = {
    "a path": "../../../../dev/null",
    "a file's URL": "file:///proc/self/environ",
    "SQL": "x' UNION SELECT 'secret';--",
    "a command": "|/usr/bin/id",
    "a prototype's name": "__proto__",
}
KEY_IDS: dict[str, Make] = {
    "unknown, and the issuer's own signature": _signed_header(kid="unknown"),
    "missing, and a stranger's signature": _header(kid=ABSENT),
    "a path": _hmac(lambda _: b"", kid="../../../../dev/null"),
    **{f"{name}, for ES256": _header(kid=kid) for name, kid in _ODD_KEY_IDS.items()},
    **{f"{name}, and the issuer's own signature": _signed_header(kid=kid) for name, kid in _ODD_KEY_IDS.items()},
    "SQL, for HS256": _hmac(lambda _: b"secret", kid="x' UNION SELECT 'secret';--"),
    "a NUL at its end": _signed_header(kid="local\0"),
    "a NUL and more": _signed_header(kid="local\0x"),
    "in capitals": _signed_header(kid="LOCAL"),
    "with a blank": _signed_header(kid=" local"),
    "a look-alike": _signed_header(kid="l\N{CYRILLIC SMALL LETTER O}cal"),
    "with nothing wide in it": _signed_header(kid="lo\N{ZERO WIDTH SPACE}cal"),
    "half a surrogate pair": _raw_header(b'{"alg":"ES256","kid":"\\ud800"}'),
    "very long": _signed_header(kid="x" * 4000),
    "empty": _signed_header(kid=""),
    "a number": _signed_header(kid=0),
    "null": _signed_header(kid=None),
    "a list": _signed_header(kid=["local"]),
    "an object": _signed_header(kid={"local": True}),
    "twice": lambda f: f.token(b'{"alg":"ES256","kid":"local","kid":"mallory"}', ecdsa(STRANGER)),
    "twice, the good one last": lambda f: f.token(b'{"alg":"ES256","kid":"mallory","kid":"local"}', ecdsa(STRANGER)),
}
HEADERS: dict[str, Make] = {
    "jwk: the stranger's own key": _header(jwk=ECAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True)),
    "jwk: for an RSA signature": lambda forge: forge.token(
        forge.header(alg="RS256", jwk=RSAAlgorithm.to_jwk(STRANGERS_RSA.public_key(), as_dict=True)), rs256()
    ),
    "x5c: a certificate": _header(x5c=["MIIB"]),
    "crit: asks for what nobody knows": _signed_header(crit=["x-mallory"], **{"x-mallory": 1}),
    "crit: asks for exp": _signed_header(crit=["exp"], exp=0),
    "crit: empty": _signed_header(crit=[]),
    "crit: null": _signed_header(crit=None),
    "crit: b64": _signed_header(crit=["b64"], b64=True),
    "b64: false": _signed_header(b64=False),
    "b64: false, and crit": _signed_header(crit=["b64"], b64=False),
    "no JSON": _raw_header(b"alg=ES256"),
    "a list": _raw_header(b'["ES256"]'),
    "a text": _raw_header(b'"ES256"'),
    "null": _raw_header(b"null"),
    "empty": _raw_header(b""),
    "no UTF-8": _raw_header(b'{"alg":"ES256","kid":"\xff"}'),
    "UTF-16": _raw_header('{"alg":"none"}'.encode("utf-16")),
    "deep": _raw_header(b'{"alg":"ES256","kid":"local","x":' + b"[" * 5000),
    "deep, and whole": _raw_header(b'{"alg":"ES256","kid":"local","crit":' + b"[" * 2500 + b"]" * 2500 + b"}"),
    "a number without end": _raw_header(b'{"alg":"ES256","kid":"local","x":' + b"9" * 5000 + b"}"),
}
OTHERS: dict[str, Make] = {
    "a backend's, for the HTTP API": lambda forge: forge.keys.backend_token(),
    "a customer's, for the chat's API": lambda forge: forge.keys.chat_token("mallory"),
    "an agent's, for the chat's API": lambda forge: forge.keys.chat_token("mallory", "agent"),
    "PyJWT's unsigned one": lambda forge: jwt.encode(forge.claims(), "", algorithm="none"),
    "of yesterday's keys": lambda forge: Forge(type(forge.keys).make()).token(),
    "one character too long": lambda forge: forge.token_of(8193),
    "of twenty kilobytes": lambda f: f.token(filler="x" * 20_000),
    "a word": lambda _: "undefined",
    "null": lambda _: "null",
    "nothing": lambda _: "",
}
ATTACKS = {
    f"{group}: {name}": make
    for group, makes in {
        "unsigned": UNSIGNED,
        "algorithm": ALGORITHMS,
        "signature": SIGNATURES,
        "kid": KEY_IDS,
        "header": HEADERS,
        "token": OTHERS,
    }.items()
    for name, make in makes.items()
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("make", ATTACKS.values(), ids=ATTACKS)
def test_token(case: Case, target: Target, forge: Forge, make: Make) -> None:
    case.answer(target.handshake(make(forge)), 401)


@pytest.fixture
def trap(issuer: Issuer) -> Iterator[Issuer]:  # noqa: F811 - the fixture
    """A server with the attacker's own keys. Nobody asks it for them."""
    issuer.publish(local=STRANGER)
    yield issuer
    assert issuer.requests == []


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("member", ["jku", "x5u", "kid", "iss", "jwks_uri"])
def test_token_that_says_where_to_find_its_key(
    case: Case, target: Target, forge: Forge, trap: Issuer, member: str
) -> None:
    header = forge.header(**{member: trap.url + "/keys"})
    case.answer(target.handshake(forge.token(header, ecdsa(STRANGER), iss=trap.url)), 401)
