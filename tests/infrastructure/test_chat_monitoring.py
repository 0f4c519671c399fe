"""The chat's dashboard and alarms."""

import pytest

from cdk_app.functions import service_name
from lambdas.chat.measures import Metric
from tests.infrastructure.synthesis import ALARM_TOPIC_ARN, Synthesis
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


def test_what_is_watched_is_what_the_functions_count_or_what_aws_offers(chat: Synthesis) -> None:
    services = {service_name(module) for module in chat.functions}
    for namespace, name, dimensions in watched(chat):
        if namespace != "Ringback":
            names, expected = METRICS_OF_AWS[namespace]
            assert name in names
            assert set(dimensions) == expected
        elif name != "Errors":
            assert name in {*Metric}
            assert dimensions == {"stack": "Ringback-dev-Chat", "service": "publish_events"}
    assert "publish_events" in services


def test_every_metric_of_the_chat_is_on_the_dashboard(chat: Synthesis) -> None:
    assert {*Metric, "Errors"} == {name for namespace, name, _ in drawn(chat) if namespace == "Ringback"}


def test_every_function_queue_and_machine_is_on_the_dashboard(chat: Synthesis) -> None:
    shown = {value for _, _, dimensions in drawn(chat) for value in dimensions.values()}
    assert {resource.path for resource in chat.of_type("AWS::Lambda::Function")} <= shown
    assert {f"{resource.path}.QueueName" for resource in chat.of_type("AWS::SQS::Queue")} <= shown
    assert {resource.path for resource in chat.of_type("AWS::StepFunctions::StateMachine")} <= shown


def test_the_dashboard_begins_with_the_alarms_and_fills_its_width(chat: Synthesis) -> None:
    first, *others = dashboard(chat)["widgets"]
    assert set(first["properties"]["alarms"]) == {f"{alarm.path}.Arn" for alarm in chat.of_type(ALARM)}
    titles = [widget["properties"]["markdown"] for widget in others if widget["type"] == "text"]
    assert titles == ["## The queue", "## Chats", "## Talk and ratings", "## Functions", "## Events and runs"]
    assert all(widget["x"] + widget["width"] <= 24 for widget in others)


def test_an_alarm_is_on_what_somebody_has_to_mend(chat: Synthesis) -> None:
    on = {name: [(metric, *sizes.values()) for _, metric, sizes in metrics_of(a)] for name, a in alarms(chat).items()}
    queue = "ApproximateNumberOfMessagesVisible"
    assert on == {
        "ChatRunsFailed": [
            (ended, "ChatSession/StateMachine")
            for ended in ("ExecutionsFailed", "ExecutionsAborted", "ExecutionsTimedOut")
        ],
        "ChatEventsLate": [("IteratorAge", "PublishEvents/Function")],
        "ChatEventsLost": [(queue, "ChatEvents/GivenUp.QueueName")],
        "ChatPresenceLost": [(queue, "ChatPresence/DeadLetterQueue.QueueName")],
    }
    assert alarms(chat)["ChatEventsLate"]["Threshold"] == 60_000  # milliseconds
    assert value_of(alarms(chat)["ChatRunsFailed"], [None, 2, 1]) == 3


def test_an_alarm_says_what_to_do_and_is_seen_soon(chat: Synthesis) -> None:
    for name, alarm in alarms(chat).items():
        assert alarm["AlarmDescription"].endswith(f"See docs/runbook.md, {name}.")
        assert 80 < len(alarm["AlarmDescription"]) <= 1024
        assert alarm["TreatMissingData"] == "notBreaching"
        (period,) = periods_of(alarm)
        assert period * alarm["DatapointsToAlarm"] <= 900


def test_a_topic_hears_of_the_beginning_and_the_end(chat_of_everything: Synthesis) -> None:
    for alarm in alarms(chat_of_everything).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [ALARM_TOPIC_ARN]


def test_nobody_is_called_on_the_own_machine(local_chat: Synthesis) -> None:
    assert not [r for r in local_chat.resources.values() if r.type.startswith("AWS::CloudWatch::")]
