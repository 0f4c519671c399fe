"""The dashboard and the alarms: that they watch what is there, and that somebody knows what to do."""

import json
import re
from pathlib import Path

import pytest

from cdk_app.assets import ROOT
from cdk_app.functions import construct_id, service_name
from cdk_app.settings import StageSettings
from lambdas.observability import Metric
from tests.infrastructure.synthesis import ALARM_TOPIC_ARN, Synthesis, synthesize
from tests.infrastructure.watching import (
    ALARM,
    METRICS_OF_AWS,
    alarms,
    dashboard,
    drawn,
    metrics_of,
    periods_of,
    value_of,
    watched,
)

pytestmark = pytest.mark.xdist_group("infrastructure")

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
ENTRIES = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)


def test_every_alarm_has_its_entry_in_the_runbook_and_every_entry_its_alarm(
    dev: Synthesis, everything: Synthesis, chat: Synthesis
) -> None:
    assert sorted(ENTRIES) == sorted({*alarms(dev), *alarms(everything), *alarms(chat)})


def test_presence_is_watched_where_the_stage_has_it(dev: Synthesis, everything: Synthesis) -> None:
    age = ("AWS/Lambda", "IteratorAge", {"FunctionName": "Presence/Function"})
    late = alarms(everything)["PresenceLate"]
    assert list(metrics_of(late)) == [age]
    assert (late["Threshold"], late["Statistic"]) == (300_000, "Maximum")
    assert age in drawn(everything)
    assert "PresenceLate" not in alarms(dev)
    assert not [dimensions for _, _, dimensions in watched(dev) if "Presence/Function" in dimensions.values()]


def test_every_entry_says_what_it_means_where_to_look_and_what_to_do() -> None:
    entries = RUNBOOK.split("\n## ")[1:]
    assert [[word in entry for word in ("**Means.**", "**Look.**", "**Do.**")] for entry in entries] == [
        [True] * 3
    ] * len(entries)


def test_an_alarm_says_what_to_do_and_where_more_is_written(dev: Synthesis) -> None:
    for name, alarm in alarms(dev).items():
        text = alarm["AlarmDescription"]
        assert text.endswith(f"See docs/runbook.md, {name}.")
        assert 80 < len(text) <= 1024


def test_no_data_is_no_alarm_and_one_is_seen_within_a_quarter_of_an_hour(dev: Synthesis) -> None:
    for name, alarm in alarms(dev).items():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        (period,) = periods_of(alarm)
        if name != "OldestWait":
            assert period * alarm["DatapointsToAlarm"] <= 900


def test_what_is_watched_is_what_the_functions_count_or_what_aws_offers(dev: Synthesis) -> None:
    counted_in_logs = {
        transformation["MetricName"]
        for each in dev.of_type("AWS::Logs::MetricFilter")
        for transformation in each.properties["MetricTransformations"]
    }
    assert counted_in_logs == {"HandshakesFailed", "RequestsThrottled"}
    services = {service_name(module) for module in dev.functions}
    for namespace, name, dimensions in watched(dev):
        if namespace != "Ringback":
            names, expected = METRICS_OF_AWS[namespace]
            assert name in names
            assert set(dimensions) == expected
        elif name in counted_in_logs:
            assert dimensions == {"ApiId": "WebSocket/Api"}
        else:
            assert name in {*Metric}
            if dimensions:
                assert dimensions == {"stack": "Ringback-dev", "service": dimensions["service"]}
                assert dimensions["service"] in services


def test_every_metric_of_ours_is_on_the_dashboard(dev: Synthesis) -> None:
    assert {*Metric} <= {name for namespace, name, _ in drawn(dev) if namespace == "Ringback"}


def test_every_function_and_every_queue_is_on_the_dashboard(dev: Synthesis) -> None:
    shown = {value for _, _, dimensions in drawn(dev) for value in dimensions.values()}
    assert {resource.path for resource in dev.of_type("AWS::Lambda::Function")} <= shown
    assert {f"{resource.path}.QueueName" for resource in dev.of_type("AWS::SQS::Queue")} <= shown


