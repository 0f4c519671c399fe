"""What dashboards and alarms are made of. Everything is of one stack alone."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from cdk_app.functions import METRICS_NAMESPACE, Handler

MINUTE = Duration.minutes(1)
FIVE_MINUTES = Duration.minutes(5)
WIDTH = 24
_MOST_METRICS_OF_AN_ALARM = 10  # a quota of CloudWatch


class OurMetrics:
    """The metrics that the functions of one stack emit."""

    def __init__(self, stack_name: str) -> None:
        self._stack_name = stack_name

    def of(self, name: str, handler: Handler, period: Duration, *, statistic: str = "Sum") -> cloudwatch.Metric:
        """A metric as one function emits it."""
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=name,
            dimensions_map={"stack": self._stack_name, "service": handler.service},
            statistic=statistic,
            period=period,
            label=name if statistic == "Sum" else f"{name} {statistic}",
        )

    def everywhere(self, name: str) -> cloudwatch.MathExpression:
        """A count, over all functions."""
        return cloudwatch.MathExpression(
            expression=f"SUM({self._search(name, 'Sum')})", using_metrics={}, label=name, period=FIVE_MINUTES
        )

    def each(self, name: str, statistic: str) -> cloudwatch.MathExpression:
        """A metric, of each function that emits it."""
        return cloudwatch.MathExpression(
            expression=self._search(name, statistic),
            using_metrics={},
            label=f"{statistic} ${{PROP('Dim.service')}}",
            period=FIVE_MINUTES,
        )

    def _search(self, name: str, statistic: str) -> str:
        which = f'{{{METRICS_NAMESPACE},stack,service}} MetricName="{name}" stack="{self._stack_name}"'
        return f"SEARCH('{which}', '{statistic}', {FIVE_MINUTES.to_seconds()})"


class Board:
    """A dashboard, as `Dashboard` in its scope: the alarms first, then rows of graphs."""

    def __init__(self, scope: Construct, *, alarms: Sequence[cloudwatch.Alarm]) -> None:
        self.dashboard = cloudwatch.Dashboard(scope, "Dashboard", default_interval=Duration.hours(12))
        self.dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=WIDTH, height=3)
        )

    def row(self, title: str, graphs: Sequence[cloudwatch.GraphWidget]) -> None:
        """Add one."""
        self.dashboard.add_widgets(cloudwatch.TextWidget(markdown=f"## {title}", width=WIDTH, height=1))
        self.dashboard.add_widgets(*graphs)

    def row_of_functions(self, functions: Sequence[Handler], metrics: OurMetrics) -> None:
        """Add the one that tells how the functions do."""
        self.row(
            "Functions",
            [
                graph("Errors", metrics.each("Errors", "Sum")),
                graph("Throttled", *(each.function.metric_throttles(label=each.service) for each in functions)),
                graph(
                    "Duration, milliseconds, p99",
                    *(each.function.metric_duration(label=each.service, statistic="p99") for each in functions),
                ),
            ],
        )


def graph(title: str, *lines: cloudwatch.IMetric, width: int = WIDTH // 3) -> cloudwatch.GraphWidget:
    """A graph; its axis begins at nothing."""
    return cloudwatch.GraphWidget(
        title=title, left=list(lines), left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False), width=width
    )


def worst(metric: cloudwatch.Metric) -> cloudwatch.Metric:
    """The highest value of each minute."""
    return metric.with_(statistic="Maximum", period=MINUTE)


def total(label: str, metrics: Sequence[cloudwatch.Metric], period: Duration = MINUTE) -> cloudwatch.MathExpression:
    """The sum of metrics, as an alarm can have it: it takes no search."""
    if len(metrics) > _MOST_METRICS_OF_AN_ALARM:
        raise ValueError(f"{label}: an alarm is on {_MOST_METRICS_OF_AN_ALARM} metrics at most, not {len(metrics)}")
    named = {f"m{index}": metric for index, metric in enumerate(metrics)}
    return cloudwatch.MathExpression(
        expression=f"SUM([{', '.join(f'FILL({name}, 0)' for name in named)}])",
        using_metrics=named,
        label=label,
        period=period,
    )
