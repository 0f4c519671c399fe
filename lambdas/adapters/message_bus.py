"""The stage's own bus, on which applications hear what happens."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from lambdas.adapters import aws
from lambdas.core.errors import ServiceUnavailable
from lambdas.core.presence import Change

aws.ahead(aws.events)

SOURCE = "ringback"
_EVENTS_A_CALL = 10  # EventBridge's own


class Untold(NamedTuple):
    """The place of the first change that the bus did not take, and why: the call and the code, never values."""

    first: int
    reason: str


class MessageBus:
    """A bus of EventBridge."""

    def __init__(self, name: str) -> None:
        self.name = name

    def tell(self, changes: Sequence[Change]) -> Untold | None:
        """Put an event for each change, in their order; None if the bus took them all.

        Of those that follow the first one that it did not take, it may have taken some.
        """
        for start in range(0, len(changes), _EVENTS_A_CALL):
            try:
                codes = self._put(changes[start : start + _EVENTS_A_CALL])
            except ServiceUnavailable as error:
                return Untold(start, str(error))
            for place, code in enumerate(codes, start):
                if code:
                    return Untold(place, f"PutEvents: {code}")
        return None

    def _put(self, changes: Sequence[Change]) -> list[str | None]:
        """Put some; answers the error code of each that was not taken, for a call can succeed and leave some out."""
        with aws.translated():
            answer = aws.events().put_events(
                Entries=[
                    {
                        "EventBusName": self.name,
                        "Source": SOURCE,
                        "DetailType": change.event_type,
                        "Detail": json.dumps(change.detail),
                        "Time": change.at,
                    }
                    for change in changes
                ]
            )
        return [entry.get("ErrorCode") for entry in answer["Entries"]]
