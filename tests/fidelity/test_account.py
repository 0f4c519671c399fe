"""What a real account would be asked for, on moto: the calls are right, and all that was made is removed.

Not the WebSocket APIs, which moto cannot deploy.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from tests.fidelity.clouds import TASK, AwsCloud

REGION = "eu-central-1"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AwsCloud]:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile mine]\nregion = us-west-2\n")
    (tmp_path / ".aws" / "credentials").write_text(
        "[mine]\naws_access_key_id = of-the-profile\naws_secret_access_key = any\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    # moto plays Lambda without running anything.
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield AwsCloud("mine", REGION)


def left(cloud: AwsCloud) -> dict[str, list[object]]:
    """All that is in the account, by kind."""
    found = {
        "functions": cloud.client("lambda").list_functions()["Functions"],
        "mappings": cloud.client("lambda").list_event_source_mappings()["EventSourceMappings"],
        "machines": cloud.client("stepfunctions").list_state_machines()["stateMachines"],
        "queues": cloud.client("sqs").list_queues().get("QueueUrls", []),
        "topics": cloud.client("sns").list_topics()["Topics"],
        "rules": cloud.client("events").list_rules(EventBusName="default")["Rules"],
        "buses": [bus for bus in cloud.client("events").list_event_buses()["EventBuses"] if bus["Name"] != "default"],
        "buckets": cloud.client("s3").list_buckets()["Buckets"],
        "tables": cloud.client("dynamodb").list_tables()["TableNames"],
        "roles": cloud.client("iam").list_roles()["Roles"],
    }
    return {kind: things for kind, things in found.items() if things}


def test_profile_names_the_account_and_the_option_the_region(account: AwsCloud) -> None:
    credentials = account._session.get_credentials()

    assert credentials is not None
    assert (credentials.access_key, account.region) == ("of-the-profile", REGION)


def test_what_was_made_is_removed(account: AwsCloud, capsys: pytest.CaptureFixture[str]) -> None:
    with account.cleaned_up():
        function, queue = account.function(TASK), account.queue()
        machine = account.machine({"Only": account.task({})})
        account.topic(queue)
        account.rule({"source": ["any"]}, {"Arn": function})
        account.rule({"source": ["any"]}, {"Arn": account.queue_arn(queue)}, bus=account.bus())
        account.stored(account.bucket(), "a.jsonl", [{}])
        name = account.table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
        table = account.client("dynamodb").describe_table(TableName=name)["Table"]
        account.read_by(function, table["LatestStreamArn"], StartingPosition="TRIM_HORIZON")
        assert set(left(account)) == {
            *("buckets", "buses", "functions", "machines", "mappings"),
            *("queues", "roles", "rules", "tables", "topics"),
        }
        assert account.client("stepfunctions").describe_state_machine(stateMachineArn=machine)["roleArn"]

    assert left(account) == {}
    assert "still there" not in capsys.readouterr().err


def test_what_cannot_be_removed_is_said(account: AwsCloud, capsys: pytest.CaptureFixture[str]) -> None:
    with account.cleaned_up():
        bucket = account.bucket()
        account.client("s3").put_object(Bucket=bucket, Key="of somebody else", Body=b"x")

    assert f"still there: {{'Bucket': '{bucket}'}} (BucketNotEmpty)" in capsys.readouterr().err
