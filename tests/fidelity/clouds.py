"""Three clouds behind one face: moto with our interpreter, the local cloud, and a real account.

All three are spoken to by boto3, and all are asked the same. What is made has a name of its own. In AWS it is removed
again, and what could not be removed is said.
"""

import contextlib
import io
import json
import sys
import textwrap
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import urlencode

import boto3
import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from local import settings as local_settings
from local.installation import aws_session
from tests.fakes import FakeClock
from tests.statemachine.interpreter import Interpreter
from tests.waiting import until

_POLICY_VERSION = "2012-10-17"
# One that is there, for API Gateway looks; none of its tokens is for us.
_ISSUER = "https://accounts.google.com"

# One function for all cases of Step Functions: it does what its payload says.
TASK = """
    import functools, json
    import boto3

    client = functools.cache(boto3.client)

    def handler(event, context):
        if "queue" in event:
            told = {name: value for name, value in event.items() if name != "queue"}
            client("sqs").send_message(QueueUrl=event["queue"], MessageBody=json.dumps(told))
        if "succeed" in event:
            client("stepfunctions").send_task_success(taskToken=event["token"], output=json.dumps(event["succeed"]))
        if "raise" in event:
            raise type(event["raise"], (Exception,), {})(event.get("message", "no message"))
        return event.get("answer", "x" * event.get("length", 0))
"""