def test_the_dashboard_begins_with_the_alarms_and_fills_its_width(dev: Synthesis) -> None:
    first, *others = dashboard(dev)["widgets"]
    assert set(first["properties"]["alarms"]) == {f"{alarm.path}.Arn" for alarm in dev.of_type(ALARM)}
    titles = [widget["properties"]["markdown"] for widget in others if widget["type"] == "text"]
    assert titles == [
        "## Ways in",
        "## Deliveries",
        "## Waiting",
        "## Connections",
        "## Functions",
        "## Queues and state machines",
    ]
    assert all(widget["x"] + widget["width"] <= 24 for widget in others)


def test_the_oldest_wait_is_looked_at_for_longer_than_a_run_is_silent(dev: Synthesis) -> None:
    alarm = alarms(dev)["OldestWait"]
    (machine,) = dev.of_type("AWS::StepFunctions::StateMachine")[:1]
    (period,) = periods_of(alarm)
    assert alarm["Threshold"] == 6 * 3600
    assert alarm["DatapointsToAlarm"] == 1
    substitutions = machine.properties["DefinitionSubstitutions"]
    longest_silence = max(int(substitutions["BackoffCapSeconds"]), int(substitutions["LookAgainSeconds"]))
    assert longest_silence < period * alarm["EvaluationPeriods"] <= 24 * 3600


def test_the_oldest_wait_can_be_left_out(everything: Synthesis, chat: Synthesis) -> None:
    assert set(alarms(everything)) == set(ENTRIES) - {"OldestWait"} - set(alarms(chat))


def test_only_what_cannot_wait_is_an_alarm_of_single_events(dev: Synthesis) -> None:
    """One throttled call or one failed handshake mends itself; a message that was lost does not."""
    at_once = {name for name, alarm in alarms(dev).items() if alarm["DatapointsToAlarm"] == 1}
    assert at_once == {"DeadLetters", "IngestDeadLetters", "EndingsLost", "FanOutsFailed", "OldestWait"}


def test_a_topic_hears_of_the_beginning_and_the_end(dev: Synthesis, everything: Synthesis) -> None:
    for alarm in alarms(everything).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [ALARM_TOPIC_ARN]
    assert not [name for name, alarm in alarms(dev).items() if "AlarmActions" in alarm]


def test_an_alarm_is_on_no_more_metrics_than_cloudwatch_takes(dev: Synthesis) -> None:
    assert max(len(alarm.get("Metrics", [])) for alarm in alarms(dev).values()) <= 11  # ten, and the expression


def test_dead_letters_of_people_who_did_not_come_in_time_are_no_alarm(dev: Synthesis) -> None:
    alarm = alarms(dev)["DeadLetters"]
    here = {"stack": "Ringback-dev", "service": "ended"}
    assert [*metrics_of(alarm)] == [("Ringback", "DeadLettered", here), ("Ringback", "Expired", here)]
    assert {metric["MetricStat"]["Stat"] for metric in alarm["Metrics"] if "MetricStat" in metric} == {"Sum"}
    assert alarm["Threshold"] == 1
    # Of what there was none, nothing is counted.
    cases: list[tuple[list[float | None], float | None]] = [
        ([None, None], None),
        ([3, 3], 0),
        ([3, None], 3),
        ([3, 2], 1),
    ]
    assert [value_of(alarm, counts) for counts, _ in cases] == [found for _, found in cases]


def test_every_function_that_may_post_is_looked_at_for_throttled_posts(dev: Synthesis) -> None:
    looked_at = {dimensions["service"] for _, _, dimensions in metrics_of(alarms(dev)["PostsThrottled"])}
    posting = {
        role.removesuffix("/Role")
        for role, pairs in dev.grants.items()
        if any("/POST/@connections/" in resource for _, resource in pairs)
    }
    # One answers its caller `failed`, and the metric is an error; the other's farewell to the evicted is no message.
    assert {construct_id(service) for service in looked_at} == posting - {"PostOnce", "Connect"}


