"""Tokens as an attacker would make them: any header, any payload, any signature."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from local import tokens
from local.tokens import Keys

ABSENT: Any = object()
"""In place of a claim or a header's member: it is not there."""

Signer = Callable[[bytes], bytes]

ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
STRANGER = ec.generate_private_key(ec.SECP256R1())
STRANGERS_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def base64url(data: bytes) -> str:
    """As a JWS has it: without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def ecdsa(
    key: ec.EllipticCurvePrivateKey, digest: hashes.HashAlgorithm | None = None, size: int | None = None
) -> Signer:
    """Sign with this key: r and s, each so many bytes."""
    width = size or (key.curve.key_size + 7) // 8

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest or hashes.SHA256())))
        return r.to_bytes(width, "big") + s.to_bytes(width, "big")

    return sign


def der(key: ec.EllipticCurvePrivateKey) -> Signer:
    """Sign as TLS does, which is not how a JWS is signed."""
    return lambda data: key.sign(data, ec.ECDSA(hashes.SHA256()))


def hmac_with(secret: bytes, name: str = "sha256") -> Signer:
    """Sign with a secret."""
    return lambda data: hmac.digest(secret, data, name)


def rs256(key: rsa.RSAPrivateKey = STRANGERS_RSA) -> Signer:
    """Sign with RSA."""
    return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def always(signature: bytes) -> Signer:
    """Sign everything alike."""
    return lambda _: signature


def numbers(r: int, s: int) -> Signer:
    """A signature of exactly these two."""
    return always(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def digest_of(data: bytes) -> int:
    """The number that ECDSA signs."""
    return int.from_bytes(hashlib.sha256(data).digest(), "big")


class Forge:
    """Makes tokens for one stage; whatever a case does not mention is as in a good one."""

    def __init__(self, keys: Keys, user: str = "mallory") -> None:
        self.keys = keys
        self.user = user

    @property
    def public(self) -> ec.EllipticCurvePublicKey:
        """What everybody knows."""
        return self.keys.private.public_key()

    def header(self, **changes: Any) -> dict[str, Any]:
        """A good header, changed."""
        return _without_absent({"alg": "ES256", "kid": "local", "typ": "JWT", **changes})

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims, changed."""
        now = int(time.time())
        good = {"iss": tokens.ISSUER, "aud": tokens.AUDIENCE, "sub": self.user, "iat": now, "exp": now + 600}
        return _without_absent({**good, tokens.CONTEXTS_CLAIM: ["chat"], **changes})

    def sign(self, data: bytes) -> bytes:
        """The issuer's own signature."""
        return ecdsa(self.keys.private)(data)

    def token(
        self, header: Mapping[str, Any] | bytes | None = None, signer: Signer | None = None, **claims: Any
    ) -> str:
        """A token with this header and these claims."""
        return self.raw(header, json.dumps(self.claims(**claims)).encode(), signer)

    def token_of(self, length: int, **claims: Any) -> str:
        """A good token of exactly so many characters.

        Raises:
            ValueError: no claim fills it up to that: of each four lengths, base64 leaves one out.
        """
        for size in range((length - len(self.token(filler="", **claims))) * 3 // 4, length):
            if len(made := self.token(filler="x" * size, **claims)) == length:
                return made
            if len(made) > length:
                break
        raise ValueError(length)

    def raw(self, header: Mapping[str, Any] | bytes | None, payload: bytes, signer: Signer | None = None) -> str:
        """A token with exactly this payload."""
        head = header if isinstance(header, bytes) else json.dumps(header or self.header()).encode()
        signed = f"{base64url(head)}.{base64url(payload)}"
        return f"{signed}.{base64url((signer or self.sign)(signed.encode()))}"

    def with_tail(self, tail: bytes) -> str:
        """A token whose claims have this behind the good ones, in the same object."""
        return self.raw(None, json.dumps(self.claims()).encode()[:-1] + b"," + tail + b"}")


def _without_absent(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not ABSENT}
