"""Where everything of an installation is, and the clients for it."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from ringback import aws
from ringback.errors import NotInstalled

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

DEFAULT_STACK = "Ringback-dev"
DEFAULT_LOCAL_FILE = Path("build/local.json")
OUTPUTS = (
    "WebSocketUrl",
    "DeliveryStateMachineArn",
    "FanOutStateMachineArn",
    "MessageTopicArn",
    "MessageBusName",
    "IngestQueueUrl",
    "AcceptFunctionName",
    "PostOnceFunctionName",
    "HttpApiUrl",
    "DeadLetterQueueUrl",
    "IngestDeadLetterQueueUrl",
    "ConnectionsTableName",
    "CallbacksTableName",
    "SequencesTableName",
    "AudienceBucketName",
    "ManagementEndpoint",
    "DisconnectFunctionName",
)
"""What the stack says of itself."""

_LOCAL_REGION = "us-east-1"
_CONFIG = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=32,
)
SENDING_SECONDS = 65
"""For how long one call that sends is waited for: a hundred messages take their time."""
# A call that may have done its work is repeated by who knows the ids.
_ACCEPT_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 1})
_LONG_POLLING = Config(read_timeout=30)
_NO_SUCH_STACK = re.compile(r"does not exist")


class Clients:
    """boto3's clients for one region of one account, or for the local stack. Each is made once, when asked for.

    ``session`` is boto3's, or botocore's, which makes the same clients and is imported in half the time.
    ``sending_seconds`` is for how long one call that sends is waited for: no less than it may take, unless the caller
    has no more time itself.
    """

    def __init__(
        self,
        session: "boto3.Session | botocore.session.Session",
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        sending_seconds: int = SENDING_SECONDS,
    ) -> None:
        self.session = session
        self.endpoint_url = endpoint_url
        self.sending_seconds = sending_seconds
        self._region = region
        # No proxy stands between this machine and itself.
        self._config = _CONFIG.merge(Config(proxies={})) if endpoint_url else _CONFIG
        self._made: dict[str, Any] = {}
        self._making = Lock()

    @classmethod
    def of_aws(
        cls, *, region: str | None = None, profile: str | None = None, sending_seconds: int = SENDING_SECONDS
    ) -> Self:
        """Clients with the caller's own credentials, as boto3 finds them.

        Raises:
            NotAuthenticated: there is no such profile.
        """
        session = botocore.session.Session(profile=profile)
        with aws.translated():
            session.get_scoped_config()  # where it is seen that there is no such profile
        if region is not None:
            session.set_config_variable("region", region)
        return cls(session, sending_seconds=sending_seconds)

    @classmethod
    def of_local(cls, endpoint_url: str) -> Self:
        """Clients for the local stack, which take nothing from the developer's own AWS set-up."""
        return cls(_isolated_session(), endpoint_url=endpoint_url)

    @property
    def is_local(self) -> bool:
        """Whether they speak to the stack on this machine."""
        return self.endpoint_url is not None

    def in_region(self, region: str) -> "Clients":
        """Clients with the same credentials for another region."""
        return Clients(
            self.session, region=region, endpoint_url=self.endpoint_url, sending_seconds=self.sending_seconds
        )

    @property
    def region(self) -> str:
        """The region they speak to."""
        return self.stepfunctions.meta.region_name

    @property
    def stepfunctions(self) -> "SFNClient":
        """For runs."""
        client: SFNClient = self._client("stepfunctions")
        return client

    @property
    def sqs(self) -> "SQSClient":
        """For dead letters."""
        client: SQSClient = self._client("sqs", _LONG_POLLING)
        return client

    @property
    def dynamodb(self) -> "DynamoDBClient":
        """For connections."""
        client: DynamoDBClient = self._client("dynamodb")
        return client

    @property
    def functions(self) -> "LambdaClient":
        """For sending: asks once and waits for long."""
        client: LambdaClient = self._client("lambda", _ACCEPT_CONFIG.merge(Config(read_timeout=self.sending_seconds)))
        return client

    @property
    def cloudformation(self) -> "CloudFormationClient":
        """For the outputs."""
        client: CloudFormationClient = self._client("cloudformation")
        return client

    def management_api(self, endpoint: str) -> "ApiGatewayManagementApiClient":
        """For the connections of a WebSocket API."""
        client: ApiGatewayManagementApiClient = self._client("apigatewaymanagementapi", endpoint_url=endpoint)
        return client

    def other(self, service: str) -> Any:
        """Any other client, by boto3's name of the service."""
        return self._client(service)

    def _client(self, service: str, config: Config | None = None, *, endpoint_url: str | None = None) -> Any:
        session: Any = self.session
        make = session.create_client if isinstance(session, botocore.session.Session) else session.client
        name = endpoint_url or service
        with self._making, aws.translated():  # a session is not for many threads
            if name not in self._made:
                self._made[name] = make(
                    service,
                    region_name=self._region,
                    endpoint_url=endpoint_url or self.endpoint_url,
                    config=self._config.merge(config) if config else self._config,
                )
            return self._made[name]