def test_every_function_that_somebody_waits_for_is_looked_at_for_throttling(dev: Synthesis) -> None:
    looked_at = {dimensions["FunctionName"] for _, _, dimensions in metrics_of(alarms(dev)["FunctionsThrottled"])}
    # Lateness tells of what streams and queues call; a fan-out tries again; the row of a connection goes by itself.
    others = {"tasks.plan_fan_out", "tasks.post_to_audience", "tasks.hand_over_to_deliveries", "routes.disconnect"}
    waited_for = {module for module in dev.functions if not module.startswith("triggers.")} - others
    assert looked_at == {f"{construct_id(module)}/Function" for module in waited_for}


def test_refusals_of_the_api_are_told_by_fields_that_its_access_log_has(dev: Synthesis) -> None:
    (stage,) = (s for s in dev.of_type("AWS::ApiGatewayV2::Stage") if s.path.startswith("WebSocket/"))
    fields = json.loads(stage.properties["AccessLogSettings"]["Format"])
    for each in dev.of_type("AWS::Logs::MetricFilter"):
        (transformation,) = each.properties["MetricTransformations"]
        assert each.properties["LogGroupName"] == "WebSocket/AccessLog"
        assert set(re.findall(r"\$\.(\w+)", each.properties["FilterPattern"])) <= set(fields)
        assert transformation["Dimensions"] == [{"Key": "ApiId", "Value": "$.apiId"}]
        assert fields["apiId"] == "$context.apiId"


def test_nobody_is_called_on_the_own_machine(local: Synthesis) -> None:
    assert not [r for r in local.resources.values() if r.type.startswith("AWS::CloudWatch::")]


@pytest.mark.parametrize("setting", ["backoff_cap_seconds", "look_again_seconds"])
def test_every_setting_of_an_alarm_is_within_a_day(tmp_path: Path, setting: str) -> None:
    """CloudWatch looks back a day at most, however long a wait may be."""
    alarm = alarms(synthesize("dev", tmp_path, settings={setting: 86_400}))["OldestWait"]
    (period,) = periods_of(alarm)
    assert period * alarm["EvaluationPeriods"] == 24 * 3600


def _names(text: str, stack: Synthesis) -> tuple[set[str], set[str]]:
    """The functions and other resources that the text's commands look up, all of which the stack has.

    By the beginning of a logical id, as `function_name` and the queries of the stack's resources look it up.
    """

    def found(beginning: str, *types: str) -> list[str]:
        resources = stack.json["Resources"].items()
        return [name for name, each in resources if name.startswith(beginning) and each["Type"] in types]

    functions = {*re.findall(r"\blog ([A-Z]\w+)", text), *re.findall(r"function_name (\w+)", text)}
    for name in functions:
        assert len(found(name, "AWS::Lambda::Function")) == 1, name
    others = set(re.findall(r"starts_with\(LogicalResourceId, '(\w+)'\)", text))
    for name in others:
        assert len(found(name, "AWS::SQS::Queue", "AWS::Logs::LogGroup")) == 1, name
    outputs = set(re.findall(r"\$\(output (\w+)\)", text))
    assert outputs
    assert outputs <= set(stack.outputs)
    return functions, others


def test_the_runbooks_commands_name_what_there_is(everything: Synthesis, chat: Synthesis) -> None:
    entries = RUNBOOK.split("\n## ")
    of_chat = "\n".join(entry for entry in entries if entry.startswith("Chat"))
    of_ringback = "\n".join(entry for entry in entries if not entry.startswith("Chat"))

    functions, others = _names(of_ringback, everything)
    assert {"Authorizer", "Ended", "Wake"} <= functions
    assert others == {"Endings", "WebSocketAccessLog"}
    functions, others = _names(of_chat, chat)
    assert functions == {"AwaitChange", "SettleOverdue", "PublishEvents", "NoticePresence"}
    assert others == {"ChatEvents", "ChatPresence"}


def test_the_runbook_names_settings_and_functions_that_there_are(everything: Synthesis, chat: Synthesis) -> None:
    services = {service_name(module) for stack in (everything, chat) for module in stack.functions}
    fields = {"message_id", "correlation_id", "execution_arn", "jwks_url"}
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", RUNBOOK))
    assert named - fields <= {*StageSettings.model_fields, *services}
