"""AWS clients, each made once, and the one translation of their errors: what all functions share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambdas import settings

_made: dict[tuple[str, Config], Any] = {}
_making = Lock()


@cache
def session() -> botocore.session.Session:
    """Where clients and credentials come from. Not boto3's: that is this one and 100 ms of what no function uses."""
    return botocore.session.get_session()


def ahead(make: Callable[[], object]) -> None:
    """Make a client while Lambda starts the function: it has a whole processor for that, and later only its share."""
    if settings.load(settings.Platform).aws_lambda_initialization_type:
        make()


def client(service: str, *, config: Config, endpoint_url: str | None = None) -> Any:
    """Make a client once, one thread at a time: a session is not for many, and each would make its own."""
    key = endpoint_url or service, config
    with _making:
        if key not in _made:
            _made[key] = session().create_client(service, endpoint_url=endpoint_url, config=config)
        return _made[key]


@contextmanager
def translated(error_type: type[Exception]) -> Iterator[None]:
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
