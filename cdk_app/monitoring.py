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
from cdk_app.graphs import FIVE_MINUTES, MINUTE, WIDTH, Board, OurMetrics, graph, total, worst
from cdk_app.ways_in import WaysIn
from cdk_app.web_socket_api import WebSocketApi

_HOUR = Duration.hours(1)
_SOON_SECONDS = 60
_LATE_SECONDS = 300


@dataclass(frozen=True)
class Watched:
    """What there is to look at.

    ``functions`` are all of them. ``waited_for`` are those where somebody waits for the answer; what a queue or a
    stream calls shows in its age instead. ``posting`` are those that post to connections. ``presence`` is
    there if the stage has presence events.
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
    ended: Handler
    presence: Handler | None


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
        longest_wait_seconds: int,
    ) -> None:
        """Make them.

        Args:
            scope: the stack.
            construct_id: the name below it.
            watched: what there is.
            alarm_topic_arn: who hears of alarms; nobody, unless told.
            oldest_wait_alarm_seconds: how long a message may wait without an alarm; None for its whole life.
            longest_wait_seconds: how long a run can wait without saying so.
        """
        super().__init__(scope, construct_id)
        self._metrics = OurMetrics(Stack.of(self).stack_name)
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
        self._watch_for_delay(oldest_wait_alarm_seconds, longest_wait_seconds)
        self._draw()

    def _watch_for_losses(self) -> None:
        watched = self._watched
        self._alarms.add(
            "DeadLetters",
            Rule(self._dead_letters_but_of_the_expired()),
            "Messages became dead letters otherwise than by their recipients' not coming in time: they used up their "
            "attempts, or could not be read. Read why, then redrive or purge them.",
        )
        self._alarms.add(
            "IngestDeadLetters",
            Rule(worst(watched.ways_in.dead_letter_queue.metric_approximate_number_of_messages_visible())),
            "What came by topic or bus was no message, or could not be started. The attribute `reason` says why: mend "
            "the publisher, then send again.",
        )
        self._alarms.add(
            "EndingsLost",
            Rule(worst(watched.endings.dead_letter_queue.metric_approximate_number_of_messages_visible())),
            "Runs ended, and `ended` could not do what is left to do: clients may wait for the number of an ordered "
            "message, and a message may be neither delivered nor dead-lettered. Invoke the function with the events.",
        )

        self._alarms.add(
            "FanOutsFailed",
            Rule(watched.fan_out.state_machine.metric_failed(period=FIVE_MINUTES)),
            "A fan-out has failed, so people may have missed its message. Its cause says what to do.",
        )

    def _watch_the_doors(self) -> None:
        self._alarms.add(
            "AuthorizerErrors",
            Rule(self._metrics.of("Errors", self._watched.authorizer, FIVE_MINUTES), datapoints=2, periods=3),
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
        functions = [handler.function.metric_throttles(period=MINUTE) for handler in watched.waited_for]
        posts = [self._metrics.of("Throttled", handler, MINUTE) for handler in watched.posting]
        self._alarms.add(
            "FunctionsThrottled",
            Rule(total("Throttled invocations", functions), datapoints=3, periods=5),
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
            Rule(total("Throttled posts", posts), datapoints=3, periods=5),
            "API Gateway refuses posts to connections. They are tried again, so messages come late. Find the burst, "
            "then raise the account's quota.",
        )
        self._alarms.add(
            "RunsThrottled",
            Rule(watched.delivery.state_machine.metric_throttled(period=MINUTE), datapoints=3, periods=5),
            "Step Functions delays the state transitions of runs. Raise its quota of state transitions.",
        )

    def _watch_for_delay(self, oldest_wait_seconds: int | None, longest_wait_seconds: int) -> None:
        watched = self._watched
        if oldest_wait_seconds is not None:
            # A run says how long it has waited whenever it parks, and can be silent for as long as the longest wait.
            periods = min(ceil(longest_wait_seconds / _HOUR.to_seconds()) + 1, 24)
            self._alarms.add(
                "OldestWait",
                Rule(
                    self._metrics.of("WaitingTime", watched.wait_for_reconnect, _HOUR, statistic="Maximum"),
                    threshold=oldest_wait_seconds,
                    periods=periods,
                ),
                "A message has waited for its recipient for longer than oldest_wait_alarm_seconds. Look whether they "
                "are away, or there and not reached.",
            )
        self._alarms.add(
            "WakeLate",
            Rule(
                worst(watched.wake.function.metric("IteratorAge")),
                threshold=_SOON_SECONDS * 1000,
                datapoints=3,
                periods=3,
            ),
            "Reconnects wake runs late: the stream of the connections table is behind. Messages wait "
            "although their people are there. Read the log of wake.",
        )
        if watched.presence:
            self._alarms.add(
                "PresenceLate",
                Rule(
                    worst(watched.presence.function.metric("IteratorAge")),
                    threshold=_LATE_SECONDS * 1000,
                    datapoints=3,
                    periods=3,
                ),
                "It is told late who comes and who goes, and not at all after an hour: applications take people for "
                "present who are gone. Messages are not concerned. Read the log of presence.",
            )
        self._alarms.add(
            "IngestLate",
            Rule(
                worst(watched.ways_in.queue.metric_approximate_age_of_oldest_message()),
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
        board = Board(self, alarms=self._alarms.made)
        board.row(
            "Ways in",
            [
                graph(
                    "Messages",
                    *(self._metrics.everywhere(n) for n in ("Accepted", "Duplicates", "Conflicts", "Rejected")),
                ),
                graph(
                    "To the topic; to the queue, from topic and bus",
                    ways_in.topic.metric_number_of_messages_published(),
                    ways_in.queue.metric_number_of_messages_sent(),
                ),
                graph("On the queue, seconds", worst(ways_in.queue.metric_approximate_age_of_oldest_message())),
            ],
        )
        board.row(
            "Deliveries",
            [
                graph(
                    "Messages",
                    *(
                        self._metrics.everywhere(name)
                        for name in ("Delivered", "Acknowledged", "Missed", "Expired", "DeadLettered", "Cancelled")
                    ),
                ),
                graph("Posts", *(self._metrics.everywhere(name) for name in ("Posted", "Gone", "Throttled"))),
                graph(
                    "From acceptance to delivery, milliseconds",
                    *(self._metrics.each("DeliveryTime", statistic) for statistic in ("p50", "p99")),
                ),
            ],
        )
        board.row(
            "Waiting",
            [
                graph(
                    "Longest wait, seconds",
                    self._metrics.of("WaitingTime", watched.wait_for_reconnect, FIVE_MINUTES, statistic="Maximum"),
                ),
                graph("Woken", self._metrics.of("Woken", watched.wake, FIVE_MINUTES)),
                graph(
                    "Behind the connections' stream, milliseconds",
                    *(
                        worst(reader.function.metric("IteratorAge", label=reader.service))
                        for reader in (watched.wake, watched.presence)
                        if reader
                    ),
                ),
            ],
        )
        board.row(
            "Connections",
            [
                graph(
                    "Opened and closed",
                    *(self._metrics.of(name, watched.connect, FIVE_MINUTES) for name in ("Connected", "Refused")),
                    *(
                        self._metrics.of(name, watched.disconnect, FIVE_MINUTES)
                        for name in ("Disconnected", "NotFound")
                    ),
                ),
                graph("Refused by the API", self._handshakes_failed, self._requests_throttled),
                graph(
                    "Open for, seconds",
                    *(
                        self._metrics.of("ConnectionTime", watched.disconnect, FIVE_MINUTES, statistic=statistic)
                        for statistic in ("p50", "p90")
                    ),
                ),
            ],
        )
        board.row_of_functions(watched.functions, self._metrics)
        queues = {
            "Dead letters": watched.delivery.dead_letter_queue,
            "Ingest dead letters": ways_in.dead_letter_queue,
            "Lost endings": watched.endings.dead_letter_queue,
        }
        fan_out = watched.fan_out.state_machine
        board.row(
            "Queues and state machines",
            [
                graph(
                    "Dead letters",
                    *(worst(q.metric_approximate_number_of_messages_visible(label=n)) for n, q in queues.items()),
                    width=WIDTH // 4,
                ),
                graph(
                    "On the ingest queue",
                    worst(ways_in.queue.metric_approximate_number_of_messages_visible()),
                    worst(ways_in.queue.metric_approximate_number_of_messages_not_visible()),
                    width=WIDTH // 4,
                ),
                graph(
                    "Runs",
                    machine.metric_started(),
                    machine.metric_succeeded(),
                    machine.metric_failed(),
                    machine.metric_aborted(),
                    machine.metric_timed_out(),
                    machine.metric_throttled(),
                    width=WIDTH // 4,
                ),
                graph(
                    "Fan-outs",
                    fan_out.metric_started(),
                    fan_out.metric_succeeded(),
                    fan_out.metric_failed(),
                    fan_out.metric_throttled(),
                    width=WIDTH // 4,
                ),
            ],
        )

    def _dead_letters_but_of_the_expired(self) -> cloudwatch.MathExpression:
        """How many: people who never come back are routine, and most dead letters are theirs."""
        dead, expired = (
            self._metrics.of(name, self._watched.ended, FIVE_MINUTES) for name in ("DeadLettered", "Expired")
        )
        return cloudwatch.MathExpression(
            expression="dead - FILL(expired, 0)",  # of what there was none, nothing is counted
            using_metrics={"dead": dead, "expired": expired},
            label="Dead letters, but of the expired",
            period=FIVE_MINUTES,
        )

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
            period=FIVE_MINUTES if name == "HandshakesFailed" else MINUTE,
            label=name,
        )
