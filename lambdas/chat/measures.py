"""What is counted and measured of chats, beside what every function counts (`lambdas.observability`)."""

from collections.abc import Iterable
from enum import StrEnum

from aws_lambda_powertools.metrics import MetricUnit

from lambdas.chat.core.model import Event, EventType
from lambdas.observability import metrics


class Metric(StrEnum):
    """The metrics: counts, three durations, and two that are neither."""

    CHATS_STARTED = "ChatsStarted"
    CHATS_ACCEPTED = "ChatsAccepted"
    CHATS_ABANDONED = "ChatsAbandoned"
    """Ended before any agent had accepted them; also counted in `ChatsEnded`."""
    CHATS_ENDED = "ChatsEnded"
    MESSAGES = "Messages"
    TRANSFERRED = "Transferred"
    REQUEUED = "Requeued"
    RATINGS = "Ratings"

    TIME_TO_ACCEPT = "TimeToAccept"
    """Seconds in the queue, each time that a chat is accepted."""
    FIRST_RESPONSE = "FirstResponse"
    """Seconds from a chat's acceptance until its agent first said something."""
    CHAT_DURATION = "ChatDuration"
    """Seconds from the start of a chat to its end, if an agent had accepted it."""

    RATING = "Rating"
    """What customers said, 1 to 5."""
    WAITING = "Waiting"
    """How many chats were in the queue, whenever that changed; 1,000 at most."""


COUNTED = {
    EventType.WAITING: Metric.CHATS_STARTED,
    EventType.ACCEPTED: Metric.CHATS_ACCEPTED,
    EventType.MESSAGE: Metric.MESSAGES,
    EventType.TRANSFERRED: Metric.TRANSFERRED,
    EventType.REQUEUED: Metric.REQUEUED,
    EventType.ENDED: Metric.CHATS_ENDED,
    EventType.RATED: Metric.RATINGS,
}
"""The events that are counted."""

_MEASURED = {
    EventType.ACCEPTED: Metric.TIME_TO_ACCEPT,
    EventType.MESSAGE: Metric.FIRST_RESPONSE,
    EventType.ENDED: Metric.CHAT_DURATION,
}


def count_events(events: Iterable[Event]) -> None:
    """Count what happened, and how long it took."""
    for event in events:
        abandoned = event.type is EventType.ENDED and not event.can_be_rated
        if event.type in COUNTED:
            _note(COUNTED[event.type], 1)
        if abandoned:
            _note(Metric.CHATS_ABANDONED, 1)
        if event.seconds is not None and event.type in _MEASURED and not abandoned:
            _note(_MEASURED[event.type], event.seconds, MetricUnit.Seconds)
        if event.rating is not None:
            _note(Metric.RATING, event.rating, MetricUnit.NoUnit)


def note_waiting(number: int) -> None:
    """Note how many chats are in the queue."""
    _note(Metric.WAITING, number)


def _note(metric: Metric, value: int, unit: MetricUnit = MetricUnit.Count) -> None:
    metrics.add_metric(name=metric.value, unit=unit, value=value)