def code_of(call: Callable[..., object], **arguments: object) -> str:
    """What a call is answered with: an error's code, or nothing."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


class Cloud:
    """Makes things, and says what becomes of them."""

    name: ClassVar[str]
    patience_seconds: ClassVar[float] = 20

    def __init__(self, session: boto3.Session, *, endpoint: str | None = None, role: str) -> None:
        self._session = session
        self._endpoint = endpoint
        self._role_given = role
        self._clients: dict[str, Any] = {}
        self._functions: dict[tuple[str, int], str] = {}
        self._kept: dict[str, Any] = {}

    # What is not there in AWS.

    @property
    def _role(self) -> str:
        return self._role_given

    def _remove_at_end(self, call: Callable[..., object], **arguments: object) -> None:
        """Only AWS outlives the tests."""

    def _when_ready(self, make: Callable[[], Any]) -> Any:
        return make()

    # What all clouds have.

    def client(self, service: Any) -> Any:
        """A client for a service; the same one each time."""
        if service not in self._clients:
            config = Config(proxies={}) if self._endpoint else Config()
            self._clients[service] = self._session.client(service, endpoint_url=self._endpoint, config=config)
        return self._clients[service]

    @property
    def region(self) -> str:
        return str(self._session.region_name)

    def unique(self, kind: str) -> str:
        return f"ringback-fidelity-{kind}-{uuid.uuid4().hex[:12]}"

    def once(self, what: str, make: Callable[[], Any]) -> Any:
        """What many cases share, made by the first one that asks."""
        if what not in self._kept:
            self._kept[what] = make()
        return self._kept[what]

    def function(self, source: str, *, timeout_seconds: int = 10) -> str:
        """A function whose module is this source; returns its ARN. The same source is the same function."""
        key = (source, timeout_seconds)
        if key not in self._functions:
            self._functions[key] = self._make_function(textwrap.dedent(source), timeout_seconds)
        return self._functions[key]

    def _make_function(self, source: str, timeout_seconds: int) -> str:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as package:
            readable = zipfile.ZipInfo("index.py")
            readable.external_attr = 0o644 << 16
            package.writestr(readable, source)
        functions, name = self.client("lambda"), self.unique("function")
        made = self._when_ready(
            lambda: functions.create_function(
                FunctionName=name,
                Runtime="python3.13",
                Role=self._role,
                Handler="index.handler",
                Code={"ZipFile": content.getvalue()},
                Timeout=timeout_seconds,
            )
        )
        self._remove_at_end(self.client("logs").delete_log_group, logGroupName=f"/aws/lambda/{name}")
        self._remove_at_end(functions.delete_function, FunctionName=name)
        functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        return str(made["FunctionArn"])

    def invoke(self, function: str, payload: object = None) -> Any:
        """What a function answers to a call that waits for it."""
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(payload))
        return SimpleNamespace(
            status=answer["StatusCode"],
            error=answer.get("FunctionError"),
            payload=json.loads(answer["Payload"].read()),
        )

    def machine(self, states: Mapping[str, Any], **definition: object) -> str:
        """A machine in JSONata that begins with the first of these states; returns its ARN."""
        whole = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **definition}
        machines = self.client("stepfunctions")
        made = self._when_ready(
            lambda: machines.create_state_machine(
                name=self.unique("machine"), definition=json.dumps(whole), roleArn=self._role
            )
        )
        self._remove_at_end(machines.delete_state_machine, stateMachineArn=made["stateMachineArn"])
        return str(made["stateMachineArn"])

    def start(self, machine: str, value: object = None, **options: str) -> "Run":
        """Start a run with this input."""
        text = json.dumps({} if value is None else value)
        started = self.client("stepfunctions").start_execution(stateMachineArn=machine, input=text, **options)
        return Run(self, started["executionArn"])

    def run(self, states: Mapping[str, Any], value: object = None) -> "Run":
        """Start a run of these states."""
        return self.start(self.machine(states), value)

    def end(self, arn: str) -> Any:
        """The description of a run that has ended, however long that takes."""

        def settled() -> Any:
            described = self.client("stepfunctions").describe_execution(executionArn=arn)
            return None if described["status"] == "RUNNING" else described

        return until(settled, "the end of a run", seconds=self.patience_seconds)

    def pass_time(self, run: "Run") -> None:
        """Let a wait take its full time; elsewhere than in moto it does by itself."""

    def task(self, payload: Mapping[str, Any], *, waits: bool = False, **fields: Any) -> dict[str, Any]:
        """A state that calls the function `TASK`; with a task token, which its payload gets, if it waits."""
        token = {"token": "{% $states.context.Task.Token %}"} if waits else {}
        return {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke" + (".waitForTaskToken" if waits else ""),
            "Arguments": {"FunctionName": self.function(TASK), "Payload": {**token, **payload}},
            **({} if "Next" in fields else {"End": True}),
            **({"TimeoutSeconds": 30} if waits else {}),
            **fields,
        }

    def queue(self, **attributes: str) -> str:
        """A queue's URL."""
        name = self.unique("queue")
        made = self.client("sqs").create_queue(QueueName=name, Attributes=attributes)
        self._remove_at_end(self.client("sqs").delete_queue, QueueUrl=made["QueueUrl"])
        return str(made["QueueUrl"])

    def queue_arn(self, url: str) -> str:
        answer = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    def let_write(self, service: str, *queues: str) -> None:
        """Let a service put messages into these queues (URLs)."""
        for url in queues:
            allow = {
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sqs:SendMessage",
                "Resource": self.queue_arn(url),
            }
            policy = json.dumps({"Version": _POLICY_VERSION, "Statement": [allow]})
            self.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})

    def received(self, queue: str, *, seconds: float | None = None, **options: object) -> Any:
        """The next message of a queue, which is deleted there."""

        def look() -> Any:
            asked = {"QueueUrl": queue, "WaitTimeSeconds": 1, "MessageAttributeNames": ["All"], **options}
            messages = self.client("sqs").receive_message(MessageSystemAttributeNames=["All"], **asked).get("Messages")
            return messages[0] if messages else None

        message = until(look, "a message", seconds=seconds or self.patience_seconds)
        self.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return message

    def told(self, queue: str, *, seconds: float | None = None) -> Any:
        """The next message of a queue, which is JSON."""
        return json.loads(self.received(queue, seconds=seconds)["Body"])

    def table(self, **options: Any) -> str:
        """A table as ours are: text keys `caller_id` and `context`; returns its name."""
        tables, name = self.client("dynamodb"), self.unique("table")
        keys = {"caller_id": "HASH", "context": "RANGE"}
        attributes = [*keys, *({"conversation"} if "GlobalSecondaryIndexes" in options else ())]
        tables.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in attributes],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
            BillingMode="PAY_PER_REQUEST",
            **options,
        )
        self._remove_at_end(tables.delete_table, TableName=name)
        tables.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
        return name

    def websocket_api(self, routes: Mapping[str, str], *, authorizer: str, answers: tuple[str, ...]) -> "WebSocketApi":
        """An API with these routes (functions' ARNs), whose handshakes the authorizer decides."""
        gateway = self.client("apigatewayv2")
        api = gateway.create_api(
            Name=self.unique("api"), ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
        )["ApiId"]
        self._remove_at_end(gateway.delete_api, ApiId=api)
        made = gateway.create_authorizer(
            ApiId=api,
            Name="authorizer",
            AuthorizerType="REQUEST",
            AuthorizerUri=self._invocation(authorizer),
            IdentitySource=[],
        )
        for key, function in routes.items():
            integration = gateway.create_integration(
                ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=self._invocation(function)
            )
            guarded = {"AuthorizationType": "CUSTOM", "AuthorizerId": made["AuthorizerId"]}
            route = gateway.create_route(
                ApiId=api,
                RouteKey=key,
                Target=f"integrations/{integration['IntegrationId']}",
                **(guarded if key == "$connect" else {}),
                **({"RouteResponseSelectionExpression": "$default"} if key in answers else {}),
            )
            if key in answers:
                gateway.create_route_response(ApiId=api, RouteId=route["RouteId"], RouteResponseKey="$default")
        deployment = gateway.create_deployment(ApiId=api)["DeploymentId"]
        gateway.create_stage(ApiId=api, StageName="test", DeploymentId=deployment)
        for function in {authorizer, *routes.values()}:
            account = function.split(":")[4]
            self._let_invoke(
                "apigateway.amazonaws.com", function, f"arn:aws:execute-api:{self.region}:{account}:{api}/*"
            )
        return WebSocketApi(self, api)

    def http_api(self, function: str) -> "HttpApi":
        """An API that calls this function: below `/by-role` for whoever signs, below `/by-token` for good JWTs."""
        gateway = self.client("apigatewayv2")
        api = gateway.create_api(Name=self.unique("api"), ProtocolType="HTTP")["ApiId"]
        self._remove_at_end(gateway.delete_api, ApiId=api)
        integration = gateway.create_integration(
            ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=function, PayloadFormatVersion="2.0"
        )
        authorizer = gateway.create_authorizer(
            ApiId=api,
            Name="authorizer",
            AuthorizerType="JWT",
            IdentitySource=["$request.header.Authorization"],
            JwtConfiguration={"Issuer": _ISSUER, "Audience": ["ringback-fidelity"]},
        )
        guards = {
            "by-role": {"AuthorizationType": "AWS_IAM"},
            "by-token": {"AuthorizationType": "JWT", "AuthorizerId": authorizer["AuthorizerId"]},
        }
        for name, guard in guards.items():
            target = f"integrations/{integration['IntegrationId']}"
            gateway.create_route(ApiId=api, RouteKey=f"ANY /{name}/{{rest+}}", Target=target, **guard)
        gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
        source = f"arn:aws:execute-api:{self.region}:{function.split(':')[4]}:{api}/*"
        self._let_invoke("apigateway.amazonaws.com", function, source)
        return HttpApi(self, self.http_url(api))

    def _let_invoke(self, service: str, function: str, source: str) -> None:
        self.client("lambda").add_permission(
            FunctionName=function,
            StatementId=uuid.uuid4().hex,
            Action="lambda:InvokeFunction",
            Principal=service,
            SourceArn=source,
        )

    def rule(self, pattern: Mapping[str, Any], target: Mapping[str, Any], *, bus: str = "default") -> None:
        """A rule of EventBridge with one target, a function or a queue."""
        events, name = self.client("events"), self.unique("rule")
        arn = events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))["RuleArn"]
        events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "target", **target}])
        self._remove_at_end(events.delete_rule, Name=name, EventBusName=bus)
        self._remove_at_end(events.remove_targets, Rule=name, EventBusName=bus, Ids=["target"])
        if ":lambda:" in target["Arn"]:
            self._let_invoke("events.amazonaws.com", target["Arn"], arn)

    def bus(self) -> str:
        """A bus of one's own; returns its name."""
        name = self.unique("bus")
        self.client("events").create_event_bus(Name=name)
        self._remove_at_end(self.client("events").delete_event_bus, Name=name)
        return name

    def topic(self, queue: str) -> str:
        """A topic whose messages go to this queue, raw; returns its ARN."""
        sns = self.client("sns")
        topic = sns.create_topic(Name=self.unique("topic"))["TopicArn"]
        self._remove_at_end(sns.delete_topic, TopicArn=topic)
        self.let_write("sns.amazonaws.com", queue)
        attributes = {"RawMessageDelivery": "true"}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.queue_arn(queue), Attributes=attributes)
        return str(topic)

    def bucket(self) -> str:
        """A bucket's name."""
        s3, name = self.client("s3"), self.unique("bucket")
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        s3.create_bucket(Bucket=name, **({} if self.region == "us-east-1" else elsewhere))
        self._remove_at_end(s3.delete_bucket, Bucket=name)
        return name

    def stored(self, bucket: str, key: str, lines: list[Any]) -> None:
        """Put JSON Lines into a bucket."""
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())
        self._remove_at_end(self.client("s3").delete_object, Bucket=bucket, Key=key)

    def read_by(self, function: str, source: str, **options: Any) -> None:
        """Have a function read a queue or a stream (ARN), and say what of it failed."""
        functions = self.client("lambda")
        made = functions.create_event_source_mapping(
            EventSourceArn=source,
            FunctionName=function,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            **options,
        )
        self._remove_at_end(functions.delete_event_source_mapping, UUID=made["UUID"])

    def _invocation(self, function: str) -> str:
        return f"arn:aws:apigateway:{self.region}:lambda:path/2015-03-31/functions/{function}/invocations"

    def management_url(self, api: str) -> str:
        return f"https://{api}.execute-api.{self.region}.amazonaws.com/test"

    def http_url(self, api: str) -> str:
        return f"https://{api}.execute-api.{self.region}.amazonaws.com"


