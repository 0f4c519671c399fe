"""What became of a message. The Step Functions client is passed in; nothing else of this package is needed."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from ringback import aws, runs
from ringback.envelope import Timestamp
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


class MessageStatus(BaseModel):
    """What became of a message; its JSON form is camelCase, with times in UTC as RFC 3339.

    ``attempts`` counts those that were begun; ``accepted_at`` is when the newest run started. While it waits,
    ``waiting_for`` says for what (null: for the platform to recover), ``waiting_since`` since when, and
    ``next_attempt_at`` when it is tried again if nothing happens before. ``reason`` and ``cause`` say why it was
    cancelled or dead-lettered.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    id: str
    state: State
    attempts: int
    accepted_at: Timestamp
    waiting_for: Literal["reconnect", "acknowledgement"] | None = None
    waiting_since: Timestamp | None = None
    next_attempt_at: Timestamp | None = None
    ended_at: Timestamp | None = None
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
    last = _last_moves(_newest_events_first(client, run.arn), ended=run.status != "RUNNING")
    general: dict[str, Any] = {
        "id": run.message_id,
        "attempts": last.attempts,
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
    if last.waits:
        return MessageStatus(
            **general,
            state="waiting",
            waiting_for=_WAITS.get(last.state),
            waiting_since=last.since,
            next_attempt_at=last.until,
        )
    return MessageStatus(**general, state="delivering")


def console_url(execution_arn: str) -> str:
    """Where an engineer looks at the run."""
    _, partition, _, region, *_ = execution_arn.split(":")
    domain = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}.get(
        partition, "console.aws.amazon.com"
    )
    return f"https://{region}.{domain}/states/home?region={region}#/v2/executions/details/{execution_arn}"


@dataclass(slots=True)
class _Moves:
    """Where a run is: the state it is in, since when, until when at most, and how many attempts it has begun."""

    state: str = ""
    since: datetime | None = None
    until: datetime | None = None
    attempts: int = 0

    @property
    def waits(self) -> bool:
        return self.state in _WAITS or self.state == _WAITS_OUT_A_FAILURE


def _last_moves(newest_first: Iterator[Mapping[str, Any]], *, ended: bool) -> _Moves:
    """Read back from a run's end no further than needed."""
    moves, attempts, waits_entered = _Moves(), None, 0
    for event in newest_first:
        entered = event.get("stateEnteredEventDetails")
        scheduled = event.get("taskScheduledEventDetails")
        if scheduled:
            attempts = attempts or _attempt(scheduled)
            seconds = scheduled.get("timeoutInSeconds")
            if not moves.state and moves.until is None and seconds:
                moves.until = event["timestamp"] + timedelta(seconds=seconds)
        if entered:
            waits_entered += entered["name"] == "Wait For Reconnect"
            if not moves.state:
                moves.state, moves.since = entered["name"], event["timestamp"]
        if moves.state and attempts:
            break
    # Where the history does not hold what tasks were given: an attempt ends in a wait, the last one in success. A late
    # acknowledgement ends a wait, and is no attempt.
    in_a_wait = moves.state in {"Wait For Reconnect", "Acknowledged Late"}
    failed = ended and moves.state == "Undelivered"
    moves.attempts = attempts or waits_entered + (not in_a_wait and not failed)
    return moves


def _attempt(scheduled: Mapping[str, Any]) -> int | None:
    """The number of the attempt that a task belongs to, as the machine hands it to every function."""
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
