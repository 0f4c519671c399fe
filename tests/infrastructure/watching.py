"""The dashboards and alarms of a synthesized stack, in words."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tests.infrastructure.synthesis import Json, Synthesis

ALARM = "AWS::CloudWatch::Alarm"
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
_SEARCH = r"SEARCH\('\{Ringback,stack,service\} MetricName=\"(\w+)\" stack=\"%s\"', '\w+', \d+\)"


def alarms(synthesis: Synthesis) -> dict[str, Json]:
    """Their properties, by name."""
    return {alarm.path.rpartition("/")[2]: alarm.properties for alarm in synthesis.of_type(ALARM)}


def metrics_of(alarm: Json) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, name and dimensions of each metric that an alarm is on."""
    stats = [metric["MetricStat"]["Metric"] for metric in alarm.get("Metrics", []) if "MetricStat" in metric]
    for metric in stats or [alarm]:
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}
        yield metric["Namespace"], metric["MetricName"], dimensions


def periods_of(alarm: Json) -> set[int]:
    """The seconds over which its metrics are taken."""
    stats = [metric["MetricStat"] for metric in alarm.get("Metrics", []) if "MetricStat" in metric]
    return {each["Period"] for each in stats or [alarm]}


def value_of(alarm: Json, values: Sequence[float | None]) -> float | None:
    """What CloudWatch holds against the threshold.

    Args:
        alarm: its properties.
        values: of its metrics, in the order of `metrics_of`; None for one of which there is nothing.
    """
    metrics = alarm.get("Metrics", [])
    expressions = [metric["Expression"] for metric in metrics if "Expression" in metric]
    if not expressions:
        (only,) = values
        return only
    (expression,) = expressions
    named = dict(zip((metric["Id"] for metric in metrics if "MetricStat" in metric), values, strict=True))
    functions = {"SUM": sum, "FILL": lambda value, instead: instead if value is None else value}
    try:
        found: float = eval(expression, {"__builtins__": {}}, functions | named)  # noqa: S307 - our own
    except TypeError:
        return None  # arithmetic with nothing is nothing
    return found


def dashboard(synthesis: Synthesis) -> Json:
    """The one that the stack has."""
    (only,) = synthesis.of_type("AWS::CloudWatch::Dashboard")
    body: Json = json.loads(only.properties["DashboardBody"])
    return body


def drawn(synthesis: Synthesis) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The same of each metric on the dashboard; a search has no dimensions to look at, and arithmetic no name."""
    for widget in dashboard(synthesis)["widgets"]:
        previous: list[Any] = []
        for line in widget["properties"].get("metrics", []):
            words = [word for word in line if not isinstance(word, dict)]
            for index, word in enumerate(words):  # a dot is what stood there in the line above
                words[index] = previous[index] if word == "." else word
            if words:
                previous = words
                yield words[0], words[1], dict(zip(words[2::2], words[3::2], strict=True))
            else:
                for name in re.findall(_SEARCH % synthesis.stack, line[0]["expression"]):
                    yield "Ringback", name, {}


def watched(synthesis: Synthesis) -> list[tuple[str, str, dict[str, str]]]:
    """The same of all of them, drawn or with an alarm."""
    return [*drawn(synthesis), *(metric for alarm in alarms(synthesis).values() for metric in metrics_of(alarm))]