class Run:
    """One execution."""

    def __init__(self, cloud: Cloud, arn: str) -> None:
        self.cloud = cloud
        self.arn = arn

    @property
    def _client(self) -> Any:
        return self.cloud.client("stepfunctions")

    def describe(self) -> Any:
        return self._client.describe_execution(executionArn=self.arn)

    def end(self) -> tuple[str, Any]:
        """Its status when it has ended, and its output or its error."""
        described = self.cloud.end(self.arn)
        if described["status"] == "SUCCEEDED":
            return "SUCCEEDED", json.loads(described["output"])
        return described["status"], described.get("error")

    def ended(self) -> Any:
        """Its description when it has ended."""
        return self.cloud.end(self.arn)

    def stop(self) -> None:
        self._client.stop_execution(executionArn=self.arn, error="Cancelled", cause="by a test")

    def succeed(self, token: str, output: object = None) -> str:
        """Answer a token; the code of the error, if it is one."""
        return code_of(self._client.send_task_success, taskToken=token, output=json.dumps(output))

    def history(self, **options: Any) -> list[Any]:
        answer = self._client.get_execution_history(executionArn=self.arn, **options)
        return list(answer["events"])


class WebSocketApi:
    """A WebSocket API, and clients for it."""

    def __init__(self, cloud: Cloud, api: str) -> None:
        self.cloud = cloud
        self.id = api
        self.endpoint = cloud.management_url(api)

    @cached_property
    def management(self) -> Any:
        return self.cloud._session.client("apigatewaymanagementapi", endpoint_url=self.endpoint)

    def await_deployment(self) -> "WebSocketApi":
        """Until it is there, it forbids all."""
        codes = {"GoneException", "410", "BadRequestException", "400"}

        def there() -> bool:
            return code_of(self.management.post_to_connection, ConnectionId="L0SM9cOFvHcCIhw=", Data=b"x") in codes

        until(there, "the deployment of the API", seconds=self.cloud.patience_seconds)
        return self

    def connect(self, *subprotocols: str, **query: str) -> contextlib.AbstractContextManager[ClientConnection]:
        """A client, for as long as the context lasts."""
        url = f"{self.endpoint.replace('http', 'ws', 1)}?{urlencode(query)}"
        offered = [Subprotocol(name) for name in subprotocols] or None
        proxy: Any = None if self.cloud.name == "local" else True
        return connect(url, subprotocols=offered, proxy=proxy)

    def refusal(self, **query: str) -> int:
        """The status that a handshake which must not succeed is answered with."""
        try:
            with self.connect(**query):
                raise AssertionError("the handshake succeeded")
        except InvalidStatus as error:
            return error.response.status_code

    def post(self, connection_id: str, data: bytes = b"x") -> str:
        """Post; the code of the error, if it is one."""
        return code_of(self.management.post_to_connection, ConnectionId=connection_id, Data=data)


