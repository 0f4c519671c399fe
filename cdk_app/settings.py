"""What one stage is: a validated, frozen model. Nothing else in here reads the CDK's context.

``stages`` in cdk.json holds the settings of each stage; ``-c settings='{…}'``, or ``-c settings=@file``, is merged into
them, key by key.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ringback.envelope import MAX_ATTEMPTS, MAX_BACKOFF_BASE_SECONDS, MAX_BACKOFF_CAP_SECONDS, MAX_TTL_SECONDS

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip
DEFAULT_HTTP_API_SCOPE = "ringback:messages"
LogRetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653]

EXAMPLE = Path(__file__).with_name("settings.example.json")
CHAT_EXAMPLE = Path(__file__).with_name("settings.chat.example.json")

# Lambda takes 4 KB of environment for a whole function, and the authorizer has more in it than keys. (functions.py
# weighs the whole.)
_LARGEST_JWKS_BYTES = 3_000
_PRIVATE_KEY_PARTS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_SECONDS_OF_A_DAY = 86_400
_STAGE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")


class SettingsError(Exception):
    """The settings of a stage are missing or wrong; says which, and what to write."""


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value))


def _key_set(value: dict[str, Any]) -> dict[str, Any]:
    keys = value.get("keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise ValueError('must be a JSON Web Key Set: {"keys": [{…}, …]}')
    if any(_PRIVATE_KEY_PARTS & key.keys() for key in keys):
        raise ValueError("holds a private or symmetric key: put public keys here, and a secret into Secrets Manager")
    if len(json.dumps(value)) > _LARGEST_JWKS_BYTES:
        raise ValueError(f"is larger than {_LARGEST_JWKS_BYTES} bytes: serve it, and give its jwks_url")
    return value


Text = Annotated[str, Field(min_length=1, max_length=1024)]
ClaimName = Annotated[str, Field(pattern=r"^[^,\s]{1,128}$")]
Network = Annotated[str, AfterValidator(_network)]
Origin = Annotated[str, Field(pattern=r"^https?://[^/,\s]+$")]
# Another API of the same account and region: a function can sign for no other.
ManagementEndpoint = Annotated[
    str, Field(pattern=r"^https://[a-z0-9]+\.execute-api\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[A-Za-z0-9_-]+$")
]
Seconds = Annotated[int, Field(ge=1, le=30 * _SECONDS_OF_A_DAY)]
KeySet = Annotated[dict[str, Any], AfterValidator(_key_set)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TokenSettings(_Model):
    """Whose tokens open a connection. Exactly one of the three key sources is given."""

    issuer: Text
    audience: Text
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)]
    jwks_url: Annotated[str, Field(pattern=r"^https://[^\s]+$")] | None = None
    jwks: KeySet | None = None
    secret_arn: (
        Annotated[str, Field(pattern=r"^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+-[A-Za-z0-9]{6}$")] | None
    ) = None
    cookie_name: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")] | None = None
    required_scope: Annotated[str, Field(pattern=r"^\S+$")] | None = None
    contexts_claim: Text | None = None
    attribute_claims: Annotated[tuple[ClaimName, ...], Field(max_length=10)] = ()

    @model_validator(mode="after")
    def _has_one_key_source(self) -> Self:
        sources = {"jwks_url": self.jwks_url, "jwks": self.jwks, "secret_arn": self.secret_arn}
        given = [name for name, value in sources.items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of jwks_url, jwks and secret_arn must be given, not {' and '.join(given) or 'none'}"
            )
        return self

    @model_validator(mode="after")
    def _algorithms_fit_the_keys(self) -> Self:
        # A public key taken for a shared secret is the classic way around a signature.
        symmetric = {algorithm for algorithm in self.algorithms if algorithm.startswith("HS")}
        if self.secret_arn and symmetric != set(self.algorithms):
            raise ValueError("algorithms: a secret (secret_arn) goes with HS256, HS384 and HS512 only")
        if not self.secret_arn and symmetric:
            raise ValueError(f"algorithms: {', '.join(sorted(symmetric))} needs a secret (secret_arn), not public keys")
        return self


class HttpApiSettings(_Model):
    """Who may call the HTTP API: who may by IAM, or who has a token of this issuer with this scope."""

    authorization: Literal["iam", "jwt"] = "iam"
    issuer: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=1024)] | None = None
    audience: Text | None = None
    scope: Annotated[str, Field(pattern=r"^\S+$", max_length=64)] = DEFAULT_HTTP_API_SCOPE

    @model_validator(mode="after")
    def _tokens_have_an_issuer(self) -> Self:
        given = [name for name in ("issuer", "audience") if getattr(self, name) is not None]
        if self.authorization == "jwt" and len(given) != 2:
            raise ValueError('authorization "jwt" needs issuer and audience: who signs the tokens, and for whom')
        if self.authorization == "iam" and given:
            raise ValueError(f'{" and ".join(given)}: only with authorization "jwt", and it is "iam"')
        return self


class ChatSettings(_Model):
    """Whose tokens call the chat's API, which are agents', and what limits there are to a chat."""

    issuer: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=1024)]
    audience: Text
    role_claim: Text = "role"
    agent_role: Text = "agent"

    max_wait_seconds: Seconds = 600
    idle_seconds: Seconds = 900
    agent_away_seconds: Seconds = 60
    rating_seconds: Seconds = 86_400
    messages_per_minute: Annotated[int, Field(ge=1, le=6000)] = 60
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 90
    message_ttl_seconds: Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS)] = 86_400

    @model_validator(mode="after")
    def _is_kept_for_longer_than_it_lasts(self) -> Self:
        days = self.retention_days
        for name in ("max_wait_seconds", "idle_seconds", "agent_away_seconds", "rating_seconds"):
            if getattr(self, name) >= days * _SECONDS_OF_A_DAY:
                raise ValueError(f"retention_days: {name} is no shorter, and the chat would be gone before it is over")
        return self


class StageSettings(_Model):
    """Everything that differs, or may differ, from stage to stage."""

    token: TokenSettings
    http_api: HttpApiSettings = HttpApiSettings()
    chat: ChatSettings | None = None
    allowed_origins: tuple[Origin, ...] = ()
    allowed_networks: tuple[Network, ...] = ()
    generate_context_id: bool = False

    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] = MAX_ATTEMPTS
    backoff_base_seconds: Annotated[int, Field(ge=1, le=MAX_BACKOFF_BASE_SECONDS)] = 10
    backoff_cap_seconds: Annotated[int, Field(ge=1, le=MAX_BACKOFF_CAP_SECONDS)] = 7200
    # API Gateway ends a connection after two hours, and the next one wakes the runs; a look is for what that missed.
    look_again_seconds: Annotated[int, Field(ge=1, le=MAX_BACKOFF_CAP_SECONDS)] = 43_200
    default_ttl_seconds: Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS)] = 86_400
    default_ack_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 30

    # API Gateway ends a connection after 120 minutes; one that is forgotten before gets no messages any more.
    connection_ttl_minutes: Annotated[int, Field(ge=121, le=1440)] = 130
    max_connections_per_user: Annotated[int, Field(ge=1, le=100)] = 10
    connection_limit_policy: Literal["evict_oldest", "refuse"] = "evict_oldest"

    api_stage_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")] = "v1"
    throttling_rate_per_second: Annotated[int, Field(ge=1)] = 1000
    throttling_burst: Annotated[int, Field(ge=1)] = 500
    every_message_is_a_run: bool = False
    presence_events: bool = False
    allowed_endpoints: tuple[ManagementEndpoint, ...] = ()
    ingest_max_concurrency: Annotated[int, Field(ge=2, le=1000)] = 20

    alarm_topic_arn: Annotated[str, Field(pattern=r"^arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+$")] | None = None
    oldest_wait_alarm_seconds: Annotated[int, Field(ge=60, le=MAX_TTL_SECONDS)] | None = 6 * 3600

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_retention_days: LogRetentionDays = 30
    encryption: Literal["aws_managed", "customer_managed"] = "aws_managed"
    retain_data: bool = False
    create_api_gateway_log_role: bool = True

    local_endpoint_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+$")] | None = None

    @property
    def is_local(self) -> bool:
        """Whether this stage runs on the developer's own machine."""
        return self.local_endpoint_url is not None

    @property
    def tells_presence(self) -> bool:
        """Whether there are presence events: the chat lives on them."""
        return self.presence_events or self.chat is not None

    @model_validator(mode="after")
    def _cookies_need_origins(self) -> Self:
        if self.token.cookie_name and not self.allowed_origins:
            raise ValueError(
                "allowed_origins must not be empty with token.cookie_name: a browser sends the cookie along from any "
                'page, so say which pages may connect: ["https://app.example.com"]'
            )
        return self

    @model_validator(mode="after")
    def _issuer_is_reached_safely(self) -> Self:
        issuer = self.http_api.issuer or ""
        if issuer.startswith("http:") and not self.is_local:
            raise ValueError("http_api.issuer must be https: the keys of its tokens are read from there")
        if self.chat and self.chat.issuer.startswith("http:") and not self.is_local:
            raise ValueError("chat.issuer must be https: the keys of its tokens are read from there")
        return self

    @model_validator(mode="after")
    def _only_agents_open_the_desk(self) -> Self:
        if self.chat and self.token.contexts_claim is None:
            raise ValueError(
                "chat needs token.contexts_claim: name the claim that lists what a token may open, which must be none "
                "that users write themselves. Customers' tokens have \"chat/support\" in it, and only agents' have "
                '"desk/chat"; without it, anybody could listen there'
            )
        return self

    @model_validator(mode="after")
    def _cap_is_no_lower_than_base(self) -> Self:
        if self.backoff_cap_seconds < self.backoff_base_seconds:
            raise ValueError("backoff_cap_seconds must not be lower than backoff_base_seconds")
        return self


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "token": TokenSettings,
    "http_api": HttpApiSettings,
    "chat": ChatSettings,
}


