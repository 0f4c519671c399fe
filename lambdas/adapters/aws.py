"""The AWS clients, and what becomes of their errors."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from botocore.config import Config

from lambdas import clients
from lambdas.clients import ahead as ahead
from lambdas.clients import code as code
from lambdas.clients import condition_holds as condition_holds
from lambdas.clients import session as session
from lambdas.core.errors import ServiceUnavailable
from lambdas.core.ports import CALLS_AT_ONCE

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

# Short, because a run retries a failed task and a browser retries a failed handshake; a hanging call helps neither.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=CALLS_AT_ONCE,
)
_CONFIG_OF_ONE_TRY = _CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
# Posts are repeated by the rules in `core.delivery`, which know a young connection from a dead one. The intake posts to
# several recipients at once, each of whom may have several connections.
_POST_CONFIG = _CONFIG_OF_ONE_TRY.merge(Config(max_pool_connections=4 * CALLS_AT_ONCE))


def dynamodb() -> "DynamoDBClient":
    """The DynamoDB client."""
    client: DynamoDBClient = clients.client("dynamodb", config=_CONFIG)
    return client


def step_functions(*, tries_again: bool = True) -> "SFNClient":
    """The Step Functions client; one that does not try again is for who does so at a pace of its own."""
    client: SFNClient = clients.client("stepfunctions", config=_CONFIG if tries_again else _CONFIG_OF_ONE_TRY)
    return client


def sqs() -> "SQSClient":
    """The SQS client."""
    client: SQSClient = clients.client("sqs", config=_CONFIG)
    return client


def events() -> "EventBridgeClient":
    """The EventBridge client."""
    client: EventBridgeClient = clients.client("events", config=_CONFIG)
    return client


def management_api(endpoint: str) -> "ApiGatewayManagementApiClient":
    """The client that posts to the connections of one endpoint."""
    client: ApiGatewayManagementApiClient = clients.client(
        "apigatewaymanagementapi", endpoint_url=endpoint, config=_POST_CONFIG
    )
    return client


def translated(error_type: type[ServiceUnavailable] = ServiceUnavailable) -> AbstractContextManager[None]:
    """Turn any failure of a call into an error of ours; see `lambdas.clients.translated`."""
    return clients.translated(error_type)