class HttpApi:
    """An HTTP API, and requests to it."""

    def __init__(self, cloud: Cloud, url: str) -> None:
        self.cloud = cloud
        self.url = url

    def await_deployment(self) -> "HttpApi":
        """Until it is there, it finds nothing."""

        def there() -> bool:
            return bool(self.request("GET", "/by-role/x").status_code == HTTPStatus.FORBIDDEN)

        until(there, "the deployment of the API", seconds=self.cloud.patience_seconds)
        return self

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        signed: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """What one request is answered; its body is JSON."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        request = AWSRequest(method=method, url=self.url + path, data=body, headers=sent)
        if signed:
            found = self.cloud._session.get_credentials()
            assert found is not None
            SigV4Auth(found, "execute-api", self.cloud.region).add_auth(request)
        return URLLib3Session(timeout=30).send(request.prepare())


class MotoCloud(Cloud):
    """moto, with our interpreter: functions run in this process, and no time passes but on the test's clock."""

    name = "moto"

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(boto3.Session(), role="arn:aws:iam::123456789012:role/any")
        self._handlers: dict[str, Callable[[Any, Any], Any]] = {}
        self._runs: list[str] = []
        self._interpreter = Interpreter(FakeClock(), self._invoke)
        self._interpreter.install(patch)

    def start(self, machine: str, value: object = None, **options: str) -> Run:
        run = super().start(machine, value, **options)
        self._runs.append(run.arn)
        return run

    def end(self, arn: str) -> Any:
        """What waits, waits its full time."""
        while (described := self.client("stepfunctions").describe_execution(executionArn=arn))["status"] == "RUNNING":
            if self._interpreter.until_idle(arn):
                self._interpreter.time_out(arn)
        return described

    def pass_time(self, run: Run) -> None:
        if self._interpreter.until_idle(run.arn):
            self._interpreter.time_out(run.arn)

    def close(self) -> None:
        """Leave no thread waiting."""
        for arn in self._runs:
            while arn in self._interpreter._waits:
                self._interpreter.abandon(arn)

    def _make_function(self, source: str, timeout_seconds: int) -> str:
        module: dict[str, Any] = {"__name__": "index"}
        exec(compile(source, "index.py", "exec"), module)  # noqa: S102 - the case's own source
        name = self.unique("function")
        self._handlers[name] = module["handler"]
        return f"arn:aws:lambda:{self.region}:123456789012:function:{name}"

    def _invoke(self, name: str, event: Any) -> Any:
        return self._handlers[name](event, SimpleNamespace())


