"""Tables, queues, topic, logs: how they are kept, and how they hang together."""

import json
from typing import Any, get_args

import pytest
from aws_cdk.assertions import Match

from benchmarks import storm
from benchmarks.storm.environment import TIMEOUT_SECONDS
from benchmarks.storm.stream import EventSource
from cdk_app.logs import RETENTION
from cdk_app.settings import LogRetentionDays
from tests.infrastructure.synthesis import Synthesis

pytestmark = pytest.mark.xdist_group("infrastructure")

TABLE = "AWS::DynamoDB::Table"
QUEUE = "AWS::SQS::Queue"
TWO_WEEKS = 14 * 24 * 3600


@pytest.mark.parametrize(("name", "sort_key"), [("Connections", "context"), ("Callbacks", "waits_for")])
def test_a_table_is_one_partition_a_user_and_forgets(any_stage: Synthesis, name: str, sort_key: str) -> None:
    table = any_stage.resources[f"Tables/{name}"].properties
    assert table["KeySchema"] == [
        {"AttributeName": "caller_id", "KeyType": "HASH"},
        {"AttributeName": sort_key, "KeyType": "RANGE"},
    ]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiration_date", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert any_stage.outputs[f"{name}TableName"] == f"Tables/{name}"


def test_only_connections_have_a_stream(dev: Synthesis) -> None:
    dev.template.resource_properties_count_is(TABLE, {"StreamSpecification": Match.any_value()}, 1)
    assert dev.resources["Tables/Connections"].properties["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}


def _source(synthesis: Synthesis, reader: str) -> tuple[Any, dict[str, Any]]:
    """What a reader of the stream wants to hear of, and the rest."""
    source = dict(synthesis.resources[f"{reader}/Source"].properties)
    (only,) = source.pop("FilterCriteria")["Filters"]
    return json.loads(only["Pattern"]), source


def test_wake_is_invoked_for_new_connections_and_for_nothing_else(any_stage: Synthesis) -> None:
    wanted, source = _source(any_stage, "Reconnects")
    assert wanted == {"eventName": ["INSERT"]}
    assert source == {
        "FunctionName": "Wake/Function",
        "EventSourceArn": "Tables/Connections.StreamArn",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 100,
        "ParallelizationFactor": 10,
        "MaximumRecordAgeInSeconds": 3600,  # and no MaximumRetryAttempts: as many as that takes
        "BisectBatchOnFunctionError": True,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }


def test_the_storm_is_measured_with_the_settings_of_the_stack(any_stage: Synthesis) -> None:
    settings = any_stage.resources["Reconnects/Source"].properties
    assert (
        EventSource(
            batch_size=settings["BatchSize"],
            lanes_a_shard=settings["ParallelizationFactor"],
            max_age_seconds=settings["MaximumRecordAgeInSeconds"],
            bisects=settings["BisectBatchOnFunctionError"],
        )
        == storm.SOURCE
    )
    assert any_stage.resources["Wake/Function"].properties["Timeout"] == TIMEOUT_SECONDS


def test_presence_reads_as_wake_does_and_hears_of_what_goes_as_well(everything: Synthesis, local: Synthesis) -> None:
    for stage in (everything, local):
        wanted, source = _source(stage, "ComingAndGoing")
        assert wanted == {"eventName": ["INSERT", "REMOVE"]}
        assert source == {**_source(stage, "Reconnects")[1], "FunctionName": "Presence/Function"}


def test_a_stream_has_two_readers_at_most(any_stage: Synthesis) -> None:
    """DynamoDB throttles more of them."""
    sources = [each.properties["EventSourceArn"] for each in any_stage.of_type("AWS::Lambda::EventSourceMapping")]
    assert sources.count("Tables/Connections.StreamArn") <= 2


def test_ingest_empties_its_queue(dev: Synthesis, everything: Synthesis) -> None:
    source = {
        "FunctionName": "Ingest/Function",
        "EventSourceArn": "WaysIn/IngestQueue.Arn",
        "BatchSize": 10,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 20},
    }
    assert dev.resources["WaysIn/Source"].properties == source
    limited = {**source, "ScalingConfig": {"MaximumConcurrency": 7}}
    assert everything.resources["WaysIn/Source"].properties == limited


