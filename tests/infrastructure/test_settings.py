"""What a stage may be, and what is said when it may not."""

from typing import Any

import pytest
from pydantic import ValidationError

from cdk_app.settings import (
    CHAT_EXAMPLE,
    EXAMPLE,
    ChatSettings,
    HttpApiSettings,
    SettingsError,
    StageSettings,
    TokenSettings,
    load,
)
from ringback.envelope import MAX_TTL_SECONDS

PUBLIC_KEY = {"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "kid": "1"}
ISSUER = {"issuer": "https://id.example.com", "audience": "app"}
URL = {**ISSUER, "jwks_url": "https://id.example.com/jwks.json", "algorithms": ["RS256"]}
KEY_SET = {**ISSUER, "jwks": {"keys": [PUBLIC_KEY]}, "algorithms": ["ES256"]}
SECRET = {
    **ISSUER,
    "secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tokens-AbCdEf",
    "algorithms": ["HS256"],
}


def _load(**settings: Any) -> StageSettings:
    return load("dev", {"dev": {}}, {"token": URL, **settings})


def _refused(**settings: Any) -> str:
    with pytest.raises(SettingsError) as refusal:
        _load(**settings)
    return str(refusal.value)


def test_defaults() -> None:
    settings = _load()
    assert settings.max_attempts == 270
    assert (settings.backoff_base_seconds, settings.backoff_cap_seconds) == (10, 7200)
    assert settings.look_again_seconds == 12 * 3600
    assert settings.default_ttl_seconds == 86_400
    assert settings.default_ack_timeout_seconds == 30
    assert settings.connection_ttl_minutes == 130
    assert settings.max_connections_per_user == 10
    assert settings.connection_limit_policy == "evict_oldest"
    assert settings.ingest_max_concurrency == 20
    assert not settings.is_local


def test_bounds_themselves_are_fine() -> None:
    settings = _load(
        ingest_max_concurrency=2,
        max_attempts=270,
        look_again_seconds=86_400,
        connection_ttl_minutes=121,
        max_connections_per_user=100,
        default_ttl_seconds=7 * 86_400,
    )
    assert settings.default_ttl_seconds == MAX_TTL_SECONDS


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        _load().log_level = "DEBUG"


@pytest.mark.parametrize("token", [URL, KEY_SET, SECRET])
def test_each_key_source_alone_will_do(token: dict[str, Any]) -> None:
    assert _load(token=token).token.issuer == "https://id.example.com"


def test_overrides_win_key_by_key() -> None:
    stages = {"dev": {"log_level": "ERROR", "token": URL, "allowed_origins": ["https://a.example.com"]}}
    overrides = '{"token": {"audience": "other"}, "allowed_origins": ["https://b.example.com"]}'
    settings = load("dev", stages, overrides)
    assert settings.log_level == "ERROR"
    assert (settings.token.audience, settings.token.jwks_url) == ("other", URL["jwks_url"])
    assert settings.allowed_origins == ("https://b.example.com",)


def test_a_key_source_of_cdk_json_can_be_taken_back() -> None:
    settings = load("dev", {"dev": {"token": URL}}, {"token": {**KEY_SET, "jwks_url": None}})
    assert settings.token.jwks_url is None


def test_a_missing_token_section_is_told_what_to_write_and_where() -> None:
    with pytest.raises(SettingsError) as refusal:
        load("prod", {"prod": {}})
    text = str(refusal.value)
    assert "context.stages.prod" in text
    assert '"jwks_url": "https://cognito-idp.' in text


@pytest.mark.parametrize(
    ("stage", "said"),
    [("staging", "There is no stage 'staging'. cdk.json has dev, prod"), ("a/b", "cannot be a stage")],
)
def test_an_unknown_stage_is_told_which_there_are(stage: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(stage, {"dev": {}, "prod": {}})


@pytest.mark.parametrize(("overrides", "said"), [("{", "is not JSON"), ("[]", "must be a JSON object")])
def test_overrides_must_be_an_object(overrides: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load("dev", {"dev": {}}, overrides)


def test_unknown_settings_are_told_what_there_is() -> None:
    assert "max_attempt: there is no such setting; there are token, " in _refused(max_attempt=3)
    assert "token.jwk_url: there is no such setting; there are issuer, " in _refused(token={**URL, "jwk_url": "x"})


def test_every_mistake_is_named_at_once() -> None:
    text = _refused(max_attempts=0, log_level="LOUD")
    assert "max_attempts: " in text
    assert "log_level: " in text


def test_a_value_is_not_repeated() -> None:
    assert "hunter2" not in _refused(token={**URL, "secret_arn": "hunter2", "jwks_url": None})


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ({**ISSUER, "algorithms": ["RS256"]}, "exactly one of jwks_url, jwks and secret_arn must be given, not none"),
        ({**URL, "jwks": KEY_SET["jwks"]}, "not jwks_url and jwks"),
        ({**URL, "algorithms": []}, "token.algorithms"),
        ({**URL, "algorithms": ["none"]}, "token.algorithms.0"),
        ({**URL, "algorithms": ["RS256", "HS256"]}, "HS256 needs a secret"),
        ({**KEY_SET, "algorithms": ["HS512"]}, "HS512 needs a secret"),
        ({**SECRET, "algorithms": ["HS256", "RS256"]}, "goes with HS256, HS384 and HS512 only"),
        ({**SECRET, "secret_arn": SECRET["secret_arn"][:-7]}, "token.secret_arn"),
        ({**URL, "jwks_url": "http://id.example.com/jwks.json"}, "token.jwks_url"),
        ({**URL, "issuer": ""}, "token.issuer"),
        ({name: value for name, value in URL.items() if name != "audience"}, "token.audience: Field required"),
        ({**KEY_SET, "jwks": {}}, "must be a JSON Web Key Set"),
        ({**KEY_SET, "jwks": {"keys": [{**PUBLIC_KEY, "d": "private"}]}}, "holds a private or symmetric key"),
        ({**KEY_SET, "jwks": {"keys": [{"kty": "oct", "k": "secret"}]}}, "holds a private or symmetric key"),
        ({**KEY_SET, "jwks": {"keys": [PUBLIC_KEY] * 50}}, "give its jwks_url"),
        ({**URL, "cookie_name": "session"}, "allowed_origins must not be empty with token.cookie_name"),
        ({**URL, "cookie_name": "a b"}, "token.cookie_name"),
        ({**URL, "required_scope": "two words"}, "token.required_scope"),
        ({**URL, "attribute_claims": ["plan,team"]}, "token.attribute_claims.0"),
        ({**URL, "attribute_claims": [str(number) for number in range(11)]}, "token.attribute_claims"),
    ],
)
def test_token_settings_that_would_not_be_safe_or_not_work_are_refused(token: dict[str, Any], said: str) -> None:
    assert said in _refused(token=token)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"allowed_networks": ["10.0.0.1/8"]}, "allowed_networks.0"),
        ({"allowed_networks": ["the office"]}, "allowed_networks.0"),
        ({"allowed_origins": ["app.example.com"]}, "allowed_origins.0"),
        ({"allowed_origins": ["https://app.example.com/"]}, "allowed_origins.0"),
        ({"allowed_origins": ["https://a.example.com,https://b.example.com"]}, "allowed_origins.0"),
        ({"backoff_base_seconds": 60, "backoff_cap_seconds": 30}, "backoff_cap_seconds must not be lower"),
        ({"connection_limit_policy": "evict"}, "connection_limit_policy"),
        ({"log_retention_days": 31}, "log_retention_days"),
        ({"api_stage_name": "v1/x"}, "api_stage_name"),
        ({"ingest_max_concurrency": 1}, "ingest_max_concurrency"),
        ({"ingest_max_concurrency": None}, "ingest_max_concurrency"),
        ({"max_attempts": 271}, "max_attempts"),
        ({"look_again_seconds": 0}, "look_again_seconds"),
        ({"look_again_seconds": 86_401}, "look_again_seconds"),
        ({"connection_ttl_minutes": 120}, "connection_ttl_minutes"),
        ({"max_connections_per_user": 101}, "max_connections_per_user"),
        ({"default_ttl_seconds": 7 * 86_400 + 1}, "default_ttl_seconds"),
        ({"encryption": "none"}, "encryption"),
        ({"allowed_endpoints": ["https://push.example.com/prod"]}, "allowed_endpoints"),
        ({"allowed_endpoints": ["http://abc.execute-api.eu-central-1.amazonaws.com/prod"]}, "allowed_endpoints"),
        ({"allowed_endpoints": ["https://abc.execute-api.eu-central-1.amazonaws.com/prod/"]}, "allowed_endpoints"),
        ({"alarm_topic_arn": "Operators"}, "alarm_topic_arn"),
        ({"alarm_topic_arn": "arn:aws:sqs:eu-central-1:123456789012:Operators"}, "alarm_topic_arn"),
        ({"oldest_wait_alarm_seconds": 59}, "oldest_wait_alarm_seconds"),
        ({"oldest_wait_alarm_seconds": 7 * 86_400 + 1}, "oldest_wait_alarm_seconds"),
        ({"local_endpoint_url": "http://127.0.0.1:4600/"}, "local_endpoint_url"),
    ],
)
def test_other_settings_that_would_not_work_are_refused(settings: dict[str, Any], said: str) -> None:
    assert said in _refused(**settings)


