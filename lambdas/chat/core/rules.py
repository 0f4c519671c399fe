"""The state table: who may do what to a chat when, and what it comes to.

==============  ========================  =======================================  ==============================
what            who                       in                                       otherwise
==============  ========================  =======================================  ==============================
start           a customer                no open chat of theirs                   the open one is the answer
accept          an agent at the desk      WAITING                                  AlreadyAccepted, ChatHasEnded,
                                                                                   NotAtTheDesk
send            customer, its agent       ACTIVE; WAITING for the customer         NotAccepted, ChatHasEnded
type            customer, its agent       ACTIVE                                   NotAccepted, ChatHasEnded
transfer        its agent, to one at      ACTIVE                                   NotAccepted, ChatHasEnded,
                the desk or the queue                                              AgentNotPresent
end             customer, its agent       ACTIVE; WAITING for the customer;        NotAccepted, ChatHasEnded
                                          ENDED by themselves
rate            the customer              ENDED, accepted once, not rated, in time NotEnded, NothingToRate,
                                                                                   AlreadyRated, RatingClosed
==============  ========================  =======================================  ==============================

A person may start and send so often in a minute (TooManyMessages), and what a customer has spent counts in their next
chat, too. A customer hears of nobody else's chat (ChatNotFound). An agent knows that there are others, but may do
nothing in them (NotYourChat). All of it is pure: a chat and a moment in, a `Change` out; None if there is nothing to
change.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from lambdas.chat.core.errors import (
    AgentsOnly,
    AlreadyAccepted,
    AlreadyRated,
    ChatHasEnded,
    ChatNotFound,
    CustomersOnly,
    NotAccepted,
    NotEnded,
    NothingToRate,
    NotYourChat,
    RatingClosed,
    TooManyMessages,
)
from lambdas.chat.core.model import Change, Chat, EndReason, Event, EventType, Person, Role, Status


class Limits(NamedTuple):
    """How long a chat may stay in each of its phases, and how much each of its people may say in a minute.

    For `messages_per_minute`, to start a chat is to say something.
    """

    max_wait_seconds: int
    idle_seconds: int
    agent_away_seconds: int
    rating_seconds: int
    messages_per_minute: int


class Phase(StrEnum):
    """Where the chat's run is: the names of its states."""

    WAITING = "Waiting"
    ACTIVE = "Active"
    AGENT_AWAY = "Agent Away"
    RATING = "Rating"
    ABANDONED = "Abandoned"
    CLOSED = "Closed"


def start(
    chat_id: str, by: Person, subject: str | None, limits: Limits, now: datetime, *, last: Chat | None = None
) -> Change:
    """Open a chat, after the one that the customer started last: or each new one would let them say as much again."""
    only_customers(by)
    chat = Chat(
        id=chat_id,
        status=Status.WAITING,
        customer=by.user,
        version=0,
        subject=subject,
        started_at=now,
        waiting_since=now,
        last_activity_at=now,
    )
    if last:
        chat = chat.replace(allowance_whole_at=last.allowance_whole_at)
    opened = chat.replace(allowance_whole_at=_spend(chat, by, limits, now))
    return _change(opened, now, by, EventType.WAITING, subject=subject)


def accept(chat: Chat, by: Person, now: datetime) -> Change | None:
    """Take a chat out of the queue."""
    only_agents(by)
    if chat.status is Status.ACTIVE and chat.agent == by.user:
        return None
    if chat.status is Status.ACTIVE:
        raise AlreadyAccepted("another agent has accepted it")
    _not_ended(chat, by)
    waited = _seconds(chat.waiting_since, now)
    taken = chat.replace(status=Status.ACTIVE, agent=by.user, accepted_at=now, last_activity_at=now)
    return _change(taken, now, by, EventType.ACCEPTED, agent=by.user, seconds=waited)


def send(chat: Chat, by: Person, message_id: str, text: str, limits: Limits, now: datetime) -> Change:
    """Say something."""
    _open_to(chat, by, waiting_too=True)
    allowances = _spend(chat, by, limits, now)
    is_first_response = by.role is Role.AGENT and chat.first_response_at is None
    said = chat.replace(last_activity_at=now, allowance_whole_at=allowances)
    if is_first_response:
        said = said.replace(first_response_at=now)
    seconds = _seconds(chat.accepted_at or now, now) if is_first_response else None
    return _change(said, now, by, EventType.MESSAGE, id=message_id, text=text, seconds=seconds)


def type_something(chat: Chat, by: Person) -> Person:
    """Say that one is typing; answers whom to tell. It changes nothing."""
    _open_to(chat, by)
    return _agent(chat) if by.role is Role.CUSTOMER else _customer(chat)


