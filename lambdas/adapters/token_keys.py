"""The keys that tokens are signed with: from an issuer's URL, from the stage's settings, or a shared secret.

PyJWT verifies the signatures. Its `PyJWKClient` is left aside: it drops its keys when the issuer does not answer, asks
a failing issuer again on every token, and follows redirects in the older releases that this project admits.
"""

import http.client
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit

from jwt import PyJWK, PyJWS
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError, InvalidSignatureError, PyJWTError

from lambdas.core.authorization import Unauthenticated
from lambdas.core.errors import ServiceUnavailable
from lambdas.observability import logger
from lambdas.settings import Authorizer, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

FRESH_SECONDS: Final = 300
RETRY_SECONDS: Final = 30
TIMEOUT_SECONDS: Final = 3.0  # API Gateway gives the whole handshake 29
_MAX_KEY_SET_BYTES: Final = 512 * 1024

# The shortest secret, in bytes, that each algorithm is as strong as its name with (RFC 7518, 3.2).
_SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_PUBLIC_KEY_ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Key:
    """A key for one algorithm; without a key id it is tried on any token. No tuple, which a log would write out."""

    __slots__ = ("algorithm", "key_id", "material")

    def __init__(self, key_id: str | None, algorithm: str, material: PyJWK | bytes) -> None:
        self.key_id = key_id
        self.algorithm = algorithm
        self.material = material

    def __repr__(self) -> str:
        """Leave the secret out."""
        return f"Key({self.key_id!r}, {self.algorithm!r})"

    def fits(self, header: dict[str, Any]) -> bool:
        """Whether a token with this header can be signed with it. Nothing else in the header is ever looked at."""
        named = self.key_id is not None and "kid" in header
        return header["alg"] == self.algorithm and (not named or header["kid"] == self.key_id)


