"""Tokens for local use."""

import json
import stat
from pathlib import Path
from typing import Any

import jwt
import pytest

from local.errors import NotRunning
from local.tokens import BACKEND_KEY_FILE, CHAT_ROLES, KEY_FILE, Keys, unsigned


@pytest.fixture
def keys() -> Keys:
    return Keys.make()


def verified(token: str, keys: Keys) -> dict[str, object]:
    """As a stage would do it that knows nothing but its settings."""
    stage = json.loads(json.dumps(keys.stage_settings()))
    key = jwt.PyJWKSet.from_dict(stage["jwks"])[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, object] = jwt.decode(
        token,
        key,
        algorithms=stage["algorithms"],
        issuer=stage["issuer"],
        audience=stage["audience"],
        options={"require": ["exp", "iat", "sub"]},
    )
    return claims


def test_stage_settings_verify_a_token(keys: Keys) -> None:
    claims = verified(keys.token("ana", ttl_seconds=60, scope="chat"), keys)

    assert claims["sub"] == "ana"
    assert claims["scope"] == "chat"
    assert isinstance(claims["exp"], int)
    assert isinstance(claims["iat"], int)
    assert claims["exp"] - claims["iat"] == 60


def test_stage_settings_hold_no_private_key(keys: Keys) -> None:
    (key,) = keys.stage_settings()["jwks"]["keys"]

    assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_any_claim_may_be_replaced(keys: Keys) -> None:
    with pytest.raises(jwt.InvalidAudienceError):
        verified(keys.token("ana", aud="somebody else"), keys)


def test_expired_token(keys: Keys) -> None:
    with pytest.raises(jwt.ExpiredSignatureError):
        verified(keys.token("ana", ttl_seconds=-1), keys)


def test_token_of_other_keys(keys: Keys) -> None:
    with pytest.raises(jwt.InvalidSignatureError):
        verified(Keys.make().token("ana"), keys)


def test_unsigned_token() -> None:
    token = unsigned({"sub": "ana"})

    assert jwt.get_unverified_header(token)["alg"] == "none"
    assert jwt.decode(token, options={"verify_signature": False}) == {"sub": "ana"}


def test_saved_keys_are_the_same_and_private(keys: Keys, tmp_path: Path) -> None:
    Keys.make().save(tmp_path)
    keys.save(tmp_path)

    loaded = Keys.load(tmp_path)
    assert verified(loaded.token("ana"), keys)["sub"] == "ana"
    assert verified_backend(loaded.backend_token(), keys)["sub"] == "backend"
    assert loaded.backend_issuer == keys.backend_issuer
    files = [tmp_path / KEY_FILE, tmp_path / BACKEND_KEY_FILE]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]

    Keys.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


def verified_backend(token: str, keys: Keys, *, of_chat: bool = False) -> dict[str, Any]:
    """The claims, if the token is good where the stage's settings say."""
    settings = keys.chat_settings() if of_chat else keys.http_api_settings()
    (jwk,) = keys.backend_key_set()["keys"]
    claims: dict[str, Any] = jwt.decode(
        token,
        jwt.PyJWK(jwk),
        algorithms=["RS256"],
        issuer=settings["issuer"],
        audience=settings["audience"],
        options={"require": ["exp", "iat"]},
    )
    return claims


def test_backend_token_has_the_scope_that_the_stage_asks_for(keys: Keys) -> None:
    assert verified_backend(keys.backend_token(), keys)["scope"] == keys.http_api_settings()["scope"]


def test_tokens_of_users_and_backends_do_not_open_the_others_door(keys: Keys) -> None:
    users, backends = keys.stage_settings(), keys.http_api_settings()

    assert users["issuer"] != backends["issuer"]
    assert users["audience"] != backends["audience"]
    with pytest.raises(jwt.InvalidTokenError):
        verified_backend(keys.token("ana"), keys)
    with pytest.raises(jwt.InvalidTokenError):
        verified(keys.backend_token(), keys)


@pytest.mark.parametrize("role", CHAT_ROLES)
def test_a_token_for_the_chat_says_who_it_is_and_as_what(keys: Keys, role: str) -> None:
    claims = verified_backend(keys.chat_token("ana", role, ttl_seconds=60, plan="gold"), keys, of_chat=True)

    assert (claims["sub"], claims[keys.chat_settings()["role_claim"]], claims["plan"]) == ("ana", role, "gold")
    assert claims["exp"] - claims["iat"] == 60


def test_only_its_own_tokens_open_the_chat_and_they_open_nothing_else(keys: Keys) -> None:
    for other in (keys.backend_token(), keys.token("ana")):
        with pytest.raises(jwt.InvalidTokenError):
            verified_backend(other, keys, of_chat=True)
    with pytest.raises(jwt.InvalidAudienceError):
        verified_backend(keys.chat_token("ana"), keys)
    with pytest.raises(jwt.InvalidTokenError):
        verified(keys.chat_token("ana"), keys)


def test_no_keys(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="make up"):
        Keys.load(tmp_path)
