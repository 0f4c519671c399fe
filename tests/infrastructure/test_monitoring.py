"""The dashboard and the alarms: that they watch what is there, and that somebody knows what to do."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdk_app.assets import ROOT
from cdk_app.functions import construct_id, service_name
from cdk_app.settings import StageSettings
from lambdas.observability import Metric
from tests.infrastructure.synthesis import ALARM_TOPIC_ARN, Json, Synthesis, synthesize

pytestmark = pytest.mark.xdist_group("infrastructure")

ALARM = "AWS::CloudWatch::Alarm"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
ENTRIES = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)
# What AWS offers, of all that we look at, with the dimensions that it comes in.
METRICS_OF_AWS = {
    "AWS/Lambda": ({"Errors", "Throttles", "Duration", "IteratorAge"}, {"FunctionName"}),
    "AWS/SNS": ({"NumberOfMessagesPublished"}, {"TopicName"}),
    "AWS/SQS": (
        {
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesVisible",
            "NumberOfMessagesSent",
        },
        {"QueueName"},
    ),
    "AWS/States": (
        {
            "ExecutionThrottled",
            "ExecutionsAborted",
            "ExecutionsFailed",
            "ExecutionsStarted",
            "ExecutionsSucceeded",
            "ExecutionsTimedOut",
        },
        {"StateMachineArn"},
    ),
}
_SEARCH = re.compile(r"SEARCH\('\{Ringback,stack,service\} MetricName=\"(\w+)\" stack=\"Ringback-dev\"', '\w+', \d+\)")


def _alarms(synthesis: Synthesis) -> dict[str, Json]:
    return {alarm.path.rpartition("/")[2]: alarm.properties for alarm in synthesis.of_type(ALARM)}


def _metrics_of(alarm: Json) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, name and dimensions of each metric that an alarm is on."""
    stats = [metric["MetricStat"]["Metric"] for metric in alarm.get("Metrics", []) if "MetricStat" in metric]
    for metric in stats or [alarm]:
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}
        yield metric["Namespace"], metric["MetricName"], dimensions


def _dashboard(synthesis: Synthesis) -> Json:
    (dashboard,) = synthesis.of_type("AWS::CloudWatch::Dashboard")
    body: Json = json.loads(dashboard.properties["DashboardBody"])
    return body