class LocalCloud(Cloud):
    """MiniStack, corrected."""

    name = "local"

    def __init__(self, endpoint: str) -> None:
        role = f"arn:aws:iam::{local_settings.ACCOUNT}:role/any"
        super().__init__(aws_session(), endpoint=endpoint, role=role)

    def management_url(self, api: str) -> str:
        return f"{self._endpoint}/_aws/execute-api/{api}/test"

    def http_url(self, api: str) -> str:
        return f"{self._endpoint}/_aws/execute-api/{api}"


class AwsCloud(Cloud):
    """A real account. It costs a few cents; what is made is named `ringback-fidelity-…`."""

    name = "aws"
    patience_seconds = 120

    def __init__(self, profile: str, region: str) -> None:
        super().__init__(_session_of(profile, region), role="")
        self._undo = contextlib.ExitStack()

    @contextlib.contextmanager
    def cleaned_up(self) -> Iterator[None]:
        """Remove at the end what was made, last things first."""
        with self._undo:
            yield

    def _remove_at_end(self, call: Callable[..., object], **arguments: object) -> None:
        def remove() -> None:
            try:
                call(**arguments)
            except ClientError as error:
                if "NotFound" not in (code := error.response["Error"]["Code"]) and "NonExistent" not in code:
                    print(f"still there: {arguments} ({code})", file=sys.stderr)

        self._undo.callback(remove)

    def _when_ready(self, make: Callable[[], Any]) -> Any:
        """A new role is known everywhere only after seconds."""
        deadline = time.monotonic() + self.patience_seconds
        while True:
            try:
                return make()
            except ClientError as error:
                # The one is Lambda's, the other Step Functions'.
                code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
                unknown = code in {"InvalidParameterValueException", "AccessDeniedException"} and "role" in message
                if not unknown or time.monotonic() > deadline:
                    raise
                time.sleep(2)

    @property
    def _role(self) -> str:
        return str(self.once("role", self._make_role))

    def _make_role(self) -> str:
        iam, name = self.client("iam"), self.unique("role")
        services = [f"{service}.amazonaws.com" for service in ("lambda", "states")]
        trust = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
        made = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps({"Version": _POLICY_VERSION, "Statement": [trust]}),
            Tags=[{"Key": "made-by", "Value": "ringback-fidelity"}],
        )
        self._remove_at_end(iam.delete_role, RoleName=name)
        policy = json.dumps({"Version": _POLICY_VERSION, "Statement": _STATEMENTS})
        iam.put_role_policy(RoleName=name, PolicyName="fidelity", PolicyDocument=policy)
        self._remove_at_end(iam.delete_role_policy, RoleName=name, PolicyName="fidelity")
        return str(made["Role"]["Arn"])


