"""What the core needs of the world outside."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from lambdas.chat.core.model import Change, Chat, Event, Person
from lambdas.chat.core.rules import Phase


class Overtaken(Exception):
    """Somebody changed the chat since it was read: read it again, and decide again."""


class Wait(NamedTuple):
    """A state of a chat's run that waits: on which token, and for the end of which phase.

    ``entry`` orders the waits of one run: of two, the greater one began later.
    """

    task_token: str
    phase: Phase
    entry: int


class Chats(Protocol):
    """The chats. Every read sees every write that has been answered, and raises Unreadable for what nobody can read."""

    def get(self, chat_id: str) -> Chat | None:
        """The chat as it is now."""

    def last_chat_of(self, customer: str) -> str | None:
        """The id of the chat that this customer started last. No other one of theirs can be open."""

    def put(self, before: Chat | None, change: Change, *, last: str | None = None) -> None:
        """Write a change and its event, whole or not at all.

        Args:
            before: the chat that was decided about; None for a new one.
            change: what was decided.
            last: of a new one, the chat that its customer started last.

        Raises:
            Overtaken: the chat is not as it was; or (of a new one) the customer has started another; or (of a message)
                the chat has a message of that id.
        """

    def sent(self, chat_id: str, message_id: str) -> Event | None:
        """The message that was sent under this id."""

    def events(self, chat_id: str, *, after: int, limit: int) -> list[Event]:
        """The events after this number, in their order."""

    def waiting(self, *, limit: int) -> list[Chat]:
        """The queue; first come, first served. One that nobody can read is left out."""

    def active_of(self, agent: str) -> list[str]:
        """The ids of the chats that this agent has now."""

    def agents(self) -> list[str]:
        """Who is at the desk, as far as their connections have told."""

    def sit_down(self, agent: str) -> None:
        """Note that this agent is at the desk; again changes nothing."""

    def leave(self, agent: str) -> None:
        """Note that they are not."""

    def park(self, chat_id: str, wait: Wait) -> bool:
        """Keep what the chat's run waits on, in place of an earlier wait; False if a later one is there."""

    def parked(self, chat_id: str) -> Wait | None:
        """What it waits on, or has waited on last."""

    def unpark(self, chat_id: str, task_token: str) -> None:
        """Forget this token, unless a later one has taken its place."""


class WaitingRuns(Protocol):
    """The runs of chats that wait."""

    def go_on(self, task_token: str, situation: dict[str, Any]) -> None:
        """Complete what a run waits on; nothing if it does not wait on that any more."""


class Runs(WaitingRuns, Protocol):
    """The runs of chats."""

    def start(self, chat_id: str, situation: dict[str, Any]) -> None:
        """Start the chat's run; again changes nothing."""


class Desk(Protocol):
    """Ringback's open connections to the agents' desk."""

    def has(self, agent: str) -> bool:
        """Whether the agent has one now."""


class Screens(Protocol):
    """What Ringback shows."""

    def show(self, kind: str, payloads: Iterable[tuple[Person, dict[str, Any]]]) -> int:
        """Push what is true only now to who is connected now; answers how many were.

        What Ringback will never take is left out.

        Raises:
            Unavailable: some may not have seen it, who may be there; the others have.
        """


class Pushes(Screens, Protocol):
    """What Ringback shows, and delivers."""

    def tell(self, events: Sequence[tuple[Event, Sequence[Person]]]) -> tuple[int, str | None]:
        """Push events to the people of their chats, in this order, for as long as each message lives.

        Answers how many of them are done, from the first on, and why the next one is not: push the others again.
        Again changes nothing: messages are named after the events. What Ringback will never take is left out; what
        happened longer ago than a message lives is one of these.
        """


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """In UTC."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
