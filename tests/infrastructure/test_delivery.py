"""The delivery machine as it is deployed."""

import json

import pytest
from aws_cdk.assertions import Match

from cdk_app.settings import StageSettings
from tests.infrastructure.synthesis import Synthesis
from tests.statemachine import definition

pytestmark = pytest.mark.xdist_group("infrastructure")

MACHINE = "AWS::StepFunctions::StateMachine"
DELIVERY = "Delivery/StateMachine"


def test_the_definition_is_the_file(dev: Synthesis) -> None:
    machine = dev.resources[DELIVERY]
    assert machine.properties["DefinitionString"] == definition.TEXT
    assert machine.properties["StateMachineType"] == "STANDARD"


def test_every_placeholder_has_a_value_and_every_value_a_placeholder(any_stage: Synthesis) -> None:
    machine = any_stage.resources[DELIVERY]
    assert set(machine.properties["DefinitionSubstitutions"]) == definition.PLACEHOLDERS


def test_the_definition_stays_json_with_the_values_in_it(dev: Synthesis) -> None:
    machine = dev.resources[DELIVERY]
    text = definition.with_values(machine.properties["DefinitionSubstitutions"])
    assert json.loads(text)["StartAt"] == "Resolve Connections"
    assert "${" not in text


def test_a_state_calls_the_function_of_its_name(dev: Synthesis) -> None:
    machine = dev.resources[DELIVERY]
    substitutions = machine.properties["DefinitionSubstitutions"]
    calling = {
        name: state["Arguments"]["FunctionName"]
        for name, state in definition.STATES.items()
        if ":lambda:" in state.get("Resource", "")
    }
    assert len(calling) == 4
    for state, placeholder in calling.items():
        name = state.replace(" ", "")
        assert placeholder == f"${{{name}FunctionArn}}"
        assert substitutions[f"{name}FunctionArn"] == f"{name}/Function.Arn"


def test_numbers_come_from_the_settings(dev: Synthesis) -> None:
    dev.template.has_resource_properties(
        MACHINE,
        {
            "DefinitionSubstitutions": Match.object_like(
                {
                    "MaxAttempts": "270",
                    "BackoffBaseSeconds": "10",
                    "BackoffCapSeconds": "7200",
                    "LookAgainSeconds": "43200",
                    "DefaultTtlSeconds": "86400",
                    "DefaultAckTimeoutSeconds": "30",
                }
            )
        },
    )


def test_nobody_waits_long_on_the_own_machine(local: Synthesis) -> None:
    machine = local.resources[DELIVERY]
    values = machine.properties["DefinitionSubstitutions"]
    assert (values["BackoffBaseSeconds"], values["BackoffCapSeconds"]) == ("2", "60")


def _most_events(state: str) -> int:
    """What a task writes into the history with all its retries: entered, exited, and three events for each try."""
    retries: list[int] = [retrier["MaxAttempts"] for retrier in definition.STATES[state]["Retry"]]
    return 2 + 3 * (1 + sum(retries))


def test_attempts_are_used_up_before_the_history_is_full() -> None:
    """Also if each attempt has every retry there is. At the history's end, no dead letter is sent."""
    choices_and_pause = 3 * 2
    attempt = choices_and_pause + sum(
        map(_most_events, ("Resolve Connections", "Post And Await Acknowledgement", "Wait For Reconnect"))
    )
    end = _most_events("Send To Dead Letter Queue") + len(("started", "entered Fail", "failed"))
    (most,) = [bound.le for bound in StageSettings.model_fields["max_attempts"].metadata if hasattr(bound, "le")]
    assert most * attempt + end < 25_000


def test_the_machine_logs_errors_without_payloads_and_traces(any_stage: Synthesis) -> None:
    machine = any_stage.resources[DELIVERY]
    logging = machine.properties["LoggingConfiguration"]
    assert logging["Level"] == "ERROR"
    assert logging["IncludeExecutionData"] is False
    (destination,) = logging["Destinations"]
    assert destination["CloudWatchLogsLogGroup"]["LogGroupArn"] == "Delivery/LogGroup.Arn"
    assert machine.properties["TracingConfiguration"] == {"Enabled": True}


def test_dead_letters_are_kept_for_two_weeks_in_the_queue_of_the_definition(any_stage: Synthesis) -> None:
    machine = any_stage.resources[DELIVERY]
    queue = any_stage.resources["Delivery/DeadLetterQueue"]
    assert machine.properties["DefinitionSubstitutions"]["DeadLetterQueueUrl"] == queue.path
    assert queue.properties["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert any_stage.outputs["DeadLetterQueueUrl"] == queue.path