_OWN = "ringback-fidelity-*"
_STATEMENTS = [
    {"Effect": "Allow", "Action": actions, "Resource": resources}
    for actions, resources in (
        (["lambda:InvokeFunction"], f"arn:aws:lambda:*:*:function:{_OWN}"),
        (["sqs:*"], f"arn:aws:sqs:*:*:{_OWN}"),
        (["s3:GetObject"], f"arn:aws:s3:::{_OWN}/*"),
        (["s3:ListBucket"], f"arn:aws:s3:::{_OWN}"),
        (
            ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
            f"arn:aws:dynamodb:*:*:table/{_OWN}",
        ),
        (["dynamodb:ListStreams"], "*"),
        (["states:StartExecution"], f"arn:aws:states:*:*:stateMachine:{_OWN}"),
        (["states:DescribeExecution", "states:StopExecution"], f"arn:aws:states:*:*:execution:{_OWN}"),
        (["states:SendTaskSuccess", "states:SendTaskFailure", "execute-api:ManageConnections"], "*"),
        (
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            f"arn:aws:logs:*:*:log-group:/aws/lambda/{_OWN}",
        ),
    )
]


def _session_of(profile: str, region: str) -> boto3.Session:
    """A session by a profile alone: the tests' own environment names no account, and hides the developer's files."""
    core = botocore.session.Session(profile=profile)
    core.set_config_variable("config_file", "~/.aws/config")
    core.set_config_variable("credentials_file", "~/.aws/credentials")
    return boto3.Session(botocore_session=core, region_name=region)