def load(stage: str, stages: Mapping[str, Any], overrides: str | Mapping[str, Any] | None = None) -> StageSettings:
    """Make the settings of a stage.

    Args:
        stage: its name, a key of `stages`.
        stages: the settings of all stages, as cdk.json has them.
        overrides: further settings, as an object, as JSON text, or as `@` and the name of a file with it; they win.

    Raises:
        SettingsError: what is missing or wrong, and where it belongs.
    """
    if not _STAGE.fullmatch(stage):
        raise SettingsError(f"{stage!r} cannot be a stage: letters, digits and hyphens, 32 at most, a letter first.")
    if stage not in stages:
        raise SettingsError(
            f"There is no stage {stage!r}. cdk.json has {', '.join(sorted(stages))}; another one goes there, under "
            "context.stages."
        )
    values = _merge(stages[stage], _read(overrides))
    if "token" not in values:
        raise SettingsError(
            f"Stage {stage!r} has no token settings: Ringback has to know whose tokens open a connection. Put a "
            f"\"token\" section into cdk.json under context.stages.{stage}, or give it with -c settings='…'. For "
            f"Amazon Cognito, as in {EXAMPLE.name}:\n{EXAMPLE.read_text('utf-8')}"
        )
    try:
        return StageSettings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"The settings of stage {stage!r} are wrong:\n{_describe(error)}") from None


