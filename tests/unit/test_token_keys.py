"""Whose signature a token carries: attacks on it, against a key set in the stage's settings."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from lambdas.adapters import token_keys
from lambdas.core.authorization import Unauthenticated
from lambdas.settings import Authorizer, SettingsError

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
EC_384 = ec.generate_private_key(ec.SECP384R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())
PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

RSA_JWK = {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa", "alg": "RS256", "use": "sig"}
EC_JWK = {**ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": "ec"}
EC_384_JWK = {**ECAlgorithm.to_jwk(EC_384.public_key(), as_dict=True), "kid": "ec-384"}
STRANGER_JWK = ECAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True)

PAYLOAD = b'{"sub":"ana"}'


def keys(*members: object, algorithms: tuple[str, ...] = ("RS256", "ES256")) -> token_keys.TokenKeys:
    key_set = json.dumps({"keys": list(members) or [EC_384_JWK, RSA_JWK, EC_JWK]})
    return token_keys.of(
        Authorizer(token_algorithms=algorithms, token_issuer="issuer", token_audience="audience", token_jwks=key_set)
    )


def sign(key: Any, algorithm: str, **header: object) -> str:
    return jwt.PyJWS().encode(PAYLOAD, key, algorithm, header)


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def raw(header: object, signature: bytes = b"signature") -> str:
    """A token with a header that PyJWT would not write."""
    return ".".join([encoded(json.dumps(header).encode()), encoded(PAYLOAD), encoded(signature)])


def raw_signed(key: Any, algorithm: str, header: object) -> str:
    """The same, truly signed."""
    signing_input = raw(header).rpartition(".")[0]
    return f"{signing_input}.{encoded(jwt.get_algorithm_by_name(algorithm).sign(signing_input.encode(), key))}"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(sign(RSA, "RS256", kid="rsa"), id="RS256"),
        pytest.param(sign(EC, "ES256", kid="ec"), id="ES256"),
        pytest.param(sign(EC, "ES256"), id="without a key id"),
        pytest.param(sign(EC, "ES256", kid="ec", jku="https://evil.example", x5u="x", jwk=STRANGER_JWK), id="hints"),
    ],
)
def test_a_token_of_ours_is_verified(token: str) -> None:
    assert keys().verified(token) == PAYLOAD


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(sign(STRANGER, "ES256", kid="ec"), id="a stranger's key under our key id"),
        pytest.param(sign(STRANGER, "ES256"), id="a stranger's key without a key id"),
        pytest.param(sign(STRANGER, "ES256", kid="ec", jwk=STRANGER_JWK), id="a key in the header"),
        pytest.param(sign(STRANGER, "ES256", kid="ec", jku="https://evil.example/keys"), id="a key set's address"),
        pytest.param(sign(STRANGER, "ES256", kid="ec", x5u="https://evil.example/c.pem"), id="a certificate's address"),
        pytest.param(sign(EC, "ES256", kid="rsa"), id="the key id of another key of ours"),
        pytest.param(sign(EC, "ES256", kid="../../../../dev/null"), id="a path as key id"),
        pytest.param(sign(EC, "ES256", kid="ec' OR '1'='1"), id="a query as key id"),
        pytest.param(sign(EC, "ES256", kid=""), id="an empty key id"),
        pytest.param(sign(RSA, "PS256", kid="rsa"), id="an algorithm that is not allowed"),
        pytest.param(sign(EC_384, "ES384", kid="ec-384"), id="a curve that is not allowed"),
        pytest.param(sign(None, "none"), id="unsigned"),
        pytest.param(raw({"alg": "none"}), id="unsigned, with a signature"),
        pytest.param(raw({"alg": "NonE", "kid": "ec"}), id="unsigned, spelled otherwise"),
        pytest.param(raw({"alg": "es256", "kid": "ec"}), id="algorithms have a case"),
        pytest.param(raw({"alg": ["ES256"], "kid": "ec"}), id="a list of algorithms"),
        pytest.param(raw({"alg": None, "kid": "ec"}), id="no algorithm"),
        pytest.param(raw({"kid": "ec"}), id="no word of an algorithm"),
        pytest.param(raw({"alg": "ES256", "kid": 1}), id="a number as key id"),
        pytest.param(raw({"alg": "ES256", "kid": ["ec"]}), id="a list as key id"),
        pytest.param(raw({"alg": "ES256", "kid": "ec"}), id="no signature to speak of"),
        pytest.param(raw({"alg": "ES256", "kid": "ec"}, bytes(64)), id="a signature of zeros"),
        pytest.param(sign(b"x" * 32, "HS256", kid="ec"), id="a shared secret"),
        pytest.param(sign(json.dumps(EC_JWK["x"]).encode() * 2, "HS256", kid="ec"), id="the public key as secret"),
        pytest.param(sign(EC, "ES256", kid="ec", crit=["exp"], exp=1), id="an extension"),
        pytest.param(
            raw_signed(EC, "ES256", {"alg": "ES256", "b64": True, "crit": ["b64"]}), id="an extension that PyJWT knows"
        ),
        pytest.param(sign(EC, "ES256", kid="ec", b64=False), id="a payload elsewhere"),
        pytest.param(sign(EC, "ES256", kid="ec").replace(".", "..", 1), id="a part too many"),
        pytest.param(sign(EC, "ES256", kid="ec")[:-4], id="cut off"),
        pytest.param(raw("header"), id="a header that is a text"),
        pytest.param(raw([]), id="a header that is a list"),
        pytest.param("e30.e30.", id="empty"),
        pytest.param("!.!.!", id="not base64"),
        pytest.param(base64.urlsafe_b64encode(b"[" * 3000).decode() + ".e30.e30", id="deep"),
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        keys().verified(token)


def test_a_changed_payload_is_refused() -> None:
    header, _, signature = sign(EC, "ES256", kid="ec").split(".")
    with pytest.raises(Unauthenticated):
        keys().verified(f"{header}.{encoded(b'{}')}.{signature}")


def test_a_public_key_is_never_a_secret() -> None:
    """The classic confusion: HS256, keyed with the very text of the public key."""
    token = raw_signed(PEM, "HS256", {"alg": "HS256", "kid": "rsa"})
    with pytest.raises(Unauthenticated, match="algorithm"):
        keys().verified(token)


def test_a_key_verifies_only_the_algorithm_it_names() -> None:
    allowed = ("RS256", "PS256")
    with pytest.raises(Unauthenticated, match="no key"):
        keys(RSA_JWK, algorithms=allowed).verified(sign(RSA, "PS256", kid="rsa"))
    unnamed = {name: value for name, value in RSA_JWK.items() if name != "alg"}
    assert keys(unnamed, algorithms=allowed).verified(sign(RSA, "PS256", kid="rsa")) == PAYLOAD


def test_a_key_that_is_no_use_does_not_stand_in_the_way() -> None:
    good = {name: value for name, value in EC_JWK.items() if name != "kid"}
    others = [None, {}, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC", "crv": "P-256"}, {"kty": "new"}, EC_384_JWK]
    assert keys(*others, STRANGER_JWK, good).verified(sign(EC, "ES256")) == PAYLOAD


def test_a_key_for_encryption_signs_nothing() -> None:
    with pytest.raises(SettingsError, match="TOKEN_JWKS: has no key for the algorithms"):
        keys({**EC_JWK, "use": "enc"})


def test_a_weak_key_signs_nothing() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    jwk = RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = sign(weak, "RS256")
    with pytest.raises(Unauthenticated):
        keys(jwk).verified(token)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"keys": {}}', '{"keys": []}', '{"keys": [{"kty": "oct"}]}'])
def test_settings_without_a_usable_key_set_are_an_error(text: str) -> None:
    with pytest.raises(SettingsError, match="TOKEN_JWKS: "):
        token_keys.of(
            Authorizer(token_algorithms=("ES256",), token_issuer="issuer", token_audience="audience", token_jwks=text)
        )


@pytest.mark.parametrize(
    ("algorithms", "source", "named"),
    [
        (("ES256",), {}, "TOKEN_JWKS_URL, TOKEN_JWKS and TOKEN_SECRET_ARN"),
        (("ES256",), {"token_jwks": "{}", "token_jwks_url": "https://x"}, "set one of"),
        (("HS256",), {"token_secret_arn": "arn", "token_jwks_url": "https://x"}, "set one of"),
        ((), {"token_jwks_url": "https://x"}, "TOKEN_ALGORITHMS"),
        (("none",), {"token_jwks_url": "https://x"}, "TOKEN_ALGORITHMS"),
        (("HS256",), {"token_jwks_url": "https://x"}, "TOKEN_ALGORITHMS"),
        (("RS256", "HS256"), {"token_jwks_url": "https://x"}, "TOKEN_ALGORITHMS"),
        (("RS256", "HS256"), {"token_secret_arn": "arn"}, "TOKEN_ALGORITHMS"),
        (("RS256",), {"token_jwks_url": "http://issuer.example/keys"}, "TOKEN_JWKS_URL"),
        (("RS256",), {"token_jwks_url": "http://127.0.0.1.evil.example/keys"}, "TOKEN_JWKS_URL"),
        (("RS256",), {"token_jwks_url": "http://localhost@evil.example/keys"}, "TOKEN_JWKS_URL"),
        (("RS256",), {"token_jwks_url": "file:///etc/passwd"}, "TOKEN_JWKS_URL"),
        (("RS256",), {"token_jwks_url": "https:///keys"}, "TOKEN_JWKS_URL"),
        (("RS256",), {"token_jwks_url": "issuer.example/keys"}, "TOKEN_JWKS_URL"),
    ],
)
def test_settings_that_do_not_fit_together_are_an_error(
    algorithms: tuple[str, ...], source: dict[str, str], named: str
) -> None:
    whose: Any = {"token_issuer": "issuer", "token_audience": "audience", **source}
    with pytest.raises(SettingsError, match=named):
        token_keys.of(Authorizer(token_algorithms=algorithms, **whose))
