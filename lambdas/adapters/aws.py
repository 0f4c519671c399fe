"""The AWS clients, made once and late, and the one translation of their errors into ours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.core.delivery import CALLS_AT_ONCE
from lambdas.core.errors import ServiceUnavailable

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
# Posts are repeated by the rules in `core.delivery`, which know a young connection from a dead one. The intake posts to
# several recipients at once, each of whom may have several connections.
_POST_CONFIG = _CONFIG.merge(
    Config(retries={"mode": "standard", "total_max_attempts": 1}, max_pool_connections=4 * CALLS_AT_ONCE)
)

_made: dict[str, Any] = {}
_making = Lock()


@cache
def session() -> botocore.session.Session:
    """Where clients and credentials come from. Not boto3's: that is this one and 100 ms of what no function uses."""
    return botocore.session.get_session()


def dynamodb() -> "DynamoDBClient":
    """The DynamoDB client."""
    client: DynamoDBClient = _client("dynamodb", config=_CONFIG)
    return client


def step_functions() -> "SFNClient":
    """The Step Functions client."""
    client: SFNClient = _client("stepfunctions", config=_CONFIG)
    return client


def sqs() -> "SQSClient":
    """The SQS client."""
    client: SQSClient = _client("sqs", config=_CONFIG)
    return client


def events() -> "EventBridgeClient":
    """The EventBridge client."""
    client: EventBridgeClient = _client("events", config=_CONFIG)
    return client


def management_api(endpoint: str) -> "ApiGatewayManagementApiClient":
    """The client that posts to the connections of one endpoint."""
    client: ApiGatewayManagementApiClient = _client(
        "apigatewaymanagementapi", endpoint_url=endpoint, config=_POST_CONFIG
    )
    return client


def _client(service: str, *, config: Config, endpoint_url: str | None = None) -> Any:
    """Make a client once, one thread at a time: a session is not for many, and each would make its own."""
    name = endpoint_url or service
    with _making:
        if name not in _made:
            _made[name] = session().create_client(service, endpoint_url=endpoint_url, config=config)
        return _made[name]


@contextmanager
def translated(error_type: type[ServiceUnavailable] = ServiceUnavailable) -> Iterator[None]:
    """Turn any failure of a call into an error of ours. Names the call and the code, never values:
    botocore's own text may quote what it was given, so it is not chained either.

    A call for which some code is an answer, not a failure, catches that `ClientError` inside.
    """
    try:
        yield
    except ClientError as error:
        raise error_type(f"{error.operation_name}: {code(error)}") from None
    except BotoCoreError as error:
        raise error_type(type(error).__name__) from None


def condition_holds(write: Callable[[], object]) -> bool:
    """Make a conditional write; False if its condition did not hold, and nothing was written."""
    try:
        write()
    except ClientError as error:
        if code(error) != "ConditionalCheckFailedException":
            raise
        return False
    return True


def code(error: ClientError) -> str:
    """The error code that the service answered."""
    details: Any = error.response.get("Error", {})
    return str(details.get("Code", "Unknown"))
