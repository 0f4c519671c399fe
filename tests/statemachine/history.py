"""What a run did, read from its execution history."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass
class Visit:
    """One entry into a state: how often its work was tried, and the error that each failed try ended with."""

    state: str
    tries: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def retried(self) -> list[str]:
        """The errors after which the state was tried again."""
        return self.errors[: max(self.tries - 1, 0)]

    @property
    def failure(self) -> str | None:
        """The error that the state was left with, if it failed."""
        return self.errors[-1] if self.errors and len(self.errors) == self.tries else None


@dataclass(frozen=True)
class History:
    """A run, state by state."""

    visits: tuple[Visit, ...]

    @property
    def states(self) -> list[str]:
        """The states, in the order in which they were entered."""
        return [visit.state for visit in self.visits]

    @property
    def billed_transitions(self) -> int:
        """What AWS bills: every entry into a state, and every retry."""
        return sum(1 + len(visit.retried) for visit in self.visits)

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]]) -> Self:
        """Read the events that GetExecutionHistory answers."""
        visits: list[Visit] = []
        for event in events:
            kind = event["type"]
            if kind.endswith("StateEntered"):
                visits.append(Visit(event["stateEnteredEventDetails"]["name"]))
            elif kind == "TaskScheduled":
                visits[-1].tries += 1
            elif kind in {"TaskFailed", "TaskTimedOut"}:
                visits[-1].errors.append(event[f"{kind[0].lower()}{kind[1:]}EventDetails"]["error"])
        return cls(tuple(visits))
