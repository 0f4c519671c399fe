"""A chat's run: when it starts, when it goes on, and how no change escapes it.

A state that waits writes its token first, then looks at the chat. Whoever changes the chat writes first, then (by the
stream) looks for the token. So one of the two sees the other. Only the phases are compared, which is enough: a chat
that has left a phase and come back to it has a later deadline than the state knows of, and who settles what is overdue
finds that it is not. A token that is closed changes nothing.
"""

from contextlib import suppress
from typing import Any

from lambdas.chat.core import rules, sessions
from lambdas.chat.core.errors import ChatNotFound, Unreadable
from lambdas.chat.core.model import Event, EventType
from lambdas.chat.core.ports import Chats, Clock, Desk, Runs, Wait, WaitingRuns

# Not what is said: a run does nothing about a message. A transfer ends the absence of the agent who had the chat.
_MOVES_ON = frozenset(EventType) - {EventType.WAITING, EventType.MESSAGE}


def follow(event: Event, *, chats: Chats, runs: Runs, limits: rules.Limits, clock: Clock) -> None:
    """Have the chat's run follow an event that was written; again changes nothing.

    Raises:
        Unavailable: do it again.
    """
    if event.type is EventType.WAITING:
        # Always the same input: a run that is started once more is the same.
        runs.start(event.chat_id, {"phase": rules.Phase.WAITING.value, "seconds": limits.max_wait_seconds})
        return
    if event.type in _MOVES_ON:
        with suppress(ChatNotFound, Unreadable):  # deleted; or no other chat waits for this one
            if wait := chats.parked(event.chat_id):
                _go_on_if_it_has_to(event.chat_id, wait, chats=chats, runs=runs, limits=limits, clock=clock)


def wait_for_change(
    chat_id: str, wait: Wait, *, chats: Chats, runs: WaitingRuns, limits: rules.Limits, clock: Clock
) -> None:
    """Park the run in a state until the chat is in another phase; it goes on at once if the chat is.

    Who comes late, because the state has ended meanwhile, does not take the place of the one that waits now.

    Raises:
        ChatNotFound, Unavailable
    """
    if chats.park(chat_id, wait):
        _go_on_if_it_has_to(chat_id, wait, chats=chats, runs=runs, limits=limits, clock=clock)


def settle(chat_id: str, *, chats: Chats, desk: Desk, limits: rules.Limits, clock: Clock) -> dict[str, Any]:
    """Do what has to happen because a state has waited its full time, if it really is time; answers the situation.

    Raises:
        ChatNotFound, Unavailable
    """
    chat = sessions.let_time_pass(chats, desk, chat_id, limits, clock=clock)
    return rules.situation(chat, limits, clock.now())


def _go_on_if_it_has_to(
    chat_id: str, wait: Wait, *, chats: Chats, runs: WaitingRuns, limits: rules.Limits, clock: Clock
) -> None:
    situation = rules.situation(sessions.get(chats, chat_id), limits, clock.now())
    if situation["phase"] != wait.phase:
        runs.go_on(wait.task_token, situation)
        chats.unpark(chat_id, wait.task_token)
