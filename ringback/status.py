"""What became of a message. The Step Functions client is passed in; nothing else of this package is needed."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self

from ringback import aws, runs
from ringback.forms import Form
from ringback.runs import Run

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

State = Literal["delivering", "waiting", "delivered", "acknowledged", "cancelled", "dead_lettered"]
ARRIVED: frozenset[State] = frozenset({"delivered", "acknowledged"})
ENDED: frozenset[State] = ARRIVED | {"cancelled", "dead_lettered"}

# An attempt with all its retries writes 91 events; the last one tells all there is to tell.
_EVENTS_A_PAGE = 100
_WAITS: Mapping[str, Literal["reconnect", "acknowledgement"]] = {
    "Wait For Reconnect": "reconnect",
    "Post And Await Acknowledgement": "acknowledgement",
}
_WAITS_OUT_A_FAILURE = "Wait Out The Failure"


class MessageStatus(Form):
    """What became of a message; its JSON form is camelCase, with times in UTC as RFC 3339.

    ``attempts`` counts those that were begun; ``accepted_at`` is when the newest run started. While it waits,
    ``waiting_for`` says for what (null: for the platform to recover), ``waiting_since`` since when, and
    ``next_attempt_at`` when it is tried again if nothing happens before. ``reason`` and ``cause`` say why it was
    cancelled or dead-lettered.
    """

    id: str
    state: State
    attempts: int
    accepted_at: datetime
    waiting_for: Literal["reconnect", "acknowledgement"] | None = None
    waiting_since: datetime | None = None
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    cause: str | None = None
    execution_arn: str
    console_url: str

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens to it any more, unless somebody redrives it."""
        return self.state in ENDED


def read_status(client: "SFNClient", state_machine_arn: str, message_id: str) -> MessageStatus:
    """Read what became of a message.

    Raises:
        MessageNotFound: no run carries it.
        AccessDenied, NotAuthenticated, NotInstalled, Unavailable: Step Functions cannot be asked.
    """
    return status_of(client, runs.newest(client, state_machine_arn, message_id))


def status_of(client: "SFNClient", run: Run) -> MessageStatus:
    """Read what became of the message that a run carries."""
    return status_from(run, Progress.read_back(_newest_events_first(client, run.arn)))


def status_from(run: Run, progress: "Progress") -> MessageStatus:
    """Say what became of the message that a run carries, whose history is known."""
    general: dict[str, Any] = {
        "id": run.message_id,
        "attempts": progress.attempts(ended=run.status != "RUNNING"),
        "accepted_at": run.started_at,
        "execution_arn": run.arn,
        "console_url": console_url(run.arn),
    }
    if run.status != "RUNNING":
        return MessageStatus(
            **general,
            state=runs.state_of_ended(run),  # type: ignore[arg-type]
            ended_at=run.stopped_at,
            reason=run.error,
            cause=run.cause,
        )
    if progress.waits:
        return MessageStatus(
            **general,
            state="waiting",
            waiting_for=_WAITS.get(progress.state),
            waiting_since=progress.since,
            next_attempt_at=progress.until,
        )
    return MessageStatus(**general, state="delivering")


def console_url(execution_arn: str) -> str:
    """Where an engineer looks at the run."""
    _, partition, _, region, *_ = execution_arn.split(":")
    domain = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}.get(
        partition, "console.aws.amazon.com"
    )
    return f"https://{region}.{domain}/states/home?region={region}#/v2/executions/details/{execution_arn}"


class Progress:
    """How far a run has come: the state it is in, since when, and until when at most."""

    def __init__(self) -> None:
        self.state = ""
        self.since: datetime | None = None
        self.until: datetime | None = None
        self._attempt: int | None = None
        self._waits_entered = 0

    @classmethod
    def read_back(cls, newest_first: Iterable[Mapping[str, Any]]) -> Self:
        """Read a history back from its end, no further than needed."""
        progress, needed = cls(), []
        knows_state = knows_attempt = False
        for event in newest_first:
            needed.append(event)
            knows_state = knows_state or "stateEnteredEventDetails" in event
            knows_attempt = knows_attempt or bool(_attempt(event))
            if knows_state and knows_attempt:
                break
        for event in reversed(needed):
            progress.add(event)
        return progress

    def add(self, event: Mapping[str, Any]) -> None:
        """Go on with the next event of the history."""
        at = event["timestamp"].astimezone(UTC)  # botocore puts it into this machine's zone
        if entered := event.get("stateEnteredEventDetails"):
            self.state, self.since, self.until = entered["name"], at, None
            self._waits_entered += entered["name"] == "Wait For Reconnect"
        if scheduled := event.get("taskScheduledEventDetails"):
            self._attempt = _attempt(event) or self._attempt
            if seconds := scheduled.get("timeoutInSeconds"):
                self.until = at + timedelta(seconds=seconds)

    @property
    def waits(self) -> bool:
        """Whether it is in a state that waits."""
        return self.state in _WAITS or self.state == _WAITS_OUT_A_FAILURE

    def attempts(self, *, ended: bool) -> int:
        """How many attempts were begun."""
        # Where the history does not hold what tasks were given: an attempt ends in a wait, the last one in success. A
        # late acknowledgement ends a wait, and is no attempt.
        in_a_wait = self.state in {"Wait For Reconnect", "Acknowledged Late"}
        failed = ended and self.state == "Undelivered"
        return self._attempt or self._waits_entered + (not in_a_wait and not failed)


def _attempt(event: Mapping[str, Any]) -> int | None:
    """The number of the attempt that a task belongs to, as the machine hands it to every function."""
    scheduled = event.get("taskScheduledEventDetails", {})
    with suppress(ValueError, AttributeError):
        parameters = json.loads(scheduled.get("parameters") or "{}")
        number = parameters.get("Payload", {}).get("attempt")
        if number is None:
            number = parameters.get("MessageBody", {}).get("attempts")
        return number if isinstance(number, int) else None
    return None


def _newest_events_first(client: "SFNClient", arn: str) -> Iterator[Mapping[str, Any]]:
    request: dict[str, Any] = {"executionArn": arn, "reverseOrder": True, "maxResults": _EVENTS_A_PAGE}
    while True:
        with aws.translated("stepfunctions"):
            page = client.get_execution_history(**request)
        yield from page["events"]
        if "nextToken" not in page:
            return
        request["nextToken"] = page["nextToken"]
