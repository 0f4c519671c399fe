"""What the doctor finds, and what it advises: each fault with an otherwise healthy installation."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from ringback.cli import main
from ringback.doctor import Finding, diagnose, find_stack_elsewhere
from ringback.installation import OUTPUTS, Clients, Installation
from tests.integration.sdk.conftest import Place, name_stack
from tests.integration.service import Answer, Service, refused_url
from tests.sdk import FakeFunctions, refusal


class HealthyFunctions(FakeFunctions):
    """Lambda's client, to the doctor: moto knows no function of ours, and a mapping needs one."""

    state = "Enabled"
    refuses: str | None = None

    def invoke(self, **request: Any) -> dict[str, Any]:
        if self.refuses:
            error = {"Error": {"Code": "AccessDeniedException", "Message": self.refuses}}
            raise ClientError(cast("Any", error), "Invoke")
        assert request["InvocationType"] == "DryRun"
        return {}

    def get_function_configuration(self, **_: Any) -> dict[str, Any]:
        return {"State": "Active"}

    def list_event_source_mappings(self, **_: Any) -> dict[str, Any]:
        return {"EventSourceMappings": [{"State": self.state, "UUID": "b2c4"}]}


@pytest.fixture
def endpoint(place: Place) -> Iterator[Service]:
    """The management API: it knows no such connection, and so it is there."""
    with Service().running() as service:
        service.answer = Answer(410, b'{"message": "Gone"}', {"x-amzn-ErrorType": "GoneException"})
        yield service


@pytest.fixture
def functions(place: Place) -> HealthyFunctions:
    functions = HealthyFunctions()
    place.installation.clients.fake = functions  # type: ignore[attr-defined]
    return functions


