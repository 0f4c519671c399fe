"""Small functions, machines and WebSocket APIs on a MiniStack of the tests' own, made in milliseconds."""

import contextlib
import http.client
import io
import json
import textwrap
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from local import settings
from local.installation import Clients

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

_ROLE = f"arn:aws:iam::{settings.ACCOUNT}:role/any"
PATIENCE_SECONDS = 20

T = TypeVar("T")
Matters = Callable[[Callable[["Laboratory"], object], object], None]


@dataclass(frozen=True)
class Laboratory:
    """One MiniStack, and how to put things into it."""

    endpoint: str
    role: str = _ROLE  # that functions and machines have

    @cached_property
    def clients(self) -> Clients:
        return Clients(self.endpoint)

    @cached_property
    def gateway(self) -> Any:
        return self._client("apigatewayv2")

    @cached_property
    def logs(self) -> Any:
        return self._client("logs")

    @cached_property
    def events(self) -> Any:
        return self._client("events")

    @cached_property
    def s3(self) -> Any:
        return self._client("s3")

    def function(self, source: str, *, timeout_seconds: int = 10) -> str:
        """A function whose module is this source; returns its ARN."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as package:
            # A ZipInfo has no time of its own: the same source is the same package.
            package.writestr(zipfile.ZipInfo("index.py"), textwrap.dedent(source))
        created = self.clients.functions.create_function(
            FunctionName=unique("function"),
            Runtime="python3.13",
            Role=self.role,
            Handler="index.handler",
            Code={"ZipFile": content.getvalue()},
            Timeout=timeout_seconds,
        )
        return created["FunctionArn"]

    def invoke(self, function: str, payload: object = None) -> tuple[str | None, Any]:
        """The kind of error, if it is one, and what came back."""
        answer = self.clients.functions.invoke(FunctionName=function, Payload=json.dumps(payload))
        return answer.get("FunctionError"), json.loads(answer["Payload"].read())

    def log(self, function: str) -> str:
        """Everything a function has logged so far."""
        group = f"/aws/lambda/{function.rpartition(':')[2]}"
        if not self.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return ""
        return "\n".join(event["message"] for event in self.logs.filter_log_events(logGroupName=group)["events"])

    def machine(self, state: Mapping[str, Any], *, query_language: str = "JSONata") -> str:
        """A machine of one state; returns its ARN."""
        end = {} if state.get("Type") == "Fail" else {"End": True}
        only = {"Type": "Task", **end, **state}
        return self.machine_of({"QueryLanguage": query_language, "StartAt": "Only", "States": {"Only": only}})

    def machine_of(self, definition: Mapping[str, Any]) -> str:
        """A machine; returns its ARN."""
        created = self.clients.stepfunctions.create_state_machine(
            name=unique("machine"), definition=json.dumps(definition), roleArn=self.role
        )
        return created["stateMachineArn"]

    def start(self, machine: str, data: object = None) -> str:
        started = self.clients.stepfunctions.start_execution(stateMachineArn=machine, input=json.dumps(data or {}))
        return started["executionArn"]

    def outcome(self, execution: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Any:
        """How an execution ended, once it has, or how it stands when patience ends."""
        deadline = time.monotonic() + patience_seconds

        def settled() -> Any:
            described = self.clients.stepfunctions.describe_execution(executionArn=execution)
            return described if described["status"] != "RUNNING" or time.monotonic() > deadline else None

        return wait_for(settled)

    def run(self, state: Mapping[str, Any], data: object = None, *, query_language: str = "JSONata") -> Any:
        return self.outcome(self.start(self.machine(state, query_language=query_language), data))

    def queue(self, **attributes: str) -> str:
        """A queue's URL."""
        given: Any = attributes
        return self.clients.sqs.create_queue(QueueName=unique("queue"), Attributes=given)["QueueUrl"]

    def queue_arn(self, url: str) -> str:
        answer = self.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return answer["Attributes"]["QueueArn"]

    def message(self, queue: str, *, or_none_within: int | None = None) -> str:
        """The body of the next message on a queue; "" where none may come, and none does."""

        def received() -> str | None:
            answer = self.clients.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=or_none_within or 1)
            if messages := answer.get("Messages"):
                self.clients.sqs.delete_message(QueueUrl=queue, ReceiptHandle=messages[0]["ReceiptHandle"])
                return messages[0]["Body"]
            return "" if or_none_within else None

        return wait_for(received)

    def create_stack(self, template: Mapping[str, Any]) -> Any:
        """A stack as it is once CloudFormation has done with it."""
        name = unique("stack")
        self.clients.cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))

        def settled() -> Any:
            stack = self.clients.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

        return wait_for(settled)

    def websocket_api(
        self, *, connect: str | None = None, default: str | None = None, authorizer: str | None = None
    ) -> "WebSocketApi":
        """An API whose routes and authorizer are these functions (ARNs)."""
        created = self.gateway.create_api(
            Name=unique("api"), ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
        )
        api = WebSocketApi(self, created["ApiId"])
        self.gateway.create_stage(ApiId=api.id, StageName="test")
        authorization: dict[str, Any] = {}
        if authorizer:
            made = self.gateway.create_authorizer(
                ApiId=api.id,
                Name="authorizer",
                AuthorizerType="REQUEST",
                AuthorizerUri=_invocation(authorizer),
                IdentitySource=[],
            )
            authorization = {"AuthorizationType": "CUSTOM", "AuthorizerId": made["AuthorizerId"]}
        if connect:
            api.route("$connect", connect, **authorization)
        if default:
            api.route("$default", default, answers=True)
        return api

    def http_api(self, function: str) -> "HttpApi":
        """An API whose routes all lead to this function."""
        api = self.gateway.create_api(Name=unique("api"), ProtocolType="HTTP")["ApiId"]
        self.gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
        integration = self.gateway.create_integration(
            ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=function, PayloadFormatVersion="2.0"
        )
        return HttpApi(self, api, integration["IntegrationId"])

    def _client(self, service: Any) -> Any:
        return self.clients.session.client(service, endpoint_url=self.endpoint, config=self.clients.config)


