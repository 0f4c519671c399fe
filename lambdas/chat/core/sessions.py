"""What is done with chats: read, decide, write; again if somebody else was faster."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from lambdas.chat.core import rules
from lambdas.chat.core.errors import AgentNotPresent, ChatNotFound, IdTaken, NotAtTheDesk, Unavailable, Unreadable
from lambdas.chat.core.model import Change, Chat, Event, Person, Role, Status
from lambdas.chat.core.ports import Chats, Clock, Desk, Overtaken

T = TypeVar("T")

# Before each try, up to so long.
_PAUSES_SECONDS = (0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


def start(
    chats: Chats, by: Person, subject: str | None, limits: rules.Limits, *, new_id: Callable[[], str], clock: Clock
) -> tuple[Chat, bool]:
    """Start a chat, or answer the customer's open one; and whether it is new.

    Raises:
        CustomersOnly, TooManyMessages, Unavailable
    """
    rules.only_customers(by)

    def attempt() -> tuple[Chat, bool]:
        last_id = chats.last_chat_of(by.user)
        last = chats.get(last_id) if last_id else None  # it may have been deleted
        if last and last.status is not Status.ENDED:
            return last, False
        change = rules.start(new_id(), by, subject, limits, clock.now(), last=last)
        chats.put(None, change, last=last_id)
        return change.chat, True

    return _again(attempt, clock)


def change(chats: Chats, chat_id: str, decide: Callable[[Chat], Change | None], *, clock: Clock) -> Chat:
    """Change a chat as decided about what it is; answers what it is then.

    Raises:
        ChatNotFound, Unavailable: and whatever ``decide`` raises.
    """

    def attempt() -> Chat:
        chat = get(chats, chat_id)
        decided = decide(chat)
        if decided is None:
            return chat
        chats.put(chat, decided)
        return decided.chat

    return _again(attempt, clock)


def send(
    chats: Chats, chat_id: str, by: Person, message_id: str, text: str, limits: rules.Limits, *, clock: Clock
) -> tuple[Event, bool]:
    """Say something, once for each id; answers it as it was said, and whether that is new.

    Raises:
        ChatNotFound, NotYourChat, NotAccepted, ChatHasEnded, TooManyMessages, Unavailable
        IdTaken: the id belongs to another message.
    """

    def attempt() -> tuple[Event, bool]:
        chat = get(chats, chat_id)
        rules.may_read(chat, by)
        said = chats.sent(chat_id, message_id)
        if said and (said.by, said.text) == (by, text):
            return said, False
        decided = rules.send(chat, by, message_id, text, limits, clock.now())
        if said:
            raise IdTaken("id: another message of this chat has it; give every message an id of its own")
        chats.put(chat, decided)
        return decided.event, True

    return _again(attempt, clock)


def accept(chats: Chats, desk: Desk, chat_id: str, by: Person, limits: rules.Limits, *, clock: Clock) -> Chat:
    """Accept a chat: of several who do at once, one wins.

    Raises:
        AgentsOnly, ChatNotFound, AlreadyAccepted, ChatHasEnded, Unavailable
        NotAtTheDesk: they would not hear what the customer says, nor would anybody notice when they leave.
    """
    rules.only_agents(by)
    if not desk.has(by.user):
        at = f"context={Role.AGENT.context}&contextId={Role.AGENT.context_id}"
        raise NotAtTheDesk(f"connect to the WebSocket first, with {at}")
    accepted = change(chats, chat_id, lambda chat: rules.accept(chat, by, clock.now()), clock=clock)
    return _look_again(chats, desk, accepted, by.user, limits, clock)


def transfer(
    chats: Chats, desk: Desk, chat_id: str, by: Person, to: str | None, limits: rules.Limits, *, clock: Clock
) -> Chat:
    """Hand a chat on to an agent who is at the desk, or back to the queue (None).

    Raises:
        AgentsOnly, ChatNotFound, NotYourChat, NotAccepted, ChatHasEnded, Unavailable
        AgentNotPresent: whom to transfer to is not at the desk.
    """
    rules.only_agents(by)

    def decide(chat: Chat) -> Change | None:
        decided = rules.transfer(chat, by, to, clock.now())
        # Only agents' tokens open the desk: whoever is there may read what the customer said.
        if decided and to is not None and not desk.has(to):
            raise AgentNotPresent("no agent of that name is at the desk; transfer it to another, or to the queue")
        return decided

    transferred = change(chats, chat_id, decide, clock=clock)
    return transferred if to is None else _look_again(chats, desk, transferred, to, limits, clock)


def last_of(chats: Chats, customer: str) -> Chat | None:
    """The chat that this customer started last, whether it goes on or not.

    Raises:
        Unavailable
    """
    chat_id = chats.last_chat_of(customer)
    return chats.get(chat_id) if chat_id else None


def active_of(chats: Chats, agent: str) -> list[Chat]:
    """The chats that this agent has now; one that nobody can read is left out.

    Raises:
        Unavailable
    """
    found = []
    for chat_id in chats.active_of(agent):
        with suppress(Unreadable):
            found.append(chats.get(chat_id))
    # Between the two reads it may have gone to somebody else.
    return [chat for chat in found if chat and chat.status is Status.ACTIVE and chat.agent == agent]


def get(chats: Chats, chat_id: str) -> Chat:
    """The chat.

    Raises:
        ChatNotFound
    """
    chat = chats.get(chat_id)
    if chat is None:
        raise ChatNotFound("there is no such chat, or it is not yours")
    return chat


def check_presence(chats: Chats, desk: Desk, chat_id: str, agent: str, limits: rules.Limits, *, clock: Clock) -> Chat:
    """Have the chat say whether its agent is there.

    Looks again after it was written: who comes or goes meanwhile looks at the chat, and one of the two sees the other.

    Raises:
        ChatNotFound, Unavailable
    """
    while True:
        is_there = desk.has(agent)

        def decide(chat: Chat, *, is_there: bool = is_there) -> Change | None:
            now = clock.now()
            return rules.agent_returned(chat, agent, now) if is_there else rules.agent_left(chat, agent, limits, now)

        chat = change(chats, chat_id, decide, clock=clock)
        if desk.has(agent) is is_there:
            return chat


def let_time_pass(chats: Chats, desk: Desk, chat_id: str, limits: rules.Limits, *, clock: Clock) -> Chat:
    """Do what has to happen because a phase of the chat has lasted as long as it may, if it really has.

    Raises:
        ChatNotFound, Unavailable
    """
    chat = get(chats, chat_id)
    if chat.status is Status.ACTIVE and chat.agent is not None:
        check_presence(chats, desk, chat_id, chat.agent, limits, clock=clock)
    return change(chats, chat_id, lambda now_it_is: rules.time_passed(now_it_is, limits, clock.now()), clock=clock)


def position(chat_id: str, queue: list[Chat]) -> int | None:
    """A chat's place in the queue, from 1; None if it is not in it."""
    return next((place for place, chat in enumerate(queue, start=1) if chat.id == chat_id), None)


def _look_again(chats: Chats, desk: Desk, chat: Chat, agent: str, limits: rules.Limits, clock: Clock) -> Chat:
    """Notice that the agent left just before they got the chat: who then looked for their chats did not see it."""
    return chat if desk.has(agent) else check_presence(chats, desk, chat.id, agent, limits, clock=clock)


def _again(attempt: Callable[[], T], clock: Clock) -> T:
    for pause_seconds in _PAUSES_SECONDS:
        clock.sleep(pause_seconds * random.random())  # noqa: S311 - so that two who met do not meet again
        try:
            return attempt()
        except Overtaken:
            continue
    raise Unavailable("too many change this chat at once; try again in a moment")
