"""The AWS clients, made once and late, and the one translation of their errors into ours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambdas.chat.core.errors import Unavailable
from ringback.errors import RingbackError
from ringback.installation import SENDING_SECONDS, Clients

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_stepfunctions import SFNClient

T = TypeVar("T")

# Short: a run, the stream and the bus try a failed call again, and a browser does.
_CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})

_made: dict[str, Any] = {}
_making = Lock()


def dynamodb() -> "DynamoDBClient":
    """The DynamoDB client."""
    return _once("dynamodb", lambda: boto3.client("dynamodb", config=_CONFIG))


def step_functions() -> "SFNClient":
    """The Step Functions client."""
    return _once("stepfunctions", lambda: boto3.client("stepfunctions", config=_CONFIG))


def ringback(sending_seconds: int = SENDING_SECONDS) -> Clients:
    """The clients of Ringback's package, which wait for so long until what they send is answered."""
    return _once(f"ringback {sending_seconds}", lambda: Clients.of_aws(sending_seconds=sending_seconds))


def _once(name: str, make: Callable[[], T]) -> T:
    with _making:
        if name not in _made:
            _made[name] = make()
        client: T = _made[name]
    return client


@contextmanager
def translated() -> Iterator[None]:
    """Turn any failure of a call into Unavailable: names the call and the code, never values.

    A call for which some code is an answer, not a failure, catches that `ClientError` inside.
    """
    try:
        yield
    except ClientError as error:
        raise Unavailable(f"{error.operation_name}: {code(error)}") from None
    except BotoCoreError as error:
        raise Unavailable(type(error).__name__) from None
    except RingbackError as error:
        raise Unavailable(str(error)) from None


def code(error: ClientError) -> str:
    """The error code that the service answered."""
    details: Any = error.response.get("Error", {})
    return str(details.get("Code", "Unknown"))