JWT = {"authorization": "jwt", "issuer": "https://id.example.com", "audience": "backends"}


def test_backends_come_with_iam_unless_the_stage_says_otherwise() -> None:
    assert _load().http_api.authorization == "iam"
    assert _load(http_api=JWT).http_api.scope == "ringback:messages"
    assert _load(http_api={**JWT, "scope": "deliver"}).http_api.scope == "deliver"


@pytest.mark.parametrize(
    ("http_api", "said"),
    [
        ({"authorization": "none"}, "http_api.authorization"),
        ({"authorization": "jwt"}, 'authorization "jwt" needs issuer and audience'),
        ({**JWT, "issuer": None}, 'authorization "jwt" needs issuer and audience'),
        ({**JWT, "authorization": "iam"}, 'issuer and audience: only with authorization "jwt"'),
        ({**JWT, "issuer": "http://id.example.com"}, "http_api.issuer must be https"),
        ({**JWT, "issuer": "id.example.com"}, "http_api.issuer"),
        ({**JWT, "scope": "two words"}, "http_api.scope"),
        ({**JWT, "scope": ""}, "http_api.scope"),
        ({**JWT, "audiences": "x"}, "http_api.audiences: there is no such setting; there are authorization, issuer, "),
    ],
)
def test_an_http_api_that_would_be_open_or_not_work_is_refused(http_api: dict[str, Any], said: str) -> None:
    assert said in _refused(http_api=http_api)


