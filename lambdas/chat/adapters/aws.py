"""The AWS clients, made once, and what becomes of their errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from botocore.config import Config

from lambdas import clients
from lambdas.chat.core.errors import Unavailable
from lambdas.clients import ahead as ahead
from lambdas.clients import code as code
from lambdas.clients import condition_holds as condition_holds
from ringback.errors import RingbackError
from ringback.installation import SENDING_SECONDS, Clients

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_stepfunctions import SFNClient

# Short: a run, the stream and the bus try a failed call again, and a browser does.
_CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})


def dynamodb() -> "DynamoDBClient":
    """The DynamoDB client."""
    client: DynamoDBClient = clients.client("dynamodb", config=_CONFIG)
    return client


def step_functions() -> "SFNClient":
    """The Step Functions client."""
    client: SFNClient = clients.client("stepfunctions", config=_CONFIG)
    return client


@cache
def ringback(sending_seconds: int = SENDING_SECONDS) -> Clients:
    """The clients of Ringback's package, which wait for so long until what they send is answered.

    Of the same session, since another would load the endpoints again: a function's threads make only clients of these.
    """
    return Clients(clients.session(), sending_seconds=sending_seconds)


@contextmanager
def translated() -> Iterator[None]:
    """Turn any failure of a call into Unavailable; see `lambdas.clients.translated`."""
    try:
        with clients.translated(Unavailable):
            yield
    except RingbackError as error:
        raise Unavailable(str(error)) from None