def _drawn(synthesis: Synthesis) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The same of each metric on the dashboard; a search has no dimensions to look at."""
    for widget in _dashboard(synthesis)["widgets"]:
        previous: list[Any] = []
        for line in widget["properties"].get("metrics", []):
            words = [word for word in line if not isinstance(word, dict)]
            for index, word in enumerate(words):  # a dot is what stood there in the line above
                words[index] = previous[index] if word == "." else word
            if words:
                previous = words
                yield words[0], words[1], dict(zip(words[2::2], words[3::2], strict=True))
            else:
                (name,) = _SEARCH.findall(line[0]["expression"])
                yield "Ringback", name, {}


def _watched(synthesis: Synthesis) -> list[tuple[str, str, dict[str, str]]]:
    return [*_drawn(synthesis), *(metric for alarm in _alarms(synthesis).values() for metric in _metrics_of(alarm))]


def test_every_alarm_has_its_entry_in_the_runbook_and_every_entry_its_alarm(dev: Synthesis) -> None:
    assert sorted(ENTRIES) == sorted(_alarms(dev))


def test_every_entry_says_what_it_means_where_to_look_and_what_to_do() -> None:
    entries = RUNBOOK.split("\n## ")[1:]
    assert [[word in entry for word in ("**Means.**", "**Look.**", "**Do.**")] for entry in entries] == [
        [True] * 3
    ] * len(entries)


def test_an_alarm_says_what_to_do_and_where_more_is_written(dev: Synthesis) -> None:
    for name, alarm in _alarms(dev).items():
        text = alarm["AlarmDescription"]
        assert text.endswith(f"See docs/runbook.md, {name}.")
        assert 80 < len(text) <= 1024


def test_no_data_is_no_alarm_and_one_is_seen_within_a_quarter_of_an_hour(dev: Synthesis) -> None:
    for name, alarm in _alarms(dev).items():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        (period,) = {*([alarm["Period"]] if "Period" in alarm else []), *_periods(alarm)}
        if name != "OldestWait":
            assert period * alarm["DatapointsToAlarm"] <= 900


def _periods(alarm: Json) -> set[int]:
    metrics = alarm.get("Metrics", [])
    return {m["MetricStat"]["Period"] for m in metrics if "MetricStat" in m}


def test_what_is_watched_is_what_the_functions_count_or_what_aws_offers(dev: Synthesis) -> None:
    counted_in_logs = {
        transformation["MetricName"]
        for each in dev.of_type("AWS::Logs::MetricFilter")
        for transformation in each.properties["MetricTransformations"]
    }
    assert counted_in_logs == {"HandshakesFailed", "RequestsThrottled"}
    services = {service_name(module) for module in dev.functions}
    for namespace, name, dimensions in _watched(dev):
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
    assert {*Metric} <= {name for namespace, name, _ in _drawn(dev) if namespace == "Ringback"}


def test_every_function_and_every_queue_is_on_the_dashboard(dev: Synthesis) -> None:
    drawn = {value for _, _, dimensions in _drawn(dev) for value in dimensions.values()}
    assert {resource.path for resource in dev.of_type("AWS::Lambda::Function")} <= drawn
    assert {f"{resource.path}.QueueName" for resource in dev.of_type("AWS::SQS::Queue")} <= drawn


def test_the_dashboard_begins_with_the_alarms_and_fills_its_width(dev: Synthesis) -> None:
    first, *others = _dashboard(dev)["widgets"]
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
    alarm = _alarms(dev)["OldestWait"]
    (machine,) = dev.of_type("AWS::StepFunctions::StateMachine")[:1]
    (period,) = _periods(alarm)
    assert alarm["Threshold"] == 6 * 3600
    assert alarm["DatapointsToAlarm"] == 1
    longest_silence = int(machine.properties["DefinitionSubstitutions"]["BackoffCapSeconds"])
    assert longest_silence < period * alarm["EvaluationPeriods"] <= 24 * 3600


def test_the_oldest_wait_can_be_left_out(everything: Synthesis) -> None:
    assert set(_alarms(everything)) == set(ENTRIES) - {"OldestWait"}


def test_only_what_cannot_wait_is_an_alarm_of_single_events(dev: Synthesis) -> None:
    """One throttled call or one failed handshake mends itself; a message that was lost does not."""
    at_once = {name for name, alarm in _alarms(dev).items() if alarm["DatapointsToAlarm"] == 1}
    assert at_once == {"DeadLetters", "IngestDeadLetters", "EndingsLost", "FanOutsFailed", "OldestWait"}


def test_a_topic_hears_of_the_beginning_and_the_end(dev: Synthesis, everything: Synthesis) -> None:
    for alarm in _alarms(everything).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [ALARM_TOPIC_ARN]
    assert not [name for name, alarm in _alarms(dev).items() if "AlarmActions" in alarm]


def test_an_alarm_is_on_no_more_metrics_than_cloudwatch_takes(dev: Synthesis) -> None:
    assert max(len(alarm.get("Metrics", [])) for alarm in _alarms(dev).values()) <= 11  # ten, and the expression


def test_every_function_that_may_post_is_looked_at_for_throttled_posts(dev: Synthesis) -> None:
    watched = {dimensions["service"] for _, _, dimensions in _metrics_of(_alarms(dev)["PostsThrottled"])}
    posting = {
        role.removesuffix("/Role")
        for role, pairs in dev.grants.items()
        if any("/POST/@connections/" in resource for _, resource in pairs)
    }
    # One answers its caller `failed`, and the metric is an error; the other's farewell to the evicted is no message.
    assert {construct_id(service) for service in watched} == posting - {"PostOnce", "Connect"}


def test_every_function_that_somebody_waits_for_is_looked_at_for_throttling(dev: Synthesis) -> None:
    watched = {dimensions["FunctionName"] for _, _, dimensions in _metrics_of(_alarms(dev)["FunctionsThrottled"])}
    # Lateness tells of what streams and queues call; a fan-out tries again; the row of a connection goes by itself.
    others = {"tasks.plan_fan_out", "tasks.post_to_audience", "tasks.hand_over_to_deliveries", "routes.disconnect"}
    waited_for = {module for module in dev.functions if not module.startswith("triggers.")} - others
    assert watched == {f"{construct_id(module)}/Function" for module in waited_for}


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


def test_every_setting_of_an_alarm_is_within_a_day(tmp_path: Path) -> None:
    """CloudWatch looks back a day at most, however long a backoff may be."""
    alarm = _alarms(synthesize("dev", tmp_path, settings={"backoff_cap_seconds": 86_400}))["OldestWait"]
    (period,) = _periods(alarm)
    assert period * alarm["EvaluationPeriods"] == 24 * 3600


def test_the_runbooks_commands_name_what_there_is(dev: Synthesis) -> None:
    """By the beginning of a logical id, as `function_name` and the queries of the stack's resources look it up."""

    def found(beginning: str, *types: str) -> list[str]:
        resources = dev.json["Resources"].items()
        return [name for name, each in resources if name.startswith(beginning) and each["Type"] in types]

    functions = {*re.findall(r"\blog ([A-Z]\w+)", RUNBOOK), *re.findall(r"function_name (\w+)", RUNBOOK)}
    assert {"Authorizer", "Ended", "Wake"} <= functions
    for name in functions:
        assert len(found(name, "AWS::Lambda::Function")) == 1, name
    others = set(re.findall(r"starts_with\(LogicalResourceId, '(\w+)'\)", RUNBOOK))
    assert others == {"Endings", "WebSocketAccessLog"}
    for name in others:
        assert len(found(name, "AWS::SQS::Queue", "AWS::Logs::LogGroup")) == 1, name
    outputs = set(re.findall(r"\$\(output (\w+)\)", RUNBOOK))
    assert outputs
    assert outputs <= set(dev.outputs)
    settings = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", RUNBOOK)) - {
        "message_id",
        "correlation_id",
        "execution_arn",
        "jwks_url",
    }
    assert settings <= set(StageSettings.model_fields)
