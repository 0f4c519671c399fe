"""Events in, as messages; events out, as receipts; and the endings of runs that somebody has to hear of."""

import json
import re
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template

from cdk_app.assets import ROOT
from lambdas.adapters.message_bus import SOURCE
from lambdas.core import presence
from tests.infrastructure.synthesis import Json, Synthesis

pytestmark = pytest.mark.xdist_group("infrastructure")

LONGEST = {"MaximumEventAgeInSeconds": 24 * 3600, "MaximumRetryAttempts": 185}


def _target(synthesis: Synthesis, rule: str) -> Json:
    (target,) = synthesis.resources[rule].properties["Targets"]
    result: Json = target
    return result


def test_a_message_as_an_event_reaches_the_queue_as_an_envelope(any_stage: Synthesis) -> None:
    rule = any_stage.resources["WaysIn/Messages"].properties
    assert rule["EventBusName"] == "WaysIn/MessageBus"
    assert rule["EventPattern"] == {"detail-type": ["ringback.message"]}
    assert _target(any_stage, "WaysIn/Messages") == {
        "Id": "IngestQueue",
        "Arn": "WaysIn/IngestQueue.Arn",
        "InputPath": "$.detail",
        "DeadLetterConfig": {"Arn": "WaysIn/IngestDeadLetterQueue.Arn"},
        "RetryPolicy": LONGEST,
    }
    assert any_stage.outputs["MessageBusName"] == "WaysIn/MessageBus"
    assert any_stage.outputs["IngestQueueUrl"] == "WaysIn/IngestQueue"


def test_runs_that_end_undelivered_are_told_to_ended(any_stage: Synthesis) -> None:
    rule = any_stage.resources["Endings/Rule"].properties
    assert "EventBusName" not in rule  # the default bus, where services speak
    assert rule["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": ["Delivery/StateMachine"], "status": ["FAILED", "ABORTED", "TIMED_OUT"]},
    }
    assert _target(any_stage, "Endings/Rule") == {
        "Id": "Ended",
        "Arn": "Ended/Function.Arn",
        "DeadLetterConfig": {"Arn": "Endings/DeadLetterQueue.Arn"},
        "RetryPolicy": LONGEST,
    }


def test_only_the_rule_may_invoke_ended(any_stage: Synthesis) -> None:
    permissions = [
        permission.properties
        for permission in any_stage.of_type("AWS::Lambda::Permission")
        if permission.properties["FunctionName"] == "Ended/Function.Arn"
    ]
    assert permissions == [
        {
            "Action": "lambda:InvokeFunction",
            "FunctionName": "Ended/Function.Arn",
            "Principal": "events.amazonaws.com",
            "SourceArn": "Endings/Rule.Arn",
        }
    ]


def test_what_ended_fails_on_is_tried_again_and_then_kept(any_stage: Synthesis) -> None:
    (again,) = any_stage.of_type("AWS::Lambda::EventInvokeConfig")
    assert again.properties == {
        "FunctionName": "Ended/Function",
        "Qualifier": "$LATEST",
        "MaximumRetryAttempts": 2,
        "MaximumEventAgeInSeconds": 6 * 3600,
        "DestinationConfig": {"OnFailure": {"Destination": "Endings/DeadLetterQueue.Arn"}},
    }
    assert any_stage.resources["Endings/DeadLetterQueue"].properties["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_what_is_told_of_presence_is_no_message(dev: Synthesis) -> None:
    """Or ingest would be handed an event of the stage's own making, and set it aside."""
    types = dev.resources["WaysIn/Messages"].properties["EventPattern"]["detail-type"]
    assert not {presence.OPENED, presence.CLOSED} & set(types)


def test_presence_is_told_on_the_stages_bus_where_the_stage_wants_it(
    dev: Synthesis, everything: Synthesis, local: Synthesis
) -> None:
    for stage in (everything, local):
        variables = stage.functions["triggers.presence"]["Environment"]["Variables"]
        assert stage.readable(variables["MESSAGE_BUS_NAME"]) == "WaysIn/MessageBus"
    assert not [path for path in dev.resources if path.startswith(("Presence", "ComingAndGoing"))]


def test_the_rule_for_presence_that_the_document_shows_names_what_is_told() -> None:
    shown: Json = json.loads(_document("json", about="ringback.connection"))
    assert shown["source"] == [SOURCE]
    assert shown["detail-type"] == [presence.OPENED, presence.CLOSED]


def _document(language: str, *, about: str = "aws.states") -> str:
    """The block of the document that speaks of this."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "events.md").read_text("utf-8"), re.DOTALL)
    (block,) = (block for block in blocks if about in block)
    return str(block)


def test_the_rule_for_receipts_that_the_document_shows_can_be_deployed_as_it_is() -> None:
    shown: Json = json.loads(_document("json"))
    names: dict[str, Any] = {}
    exec(compile(_document("python"), "docs/events.md", "exec"), names)  # noqa: S102 - it is ours, and a program to copy
    (machine,) = shown["detail"]["stateMachineArn"]
    stack = names["Receipts"](App(), "Receipts", delivery_state_machine_arn=machine)

    template = Template.from_stack(stack)

    template.has_resource_properties("AWS::Events::Rule", {"EventPattern": shown, "State": "ENABLED"})
    template.resource_count_is("AWS::SQS::Queue", 1)


def test_the_document_shows_the_statuses_that_there_are(dev: Synthesis) -> None:
    ours = dev.resources["Endings/Rule"].properties["EventPattern"]
    shown: Json = json.loads(_document("json"))
    assert {name: shown[name] for name in ("source", "detail-type")} == {
        name: ours[name] for name in ("source", "detail-type")
    }
    assert set(shown["detail"]["status"]) == {"SUCCEEDED", *ours["detail"]["status"]}
