"""What is left to do when a run has ended and its message was not delivered.

A run says itself what became of its message, but for two things: one that was cancelled, or that Step Functions ended
without asking, executes no further state.
"""

import json
from datetime import datetime
from typing import Any, NamedTuple

from lambdas.core.delivery import number_of
from lambdas.core.errors import InvalidMessage, MessageExpired, ServiceUnavailable
from lambdas.core.intake import Intake, Status, read
from lambdas.core.model import Message, timestamp
from lambdas.core.ports import Clock, DeadLetters, Sequences
from ringback.limits import MAX_TTL_SECONDS
from ringback.names import SKIPPED, execution_name
from ringback.plain import Envelope

# How the machine's last state begins its cause, once the dead letter is on the queue.
_DEAD_LETTERED = "Dead-lettered after "


class Ended(NamedTuple):
    """A run that ended FAILED, ABORTED or TIMED_OUT."""

    arn: str
    name: str
    status: str
    envelope_json: str
    error: str
    cause: str
    started_at: datetime

    @property
    def was_cancelled(self) -> bool:
        """Whether somebody ended it on purpose, here or in the console."""
        return self.status == "ABORTED"

    @property
    def has_expired(self) -> bool:
        """Whether the message's life ended before its recipient was there."""
        return self.error == MessageExpired.__name__

    @property
    def is_dead_lettered(self) -> bool:
        """Whether it put the message on the dead letter queue itself."""
        return self.cause.startswith(_DEAD_LETTERED)


def conclude(
    run: Ended,
    *,
    default_ttl_seconds: int,
    sequences: Sequences,
    dead_letters: DeadLetters,
    intake: Intake,
    clock: Clock,
) -> None:
    """Keep the message of a run that could not, and announce the number that will not be delivered.

    Raises:
        ServiceUnavailable: the same call may be made again.
    """
    if not run.was_cancelled and not run.is_dead_lettered:
        dead_letters.put(_dead_letter(run, clock.now()))
    try:
        message = Message.accept(
            json.loads(run.envelope_json),
            fallback_id=run.name,
            accepted_at=run.started_at,
            default_ttl_seconds=default_ttl_seconds,
        )
    except InvalidMessage:
        return  # it never had a number
    number = number_of(message, run.name, sequences)
    if number is None:
        return
    value = skipped(message, run.name, number.sequence)
    (answer,) = intake.take([read(value, fallback_id=run.name, accepted_at=clock.now())])
    if answer.status is Status.UNAVAILABLE:
        raise ServiceUnavailable(answer.detail or "the announcement could not be started")


def skipped(message: Message, run_name: str, sequence: int) -> dict[str, Any]:
    """The message that tells the recipient's clients not to wait for a number.

    It is one like any other, and goes as the one it stands for would have gone: clients that acknowledge that
    acknowledge this.
    """
    return {
        "id": f"skipped-{execution_name(run_name)}",
        "recipient": message.recipient.to_wire(),
        "type": SKIPPED,
        "payload": {"id": message.id, "sequence": sequence},
        "ttlSeconds": MAX_TTL_SECONDS,
        **_as_it_was_sent(message.envelope),
    }


def _as_it_was_sent(envelope: Envelope) -> dict[str, Any]:
    how = {
        "ack": "client" if envelope.ack == "client" else None,
        "ackTimeoutSeconds": envelope.ack_timeout_seconds,
        "correlationId": envelope.correlation_id,
        "retry": envelope.retry and envelope.retry.to_wire(),
        "traceparent": envelope.traceparent,
    }
    return {name: value for name, value in how.items() if value is not None}


def _dead_letter(run: Ended, now: datetime) -> dict[str, Any]:
    """As the state machine writes it; how many attempts there were, only the run's history knows."""
    return {
        "message": json.loads(run.envelope_json),
        "reason": run.error,
        "cause": run.cause,
        "lastError": {"error": run.error, "cause": run.cause},
        "attempts": None,
        "executionArn": run.arn,
        "deadLetteredAt": timestamp(now),
    }
