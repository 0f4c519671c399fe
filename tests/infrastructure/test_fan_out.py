"""The fan-out machine as it is deployed, its index and its bucket."""

import json
from typing import Any

import pytest

from cdk_app.fan_out import STORED_LIST_LABEL
from lambdas.adapters.conversations import INDEX
from lambdas.core.fan_out import (
    HAND_OVER_SECONDS,
    PART_SIZE,
    SECONDS_BETWEEN_STARTS,
    START_AGAIN_AFTER_SECONDS,
    STARTS_AT_ONCE,
)
from tests.infrastructure.synthesis import Synthesis
from tests.statemachine.definition import MACHINES, elsewhere

pytestmark = pytest.mark.xdist_group("infrastructure")

FAN_OUT = MACHINES["fan_out"]
STATES = dict(FAN_OUT.states)


def test_the_definition_is_the_file(any_stage: Synthesis) -> None:
    machine = any_stage.resources["FanOut/StateMachine"].properties
    assert machine["DefinitionString"] == FAN_OUT.text
    assert machine["StateMachineType"] == "STANDARD"
    assert any_stage.outputs["FanOutStateMachineArn"] == "FanOut/StateMachine"


def test_every_placeholder_has_its_value(any_stage: Synthesis) -> None:
    machine = any_stage.resources["FanOut/StateMachine"].properties
    tasks = ("PlanFanOut", "PostToAudience", "HandOverToDeliveries")
    assert machine["DefinitionSubstitutions"] == {
        "AudienceBucketName": "FanOut/Audiences",
        **{f"{task}FunctionArn": f"{task}/Function.Arn" for task in tasks},
    }
    assert set(machine["DefinitionSubstitutions"]) == FAN_OUT.placeholders


def test_the_machine_logs_errors_without_payloads_and_traces(any_stage: Synthesis) -> None:
    machine = any_stage.resources["FanOut/StateMachine"].properties
    assert machine["LoggingConfiguration"]["Level"] == "ERROR"
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert machine["TracingConfiguration"] == {"Enabled": True}


def test_the_definition_and_who_makes_it_agree() -> None:
    stored = STATES["Post To Stored List"]
    assert stored["Label"] == STORED_LIST_LABEL
    assert stored["ItemBatcher"]["MaxItemsPerBatch"] == PART_SIZE


def test_a_batch_of_long_lines_is_smaller_than_what_a_state_takes() -> None:
    """With room for what Take The Batch adds."""
    assert STATES["Post To Stored List"]["ItemBatcher"]["MaxInputBytesPerBatch"] <= 256 * 1024 - 2048


def test_a_batch_that_fails_stops_no_other() -> None:
    assert STATES["Post To Stored List"]["ToleratedFailurePercentage"] == 100


def test_handing_over_has_time_to_give_up_by_itself(dev: Synthesis) -> None:
    a_round = 2 * 2 * (1 + 3) + max(START_AGAIN_AFTER_SECONDS)  # two calls, twice each: to connect and to be answered
    assert dev.functions["tasks.hand_over_to_deliveries"]["Timeout"] > HAND_OVER_SECONDS + a_round


def test_the_stored_lists_at_work_leave_runs_to_others() -> None:
    """Step Functions starts 150 a second in small regions, for the whole account."""
    a_second = STARTS_AT_ONCE / SECONDS_BETWEEN_STARTS
    for name in ("Post To Each Part", "Post To Stored List"):
        assert a_second * STATES[name]["MaxConcurrency"] <= 100


def test_conversations_have_an_index_of_those_who_were_allowed_in(any_stage: Synthesis) -> None:
    table = any_stage.resources["Tables/Connections"].properties
    assert table["GlobalSecondaryIndexes"] == [
        {
            "IndexName": INDEX,
            "KeySchema": [
                {"AttributeName": "conversation", "KeyType": "HASH"},
                {"AttributeName": "caller_id", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ]


@pytest.mark.parametrize(("claim", "known"), [("rooms", "true"), (None, "false")])
def test_the_plan_is_told_whether_tokens_name_conversations(
    everything: Synthesis, dev: Synthesis, claim: str | None, known: str
) -> None:
    stage = everything if claim else dev
    variables = stage.functions["tasks.plan_fan_out"]["Environment"]["Variables"]
    assert variables["TOKENS_NAME_CONVERSATIONS"] == known


def _bucket(synthesis: Synthesis) -> dict[str, Any]:
    (bucket,) = synthesis.of_type("AWS::S3::Bucket")
    assert bucket.path == synthesis.outputs["AudienceBucketName"] == "FanOut/Audiences"
    return bucket.properties


def test_the_bucket_is_closed_to_the_public_and_forgets(any_stage: Synthesis) -> None:
    bucket = _bucket(any_stage)
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["ExpirationInDays"], rule["Status"]) == (30, "Enabled")


def test_the_bucket_is_reached_over_tls_only(any_stage: Synthesis) -> None:
    (policy,) = any_stage.of_type("AWS::S3::BucketPolicy")
    (statement,) = policy.properties["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_bucket_is_encrypted_as_the_stage_says(dev: Synthesis, everything: Synthesis) -> None:
    def encryption(synthesis: Synthesis) -> dict[str, Any]:
        (rule,) = _bucket(synthesis)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        found: dict[str, Any] = rule["ServerSideEncryptionByDefault"]
        return found

    assert encryption(dev) == {"SSEAlgorithm": "AES256"}
    assert encryption(everything) == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "Encryption/Key.Arn"}


def _most_events(state: dict[str, Any]) -> int:
    """What a task writes into the history with all its retries: entered, exited, and three events for each try."""
    retries: list[int] = [retrier["MaxAttempts"] for retrier in state["Retry"]]
    return 2 + 3 * (1 + sum(retries))


def test_the_largest_conversation_fits_into_the_history_also_on_a_bad_day() -> None:
    """Every part fails as often as it can, is handed over in vain, and is counted as failed."""
    from lambdas.core.fan_out import MAX_PAGES

    part = _most_events(STATES["Post To Audience"]) + _most_events(STATES["Hand Over To Deliveries"])
    iteration_choice_and_pass = 2 + 2 + 2
    assert MAX_PAGES * (part + iteration_choice_and_pass) + 50 < 25_000


def test_a_part_of_a_stored_list_is_worked_on_as_any_other() -> None:
    definition = json.loads(FAN_OUT.text)["States"]
    inline = definition["Post To Each Part"]["ItemProcessor"]
    stored = json.loads(elsewhere(json.dumps(definition["Post To Stored List"]["ItemProcessor"])))
    take = stored["States"].pop("Take The Batch")
    assert stored["States"] == inline["States"]
    assert (stored["StartAt"], take["Next"]) == ("Take The Batch", inline["StartAt"])
    assert take["Output"].keys() == definition["Post To Each Part"]["ItemSelector"].keys()
