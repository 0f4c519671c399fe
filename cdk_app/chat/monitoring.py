"""What whoever runs the chat looks at, and what calls them.

Metrics of our own are `lambdas.chat.measures.Metric`; a test keeps the names equal. All are counted once a chat or an
event, by the function that publishes it.
"""

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk_app.alarms import Alarms, Rule
from cdk_app.chat.events import ChatEvents, ChatPresence
from cdk_app.functions import Handler
from cdk_app.graphs import FIVE_MINUTES, WIDTH, Board, OurMetrics, graph, total, worst

_LATE_SECONDS = 60


class ChatMonitoring(Construct):
    """The dashboard and the alarms of a stage's chat."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        machine: sfn.StateMachine,
        publish_events: Handler,
        events: ChatEvents,
        presence: ChatPresence,
        functions: Sequence[Handler],
        alarm_topic_arn: str | None,
    ) -> None:
        """Make them.

        Args:
            scope: the stack.
            construct_id: the name below it.
            machine: whose runs are the chats.
            publish_events: what tells people of events, and counts them.
            events: how it hears of them.
            presence: how the chat hears of people.
            functions: all of them.
            alarm_topic_arn: who hears of alarms; nobody, unless told.
        """
        super().__init__(scope, construct_id)
        self._metrics = OurMetrics(Stack.of(self).stack_name)
        self._publish_events = publish_events
        self._behind = worst(publish_events.function.metric("IteratorAge"))
        self._given_up = worst(events.given_up.metric_approximate_number_of_messages_visible())
        self._unnoticed = worst(presence.dead_letter_queue.metric_approximate_number_of_messages_visible())
        self._alarms = Alarms(self, "Alarms", topic_arn=alarm_topic_arn)
        self._watch(machine)
        self._draw(machine, functions)

    def _watch(self, machine: sfn.StateMachine) -> None:
        lost = [machine.metric_failed(), machine.metric_aborted(), machine.metric_timed_out()]
        self._alarms.add(
            "ChatRunsFailed",
            Rule(total("Lost runs", lost, FIVE_MINUTES)),
            "The run of a chat has failed, was stopped or has timed out, so time does nothing to that chat any more: "
            "it does not end by itself, nor go back to the queue. People can still talk. Mend what its cause says, "
            "then have the run go on, or start another for the chat.",
        )
        self._alarms.add(
            "ChatEventsLate",
            Rule(self._behind, threshold=_LATE_SECONDS * 1000, datapoints=3, periods=3),
            "What happens in chats is pushed late: the stream of the chats is behind. People see old queues and wait "
            "for answers that are there. Read the log of publish_events.",
        )
        self._alarms.add(
            "ChatEventsLost",
            Rule(self._given_up),
            "Events of chats could not be pushed for most of a day, and were given up on. They stand in the chats' "
            "logs. Have them published again, before they are gone from the stream.",
        )
        self._alarms.add(
            "ChatPresenceLost",
            Rule(self._unnoticed),
            "It could not be noticed that somebody came or went: an agent may seem to be there who is gone, and their "
            "chats wait for them. Invoke notice_presence with the events.",
        )

    def _draw(self, machine: sfn.StateMachine, functions: Sequence[Handler]) -> None:
        board = Board(self, alarms=self._alarms.made)
        board.row(
            "The queue",
            [
                graph("Waiting", self._of("Waiting", "Maximum")),
                graph("Time to accept, seconds", *self._percentiles("TimeToAccept")),
                graph("Abandoned, percent of those that ended", self._abandonment()),
            ],
        )
        board.row(
            "Chats",
            [
                graph(
                    "Chats", *(self._of(n) for n in ("ChatsStarted", "ChatsAccepted", "ChatsAbandoned", "ChatsEnded"))
                ),
                graph("First response, seconds", *self._percentiles("FirstResponse")),
                graph("Duration, seconds", *self._percentiles("ChatDuration")),
            ],
        )
        board.row(
            "Talk and ratings",
            [
                graph("Messages", self._of("Messages")),
                graph("Handed on", *(self._of(name) for name in ("Transferred", "Requeued"))),
                graph("Rating, 1 to 5", self._of("Rating", "Average"), width=WIDTH // 6),
                graph("Ratings", self._of("Ratings"), width=WIDTH // 6),
            ],
        )
        board.row_of_functions(functions, self._metrics)
        board.row(
            "Events and runs",
            [
                graph("Behind the chats' stream, milliseconds", self._behind),
                graph(
                    "Given up",
                    self._given_up.with_(label="Events"),
                    self._unnoticed.with_(label="Comings and goings"),
                ),
                graph(
                    "Runs",
                    machine.metric_started(),
                    machine.metric_succeeded(),
                    machine.metric_failed(),
                    machine.metric_aborted(),
                    machine.metric_timed_out(),
                    machine.metric_throttled(),
                ),
            ],
        )

    def _of(self, name: str, statistic: str = "Sum") -> cloudwatch.Metric:
        return self._metrics.of(name, self._publish_events, FIVE_MINUTES, statistic=statistic)

    def _percentiles(self, name: str) -> list[cloudwatch.Metric]:
        return [self._of(name, statistic) for statistic in ("p50", "p90")]

    def _abandonment(self) -> cloudwatch.MathExpression:
        return cloudwatch.MathExpression(
            expression="100 * abandoned / ended",
            using_metrics={"abandoned": self._of("ChatsAbandoned"), "ended": self._of("ChatsEnded")},
            label="Abandoned",
            period=FIVE_MINUTES,
        )