def test_a_message_that_ingest_fails_on_is_seen_a_thousand_times_before_it_is_set_aside(any_stage: Synthesis) -> None:
    queue = any_stage.resources["WaysIn/IngestQueue"].properties
    assert queue["RedrivePolicy"] == {
        "deadLetterTargetArn": "WaysIn/IngestDeadLetterQueue.Arn",
        "maxReceiveCount": 1000,
    }
    assert queue["VisibilityTimeout"] >= 6 * any_stage.functions["triggers.ingest"]["Timeout"]
    assert any_stage.resources["WaysIn/IngestDeadLetterQueue"].properties["MessageRetentionPeriod"] == TWO_WEEKS
    assert any_stage.outputs["IngestDeadLetterQueueUrl"] == "WaysIn/IngestDeadLetterQueue"


def test_what_is_published_arrives_as_it_was_or_is_set_aside(any_stage: Synthesis) -> None:
    (subscription,) = any_stage.of_type("AWS::SNS::Subscription")
    assert subscription.properties == {
        "TopicArn": "WaysIn/MessageTopic",
        "Protocol": "sqs",
        "Endpoint": "WaysIn/IngestQueue.Arn",
        "RawMessageDelivery": True,
        "RedrivePolicy": {"deadLetterTargetArn": "WaysIn/IngestDeadLetterQueue.Arn"},
    }
    assert any_stage.outputs["MessageTopicArn"] == "WaysIn/MessageTopic"


def _policies(synthesis: Synthesis, type_name: str, key: str) -> dict[str, list[dict[str, Any]]]:
    return {
        target: policy.properties["PolicyDocument"]["Statement"]
        for policy in synthesis.of_type(type_name)
        for target in policy.properties[key]
    }


TOPIC, RULE = (
    ("sns.amazonaws.com", "WaysIn/MessageTopic"),
    ("events.amazonaws.com", "WaysIn/Messages.Arn"),
)


@pytest.mark.parametrize(
    ("queue", "sources"),
    [
        ("WaysIn/IngestQueue", {TOPIC, RULE}),
        ("WaysIn/IngestDeadLetterQueue", {TOPIC, RULE}),
        ("Endings/DeadLetterQueue", {("events.amazonaws.com", "Endings/Rule.Arn")}),
    ],
)
def test_only_topic_and_rule_may_put_messages_into_their_queues(
    any_stage: Synthesis, queue: str, sources: set[tuple[str, str]]
) -> None:
    statements = _policies(any_stage, "AWS::SQS::QueuePolicy", "Queues")[queue]
    allowed = [statement for statement in statements if statement["Effect"] == "Allow"]
    assert {
        (each["Principal"]["Service"], each["Condition"]["ArnEquals"]["aws:SourceArn"]) for each in allowed
    } == sources
    for statement in allowed:
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Resource"] == f"{queue}.Arn"
        assert list(statement["Condition"]) == ["ArnEquals"]


def test_nobody_but_the_account_may_put_events_on_the_bus(any_stage: Synthesis) -> None:
    """Its own policies say who: the bus itself lets nobody in."""
    (bus,) = any_stage.of_type("AWS::Events::EventBus")
    assert "Policy" not in bus.properties
    any_stage.template.resource_count_is("AWS::Events::EventBusPolicy", 0)


def test_queues_and_topic_are_reached_over_tls_only(any_stage: Synthesis) -> None:
    queues = _policies(any_stage, "AWS::SQS::QueuePolicy", "Queues")
    topics = _policies(any_stage, "AWS::SNS::TopicPolicy", "Topics")
    assert len(queues) == len(any_stage.of_type(QUEUE)) == 4
    assert len(topics) == 1
    for statements in (*queues.values(), *topics.values()):
        assert any(
            statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            for statement in statements
        )


def test_everything_is_encrypted_with_the_keys_of_aws(dev: Synthesis) -> None:
    dev.template.resource_count_is("AWS::KMS::Key", 0)
    dev.template.all_resources_properties(TABLE, {"SSESpecification": {"SSEEnabled": True}})
    dev.template.all_resources_properties(QUEUE, {"SqsManagedSseEnabled": True})
    (topic,) = dev.of_type("AWS::SNS::Topic")
    assert topic.properties["KmsMasterKeyId"] == "alias/aws/sns"  # by its ARN, SNS may not find it


def test_everything_is_encrypted_with_one_key_of_the_stages_own(everything: Synthesis) -> None:
    (key,) = everything.of_type("AWS::KMS::Key")
    assert key.properties["EnableKeyRotation"] is True
    arn = f"{key.path}.Arn"
    for table in everything.of_type(TABLE):
        assert table.properties["SSESpecification"] == {
            "SSEEnabled": True,
            "SSEType": "KMS",
            "KMSMasterKeyId": arn,
        }
    others = {
        QUEUE: "KmsMasterKeyId",
        "AWS::SNS::Topic": "KmsMasterKeyId",
        "AWS::Logs::LogGroup": "KmsKeyId",
        "AWS::Events::EventBus": "KmsKeyIdentifier",
    }
    for type_name, name in others.items():
        assert {resource.properties[name] for resource in everything.of_type(type_name)} == {arn}


