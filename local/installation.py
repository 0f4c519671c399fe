"""A deployed Ringback on this machine: where everything is, and clients for it."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import boto3
import botocore.session
from botocore.config import Config

from local import settings
from local.errors import NotRunning
from ringback import installation as backends

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackResourceSummaryTypeDef
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient


def aws_session() -> boto3.Session:
    """A session that takes nothing from the developer's own AWS set-up: no variable, no profile, no file."""
    core = botocore.session.Session()
    nowhere = {name: (None, None, *rest) for name, (_file, _variable, *rest) in core.SESSION_VARIABLES.items()}
    no_files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    core.session_var_map.update(nowhere | no_files)
    return boto3.Session(
        aws_access_key_id=settings.ACCESS_KEY_ID,
        aws_secret_access_key=settings.SECRET_ACCESS_KEY,
        region_name=settings.REGION,
        botocore_session=core,
    )


class Clients:
    """Clients for one MiniStack, each made when it is first used."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.session = aws_session()
        # No proxy stands between this machine and itself.
        self.config = Config(proxies={}, max_pool_connections=64)

    @cached_property
    def stepfunctions(self) -> "SFNClient":
        return self.session.client("stepfunctions", endpoint_url=self.endpoint, config=self.config)

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        return self.session.client("dynamodb", endpoint_url=self.endpoint, config=self.config)

    @cached_property
    def sns(self) -> "SNSClient":
        return self.session.client("sns", endpoint_url=self.endpoint, config=self.config)

    @cached_property
    def events(self) -> "EventBridgeClient":
        return self.session.client("events", endpoint_url=self.endpoint, config=self.config)

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        return self.session.client("logs", endpoint_url=self.endpoint, config=self.config)

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        return self.session.client("cloudwatch", endpoint_url=self.endpoint, config=self.config)

    @cached_property
    def sqs(self) -> "SQSClient":
        return self.session.client("sqs", endpoint_url=self.endpoint, config=self.config)

    @cached_property
    def s3(self) -> "S3Client":
        return self.session.client("s3", endpoint_url=self.endpoint, config=self.config)

    @cached_property
    def functions(self) -> "LambdaClient":
        return self.session.client("lambda", endpoint_url=self.endpoint, config=self.config)

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        return self.session.client("cloudformation", endpoint_url=self.endpoint, config=self.config)

    def stack_resources(self, stack_name: str) -> Iterator["StackResourceSummaryTypeDef"]:
        """Every resource of a deployed stack."""
        for page in self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_name):
            yield from page["StackResourceSummaries"]

    def connections(self, api_endpoint: str) -> "ApiGatewayManagementApiClient":
        """The management API (`@connections`) of the WebSocket API at this address."""
        return self.session.client("apigatewaymanagementapi", endpoint_url=api_endpoint, config=self.config)


@dataclass(frozen=True)
class Installation:
    """What `build/local.json` holds."""

    endpoint: str
    websocket_url: str
    delivery_state_machine_arn: str
    fan_out_state_machine_arn: str
    audience_bucket_name: str
    message_topic_arn: str
    message_bus_name: str
    ingest_queue_url: str
    accept_function_name: str
    post_once_function_name: str
    http_api_url: str
    dead_letter_queue_url: str
    ingest_dead_letter_queue_url: str
    connections_table_name: str
    callbacks_table_name: str
    sequences_table_name: str
    management_endpoint: str
    disconnect_function_name: str
    chat_api_url: str
    chats_table_name: str
    chat_session_state_machine_arn: str
    token_command: str
    console_url: str = ""  # while there is one

    @classmethod
    def load(cls, file: Path = settings.INSTALLATION_FILE) -> Self:
        """Read the installation of the run that is up.

        Raises:
            NotRunning
        """
        try:
            return cls.of(json.loads(file.read_text()))
        except FileNotFoundError:
            raise NotRunning("Ringback does not run on this machine. `make up` starts it.") from None

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """From values by name; what has no field here is left out."""
        given = values if "console_url" in values else {**values, "console_url": ""}
        return cls(**{field.name: given[field.name] for field in fields(cls)})

    def save(self, file: Path = settings.INSTALLATION_FILE) -> None:
        """Write it down for other programs."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @cached_property
    def clients(self) -> Clients:
        return Clients(self.endpoint)

    @cached_property
    def sdk(self) -> backends.Installation:
        """The same for the package that backends use."""
        by_name = {name.lower(): name for name in backends.OUTPUTS}
        known = {by_name.get(name.replace("_", "")): value for name, value in asdict(self).items()}
        outputs = {name: value for name, value in known.items() if name is not None}
        clients = backends.Clients.of_local(self.endpoint)
        return backends.Installation(f"the local stack at {self.endpoint}", outputs, clients, self.console_url)

    @property
    def management_url(self) -> str:
        """Where posts to connections go."""
        return self.websocket_url.replace("ws://", "http://", 1)
