"""The functions' environment, as typed models: a field is the variable of the same name in capitals.

Nothing else reads the environment. What each function is given stands in `cdk_app/`; a test keeps the two equal.
"""

import os
import types
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


class SettingsError(RuntimeError):
    """The environment lacks a variable, or holds one that cannot be read."""


@dataclass(frozen=True)
class Everywhere:
    """What every function is told."""

    stack_name: str = "Ringback"


@dataclass(frozen=True)
class Authorizer:
    """How tokens are verified, and which may open what. Exactly one key source is set."""

    token_algorithms: tuple[str, ...]
    token_issuer: str
    token_audience: str
    token_jwks_url: str | None = None
    token_jwks: str | None = None
    token_secret_arn: str | None = None
    token_cookie_name: str | None = None
    token_required_scope: str | None = None
    token_contexts_claim: str | None = None
    token_attribute_claims: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    allowed_networks: tuple[str, ...] = ()
    generate_context_id: bool = False


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What messages need on their way in."""

    connections_table_name: str
    sequences_table_name: str
    delivery_state_machine_arn: str
    every_message_is_a_run: bool


@dataclass(frozen=True, kw_only=True)
class Accept(Intake):
    """As for any way in."""


@dataclass(frozen=True, kw_only=True)
class HttpApi(Intake):
    """And which machine carries a fan-out."""

    fan_out_state_machine_arn: str


@dataclass(frozen=True, kw_only=True)
class Ingest(Intake):
    """And the queue that brings the messages, and where ingest puts what it cannot parse."""

    ingest_queue_url: str
    ingest_dead_letter_queue_url: str


@dataclass(frozen=True, kw_only=True)
class Ended(Intake):
    """And where a run's message is kept that the run could not keep, and how long one lives that does not say."""

    dead_letter_queue_url: str
    default_ttl_seconds: int


@dataclass(frozen=True)
class PostOnce:
    """Where posts go, and where else they may go."""

    management_endpoint: str
    allowed_endpoints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Connect:
    """Where a connection is stored, for how long, and how many a user may have."""

    connections_table_name: str
    connection_ttl_minutes: int
    max_connections_per_user: int
    connection_limit_policy: Literal["evict_oldest", "refuse"]
    management_endpoint: str


@dataclass(frozen=True)
class Disconnect:
    """Where the connection is stored."""

    connections_table_name: str


@dataclass(frozen=True)
class Acknowledge:
    """Where the runs wait, and where the connections are."""

    connections_table_name: str
    callbacks_table_name: str


@dataclass(frozen=True)
class ResolveConnections:
    """Where the connections are and the numbers, and how long a message lives that does not say."""

    connections_table_name: str
    sequences_table_name: str
    default_ttl_seconds: int


@dataclass(frozen=True)
class PostToConnections:
    """As for resolving."""

    connections_table_name: str
    sequences_table_name: str
    default_ttl_seconds: int


@dataclass(frozen=True)
class PostAndAwaitAcknowledgement:
    """As for posting, and where the run waits."""

    connections_table_name: str
    sequences_table_name: str
    callbacks_table_name: str
    default_ttl_seconds: int


@dataclass(frozen=True)
class WaitForReconnect:
    """Where the run waits, and where the connections are and the numbers."""

    connections_table_name: str
    sequences_table_name: str
    callbacks_table_name: str
    default_ttl_seconds: int


@dataclass(frozen=True)
class Wake:
    """Where the runs wait."""

    callbacks_table_name: str


@dataclass(frozen=True)
class Presence:
    """Where it is told who comes and goes."""

    message_bus_name: str


@dataclass(frozen=True)
class PlanFanOut:
    """Where the connections are, and whether it is known whose token is allowed into a conversation."""

    connections_table_name: str
    default_ttl_seconds: int
    tokens_name_conversations: bool


@dataclass(frozen=True)
class PostToAudience:
    """Where the connections are."""

    connections_table_name: str
    default_ttl_seconds: int


@dataclass(frozen=True)
class HandOverToDeliveries:
    """Where the connections are, and what carries a message to who missed it."""

    connections_table_name: str
    delivery_state_machine_arn: str
    default_ttl_seconds: int


def load(model: type[T]) -> T:
    """Read a model from the environment.

    Raises:
        SettingsError: names every variable that is missing or cannot be read.
    """
    hints = get_type_hints(model)
    values: dict[str, Any] = {}
    problems = []
    for field in fields(model):  # type: ignore[arg-type]
        variable = field.name.upper()
        text = os.environ.get(variable)  # noqa: TID251
        if not text:
            if field.default is MISSING:
                problems.append(f"{variable} is not set")
            continue
        try:
            values[field.name] = _convert(text, hints[field.name])
        except ValueError as error:
            problems.append(f"{variable}: {error}")
    if problems:
        raise SettingsError(f"{model.__name__}: {'; '.join(problems)}")
    return model(**values)


def _convert(text: str, hint: Any) -> Any:
    if isinstance(hint, types.UnionType):  # X | None, and the variable is set
        hint = get_args(hint)[0]
    if get_origin(hint) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if get_origin(hint) is Literal:
        if text not in get_args(hint):
            raise ValueError(f"must be one of {', '.join(get_args(hint))}")
        return text
    if hint is bool:
        if text not in {"true", "false"}:
            raise ValueError("must be true or false")
        return text == "true"
    return hint(text)
