"""The AWS side of this package: one translation of boto3's errors into ours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError

from ringback.errors import AccessDenied, NotAuthenticated, NotInstalled, Refused, RingbackError, Unavailable

_DENIED = frozenset(
    {
        "403",  # an answer without a body: to a HEAD
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "Forbidden",
    }
)
# Each service writes it in its own way: KMS.AccessDeniedException, KMSAccessDenied, KmsAccessDeniedException.
_KEY_DENIED = re.compile(r"KMS\.?AccessDenied", re.IGNORECASE)
_UNKNOWN_CALLER = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_NOT_THERE = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "InvalidAddress",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "StateMachineDoesNotExist",
    }
)
_TOO_BUSY = frozenset({"RequestLimitExceeded", "OverLimit", "EC2ThrottledException", "KMSThrottlingException"})
# Where the action in a policy is not the service's name and the call's.
_SERVICES = {"stepfunctions": "states", "apigatewaymanagementapi": "execute-api"}
_ACTIONS = {"Invoke": "InvokeFunction", "GetConnection": "ManageConnections", "HeadBucket": "ListBucket"}
_NAMED_ACTION = re.compile(r"not authorized to perform:? (?P<action>[\w-]+:\w+)(?: on resource:? (?P<resource>\S+))?")


def code(error: ClientError) -> str:
    """The error code that the service answered."""
    details: Any = error.response.get("Error", {})
    return str(details.get("Code", "Unknown"))


def http_status(error: ClientError) -> int:
    """The HTTP status of the answer; 0 if there was none."""
    metadata: Any = error.response.get("ResponseMetadata", {})
    return int(metadata.get("HTTPStatusCode", 0))


@contextmanager
def translated(service: str = "") -> Iterator[None]:
    """Turn any failure of a call into an error of ours. Names the call and the code: botocore's own text may
    quote what it was given. ``service`` is boto3's name of it, for the action that a denied caller has to be granted.

    A call for which some code is an answer, not a failure, catches that `ClientError` inside.

    Raises:
        AccessDenied, NotAuthenticated, NotInstalled, Unavailable, Refused
    """
    try:
        yield
    except ClientError as error:
        raise _from_answer(error, service) from None
    except BotoCoreError as error:
        raise _from_client(error) from None
    except ResponseParserError:
        raise Unavailable("something else than AWS has answered: a proxy, perhaps") from None


def _from_answer(error: ClientError, service: str) -> RingbackError:
    name, call = code(error), error.operation_name
    key_denied = _KEY_DENIED.search(name)
    if name in _DENIED or key_denied:
        details: Any = error.response.get("Error", {})
        if named := _NAMED_ACTION.search(str(details.get("Message", ""))):
            resource = named["resource"]
            return AccessDenied(named["action"], resource.rstrip(".,") if resource else None)
        if key_denied:
            return AccessDenied("kms:GenerateDataKey" if call == "SendMessage" else "kms:Decrypt", "the stage's key")
        return AccessDenied(f"{_SERVICES.get(service, service)}:{_ACTIONS.get(call, call)}".removeprefix(":"))
    if name in _UNKNOWN_CALLER:
        return NotAuthenticated(f"AWS does not accept the credentials ({name}): renew them, or name a profile")
    if name in _NOT_THERE:
        return NotInstalled(f"{call}: {name}: what the installation names is not there; `ringback doctor` says what")
    if name in _TOO_BUSY or "hrottl" in name or "TooManyRequests" in name or http_status(error) >= 500:
        return Unavailable(f"{call}: {name}; try again")
    return Refused(f"{call}: {name}")


def _from_client(error: BotoCoreError) -> RingbackError:
    if isinstance(error, NoRegionError):
        return NotInstalled(
            "no region: name one with --region, in AWS_DEFAULT_REGION or in the profile. "
            "For the stack of `make up`: --local, or Publisher.local()"
        )
    if isinstance(error, ProfileNotFound):
        return NotAuthenticated(f"{error}: `aws configure list-profiles` shows the profiles there are")
    if isinstance(
        error, NoCredentialsError | PartialCredentialsError | TokenRetrievalError | UnauthorizedSSOTokenError
    ):
        return NotAuthenticated(f"no AWS credentials ({type(error).__name__}): log in, or name a profile")
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError | ReadTimeoutError):
        return Unavailable(f"{error.kwargs.get('endpoint_url', 'AWS')} does not answer ({type(error).__name__})")
    return Unavailable(f"AWS cannot be asked ({type(error).__name__})")
