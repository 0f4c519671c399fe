"""What services do in the name of a role, where IAM is enforced: with the corrections as on AWS, without them not.

Every test has a role that may do all but one thing, and the same with nothing missing.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import cloud
from local.cloud import Cloud
from tests.integration.local.laboratory import Laboratory, unique, wait_for

Observe = Callable[[Laboratory], object]
MattersWithout = Callable[[str, Observe, object, object], None]

_SERVICES = ("lambda.amazonaws.com", "states.amazonaws.com")


@pytest.fixture(scope="module")
def enforcing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud.running(tmp_path_factory.mktemp("enforcing"), enforce_iam=True) as running:
        yield running


@pytest.fixture(scope="module")
def uncorrected_enforcing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("uncorrected-enforcing")
    with cloud.running(directory, corrected=False, enforce_iam=True) as running:
        yield running


@pytest.fixture
def matters_without(enforcing: Cloud, uncorrected_enforcing: Cloud) -> MattersWithout:
    """What is observed with a role that may not do one thing, and with one that may do all."""

    def check(action: str, observe: Observe, refused: object, allowed: object) -> None:
        assert observe(_with_role(enforcing, without=action)) == refused
        assert observe(_with_role(enforcing)) == allowed
        as_it_comes = observe(_with_role(uncorrected_enforcing, without=action))
        assert as_it_comes != refused, "MiniStack does this by itself now: remove the correction"

    return check


def _with_role(running: Cloud, *, without: str | None = None) -> Laboratory:
    """A laboratory whose functions and machines may do everything, or all but this."""
    laboratory = Laboratory(running.endpoint)
    iam: Any = laboratory.clients.session.client("iam", endpoint_url=running.endpoint)
    trust = {"Effect": "Allow", "Principal": {"Service": list(_SERVICES)}, "Action": "sts:AssumeRole"}
    name = unique("role")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust))["Role"]["Arn"]
    statements = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    if without:
        statements.append({"Effect": "Deny", "Action": without, "Resource": "*"})
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=_document(*statements))
    return Laboratory(running.endpoint, arn)


def _document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


_ANSWERS = "def handler(event, context):\n    return 'hello'\n"
_FAILS = "def handler(event, context):\n    raise ValueError('always')\n"


def _code(call: Callable[[], object]) -> str:
    """The code of the error that a call is refused with, or "" if it is not."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


@pytest.mark.parametrize("action", ["logs:CreateLogStream", "logs:PutLogEvents"])
def test_what_a_function_logs(matters_without: MattersWithout, action: str) -> None:
    def logged(laboratory: Laboratory) -> bool:
        function = laboratory.function(_ANSWERS)
        laboratory.invoke(function)
        return "START" in laboratory.log(function)

    matters_without(action, logged, False, True)  # noqa: FBT003


def test_a_function_that_is_to_be_traced(matters_without: MattersWithout) -> None:
    def refusal(laboratory: Laboratory) -> str:
        function = laboratory.function(_ANSWERS)
        return _code(
            lambda: laboratory.clients.functions.update_function_configuration(
                FunctionName=function, TracingConfig={"Mode": "Active"}
            )
        )

    matters_without("xray:PutTraceSegments", refusal, "InvalidParameterValueException", "")


@pytest.mark.parametrize("action", ["sqs:ReceiveMessage", "sqs:GetQueueAttributes"])
def test_a_mapping_of_a_queue(matters_without: MattersWithout, action: str) -> None:
    def refusal(laboratory: Laboratory) -> str:
        function, queue = laboratory.function(_ANSWERS), laboratory.queue_arn(laboratory.queue())
        functions = laboratory.clients.functions
        return _code(lambda: functions.create_event_source_mapping(FunctionName=function, EventSourceArn=queue))

    matters_without(action, refusal, "InvalidParameterValueException", "")


@pytest.mark.parametrize("action", ["GetRecords", "GetShardIterator", "DescribeStream", "ListStreams"])
def test_a_mapping_of_a_stream(matters_without: MattersWithout, action: str) -> None:
    def refusal(laboratory: Laboratory) -> str:
        table = laboratory.clients.dynamodb.create_table(
            TableName=unique("table"),
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )["TableDescription"]
        function = laboratory.function(_ANSWERS)
        return _code(
            lambda: laboratory.clients.functions.create_event_source_mapping(
                FunctionName=function, EventSourceArn=table["LatestStreamArn"], StartingPosition="LATEST"
            )
        )

    matters_without(f"dynamodb:{action}", refusal, "InvalidParameterValueException", "")