@dataclass(frozen=True)
class Installation:
    """One deployed Ringback: the stack's outputs by name, and clients for what they name.

    ``where`` says in words which one it is. ``console_url`` is the address of the local stack's console, if known.
    """

    where: str
    outputs: Mapping[str, str]
    clients: Clients = field(repr=False, compare=False)
    console_url: str = ""

    @classmethod
    def of_stack(cls, name: str = DEFAULT_STACK, *, region: str | None = None, profile: str | None = None) -> Self:
        """Find a deployed stack by its name, with boto3's usual credentials and region unless told otherwise.

        Raises:
            NotInstalled: there is no such stack in this region.
            AccessDenied, NotAuthenticated, Unavailable: CloudFormation cannot be asked.
        """
        clients = Clients.of_aws(region=region, profile=profile)
        return cls(f"{name} in {clients.region}", read_outputs(clients, name), clients)

    @classmethod
    def local(cls, file: Path | str = DEFAULT_LOCAL_FILE) -> Self:
        """The stack that runs on this machine, as it wrote itself down.

        Raises:
            NotInstalled: there is no such file, or it is no such file.
        """
        try:
            values: dict[str, str] = json.loads(Path(file).read_text())
            endpoint = values["endpoint"]
            if not str(endpoint).startswith("http://"):
                raise ValueError("no address of this machine")  # noqa: TRY301 - the same answer as for no JSON
        except OSError:
            raise NotInstalled(
                f"{Path(file).absolute()} is not there: `make up` starts Ringback, and writes it in its own folder. "
                "From another folder, name the file: Publisher.local(FILE), or --local-file FILE."
            ) from None
        except (ValueError, KeyError, TypeError):
            raise NotInstalled(f"{file} does not describe a local stack: `make up` writes it anew.") from None
        clients = Clients.of_local(endpoint)
        by_name = {name.lower(): name for name in OUTPUTS}
        found = {by_name.get(name.replace("_", "").lower()): str(value) for name, value in values.items()}
        return cls(
            f"the local stack at {endpoint}",
            {name: value for name, value in found.items() if name is not None},
            clients,
            str(values.get("console_url", "")),
        )

    def output(self, name: str) -> str:
        """One of the stack's outputs.

        Raises:
            NotInstalled: the stack does not have it.
        """
        try:
            return self.outputs[name]
        except KeyError:
            raise NotInstalled(f"{self.where} has no output {name}: deploy it from this version of Ringback") from None

    @property
    def delivery_state_machine_arn(self) -> str:
        """The machine that carries messages."""
        return self.output("DeliveryStateMachineArn")

    def local_run_url(self, execution_arn: str) -> str:
        """A run's page in the local stack's console; empty if that is not known."""
        return self.console_url and f"{self.console_url}/#/runs/{quote(execution_arn, safe=':')}"


def read_outputs(clients: Clients, stack_name: str) -> dict[str, str]:
    """The outputs of a stack, by name.

    Raises:
        NotInstalled: there is no such stack in the clients' region.
    """
    with aws.translated("cloudformation"):
        try:
            (stack,) = clients.cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
        except ClientError as error:
            details: Any = error.response.get("Error", {})
            if aws.code(error) == "ValidationError" and _NO_SUCH_STACK.search(str(details.get("Message"))):
                raise NotInstalled(
                    f"there is no stack {stack_name} in {clients.region}: name it with --stack, or another --region"
                ) from None
            raise
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _isolated_session() -> botocore.session.Session:
    session = botocore.session.Session()
    nothing = {name: (None, None, *rest) for name, (_file, _variable, *rest) in session.SESSION_VARIABLES.items()}
    no_files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    session.session_var_map.update(nothing | no_files)
    session.set_config_variable("region", _LOCAL_REGION)
    session.set_credentials("local", "local")  # no secret: nobody checks it
    return session
