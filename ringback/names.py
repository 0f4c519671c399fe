"""The names of runs: a message is found by its id, and a redriven one, too.

A run is named after its message. A name that was used is taken for 90 days, so each redrive has one of its own,
which follows from the run before it: whoever redrives the same dead letter again names the same run.
"""

import hashlib
import json
import re
from typing import Any

SKIPPED = "ringback.skipped"
"""The type of the message that stands for one that was not delivered."""

# What Step Functions takes as a name and CloudWatch Logs as part of one, with room for the suffix of a redrive.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,74}")
_REDRIVE = re.compile(r"(?P<first>.+)-r(?P<number>[1-9][0-9]{0,3})")
_MAX_NAME_LENGTH = 80
# They may differ in what is the same message: its life can be counted from now, and each sending has a span of its own.
_NOT_THE_MESSAGE = frozenset({"expiresAt", "ttlSeconds", "traceparent"})


def execution_name(message_id: str) -> str:
    """Name the first run of a message: its id, or the id's hash where that is no name or looks like a redrive's."""
    if _NAME.fullmatch(message_id) and not _REDRIVE.fullmatch(message_id):
        return message_id
    return f"sha256-{hashlib.sha256(message_id.encode()).hexdigest()}"


def first_name(execution: str) -> str:
    """Name the first run of the message that this run carries, which may be a redrive's."""
    match = _REDRIVE.fullmatch(execution)
    return match["first"] if match else execution


def redrive_name(execution: str) -> str:
    """Name the run that follows this one when its dead letter is redriven.

    Raises:
        ValueError: a message was redriven 9,999 times.
    """
    match = _REDRIVE.fullmatch(execution)
    first, number = (match["first"], int(match["number"])) if match else (execution, 0)
    name = f"{first}-r{number + 1}"
    if len(name) > _MAX_NAME_LENGTH or not _REDRIVE.fullmatch(name):
        # Started by hand under a name of full length.
        if number:
            raise ValueError("this message was redriven too often")
        return f"{execution_name(f'#{execution}')}-r1"
    return name


def run_arn(state_machine_arn: str, name: str) -> str:
    """The ARN of the run with this name."""
    return f"{state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{name}"


def identity(message: Any) -> str:
    """What makes a message (its JSON form, already decoded) the one that its id names: equal for the same message."""
    if isinstance(message, dict):
        message = {name: value for name, value in message.items() if name not in _NOT_THE_MESSAGE}
    return json.dumps(message, sort_keys=True)  # as text: in Python, true is 1


def same_message(one_json: str, other_json: str) -> bool:
    """Whether two envelopes are one message."""
    return identity(json.loads(one_json)) == identity(json.loads(other_json))