@pytest.fixture
def healthy(place: Place, endpoint: Service, functions: HealthyFunctions) -> Installation:
    """What the tests deploy, with nothing to complain about."""
    outputs = {**place.installation.outputs, "ManagementEndpoint": endpoint.url}
    region = place.installation.clients.region
    place.installation.clients.dynamodb.create_table(
        TableName="Sequences",
        KeySchema=[{"AttributeName": "caller_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "caller_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    sns, s3 = place.installation.clients.other("sns"), place.installation.clients.other("s3")
    s3.create_bucket(Bucket="audience", CreateBucketConfiguration={"LocationConstraint": region})
    outputs |= {
        "SequencesTableName": "Sequences",
        "FanOutStateMachineArn": outputs["DeliveryStateMachineArn"],
        "MessageTopicArn": sns.create_topic(Name="Messages")["TopicArn"],
        "MessageBusName": "default",
        "PostOnceFunctionName": "PostOnce",
        "DisconnectFunctionName": "Disconnect",
        "HttpApiUrl": f"https://abc.execute-api.{region}.amazonaws.com",
        "AudienceBucketName": "audience",
    }
    assert set(outputs) == set(OUTPUTS)
    return Installation("Ringback-dev in eu-central-1", outputs, place.installation.clients)


def bad(installation: Installation) -> list[Finding]:
    return [finding for finding in diagnose(lambda: installation) if finding.level != "ok"]


def the_one(installation: Installation) -> Finding:
    (finding,) = bad(installation)
    assert finding.what_to_do
    return finding


def test_a_healthy_installation_has_nothing_to_complain_about(healthy: Installation) -> None:
    findings = list(diagnose(lambda: healthy))

    assert [finding for finding in findings if finding.level != "ok"] == []
    assert len(findings) > 20


def test_a_stack_in_another_region_is_found_there(healthy: Installation) -> None:
    clients = Clients.of_aws(region="eu-central-1")
    clients.session.get_available_regions = lambda _: ["eu-central-1", "us-east-1", "us-west-2"]  # type: ignore[method-assign, assignment, misc]
    name_stack(dict(healthy.outputs), region="us-west-2")

    def open_here() -> Installation:
        return Installation.of_stack(region="eu-central-1")

    (finding,) = diagnose(
        open_here,
        stack_elsewhere=partial(find_stack_elsewhere, clients, "Ringback-dev"),
    )

    assert (finding.check, finding.level) == ("region", "problem")
    assert "no stack Ringback-dev in eu-central-1" in finding.what
    assert finding.what_to_do == "give --region us-west-2"


def test_outputs_of_another_region_are_named(healthy: Installation) -> None:
    elsewhere = "https://abc.execute-api.ap-south-1.amazonaws.com"
    finding = the_one(Installation("here", {**healthy.outputs, "HttpApiUrl": elsewhere}, healthy.clients))

    assert (finding.check, finding.what_to_do) == ("region", "give --region ap-south-1")


def test_a_stack_that_is_nowhere(healthy: Installation) -> None:
    (finding,) = diagnose(partial(Installation.of_stack, "Other", region="eu-central-1"), stack_elsewhere=list)

    assert (finding.check, finding.level) == ("stack", "problem")
    assert "--stack" in str(finding.what_to_do)


def test_a_missing_queue(healthy: Installation) -> None:
    url = healthy.output("DeadLetterQueueUrl")
    healthy.clients.sqs.delete_queue(QueueUrl=url)

    finding = the_one(healthy)

    assert (finding.check, finding.level) == ("queue", "problem")
    assert url in finding.what
    assert "deploy" in str(finding.what_to_do)


def test_what_the_local_stack_lacks_is_made_anew(healthy: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clients, "is_local", True)
    healthy.clients.sqs.delete_queue(QueueUrl=healthy.output("DeadLetterQueueUrl"))

    assert str(the_one(healthy).what_to_do).endswith("`make down`, then `make up`")
    lacking = replace(healthy, outputs={n: v for n, v in healthy.outputs.items() if n != "DeadLetterQueueUrl"})
    assert the_one(lacking).what_to_do == "`make down`, then `make up`"


@pytest.mark.parametrize(
    ("client", "call", "action"),
    [
        ("stepfunctions", "StopExecution", "states:StopExecution"),
        ("stepfunctions", "GetExecutionHistory", "states:GetExecutionHistory"),
        ("dynamodb", "Query", "dynamodb:Query"),
        ("dynamodb", "DescribeTable", "dynamodb:DescribeTable"),
    ],
)
@pytest.mark.parametrize("says_which", [True, False], ids=["AWS names it", "AWS does not"])
def test_a_missing_permission(
    healthy: Installation,
    client: str,
    call: str,
    action: str,
    says_which: bool,  # noqa: FBT001
) -> None:
    text = f"User: arn:aws:iam::1:user/x is not authorized to perform: {action} on resource: arn:aws:x because no"
    answer = refusal("AccessDeniedException", text if says_which else "no")
    getattr(healthy.clients, client).meta.events.register(f"before-send.{client}.{call}", lambda **_: answer)

    findings = bad(healthy)

    assert findings
    assert {finding.level for finding in findings} == {"problem"}
    for finding in findings:
        assert action in finding.what
        assert f"allow {action} to" in str(finding.what_to_do)
        assert ("on arn:aws:x" in finding.what) is says_which


def test_a_denied_bucket_answers_without_a_word_and_is_named_all_the_same(healthy: Installation) -> None:
    answer = refusal("", "", 403, body=b"")
    healthy.clients.other("s3").meta.events.register("before-send.s3.HeadBucket", lambda **_: answer)

    finding = the_one(healthy)

    assert (finding.check, finding.what) == ("bucket", "you may not s3:ListBucket")
    assert "allow s3:ListBucket to" in str(finding.what_to_do)


@pytest.mark.parametrize("code", ["KMS.AccessDeniedException", "KmsAccessDenied", "KMSAccessDeniedException"])
@pytest.mark.parametrize("says_which", [True, False], ids=["AWS names it", "AWS does not"])
def test_a_denied_key_is_named_and_not_the_call(healthy: Installation, code: str, says_which: bool) -> None:  # noqa: FBT001
    text = (
        "User: x is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:x because no" if says_which else ""
    )
    answer = refusal(code, text)
    dynamodb: Any = healthy.clients.dynamodb
    dynamodb.meta.events.register("before-send.dynamodb.Query", lambda **_: answer)

    finding = the_one(healthy)

    assert "allow kms:Decrypt to" in str(finding.what_to_do)
    assert ("on arn:aws:kms:x" if says_which else "on the stage's key") in finding.what


def test_who_may_not_send_is_told_what_to_be_granted(healthy: Installation, functions: HealthyFunctions) -> None:
    functions.refuses = "no"

    finding = the_one(healthy)

    assert finding.check == "permission"
    assert "allow lambda:InvokeFunction to" in str(finding.what_to_do)
    assert "ringback send" in str(finding.what_to_do)


@pytest.mark.parametrize(
    "answer",
    [Answer(410), Answer(403, b'{"message": "Forbidden"}'), Answer(404), Answer(429)],
    ids=["gone", "forbidden", "not found", "throttled"],
)
def test_a_management_endpoint_that_answers_is_there(
    healthy: Installation, endpoint: Service, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    endpoint.answer = answer

    assert bad(healthy) == []
    assert {request.path for request in endpoint.requests} == {"/@connections/ringback-doctor"}


@pytest.mark.parametrize("how", ["refused", "no such name", "failing", "no address"])
def test_an_unreachable_management_endpoint(
    healthy: Installation, endpoint: Service, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    endpoint.answer = Answer(503)
    url = {
        "refused": refused_url(),
        "no such name": "http://management.invalid",
        "failing": endpoint.url,
        "no address": "nowhere",
    }[how]

    finding = the_one(Installation("here", {**healthy.outputs, "ManagementEndpoint": url}, healthy.clients))

    assert (finding.check, finding.level) == ("management endpoint", "problem")
    assert url in finding.what
    assert "DNS" in str(finding.what_to_do)


def test_a_missing_table_is_one_finding(healthy: Installation) -> None:
    healthy.clients.dynamodb.delete_table(TableName="Connections")

    assert [finding.check for finding in bad(healthy)] == ["table"]


def test_a_trigger_that_somebody_switched_off(healthy: Installation, functions: HealthyFunctions) -> None:
    functions.state = "Disabled"

    findings = bad(healthy)

    assert [finding.check for finding in findings] == ["trigger", "trigger"]
    assert "--enabled --uuid b2c4" in str(findings[0].what_to_do)


def test_an_older_stack_lacks_outputs_and_is_looked_over_all_the_same(healthy: Installation) -> None:
    outputs = {name: value for name, value in healthy.outputs.items() if name != "AcceptFunctionName"}

    finding = the_one(Installation("here", outputs, healthy.clients))

    assert "AcceptFunctionName" in finding.what


def test_dead_letters_are_a_warning(healthy: Installation, place: Place) -> None:
    place.put_letter()

    finding = the_one(healthy)

    assert (finding.check, finding.level) == ("dead letters", "warning")


def test_credentials_that_aws_does_not_know_end_it(healthy: Installation) -> None:
    xml = b"<ErrorResponse><Error><Code>ExpiredToken</Code><Message>expired</Message></Error></ErrorResponse>"
    answer = refusal("", "", 403, body=xml)
    healthy.clients.other("sts").meta.events.register("before-send.sts.GetCallerIdentity", lambda **_: answer)

    findings = list(diagnose(lambda: healthy))

    assert [(finding.check, finding.level) for finding in findings] == [("credentials", "problem")]


def test_the_command_fails_if_there_is_a_problem(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringback.cli.doctor.find_stack_elsewhere", lambda clients, name: ["us-west-2"])

    assert main(["doctor", "--region", "eu-central-1"]) == 1
    assert "give --region us-west-2" in capsys.readouterr().out


def test_the_command_passes_if_there_is_none(
    healthy: Installation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringback.cli.doctor.open_installation", lambda arguments: healthy)

    assert main(["doctor", "--json"]) == 0
    captured = capsys.readouterr()
    assert '"level":"ok"' in captured.out
    assert captured.err == "0 problems, 0 warnings\n"
