"""What people are told when something has happened, and what they see of the queue."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from lambdas.chat.core import rules, running, sessions
from lambdas.chat.core.errors import Unavailable
from lambdas.chat.core.model import Chat, Event, EventType, Person, Role, Status
from lambdas.chat.core.ports import Chats, Clock, Pushes, Runs, Screens

POSITION, QUEUE, TYPING = "chat.position", "chat.queue", "chat.typing"
LISTED = 100
"""So many chats of the queue are listed, and so many customers see their position."""
COUNTED = 1_000
"""So many are counted, and have a position that can be asked for."""

_LARGEST_LIST_BYTES = 100_000  # a frame has 128 KiB
_CHANGES_THE_QUEUE = frozenset({EventType.WAITING, EventType.ACCEPTED, EventType.REQUEUED, EventType.ENDED})


class Published(NamedTuple):
    """How far it went: so many of the events are done, and the reason if that is not all of them.

    ``waiting`` is how many chats are in the queue (1,000 at most), if it may have changed.
    """

    done: int
    reason: str | None
    waiting: int | None


def publish(
    events: Sequence[tuple[Event, Sequence[Person]]],
    *,
    chats: Chats,
    pushes: Pushes,
    runs: Runs,
    limits: rules.Limits,
    clock: Clock,
) -> Published:
    """Tell people what happened, have the runs follow, and show the queue. Again changes nothing that was done.

    What cannot be done holds up what comes after it, and nothing before.
    """
    waiting = None
    done, reason = pushes.tell(events)
    told = events[:done]
    for place, (event, _) in enumerate(told):
        try:
            running.follow(event, chats=chats, runs=runs, limits=limits, clock=clock)
        except Unavailable as error:
            done, reason = place, str(error)
            break
    if changes := [place for place, (event, _) in enumerate(told) if event.type in _CHANGES_THE_QUEUE]:
        try:
            waiting = show_queue(chats=chats, screens=pushes, clock=clock)
        except Unavailable as error:
            done, reason = min(done, changes[-1]), str(error)
    return Published(done, reason, waiting)


def show_queue(*, chats: Chats, screens: Screens, clock: Clock) -> int:
    """Show the queue to everybody at the desk, and those in it their positions; answers how many are in it.

    Raises:
        Unavailable: somebody may not have seen it. Nothing corrects that before the queue changes again, so show it
            again.
    """
    at, queue = clock.now(), chats.waiting(limit=COUNTED)
    seen = _queue(queue, at)
    positions = [_position(chat, place, queue, at) for place, chat in enumerate(queue[:LISTED], start=1)]
    try:
        screens.show(QUEUE, [(Person(role=Role.AGENT, user=agent), seen) for agent in chats.agents()])
    finally:
        screens.show(POSITION, positions)
    return len(queue)


def show_what_waits(person: Person, *, chats: Chats, screens: Screens, clock: Clock) -> None:
    """Show somebody who has just connected what they would have been shown: the queue, or their position in it.

    Raises:
        Unavailable
    """
    at = clock.now()
    if person.role is Role.AGENT:
        screens.show(QUEUE, [(person, _queue(chats.waiting(limit=LISTED), at))])
        return
    chat = sessions.last_of(chats, person.user)
    if chat is None or chat.status is not Status.WAITING:
        return
    queue = chats.waiting(limit=COUNTED)
    place = sessions.position(chat.id, queue)
    if place is not None and place <= LISTED:
        screens.show(POSITION, [_position(queue[place - 1], place, queue, at)])


def show_typing(chat_id: str, by: Person, *, chats: Chats, screens: Screens, clock: Clock) -> bool:
    """Show the other side of a chat that somebody is typing; answers whether they were there, and could be shown it.

    Raises:
        ChatNotFound, NotYourChat, NotAccepted, ChatHasEnded, Unavailable: the chat could not be read.
    """
    to = rules.type_something(sessions.get(chats, chat_id), by)
    typing = {"chatId": chat_id, "by": by.as_json(), "at": _text(clock.now())}
    try:
        return screens.show(TYPING, [(to, typing)]) > 0
    except Unavailable:
        return False  # it is worth nothing later


def listed(queue: Sequence[Chat]) -> list[dict[str, Any]]:
    """The queue as agents get it: the chats in JSON with their positions, as many as fit into a message."""
    rows: list[dict[str, Any]] = []
    room = _LARGEST_LIST_BYTES
    for place, chat in enumerate(queue[:LISTED], start=1):
        row = {**chat.as_json(), "position": place}
        room -= len(json.dumps(row, ensure_ascii=False).encode())
        if room < 0:
            break
        rows.append(row)
    return rows


def _queue(queue: Sequence[Chat], at: datetime) -> dict[str, Any]:
    return {"waiting": listed(queue), "at": _text(at)}


def _position(chat: Chat, place: int, queue: Sequence[Chat], at: datetime) -> tuple[Person, dict[str, Any]]:
    customer = Person(role=Role.CUSTOMER, user=chat.customer)
    return customer, {"chatId": chat.id, "position": place, "waiting": len(queue), "at": _text(at)}


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