def _read(overrides: str | Mapping[str, Any] | None) -> Mapping[str, Any]:
    if overrides is None:
        return {}
    if isinstance(overrides, str):
        if overrides.startswith("@"):
            overrides = _read_file(Path(overrides[1:]))
        try:
            overrides = json.loads(overrides)
        except json.JSONDecodeError as error:
            raise SettingsError(f"-c settings is not JSON: {error}") from None
    if not isinstance(overrides, Mapping):
        raise SettingsError("-c settings must be a JSON object.")
    return overrides


def _read_file(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise SettingsError(f"-c settings=@{path} cannot be read: {error.strerror}") from None


def _merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Objects are merged key by key; everything else, lists included, is replaced."""
    merged = dict(base)
    for name, value in overrides.items():
        below = merged.get(name)
        merged[name] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _describe(error: ValidationError) -> str:
    """One line for each mistake, without the values: one of them may be a secret put into the wrong place."""
    lines = []
    for mistake in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(str(part) for part in mistake["loc"])
        text = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            model = _SECTIONS.get(place.partition(".")[0], StageSettings) if "." in place else StageSettings
            text = f"there is no such setting; there are {', '.join(model.model_fields)}"
        lines.append(f"  {place}: {text}" if place else f"  {text}")
    return "\n".join(lines)
