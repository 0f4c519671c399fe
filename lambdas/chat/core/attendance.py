"""What it means for chats that somebody has come or gone."""

from contextlib import suppress

from lambdas.chat.core import rules, sessions, telling
from lambdas.chat.core.errors import ChatNotFound, Unreadable
from lambdas.chat.core.model import Person, Role
from lambdas.chat.core.ports import Chats, Clock, Desk, Screens


def person_of(user: str, context: str, context_id: str) -> Person | None:
    """Whose connection it is; None if it is none to the chat."""
    role = next((role for role in Role if (role.context, role.context_id) == (context, context_id)), None)
    return Person(role=role, user=user) if role else None


def notice(
    person: Person, *, came: bool, chats: Chats, desk: Desk, screens: Screens, limits: rules.Limits, clock: Clock
) -> None:
    """Do what follows from a connection's opening or end; again changes nothing.

    Raises:
        Unavailable: do it again.
    """
    if person.role is Role.AGENT:
        _seat(person.user, chats=chats, desk=desk)
        for chat_id in chats.active_of(person.user):
            with suppress(ChatNotFound, Unreadable):  # deleted; or nothing that keeps their other chats waiting
                sessions.check_presence(chats, desk, chat_id, person.user, limits, clock=clock)
    if came:
        telling.show_what_waits(person, chats=chats, screens=screens, clock=clock)


def _seat(agent: str, *, chats: Chats, desk: Desk) -> None:
    """Note whether the agent is at the desk. What is told of one connection can be late, so the connections decide;
    and who comes or goes while it is written is seen by one of the two who write.
    """
    is_there: bool | None = None
    while (now_there := desk.has(agent)) is not is_there:
        is_there = now_there
        (chats.sit_down if is_there else chats.leave)(agent)