class TokenKeys:
    """The keys in hand, and when to read them again.

    They are read again when they are older than `FRESH_SECONDS`, and when a token fits none of them; but, once there
    are any, at most every `RETRY_SECONDS`, whatever comes of it. Keys that cannot be read again stay in use.
    """

    def __init__(
        self,
        algorithms: tuple[str, ...],
        read: Callable[[], list[Key]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._algorithms = algorithms
        self._jws = PyJWS(algorithms, {"verify_signature": True, "enforce_minimum_key_length": True})
        self._read = read
        self._clock = clock  # not a monotonic one, which may stand still while Lambda freezes the function
        self._keys: list[Key] = []
        self._read_at = self._tried_at = -float("inf")

    def verified(self, token: str) -> bytes:
        """The payload of a compact JWS that one of the keys signed.

        Raises:
            Unauthenticated: none did, or the token asks for what the stage does not allow.
            ServiceUnavailable: there are no keys to verify with.
            SettingsError: what is there cannot serve as a key.
        """
        try:
            header = self._jws.get_unverified_header(token)
            if header.get("alg") not in self._algorithms or "crit" in header:
                raise Unauthenticated("the token's algorithm or extension is not allowed")
            for keys in self._generations():
                for key in keys:
                    if key.fits(header) and (payload := self._payload(token, key)) is not None:
                        return payload
        except PyJWTError as error:
            raise Unauthenticated(f"the token cannot be verified: {type(error).__name__}") from None
        raise Unauthenticated("no key of ours signed the token")

    def _payload(self, token: str, key: Key) -> bytes | None:
        try:
            payload: bytes = self._jws.decode(token, key.material, algorithms=[key.algorithm])
        except (InvalidSignatureError, InvalidKeyError):  # the latter: of another curve, or too short
            return None
        return payload

    def _generations(self) -> Iterator[list[Key]]:
        if self._clock() - self._read_at >= FRESH_SECONDS:
            self._renew()
        yield self._keys
        if self._renew():
            yield self._keys

    def _renew(self) -> bool:
        now = self._clock()
        if self._keys and now - self._tried_at < RETRY_SECONDS:
            return False
        self._tried_at = now
        try:
            self._keys = self._read()
        except (ServiceUnavailable, SettingsError) as error:
            if not self._keys:
                raise
            age_seconds = round(now - self._read_at)
            logger.warning("the keys stay in use: %s", error, extra={"key_age_seconds": age_seconds})
            return False
        self._read_at = now
        return True


def of(
    settings: Authorizer, *, clock: Callable[[], float] = time.time, timeout_seconds: float = TIMEOUT_SECONDS
) -> TokenKeys:
    """The keys of a stage. Those in the settings are checked now, the others when the first token comes.

    Raises:
        SettingsError: there is not exactly one source, or it does not go with the algorithms.
    """
    algorithms = settings.token_algorithms
    if [settings.token_jwks_url, settings.token_jwks, settings.token_secret_arn].count(None) != 2:
        raise SettingsError("Authorizer: set one of TOKEN_JWKS_URL, TOKEN_JWKS and TOKEN_SECRET_ARN")
    # A public key must never serve as a secret: one source, one kind of algorithm.
    permitted = _SECRET_BYTES if settings.token_secret_arn else _PUBLIC_KEY_ALGORITHMS
    if not algorithms or not all(algorithm in permitted for algorithm in algorithms):
        raise SettingsError("TOKEN_ALGORITHMS: a secret takes HS256 to HS512, a key set takes RS, PS, ES and EdDSA")
    if settings.token_secret_arn:
        return TokenKeys(algorithms, partial(_secret_keys, settings.token_secret_arn, algorithms), clock)
    if settings.token_jwks_url:
        url = urlsplit(settings.token_jwks_url)
        if not url.hostname or (url.scheme != "https" and (url.scheme != "http" or url.hostname not in _LOOPBACK)):
            raise SettingsError("TOKEN_JWKS_URL: must be https, or http on this machine")
        return TokenKeys(algorithms, partial(_url_keys, settings.token_jwks_url, algorithms, timeout_seconds), clock)
    try:
        keys = _key_set(settings.token_jwks or "", algorithms)
    except ValueError as error:
        raise SettingsError(f"TOKEN_JWKS: {error}") from None
    return TokenKeys(algorithms, lambda: keys, clock)


def _key_set(text: str | bytes, algorithms: tuple[str, ...]) -> list[Key]:
    """The keys of a JSON Web Key Set that verify one of the algorithms; others are skipped, as RFC 7517 asks for."""
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError("is not a key set")  # noqa: TRY004
    keys = []
    for member in members:
        if not isinstance(member, dict) or member.get("use", "sig") != "sig":
            continue
        for algorithm in algorithms:
            if member.get("alg", algorithm) == algorithm:
                try:
                    keys.append(Key(member.get("kid"), algorithm, PyJWK(member, algorithm)))
                except PyJWTError:
                    continue
    if not keys:
        raise ValueError("has no key for the algorithms")
    return keys


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow none: the keys are at the URL that the stage names, or nowhere."""


def _url_keys(url: str, algorithms: tuple[str, ...], timeout_seconds: float) -> list[Key]:
    host = urlsplit(url).hostname
    proxies = [urllib.request.ProxyHandler({})] if host in _LOOPBACK else []
    try:
        with urllib.request.build_opener(_NoRedirects(), *proxies).open(url, timeout=timeout_seconds) as response:
            body = response.read(_MAX_KEY_SET_BYTES)
        return _key_set(body, algorithms)
    except HTTPError as error:
        error.close()
        raise ServiceUnavailable(f"the key set of {host}: HTTP {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        raise ServiceUnavailable(f"the key set of {host}: {error}") from error
    except ValueError as error:
        raise ServiceUnavailable(f"the key set of {host}: {error}") from None


@cache
def _secrets_manager() -> "SecretsManagerClient":
    # Imported late: every other source does without, and half a cold start is this.
    import botocore.session
    from botocore.config import Config

    config = Config(connect_timeout=2, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})
    client: Any = botocore.session.get_session().create_client("secretsmanager", config=config)
    return client  # type: ignore[no-any-return]


def _secret_keys(arn: str, algorithms: tuple[str, ...]) -> list[Key]:
    from lambdas.adapters import aws  # brings the SDK

    with aws.translated():
        answer = _secrets_manager().get_secret_value(SecretId=arn)
    secret = answer.get("SecretBinary") or answer["SecretString"].encode()
    shortest = max(_SECRET_BYTES[algorithm] for algorithm in algorithms)
    if len(secret) < shortest:
        raise SettingsError(f"the token secret has {len(secret)} bytes; {', '.join(algorithms)} needs {shortest}")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        raise SettingsError("the token secret looks like a public key or a JSON Web Key") from None
    return [Key(None, algorithm, secret) for algorithm in algorithms]