def test_what_a_function_has_dealt_with_leaves_the_queue(matters_without: MattersWithout) -> None:
    def left(laboratory: Laboratory) -> int:
        url, function = laboratory.queue(VisibilityTimeout="60"), laboratory.function(_ANSWERS)
        functions, sqs = laboratory.clients.functions, laboratory.clients.sqs
        made = functions.create_event_source_mapping(FunctionName=function, EventSourceArn=laboratory.queue_arn(url))
        sqs.send_message(QueueUrl=url, MessageBody="one")

        def dealt_with() -> bool | None:
            mapping = functions.get_event_source_mapping(UUID=made["UUID"])
            return True if mapping["LastProcessingResult"].startswith("OK") else None

        wait_for(dealt_with)
        functions.delete_event_source_mapping(UUID=made["UUID"])
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
        return int(attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"])

    matters_without("sqs:DeleteMessage", left, 1, 0)


def test_what_a_function_failed_on_for_good(matters_without: MattersWithout) -> None:
    def kept(laboratory: Laboratory) -> bool:
        url, function = laboratory.queue(), laboratory.function(_FAILS)
        laboratory.clients.functions.put_function_event_invoke_config(
            FunctionName=function,
            MaximumRetryAttempts=0,
            DestinationConfig={"OnFailure": {"Destination": laboratory.queue_arn(url)}},
        )
        laboratory.clients.functions.invoke(FunctionName=function, InvocationType="Event", Payload=b"{}")
        return bool(laboratory.message(url, or_none_within=2))

    matters_without("sqs:SendMessage", kept, False, True)  # noqa: FBT003


def _ending(laboratory: Laboratory, state: dict[str, Any]) -> str:
    """What a run of this one state ends with: the name of its error, if it fails."""
    return str(laboratory.run(state).get("error", "SUCCEEDED"))


def test_a_run_that_calls_a_function(matters_without: MattersWithout) -> None:
    def ending(laboratory: Laboratory) -> str:
        function = laboratory.function(_ANSWERS)
        return _ending(
            laboratory, {"Resource": "arn:aws:states:::lambda:invoke", "Arguments": {"FunctionName": function}}
        )

    matters_without("lambda:InvokeFunction", ending, "Lambda.AWSLambdaException", "SUCCEEDED")


def test_a_run_that_sends_to_a_queue(matters_without: MattersWithout) -> None:
    def ending(laboratory: Laboratory) -> str:
        arguments = {"QueueUrl": laboratory.queue(), "MessageBody": "one"}
        return _ending(laboratory, {"Resource": "arn:aws:states:::sqs:sendMessage", "Arguments": arguments})

    matters_without("sqs:SendMessage", ending, "SQS.AmazonSQSException", "SUCCEEDED")


@pytest.mark.parametrize(
    ("action", "error"), [("s3:GetObject", "States.ItemReaderFailed"), ("states:StartExecution", "States.Permissions")]
)
def test_a_run_that_works_on_a_stored_list(matters_without: MattersWithout, action: str, error: str) -> None:
    def ending(laboratory: Laboratory) -> str:
        bucket = unique("bucket")
        laboratory.s3.create_bucket(Bucket=bucket)
        laboratory.s3.put_object(Bucket=bucket, Key="list.jsonl", Body=b'{"user": "kim"}')
        reader = {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSONL"},
            "Parameters": {"Bucket": bucket, "Key": "list.jsonl"},
        }
        child = {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}
        state = {
            "Type": "Map",
            "ItemReader": reader,
            "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **child},
        }
        return str(laboratory.run(state, query_language="JSONPath").get("error", "SUCCEEDED"))

    matters_without(action, ending, error, "SUCCEEDED")


def test_a_machine_that_is_to_write_a_log(matters_without: MattersWithout) -> None:
    def refusal(laboratory: Laboratory) -> str:
        machine = laboratory.machine({"Type": "Succeed"} | {"End": None})
        group = unique("group")
        laboratory.logs.create_log_group(logGroupName=group)
        (found,) = laboratory.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        logging: Any = {"level": "ERROR", "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": found["arn"]}}]}
        client = laboratory.clients.stepfunctions
        return _code(lambda: client.update_state_machine(stateMachineArn=machine, loggingConfiguration=logging))

    matters_without("logs:CreateLogDelivery", refusal, "AccessDeniedException", "")