def test_the_local_stage_may_have_an_issuer_of_its_own() -> None:
    url = "http://127.0.0.1:4711"
    settings = _load(token=CLAIM, http_api={**JWT, "issuer": url}, chat={**CHAT, "issuer": url}, local_endpoint_url=url)
    assert settings.http_api.issuer == url
    assert settings.chat
    assert settings.chat.issuer == url


CLAIM = {**URL, "contexts_claim": "contexts"}
CHAT = {"issuer": "https://id.example.com", "audience": "app"}


def test_a_stage_has_no_chat_unless_it_says_so_and_a_chat_needs_presence_events() -> None:
    without = _load()
    assert (without.chat, without.tells_presence) == (None, False)
    assert _load(presence_events=True).tells_presence
    settings = _load(token=CLAIM, chat=CHAT)
    assert settings.tells_presence
    assert settings.chat == ChatSettings(
        issuer="https://id.example.com",
        audience="app",
        role_claim="role",
        agent_role="agent",
        max_wait_seconds=600,
        idle_seconds=900,
        agent_away_seconds=60,
        rating_seconds=86_400,
        messages_per_minute=60,
        retention_days=90,
        message_ttl_seconds=86_400,
    )


def test_the_chat_of_cdk_json_can_be_taken_back() -> None:
    assert load("dev", {"dev": {"token": CLAIM, "chat": CHAT}}, {"chat": None}).chat is None


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        ({"audience": "app"}, "chat.issuer: Field required"),
        ({"issuer": "https://id.example.com"}, "chat.audience: Field required"),
        ({**CHAT, "issuer": "http://id.example.com"}, "chat.issuer must be https"),
        ({**CHAT, "issuer": "id.example.com"}, "chat.issuer"),
        ({**CHAT, "max_wait_seconds": 0}, "chat.max_wait_seconds"),
        ({**CHAT, "idle_seconds": 30 * 86_400 + 1}, "chat.idle_seconds"),
        ({**CHAT, "agent_away_seconds": 0}, "chat.agent_away_seconds"),
        ({**CHAT, "rating_seconds": 86_400, "retention_days": 1}, "retention_days: rating_seconds is no shorter"),
        ({**CHAT, "idle_seconds": 86_400, "rating_seconds": 60, "retention_days": 1}, "idle_seconds is no shorter"),
        ({**CHAT, "messages_per_minute": 0}, "chat.messages_per_minute"),
        ({**CHAT, "messages_per_minute": 6001}, "chat.messages_per_minute"),
        ({**CHAT, "message_ttl_seconds": MAX_TTL_SECONDS + 1}, "chat.message_ttl_seconds"),
        ({**CHAT, "role": "x"}, "chat.role: there is no such setting; there are issuer, audience, role_claim, "),
    ],
)
def test_a_chat_that_would_not_work_is_refused(chat: dict[str, Any], said: str) -> None:
    assert said in _refused(token=CLAIM, chat=chat)


def test_a_chat_whose_desk_anybody_could_open_is_refused() -> None:
    text = _refused(chat=CHAT)
    assert "chat needs token.contexts_claim" in text
    assert '"desk/chat"' in text
    assert "none that users write themselves" in text


def test_cookies_with_origins_are_fine() -> None:
    settings = _load(token={**URL, "cookie_name": "session"}, allowed_origins=["https://app.example.com"])
    assert settings.token.cookie_name == "session"


def test_the_readme_names_every_setting() -> None:
    text = EXAMPLE.with_name("README.md").read_text("utf-8")
    names = [
        *(name for name in StageSettings.model_fields if name not in {"http_api", "chat"}),
        *(f"token.{name}" for name in TokenSettings.model_fields),
        *(f"http_api.{name}" for name in HttpApiSettings.model_fields),
        *(f"chat.{name}" for name in ChatSettings.model_fields),
    ]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_examples_are_valid() -> None:
    assert load("dev", {"dev": {}}, f"@{EXAMPLE}").chat is None
    settings = load("dev", {"dev": {}}, f"@{CHAT_EXAMPLE}")
    assert settings.chat
    assert settings.chat.agent_role == "agents"


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match=r"@nowhere\.json cannot be read: No such file"):
        load("dev", {"dev": {}}, "@nowhere.json")
