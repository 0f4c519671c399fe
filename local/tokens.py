"""Tokens for local use, from keys made on the spot: one pair for clients' tokens, one for backends'."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from local.errors import NotRunning

ISSUER = "https://ringback.local"
AUDIENCE = "ringback"
ALGORITHM = "ES256"
CONTEXTS_CLAIM = "contexts"
ATTRIBUTE_CLAIMS = ("plan",)
CONTEXTS = ("chat",)

# API Gateway's own authorizer takes RSA alone. Another issuer and audience: no client's token opens the HTTP API.
BACKEND_AUDIENCE = "ringback-http-api"
BACKEND_SCOPE = "ringback:messages"
BACKEND_ALGORITHM = "RS256"
# The chat's API has the same issuer, and an audience of its own.
CHAT_AUDIENCE = "ringback-chat"
CHAT_ROLE_CLAIM = "role"
CHAT_ROLES = ("customer", "agent")

KEY_FILE = "token-key.pem"
BACKEND_KEY_FILE = "backend-token-key.pem"
_BACKEND_ISSUER_FILE = "backend-token-issuer"
_KEY_ID = "local"


@dataclass(frozen=True)
class Keys:
    """Key pairs that sign tokens, and what a stage needs to verify them."""

    private: ec.EllipticCurvePrivateKey
    backend_private: rsa.RSAPrivateKey
    backend_issuer: str

    @classmethod
    def make(cls, *, backend_issuer: str = "https://backends.ringback.local") -> Self:
        return cls(
            ec.generate_private_key(ec.SECP256R1()),
            rsa.generate_private_key(public_exponent=65537, key_size=2048),
            backend_issuer,
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The keys of the run in this directory.

        Raises:
            NotRunning
        """
        try:
            key, backend_key = (
                serialization.load_pem_private_key((directory / name).read_bytes(), password=None)
                for name in (KEY_FILE, BACKEND_KEY_FILE)
            )
            issuer = (directory / _BACKEND_ISSUER_FILE).read_text()
        except FileNotFoundError:
            raise NotRunning(f"There is no key in {directory}. `make up` makes one.") from None
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - ours
        assert isinstance(backend_key, rsa.RSAPrivateKey)  # noqa: S101 - ours
        return cls(key, backend_key, issuer)

    def save(self, directory: Path) -> None:
        """Keep the private keys where only their owner can read them."""
        self.remove(directory)
        for name, key in ((KEY_FILE, self.private), (BACKEND_KEY_FILE, self.backend_private)):
            file = directory / name
            file.touch(mode=0o600)
            file.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
        (directory / _BACKEND_ISSUER_FILE).write_text(self.backend_issuer)

    @staticmethod
    def remove(directory: Path) -> None:
        """Forget the keys of a run that is over: nothing accepts their tokens any more."""
        for name in (KEY_FILE, BACKEND_KEY_FILE, _BACKEND_ISSUER_FILE):
            (directory / name).unlink(missing_ok=True)

    def stage_settings(self) -> dict[str, Any]:
        """The `token` part of the stage's settings."""
        public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        key = {**public, "kid": _KEY_ID, "alg": ALGORITHM, "use": "sig"}
        return {
            "jwks": {"keys": [key]},
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "algorithms": [ALGORITHM],
            "contexts_claim": CONTEXTS_CLAIM,
            "attribute_claims": list(ATTRIBUTE_CLAIMS),
        }

    def http_api_settings(self) -> dict[str, Any]:
        """The `http_api` part of the stage's settings."""
        return {
            "authorization": "jwt",
            "issuer": self.backend_issuer,
            "audience": BACKEND_AUDIENCE,
            "scope": BACKEND_SCOPE,
        }

    def chat_settings(self) -> dict[str, Any]:
        """The `chat` part of the stage's settings: whose tokens call its API."""
        return {"issuer": self.backend_issuer, "audience": CHAT_AUDIENCE, "role_claim": CHAT_ROLE_CLAIM}

    def backend_key_set(self) -> dict[str, Any]:
        """The public half, as the issuer of the backends' tokens serves it."""
        public = RSAAlgorithm.to_jwk(self.backend_private.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": _KEY_ID, "alg": BACKEND_ALGORITHM, "use": "sig"}]}

    def backend_token(self, name: str = "backend", *, ttl_seconds: int = 3600, **claims: Any) -> str:
        """A token that opens the HTTP API; further claims are added, or replace what would stand there."""
        now = int(time.time())
        ours = {"iss": self.backend_issuer, "aud": BACKEND_AUDIENCE, "sub": name, "iat": now, "exp": now + ttl_seconds}
        return self._sign_for_api_gateway({**ours, "scope": BACKEND_SCOPE, **claims})

    def chat_token(self, user: str, role: str = "customer", *, ttl_seconds: int = 3600, **claims: Any) -> str:
        """A token that opens the chat's API to a customer or an agent; further claims as above."""
        now = int(time.time())
        ours = {"iss": self.backend_issuer, "aud": CHAT_AUDIENCE, "sub": user, "iat": now, "exp": now + ttl_seconds}
        return self._sign_for_api_gateway({**ours, CHAT_ROLE_CLAIM: role, **claims})

    def token(self, user: str, *, ttl_seconds: int = 3600, **claims: Any) -> str:
        """A token for this user, for all chats; further claims are added, or replace what would stand there."""
        now = int(time.time())
        ours = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + ttl_seconds}
        return self.sign({**ours, CONTEXTS_CLAIM: list(CONTEXTS), **claims})

    def _sign_for_api_gateway(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode(dict(claims), self.backend_private, algorithm=BACKEND_ALGORITHM, headers={"kid": _KEY_ID})

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token with exactly these claims."""
        return jwt.encode(dict(claims), self.private, algorithm=ALGORITHM, headers={"kid": _KEY_ID})


def unsigned(claims: Mapping[str, Any]) -> str:
    """A token nobody has signed: it must be refused."""
    return jwt.encode(dict(claims), "", algorithm="none")
