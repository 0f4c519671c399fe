"""Tokens for local use, from a key pair made on the spot."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from local.errors import NotRunning

ISSUER = "https://ringback.local"
AUDIENCE = "ringback"
ALGORITHM = "ES256"

KEY_FILE = "token-key.pem"
_KEY_ID = "local"


@dataclass(frozen=True)
class Keys:
    """A key pair that signs tokens, and what a stage needs to verify them."""

    private: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls) -> Self:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The keys of the run in this directory.

        Raises:
            NotRunning
        """
        try:
            key = serialization.load_pem_private_key((directory / KEY_FILE).read_bytes(), password=None)
        except FileNotFoundError:
            raise NotRunning(f"There is no key in {directory}. `make up` makes one.") from None
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - ours
        return cls(key)

    def save(self, directory: Path) -> None:
        """Keep the private key where only its owner can read it."""
        self.remove(directory)
        file = directory / KEY_FILE
        file.touch(mode=0o600)
        file.write_bytes(
            self.private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    @staticmethod
    def remove(directory: Path) -> None:
        """Forget the keys of a run that is over: nothing accepts their tokens any more."""
        (directory / KEY_FILE).unlink(missing_ok=True)

    def stage_settings(self) -> dict[str, Any]:
        """The `token` part of the stage's settings."""
        public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        key = {**public, "kid": _KEY_ID, "alg": ALGORITHM, "use": "sig"}
        return {"jwks": {"keys": [key]}, "issuer": ISSUER, "audience": AUDIENCE, "algorithms": [ALGORITHM]}

    def token(self, user: str, *, ttl_seconds: int = 3600, **claims: Any) -> str:
        """A token for this user; further claims are added, or replace what would stand there."""
        now = int(time.time())
        return self.sign({"iss": ISSUER, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + ttl_seconds, **claims})

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token with exactly these claims."""
        return jwt.encode(dict(claims), self.private, algorithm=ALGORITHM, headers={"kid": _KEY_ID})


def unsigned(claims: Mapping[str, Any]) -> str:
    """A token nobody has signed: it must be refused."""
    return jwt.encode(dict(claims), "", algorithm="none")