def transfer(chat: Chat, by: Person, to: str | None, now: datetime) -> Change | None:
    """Hand a chat on to another agent, or back to the queue (None)."""
    only_agents(by)
    _open_to(chat, by)
    if to is None:
        return _requeue(chat, by, "transfer", now)
    if to == chat.agent:
        return None
    handed = chat.replace(agent=to, accepted_at=now, agent_away_since=None, last_activity_at=now)
    return _change(handed, now, by, EventType.TRANSFERRED, also=_agent(chat), agent=to)


def end(chat: Chat, by: Person, now: datetime) -> Change | None:
    """End a chat, from either side; again changes nothing."""
    reason = EndReason.AGENT if by.role is Role.AGENT else EndReason.CUSTOMER
    if chat.end_reason is reason and by.user == (chat.agent if by.role is Role.AGENT else chat.customer):
        return None
    _open_to(chat, by, waiting_too=True)
    return _end(chat, by, reason, now)


def rate(chat: Chat, by: Person, rating: int, feedback: str | None, limits: Limits, now: datetime) -> Change | None:
    """Say how it was, once; the same again changes nothing."""
    only_customers(by)
    require_customer(chat, by)
    if chat.status is not Status.ENDED or chat.ended_at is None:
        raise NotEnded("end it first: a rating is for a chat that is over")
    if not chat.was_accepted:
        raise NothingToRate("no agent has ever accepted it")
    if (chat.rating, chat.feedback) == (rating, feedback):
        return None
    if chat.rating is not None:
        raise AlreadyRated("it has been rated, and a rating stays as it is")
    if now >= chat.ended_at + timedelta(seconds=limits.rating_seconds):
        raise RatingClosed("the time for a rating is over")
    rated = chat.replace(rating=rating, feedback=feedback)
    return _change(rated, now, by, EventType.RATED, rating=rating, feedback=feedback)


def agent_left(chat: Chat, agent: str, limits: Limits, now: datetime) -> Change | None:
    """The agent's last connection to the desk has gone."""
    if chat.status is not Status.ACTIVE or chat.agent != agent or chat.agent_away_since:
        return None
    left = chat.replace(agent_away_since=now)
    return _change(left, now, None, EventType.AGENT_AWAY, agent=agent, seconds=limits.agent_away_seconds)


def agent_returned(chat: Chat, agent: str, now: datetime) -> Change | None:
    """The agent has a connection to the desk again."""
    if chat.status is not Status.ACTIVE or chat.agent != agent or not chat.agent_away_since:
        return None
    # Without its agent it was not idle: that time does not count. It does not begin anew either, or an agent whose
    # connection comes and goes would keep a chat in which nobody says anything.
    absence = now - max(chat.agent_away_since, chat.last_activity_at)
    active_at = chat.last_activity_at + max(absence, timedelta(0))
    returned = chat.replace(agent_away_since=None, last_activity_at=active_at)
    return _change(returned, now, None, EventType.AGENT_BACK, agent=agent)


def time_passed(chat: Chat, limits: Limits, now: datetime) -> Change | None:
    """What has to happen because a phase has lasted as long as it may; None if none has."""
    if _deadline(chat, limits) > now:
        return None
    match phase_of(chat, limits, now):
        case Phase.WAITING:
            return _end(chat, None, EndReason.MAX_WAIT, now)
        case Phase.ACTIVE:
            return _end(chat, None, EndReason.IDLE, now)
        case Phase.AGENT_AWAY:
            return _requeue(chat, None, "agent_away", now)
    return None


def phase_of(chat: Chat, limits: Limits, now: datetime) -> Phase:
    """Where the chat's run has to be."""
    match chat.status:
        case Status.WAITING:
            return Phase.WAITING
        case Status.ACTIVE:
            return Phase.AGENT_AWAY if chat.agent_away_since else Phase.ACTIVE
    if not chat.was_accepted:
        return Phase.ABANDONED
    can_be_rated = chat.rating is None and now < _deadline(chat, limits)
    return Phase.RATING if can_be_rated else Phase.CLOSED


def situation(chat: Chat, limits: Limits, now: datetime) -> dict[str, Any]:
    """What the chat's run has to know: the phase, for how many seconds more (at least 1), and how it ended."""
    facts = {
        "phase": phase_of(chat, limits, now).value,
        "seconds": max(1, _seconds(now, _deadline(chat, limits), up=True)),
        "agent": chat.agent,
        "endReason": chat.end_reason and chat.end_reason.value,
        "rating": chat.rating,
    }
    return {name: value for name, value in facts.items() if value is not None}


def may_read(chat: Chat, by: Person, *, messages: bool = False) -> None:
    """Let the customer and the chat's agent read it; every agent may see what waits, but not what was said.

    Raises:
        ChatNotFound, NotYourChat
    """
    if by.role is Role.CUSTOMER:
        require_customer(chat, by)
    elif chat.agent != by.user and (messages or chat.status is not Status.WAITING):
        raise NotYourChat("it is another agent's, or nobody's yet")