_IN_THE_CLEAR = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "*",
    "Resource": "*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
_READS = """
import boto3

def handler(event, context):
    s3 = boto3.client("s3")
    try:
        return s3.get_object(Bucket=event["bucket"], Key="one")["Body"].read().decode()
    except s3.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
"""


def test_a_policy_that_asks_for_tls(enforcing: Cloud, uncorrected_enforcing: Cloud) -> None:
    def read(running: Cloud) -> object:
        laboratory = _with_role(running)
        bucket = unique("bucket")
        laboratory.s3.create_bucket(Bucket=bucket)
        laboratory.s3.put_object(Bucket=bucket, Key="one", Body=b"content")
        resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        policy = _document({**_IN_THE_CLEAR, "Action": "s3:*", "Resource": resources})
        laboratory.s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        return laboratory.invoke(laboratory.function(_READS), {"bucket": bucket})[1]

    assert read(enforcing) == "content"
    assert read(uncorrected_enforcing) != "content", "MiniStack does this by itself now: remove the correction"


_HURRIES = """
import boto3

def handler(event, context):
    sqs = boto3.client("sqs")
    entry = {"Id": "one", "ReceiptHandle": event["receipt"], "VisibilityTimeout": 0}
    try:
        sqs.change_message_visibility_batch(QueueUrl=event["url"], Entries=[entry])
        return "done"
    except sqs.exceptions.ClientError:
        return "refused"
"""


def test_a_call_about_many_messages(enforcing: Cloud, uncorrected_enforcing: Cloud) -> None:
    """Who may do it to one may do it to many, and nobody else."""

    def done(running: Cloud, action: str) -> object:
        laboratory = _with_role(running, without=action)
        url = laboratory.queue()
        laboratory.clients.sqs.send_message(QueueUrl=url, MessageBody="one")
        (message,) = laboratory.clients.sqs.receive_message(QueueUrl=url)["Messages"]
        event = {"url": url, "receipt": message["ReceiptHandle"]}
        return laboratory.invoke(laboratory.function(_HURRIES), event)[1]

    assert done(enforcing, "sqs:ChangeMessageVisibility") == "refused"
    assert done(enforcing, "sqs:ChangeMessageVisibilityBatch") == "done"
    as_it_comes = done(uncorrected_enforcing, "sqs:ChangeMessageVisibilityBatch")
    assert as_it_comes != "done", "MiniStack does this by itself now: remove the correction"


_COMPLETES = """
import boto3

def handler(event, context):
    states = boto3.client("stepfunctions")
    try:
        states.send_task_success(taskToken=event["token"], output="{}")
    except states.exceptions.ClientError as error:
        states.exceptions, print(error.response["Error"]["Code"])
        raise
"""


def test_an_answer_to_a_task(enforcing: Cloud, uncorrected_enforcing: Cloud) -> None:
    """A role needs the permission on the machine whose task it is."""

    def status(running: Cloud) -> object:
        laboratory = _with_role(running)
        iam: Any = laboratory.clients.session.client("iam", endpoint_url=running.endpoint)
        only_states = {
            "Effect": "Allow",
            "Action": "*",
            "Resource": [f"arn:aws:{service}:*" for service in ("states", "lambda", "logs")],
        }
        iam.put_role_policy(
            RoleName=laboratory.role.rpartition("/")[2], PolicyName="all", PolicyDocument=_document(only_states)
        )
        arguments = {
            "FunctionName": laboratory.function(_COMPLETES),
            "Payload": {"token": "{% $states.context.Task.Token %}"},
        }
        state = {"Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "Arguments": arguments}
        run = laboratory.start(laboratory.machine({**state, "TimeoutSeconds": 5}))
        return laboratory.outcome(run)["status"]

    assert status(enforcing) == "SUCCEEDED"
    assert status(uncorrected_enforcing) != "SUCCEEDED", "MiniStack does this by itself now: remove the correction"
