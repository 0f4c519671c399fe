"""The functions' environment, as typed models: a field is the variable of the same name in capitals.

Nothing else reads the environment. What each function is given stands in `cdk_app/`; a test keeps the two equal.
"""

import os
import types
from typing import Any, Literal, TypeVar, dataclass_transform, get_args, get_origin, get_type_hints

T = TypeVar("T")


class SettingsError(RuntimeError):
    """The environment lacks a variable, or holds one that cannot be read."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Settings:
    """A function's settings: its annotated fields, each given by name or left at its default.

    No data classes, because each takes most of a millisecond to define, and every function would define them all.
    """

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def __eq__(self, other: object) -> bool:
        """Whether they are of one function and say the same."""
        return type(self) is type(other) and vars(self) == vars(other)


class Everywhere(Settings):
    """What every function is told."""

    stack_name: str = "Ringback"


class Platform(Settings):
    """What Lambda itself tells every function, and nobody else does."""

    aws_lambda_initialization_type: str | None = None


class Authorizer(Settings):
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


class Intake(Settings):
    """What messages need on their way in."""

    connections_table_name: str
    sequences_table_name: str
    delivery_state_machine_arn: str
    every_message_is_a_run: bool


class Accept(Intake):
    """As for any way in."""


class HttpApi(Intake):
    """And which machine carries a fan-out."""

    fan_out_state_machine_arn: str


class Ingest(Intake):
    """And the queue that brings the messages, and where ingest puts what it cannot parse."""

    ingest_queue_url: str
    ingest_dead_letter_queue_url: str


class Ended(Intake):
    """And where a run's message is kept that the run could not keep, and how long one lives that does not say."""

    dead_letter_queue_url: str
    default_ttl_seconds: int


class PostOnce(Settings):
    """Where posts go, and where else they may go."""

    management_endpoint: str
    allowed_endpoints: tuple[str, ...] = ()


class Connect(Settings):
    """Where a connection is stored, for how long, and how many a user may have."""

    connections_table_name: str
    connection_ttl_minutes: int
    max_connections_per_user: int
    connection_limit_policy: Literal["evict_oldest", "refuse"]
    management_endpoint: str


class Disconnect(Settings):
    """Where the connection is stored."""

    connections_table_name: str


class Acknowledge(Settings):
    """Where the runs wait, and where the connections are."""

    connections_table_name: str
    callbacks_table_name: str


class ResolveConnections(Settings):
    """Where the connections are and the numbers, and how long a message lives that does not say."""

    connections_table_name: str
    sequences_table_name: str
    default_ttl_seconds: int


class PostToConnections(Settings):
    """As for resolving."""

    connections_table_name: str
    sequences_table_name: str
    default_ttl_seconds: int


class PostAndAwaitAcknowledgement(Settings):
    """As for posting, and where the run waits."""

    connections_table_name: str
    sequences_table_name: str
    callbacks_table_name: str
    default_ttl_seconds: int


class WaitForReconnect(Settings):
    """Where the run waits, and where the connections are and the numbers."""

    connections_table_name: str
    sequences_table_name: str
    callbacks_table_name: str
    default_ttl_seconds: int


class Wake(Settings):
    """Where the runs wait."""

    callbacks_table_name: str


class Presence(Settings):
    """Where it is told who comes and goes."""

    message_bus_name: str


class PlanFanOut(Settings):
    """Where the connections are, and whether it is known whose token is allowed into a conversation."""

    connections_table_name: str
    default_ttl_seconds: int
    tokens_name_conversations: bool


class PostToAudience(Settings):
    """Where the connections are."""

    connections_table_name: str
    default_ttl_seconds: int


class HandOverToDeliveries(Settings):
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
    for name, hint in hints.items():
        variable = name.upper()
        text = os.environ.get(variable)  # noqa: TID251
        if not text:
            if not hasattr(model, name):
                problems.append(f"{variable} is not set")
            continue
        try:
            values[name] = _convert(text, hint)
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