def only_agents(by: Person) -> None:
    """Raise AgentsOnly for anybody else."""
    if by.role is not Role.AGENT:
        raise AgentsOnly("only agents can do this")


def only_customers(by: Person) -> None:
    """Raise CustomersOnly for anybody else."""
    if by.role is not Role.CUSTOMER:
        raise CustomersOnly("only customers can do this")


def require_customer(chat: Chat, by: Person) -> None:
    """Raise ChatNotFound for anybody else: they are not to know that there is such a chat."""
    if chat.customer != by.user:
        raise ChatNotFound("there is no such chat, or it is not yours")


def _spend(chat: Chat, by: Person, limits: Limits, now: datetime) -> dict[str, datetime]:
    """Take one message from this person's allowance; answers what is left of all.

    A minute's messages may come at once, and each comes back in its part of a minute. So one moment is all there is to
    keep: when the allowance is whole again.

    Raises:
        TooManyMessages: nothing is left.
    """
    spent = {who: whole_at for who, whole_at in chat.allowance_whole_at.items() if whole_at > now}
    who = f"{by.role}#{by.user}"
    whole_at = spent.get(who, now) + timedelta(minutes=1) // limits.messages_per_minute
    over = whole_at - now - timedelta(minutes=1)
    if over > timedelta(0):
        raise TooManyMessages(-(-over // timedelta(seconds=1)))
    return spent | {who: whole_at}


def _open_to(chat: Chat, by: Person, *, waiting_too: bool = False) -> None:
    """Let the people of a chat that goes on do something."""
    if by.role is Role.CUSTOMER:
        require_customer(chat, by)
        _not_ended(chat, by)
        if chat.status is Status.WAITING and not waiting_too:
            raise NotAccepted("no agent has accepted it yet")
        return
    if chat.status is Status.WAITING:
        raise NotAccepted("accept it first")
    if chat.agent != by.user:
        raise NotYourChat("it is another agent's")
    _not_ended(chat, by)


def _not_ended(chat: Chat, by: Person) -> None:
    if chat.status is Status.ENDED:
        raise ChatHasEnded("it is over; start another one" if by.role is Role.CUSTOMER else "it is over")


def _end(chat: Chat, by: Person | None, reason: EndReason, now: datetime) -> Change:
    ended = chat.replace(status=Status.ENDED, ended_at=now, end_reason=reason, agent_away_since=None)
    duration = _seconds(chat.started_at, now)
    return _change(ended, now, by, EventType.ENDED, reason=reason, seconds=duration, can_be_rated=ended.was_accepted)


def _requeue(chat: Chat, by: Person | None, reason: Literal["transfer", "agent_away"], now: datetime) -> Change:
    waiting = chat.replace(
        status=Status.WAITING, agent=None, agent_away_since=None, waiting_since=now, last_activity_at=now
    )
    return _change(waiting, now, by, EventType.REQUEUED, also=_agent(chat), agent=chat.agent, reason=reason)


def _change(
    chat: Chat, now: datetime, by: Person | None, kind: EventType, *, also: Person | None = None, **facts: Any
) -> Change:
    changed = chat.replace(version=chat.version + 1)
    event = Event(chat_id=chat.id, number=changed.version, type=kind, at=now, by=by, **facts)
    told = [_customer(chat), *([_agent(chat)] if chat.agent else []), *([also] if also else [])]
    return Change(chat=changed, event=event, to=tuple(told))


def _deadline(chat: Chat, limits: Limits) -> datetime:
    """When the phase that the chat is in is over."""
    if chat.status is Status.WAITING:
        return chat.waiting_since + timedelta(seconds=limits.max_wait_seconds)
    if chat.ended_at:
        return chat.ended_at + timedelta(seconds=limits.rating_seconds)
    if chat.agent_away_since:
        return chat.agent_away_since + timedelta(seconds=limits.agent_away_seconds)
    return chat.last_activity_at + timedelta(seconds=limits.idle_seconds)


def _customer(chat: Chat) -> Person:
    return Person(role=Role.CUSTOMER, user=chat.customer)


def _agent(chat: Chat) -> Person:
    if chat.agent is None:
        raise NotAccepted("no agent has accepted it yet")
    return Person(role=Role.AGENT, user=chat.agent)


def _seconds(since: datetime, until: datetime, *, up: bool = False) -> int:
    """Whole seconds between two moments; clocks differ, so it is never less than none."""
    seconds = max(0.0, (until - since).total_seconds())
    return int(-(-seconds // 1)) if up else int(seconds)
