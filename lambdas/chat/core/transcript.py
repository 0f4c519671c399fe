"""What was said and done in a chat, from its beginning: for programs, and to be read."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from lambdas.chat.core.model import Chat, EndReason, Event, EventType, Person, Role
from lambdas.chat.core.ports import Chats

MAX_BYTES = 1_500_000
"""So much of it goes into one answer, as JSON: a function's answer has 6 MB, and quotes may double twice."""

_PAGE = 100


class Transcript(NamedTuple):
    """A chat and what happened in it. ``is_cut_off``: it is too long to be told whole."""

    chat: Chat
    events: Sequence[Event]
    is_cut_off: bool = False

    @property
    def complete(self) -> bool:
        """Whether it is all that ever happened: neither too long, nor has some of it expired."""
        return not self.is_cut_off and not self._has_gaps

    @property
    def _has_gaps(self) -> bool:
        until = self.chat.version
        if self.is_cut_off:  # the rest is there, but not here
            until = self.events[-1].number if self.events else 0
        return len(self.events) < until

    @property
    def _agents(self) -> Sequence[str]:
        """Whoever had the chat, the first first, as far as the events tell; the chat itself knows who has it now."""
        named = [event.agent for event in self.events]
        return [agent for agent in dict.fromkeys([*named, self.chat.agent]) if agent]

    def as_json(self) -> dict[str, Any]:
        """For programs: the chat, its log, and whether that is all of it."""
        events = [event.as_json() for event in self.events]
        return {"chat": self.chat.as_json(), "events": events, "complete": self.complete}

    def as_text(self) -> str:
        """To be read: a head, then a line for each thing that was said or done. Ends with a newline."""
        missing = ["", "Some of it is not kept any more."] if self._has_gaps else []
        events = ["", *(_line(event) for event in self.events)] if self.events else []
        lines = [*_head(self.chat, self._agents), *missing, *events]
        if self.is_cut_off:
            lines += ["", "It goes on, and is too long to be told here whole: read on in its messages."]
        return "\n".join(lines) + "\n"


def read(chats: Chats, chat: Chat) -> Transcript:
    """Read a chat's log from its beginning, up to what the chat says.

    Raises:
        Unavailable
    """
    events: list[Event] = []
    room = MAX_BYTES
    last = 0
    while last < chat.version and (page := chats.events(chat.id, after=last, limit=min(_PAGE, chat.version - last))):
        for event in page:
            last = event.number
            if last > chat.version:
                break
            room -= len(event.as_text().encode())
            if room < 0:
                return Transcript(chat, events, is_cut_off=True)
            events.append(event)
    return Transcript(chat, events)


def _head(chat: Chat, agents: Sequence[str]) -> Iterator[str]:
    yield f"Chat {chat.id}"
    if chat.subject:
        yield f"Subject:   {_indented(chat.subject)}"
    yield f"Customer:  {chat.customer}"
    if agents:
        yield f"{'Agents:' if len(agents) > 1 else 'Agent: '}    {', '.join(agents)}"
    yield f"Started:   {_time(chat.started_at)}"
    if chat.ended_at:
        yield f"Ended:     {_time(chat.ended_at)}"
    if chat.rating is not None:
        yield f"Rating:    {chat.rating} of 5"
    if chat.feedback:
        yield f"Feedback:  {_indented(chat.feedback)}"


def _line(event: Event) -> str:
    return f"{_time(event.at)}  {_told(event, _named(event.by)) if event.by else _happened(event)}"


def _told(event: Event, who: str) -> str:
    """What somebody said or did."""
    match event.type:
        case EventType.WAITING:
            return f"{who} started the chat" + (f": {_indented(event.subject)}" if event.subject else "")
        case EventType.ACCEPTED:
            return f"{who} accepted it, after {_seconds(event)} in the queue"
        case EventType.MESSAGE:
            return f"{who}: {_indented(event.text or '')}"
        case EventType.TRANSFERRED:
            return f"{who} transferred it to {event.agent} (agent)"
        case EventType.REQUEUED:
            return f"{who} put it back into the queue"
        case EventType.ENDED:
            return f"{who} ended it, after {_seconds(event)}"
        case EventType.RATED:
            return f"{who} rated it {event.rating} of 5" + (f": {_indented(event.feedback)}" if event.feedback else "")
    return _happened(event)


def _happened(event: Event) -> str:
    """What came of somebody's absence, or of time."""
    match event.type:
        case EventType.AGENT_AWAY:
            return f"{event.agent} (agent) lost the connection"
        case EventType.AGENT_BACK:
            return f"{event.agent} (agent) is back"
        case EventType.REQUEUED:
            return f"{event.agent} (agent) was away for too long: it is back in the queue"
        case EventType.ENDED:
            why = "nobody accepted it" if event.reason == EndReason.MAX_WAIT else "nobody did anything"
            return f"It ended after {_seconds(event)}: {why} for too long"
    return event.type.value


def _named(person: Person) -> str:
    return f"{person.user} ({'agent' if person.role is Role.AGENT else 'customer'})"


def _seconds(event: Event) -> str:
    return "1 second" if event.seconds == 1 else f"{event.seconds} seconds"


def _indented(text: str) -> str:
    """A text of several lines, so that none of them can be taken for something that somebody else said."""
    return "\n    ".join(text.splitlines())


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
