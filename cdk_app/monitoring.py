"""What an operator looks at, and what calls one: one dashboard, and the alarms that somebody has to act on.

Everything is of this stack alone. Metrics of our own are `lambdas.observability.Metric`; a test keeps the names equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_app.alarms import Alarms, Rule
from cdk_app.delivery import Delivery
from cdk_app.endings import Endings
from cdk_app.fan_out import FanOut
from cdk_app.functions import METRICS_NAMESPACE, Handler
from cdk_app.ways_in import WaysIn
from cdk_app.web_socket_api import WebSocketApi

_MINUTE = Duration.minutes(1)
_FIVE_MINUTES = Duration.minutes(5)
_HOUR = Duration.hours(1)
_MOST_METRICS_OF_AN_ALARM = 10  # a quota of CloudWatch
_SOON_SECONDS = 60
_LATE_SECONDS = 300
_WIDTH = 24


@dataclass(frozen=True)
class Watched:
    """What there is to look at.

    ``functions`` are all of them. ``waited_for`` are those where somebody waits for the answer; what a queue or a
    stream calls shows in its age instead. ``posting`` are those that post to connections.
    """

    delivery: Delivery
    fan_out: FanOut
    endings: Endings
    ways_in: WaysIn
    api: WebSocketApi
    functions: Sequence[Handler]
    waited_for: Sequence[Handler]
    posting: Sequence[Handler]
    authorizer: Handler
    connect: Handler
    disconnect: Handler
    wait_for_reconnect: Handler
    wake: Handler


class Monitoring(Construct):
    """The dashboard and the alarms of a stage."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        watched: Watched,
        alarm_topic_arn: str | None,
        oldest_wait_alarm_seconds: int | None,
        backoff_cap_seconds: int,
    ) -> None:
        """Make them.

        Args:
            scope: the stack.
            construct_id: the name below it.
            watched: what there is.
            alarm_topic_arn: who hears of alarms; nobody, unless told.
            oldest_wait_alarm_seconds: how long a message may wait without an alarm; None for its whole life.
            backoff_cap_seconds: how long a run can wait without saying so.
        """
        super().__init__(scope, construct_id)
        self._stack_name = Stack.of(self).stack_name
        self._watched = watched
        self._handshakes_failed = self._count_in_access_log(
            "HandshakesFailed", '{ $.routeKey = "$connect" && $.status = "5*" }'
        )
        # With a latency, a function of ours has answered so: the user has connections enough.
        self._requests_throttled = self._count_in_access_log(
            "RequestsThrottled", '{ $.status = "429" && $.integrationLatency = "-" }'
        )
        self._alarms = Alarms(self, "Alarms", topic_arn=alarm_topic_arn)
        self._watch_for_losses()
        self._watch_the_doors()
        self._watch_for_throttling()
        self._watch_for_delay(oldest_wait_alarm_seconds, backoff_cap_seconds)
        self._draw()

    def _watch_for_losses(self) -> None:
        watched = self._watched
        self._alarms.add(
            "DeadLetters",
            Rule(_worst(watched.delivery.dead_letter_queue.metric_approximate_number_of_messages_visible())),
            "Messages expired, or used up their attempts. Read why, then redrive or purge them.",
        )
        self._alarms.add(
            "IngestDeadLetters",
            Rule(_worst(watched.ways_in.dead_letter_queue.metric_approximate_number_of_messages_visible())),
            "What came by topic or bus was no message, or could not be started. The attribute `reason` says why: mend "
            "the publisher, then send again.",
        )
        self._alarms.add(
            "EndingsLost",
            Rule(_worst(watched.endings.dead_letter_queue.metric_approximate_number_of_messages_visible())),
            "Runs ended, and `ended` could not do what is left to do: clients may wait for the number of an ordered "
            "message, and a message may be neither delivered nor dead-lettered. Invoke the function with the events.",
        )

        self._alarms.add(
            "FanOutsFailed",
            Rule(watched.fan_out.state_machine.metric_failed(period=_FIVE_MINUTES)),
            "A fan-out has failed, so people may have missed its message. Its cause says what to do.",
        )

    def _watch_the_doors(self) -> None:
        self._alarms.add(
            "AuthorizerErrors",
            Rule(self._ours("Errors", self._watched.authorizer, _FIVE_MINUTES), datapoints=2, periods=3),
            "The authorizer fails, most likely on the keys of the token issuer. Clients cannot connect, and their "
            "messages wait. Read its log.",
        )
        self._alarms.add(
            "HandshakesFailed",
            Rule(self._handshakes_failed, datapoints=2, periods=3),
            "Clients that connect are answered 5xx, and their messages wait. Read the access log, then the logs of the "
            "authorizer and of connect.",
        )

    def _watch_for_throttling(self) -> None:
        watched = self._watched
        functions = [handler.function.metric_throttles(period=_MINUTE) for handler in watched.waited_for]
        posts = [self._ours("Throttled", handler, _MINUTE) for handler in watched.posting]
        self._alarms.add(
            "FunctionsThrottled",
            Rule(_total("Throttled invocations", functions), datapoints=3, periods=5),
            "Lambda refuses invocations: the account's concurrency is used up. Look who uses it, then raise the quota.",
        )
        self._alarms.add(
            "RequestsThrottled",
            Rule(self._requests_throttled, datapoints=3, periods=5),
            "API Gateway refuses handshakes or frames of clients. Compare the load with throttling_rate_per_second and "
            "throttling_burst, and with the account's quota.",
        )
        self._alarms.add(
            "PostsThrottled",
            Rule(_total("Throttled posts", posts), datapoints=3, periods=5),
            "API Gateway refuses posts to connections. They are tried again, so messages come late. Find the burst, "
            "then raise the account's quota.",
        )
        self._alarms.add(
            "RunsThrottled",
            Rule(watched.delivery.state_machine.metric_throttled(period=_MINUTE), datapoints=3, periods=5),
            "Step Functions delays the state transitions of runs. Raise its quota of state transitions.",
        )

    def _watch_for_delay(self, oldest_wait_seconds: int | None, backoff_cap_seconds: int) -> None:
        watched = self._watched
        if oldest_wait_seconds is not None:
            # A run says how long it has waited whenever it parks, and can be silent for as long as the longest backoff.
            periods = min(ceil(backoff_cap_seconds / _HOUR.to_seconds()) + 1, 24)
            self._alarms.add(
                "OldestWait",
                Rule(
                    self._ours("WaitingTime", watched.wait_for_reconnect, _HOUR, statistic="Maximum"),
                    threshold=oldest_wait_seconds,
                    periods=periods,
                ),
                "A message has waited for its recipient for longer than oldest_wait_alarm_seconds. Look whether they "
                "are away, or there and not reached.",
            )
        self._alarms.add(
            "WakeLate",
            Rule(
                _worst(watched.wake.function.metric("IteratorAge")),
                threshold=_SOON_SECONDS * 1000,
                datapoints=3,
                periods=3,
            ),
            "Reconnects wake runs late: the stream of the connections table is behind. Messages wait for their "
            "backoff. Read the log of wake.",
        )
        self._alarms.add(
            "IngestLate",
            Rule(
                _worst(watched.ways_in.queue.metric_approximate_age_of_oldest_message()),
                threshold=_LATE_SECONDS,
                datapoints=3,
                periods=3,
            ),
            "Messages from topic and bus wait on the queue. Read the log of ingest; with a backlog, raise "
            "ingest_max_concurrency.",
        )

    def _draw(self) -> None:
        watched = self._watched
        machine, ways_in = watched.delivery.state_machine, watched.ways_in
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard", default_interval=Duration.hours(12))
        self.dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(self._alarms.made), width=_WIDTH, height=3)
        )
        self._row(
            "Ways in",
            [
                _graph("Messages", *(self._everywhere(n) for n in ("Accepted", "Duplicates", "Conflicts", "Rejected"))),
                _graph(
                    "To the topic; to the queue, from topic and bus",
                    ways_in.topic.metric_number_of_messages_published(),
                    ways_in.queue.metric_number_of_messages_sent(),
                ),
                _graph("On the queue, seconds", _worst(ways_in.queue.metric_approximate_age_of_oldest_message())),
            ],
        )
        self._row(
            "Deliveries",
            [
                _graph(
                    "Messages",
                    *(
                        self._everywhere(name)
                        for name in ("Delivered", "Acknowledged", "Expired", "DeadLettered", "Cancelled")
                    ),
                ),
                _graph("Posts", *(self._everywhere(name) for name in ("Posted", "Gone", "Throttled"))),
                _graph(
                    "From acceptance to delivery, milliseconds",
                    *(self._each("DeliveryTime", statistic) for statistic in ("p50", "p99")),
                ),
            ],
        )
        self._row(
            "Waiting",
            [
                _graph(
                    "Longest wait, seconds",
                    self._ours("WaitingTime", watched.wait_for_reconnect, _FIVE_MINUTES, statistic="Maximum"),
                ),
                _graph("Woken", self._ours("Woken", watched.wake, _FIVE_MINUTES)),
                _graph("From connecting to waking, milliseconds", _worst(watched.wake.function.metric("IteratorAge"))),
            ],
        )
        self._row(
            "Connections",
            [
                _graph(
                    "Opened and closed",
                    *(self._ours(name, watched.connect, _FIVE_MINUTES) for name in ("Connected", "Refused")),
                    *(self._ours(name, watched.disconnect, _FIVE_MINUTES) for name in ("Disconnected", "NotFound")),
                ),
                _graph("Refused by the API", self._handshakes_failed, self._requests_throttled),
                _graph(
                    "Open for, seconds",
                    *(
                        self._ours("ConnectionTime", watched.disconnect, _FIVE_MINUTES, statistic=statistic)
                        for statistic in ("p50", "p90")
                    ),
                ),
            ],
        )
        self._row(
            "Functions",
            [
                _graph("Errors", self._each("Errors", "Sum")),
                _graph("Throttled", *(f.function.metric_throttles(label=f.service) for f in watched.functions)),
                _graph(
                    "Duration, milliseconds, p99",
                    *(f.function.metric_duration(label=f.service, statistic="p99") for f in watched.functions),
                ),
            ],
        )
        queues = {
            "Dead letters": watched.delivery.dead_letter_queue,
            "Ingest dead letters": ways_in.dead_letter_queue,
            "Lost endings": watched.endings.dead_letter_queue,
        }
        fan_out = watched.fan_out.state_machine
        self._row(
            "Queues and state machines",
            [
                _graph(
                    "Dead letters",
                    *(_worst(q.metric_approximate_number_of_messages_visible(label=n)) for n, q in queues.items()),
                    width=_WIDTH // 4,
                ),
                _graph(
                    "On the ingest queue",
                    _worst(ways_in.queue.metric_approximate_number_of_messages_visible()),
                    _worst(ways_in.queue.metric_approximate_number_of_messages_not_visible()),
                    width=_WIDTH // 4,
                ),
                _graph(
                    "Runs",
                    machine.metric_started(),
                    machine.metric_succeeded(),
                    machine.metric_failed(),
                    machine.metric_aborted(),
                    machine.metric_timed_out(),
                    machine.metric_throttled(),
                    width=_WIDTH // 4,
                ),
                _graph(
                    "Fan-outs",
                    fan_out.metric_started(),
                    fan_out.metric_succeeded(),
                    fan_out.metric_failed(),
                    fan_out.metric_throttled(),
                    width=_WIDTH // 4,
                ),
            ],
        )

    def _row(self, title: str, graphs: Sequence[cloudwatch.GraphWidget]) -> None:
        self.dashboard.add_widgets(cloudwatch.TextWidget(markdown=f"## {title}", width=_WIDTH, height=1))
        self.dashboard.add_widgets(*graphs)

    def _ours(self, name: str, handler: Handler, period: Duration, *, statistic: str = "Sum") -> cloudwatch.Metric:
        """A metric as one function emits it."""
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=name,
            dimensions_map={"stack": self._stack_name, "service": handler.service},
            statistic=statistic,
            period=period,
            label=name if statistic == "Sum" else f"{name} {statistic}",
        )

    def _everywhere(self, name: str) -> cloudwatch.MathExpression:
        """A count, over all functions."""
        return cloudwatch.MathExpression(
            expression=f"SUM({self._search(name, 'Sum')})", using_metrics={}, label=name, period=_FIVE_MINUTES
        )

    def _each(self, name: str, statistic: str) -> cloudwatch.MathExpression:
        """A duration, of each function that measures it."""
        return cloudwatch.MathExpression(
            expression=self._search(name, statistic),
            using_metrics={},
            label=f"{statistic} ${{PROP('Dim.service')}}",
            period=_FIVE_MINUTES,
        )

    def _search(self, name: str, statistic: str) -> str:
        which = f'{{{METRICS_NAMESPACE},stack,service}} MetricName="{name}" stack="{self._stack_name}"'
        return f"SEARCH('{which}', '{statistic}', {_FIVE_MINUTES.to_seconds()})"

    def _count_in_access_log(self, name: str, pattern: str) -> cloudwatch.IMetric:
        """Count lines of the API's access log: a WebSocket API has no metric for what it refuses itself."""
        api_id = self._watched.api.api.api_id
        logs.MetricFilter(
            self,
            name,
            log_group=self._watched.api.access_log,
            filter_pattern=logs.FilterPattern.literal(pattern),
            metric_namespace=METRICS_NAMESPACE,
            metric_name=name,
            metric_value="1",
            dimensions={"ApiId": "$.apiId"},
        )
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=name,
            dimensions_map={"ApiId": api_id},
            statistic="Sum",
            period=_FIVE_MINUTES if name == "HandshakesFailed" else _MINUTE,
            label=name,
        )


def _graph(title: str, *lines: cloudwatch.IMetric, width: int = _WIDTH // 3) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title, left=list(lines), left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False), width=width
    )


def _worst(metric: cloudwatch.Metric) -> cloudwatch.Metric:
    return metric.with_(statistic="Maximum", period=_MINUTE)


def _total(label: str, metrics: Sequence[cloudwatch.Metric]) -> cloudwatch.MathExpression:
    """The sum of metrics, as an alarm can have it: it takes no search."""
    if len(metrics) > _MOST_METRICS_OF_AN_ALARM:
        raise ValueError(f"{label}: an alarm is on {_MOST_METRICS_OF_AN_ALARM} metrics at most, not {len(metrics)}")
    named = {f"m{index}": metric for index, metric in enumerate(metrics)}
    return cloudwatch.MathExpression(
        expression=f"SUM([{', '.join(f'FILL({name}, 0)' for name in named)}])",
        using_metrics=named,
        label=label,
        period=_MINUTE,
    )