@dataclass(frozen=True)
class WebSocketApi:
    """An API that clients can connect to."""

    laboratory: Laboratory
    id: str

    @cached_property
    def _management(self) -> "ApiGatewayManagementApiClient":
        return self.laboratory.clients.connections(self.path)

    @property
    def path(self) -> str:
        return f"{self.laboratory.endpoint}/_aws/execute-api/{self.id}/test"

    def route(self, key: str, function: str, *, answers: bool = False, **options: Any) -> None:
        integration = self.laboratory.gateway.create_integration(
            ApiId=self.id, IntegrationType="AWS_PROXY", IntegrationUri=_invocation(function)
        )
        created = self.laboratory.gateway.create_route(
            ApiId=self.id, RouteKey=key, Target=f"integrations/{integration['IntegrationId']}", **options
        )
        if answers:
            self.laboratory.gateway.create_route_response(
                ApiId=self.id, RouteId=created["RouteId"], RouteResponseKey="$default"
            )

    def connect(self, *subprotocols: Any) -> ClientConnection:
        url = self.path.replace("http://", "ws://", 1)
        return connect(url, subprotocols=subprotocols or None, proxy=None)

    def refusal(self) -> int:
        """The status that a handshake which must not succeed is answered with."""
        try:
            with self.connect():
                raise AssertionError("the handshake succeeded")
        except InvalidStatus as error:
            return error.response.status_code

    def post(self, connection_id: str, data: bytes) -> int:
        """The status that the management API answers a post with."""
        try:
            self._management.post_to_connection(ConnectionId=connection_id, Data=data)
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"]
        return 200


@dataclass(frozen=True)
class HttpApi:
    """An API that can be asked over HTTP."""

    laboratory: Laboratory
    id: str
    integration: str

    def route(self, key: str, **options: Any) -> None:
        self.laboratory.gateway.create_route(
            ApiId=self.id, RouteKey=key, Target=f"integrations/{self.integration}", **options
        )

    def ask(self, method: str, path: str, authorization: str | None = None) -> tuple[int, Any]:
        """The status and the JSON that a request is answered with."""
        connection = http.client.HTTPConnection(urlsplit(self.laboratory.endpoint).netloc, timeout=PATIENCE_SECONDS)
        headers = {"Authorization": authorization} if authorization else {}
        with contextlib.closing(connection):
            connection.request(method, f"/_aws/execute-api/{self.id}{path}", headers=headers)
            response = connection.getresponse()
            body = response.read()
            return response.status, json.loads(body) if body else None

    def status(self, method: str, path: str, authorization: str | None = None) -> int:
        return self.ask(method, path, authorization)[0]


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def wait_for(observe: Callable[[], T | None]) -> T:
    """What there is to see, once there is something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (seen := observe()) is None:
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
    return seen


def _invocation(function: str) -> str:
    return f"arn:aws:apigateway:{settings.REGION}:lambda:path/2015-03-31/functions/{function}/invocations"