def test_the_key_lets_only_the_stages_logs_and_services_of_the_account_in(everything: Synthesis) -> None:
    (key,) = everything.of_type("AWS::KMS::Key")
    (bus,) = everything.of_type("AWS::Events::EventBus")
    bus_arn = f"arn:aws:events:region:account:event-bus/{bus.properties['Name']}"
    services = [
        (statement["Principal"]["Service"], statement["Condition"])
        for statement in key.properties["KeyPolicy"]["Statement"]
        if "Service" in statement["Principal"]
    ]
    assert services == [
        (
            "logs.region.amazonaws.com",
            {
                "ArnLike": {
                    "kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:region:account:log-group:Ringback-prod-*"
                }
            },
        ),
        (["events.amazonaws.com", "sns.amazonaws.com"], {"StringEquals": {"aws:SourceAccount": "account"}}),
        (
            "events.amazonaws.com",
            {
                "StringEquals": {
                    "aws:SourceAccount": "account",
                    "aws:SourceArn": bus_arn,
                    "kms:EncryptionContext:aws:events:event-bus:arn": bus_arn,
                }
            },
        ),
    ]


def test_every_log_is_kept_as_long_as_the_stage_says(dev: Synthesis, prod: Synthesis, local: Synthesis) -> None:
    for stage, days in ((dev, 30), (prod, 365), (local, 1)):
        groups = stage.of_type("AWS::Logs::LogGroup")
        assert len(groups) == len(stage.functions) + 4  # two machines', and two access logs
        assert {group.properties["RetentionInDays"] for group in groups} == {days}


def test_every_retention_that_can_be_set_is_known() -> None:
    assert set(RETENTION) == set(get_args(LogRetentionDays))


KEPT_IN_PROD = {
    "Tables/Connections",
    "Tables/Callbacks",
    "Delivery/DeadLetterQueue",
    "WaysIn/IngestDeadLetterQueue",
    "Endings/DeadLetterQueue",
    "FanOut/Audiences",
}


def _policy(synthesis: Synthesis, path: str) -> set[str]:
    definition = synthesis.resources[path].definition
    return {definition["DeletionPolicy"], definition["UpdateReplacePolicy"]}


@pytest.mark.parametrize("path", sorted(KEPT_IN_PROD))
def test_data_outlives_the_stack_in_prod_only(dev: Synthesis, prod: Synthesis, local: Synthesis, path: str) -> None:
    assert _policy(prod, path) == {"Retain"}
    assert _policy(dev, path) == _policy(local, path) == {"Delete"}


def test_the_key_and_the_logs_outlive_the_stack_with_the_data(everything: Synthesis) -> None:
    kept = [*everything.of_type("AWS::KMS::Key"), *everything.of_type("AWS::Logs::LogGroup")]
    assert {policy for resource in kept for policy in _policy(everything, resource.path)} == {"Retain"}


def test_tables_cannot_be_deleted_in_prod(dev: Synthesis, prod: Synthesis) -> None:
    prod.template.all_resources_properties(TABLE, {"DeletionProtectionEnabled": True})
    dev.template.all_resources_properties(TABLE, {"DeletionProtectionEnabled": False})


def test_the_stack_of_prod_is_protected_from_termination(dev: Synthesis, prod: Synthesis) -> None:
    def protected(synthesis: Synthesis) -> bool:
        manifest = json.loads((synthesis.directory / "manifest.json").read_text("utf-8"))
        return bool(manifest["artifacts"][synthesis.stack]["properties"].get("terminationProtection"))

    assert protected(prod)
    assert not protected(dev)


def test_outputs_are_those_that_others_read(any_stage: Synthesis) -> None:
    assert set(any_stage.outputs) == {
        "WebSocketUrl",
        "DeliveryStateMachineArn",
        "FanOutStateMachineArn",
        "AudienceBucketName",
        "MessageTopicArn",
        "MessageBusName",
        "HttpApiUrl",
        "IngestQueueUrl",
        "DeadLetterQueueUrl",
        "IngestDeadLetterQueueUrl",
        "ConnectionsTableName",
        "CallbacksTableName",
        "SequencesTableName",
        "AcceptFunctionName",
        "PostOnceFunctionName",
        "ManagementEndpoint",
        "DisconnectFunctionName",
    }
    assert any_stage.outputs["DeliveryStateMachineArn"] == "Delivery/StateMachine"
    assert any_stage.outputs["DisconnectFunctionName"] == "Disconnect/Function"
