"""The state table of a chat: everybody, everywhere, everything."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.chat.core import rules
from lambdas.chat.core.errors import (
    AgentsOnly,
    AlreadyAccepted,
    AlreadyRated,
    ChatError,
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
from lambdas.chat.core.rules import Limits, Phase
from tests.builders import NOW
from tests.chats import (
    ANA,
    BO,
    CY,
    DAN,
    LIMITS,
    abandoned,
    active,
    after,
    away,
    ended,
    later,
    rated,
    requeued,
    spent,
    waiting,
)

LATER = later(10)
STATES: dict[str, Chat] = {
    "waiting": waiting(),
    "requeued": requeued(),
    "active": active(),
    "spent": spent(said_at=LATER),
    "away": away(),
    "ended": ended(),
    "abandoned": abandoned(),
    "rated": rated(),
}
Action = Callable[[Chat, Person], Change | Person | None]
ACTIONS: dict[str, Action] = {
    "accept": lambda chat, by: rules.accept(chat, by, LATER),
    "send": lambda chat, by: rules.send(chat, by, "m-1", "hello", LIMITS, LATER),
    "type": rules.type_something,
    "transfer": lambda chat, by: rules.transfer(chat, by, "cy", LATER),
    "requeue": lambda chat, by: rules.transfer(chat, by, None, LATER),
    "end": lambda chat, by: rules.end(chat, by, LATER),
    "rate": lambda chat, by: rules.rate(chat, by, 4, "thanks", LIMITS, LATER),
}
NOTHING = None
Outcome = type[ChatError] | EventType | Person | None
# In the order of ANA (its customer), DAN (another), BO (its agent, or who had it), CY (another).
PEOPLE = (ANA, DAN, BO, CY)
TABLE: dict[str, dict[str, tuple[Outcome, Outcome, Outcome, Outcome]]] = {
    "accept": {
        "waiting": (AgentsOnly, AgentsOnly, EventType.ACCEPTED, EventType.ACCEPTED),
        "requeued": (AgentsOnly, AgentsOnly, EventType.ACCEPTED, EventType.ACCEPTED),
        "active": (AgentsOnly, AgentsOnly, NOTHING, AlreadyAccepted),
        "spent": (AgentsOnly, AgentsOnly, NOTHING, AlreadyAccepted),
        "away": (AgentsOnly, AgentsOnly, NOTHING, AlreadyAccepted),
        "ended": (AgentsOnly, AgentsOnly, ChatHasEnded, ChatHasEnded),
        "abandoned": (AgentsOnly, AgentsOnly, ChatHasEnded, ChatHasEnded),
        "rated": (AgentsOnly, AgentsOnly, ChatHasEnded, ChatHasEnded),
    },
    "send": {
        "waiting": (EventType.MESSAGE, ChatNotFound, NotAccepted, NotAccepted),
        "requeued": (EventType.MESSAGE, ChatNotFound, NotAccepted, NotAccepted),
        "active": (EventType.MESSAGE, ChatNotFound, EventType.MESSAGE, NotYourChat),
        "spent": (TooManyMessages, ChatNotFound, TooManyMessages, NotYourChat),
        "away": (EventType.MESSAGE, ChatNotFound, EventType.MESSAGE, NotYourChat),
        "ended": (ChatHasEnded, ChatNotFound, ChatHasEnded, NotYourChat),
        "abandoned": (ChatHasEnded, ChatNotFound, NotYourChat, NotYourChat),
        "rated": (ChatHasEnded, ChatNotFound, ChatHasEnded, NotYourChat),
    },
    "type": {
        "waiting": (NotAccepted, ChatNotFound, NotAccepted, NotAccepted),
        "requeued": (NotAccepted, ChatNotFound, NotAccepted, NotAccepted),
        "active": (BO, ChatNotFound, ANA, NotYourChat),
        "spent": (BO, ChatNotFound, ANA, NotYourChat),
        "away": (BO, ChatNotFound, ANA, NotYourChat),
        "ended": (ChatHasEnded, ChatNotFound, ChatHasEnded, NotYourChat),
        "abandoned": (ChatHasEnded, ChatNotFound, NotYourChat, NotYourChat),
        "rated": (ChatHasEnded, ChatNotFound, ChatHasEnded, NotYourChat),
    },
    "transfer": {
        "waiting": (AgentsOnly, AgentsOnly, NotAccepted, NotAccepted),
        "requeued": (AgentsOnly, AgentsOnly, NotAccepted, NotAccepted),
        "active": (AgentsOnly, AgentsOnly, EventType.TRANSFERRED, NotYourChat),
        "spent": (AgentsOnly, AgentsOnly, EventType.TRANSFERRED, NotYourChat),
        "away": (AgentsOnly, AgentsOnly, EventType.TRANSFERRED, NotYourChat),
        "ended": (AgentsOnly, AgentsOnly, ChatHasEnded, NotYourChat),
        "abandoned": (AgentsOnly, AgentsOnly, NotYourChat, NotYourChat),
        "rated": (AgentsOnly, AgentsOnly, ChatHasEnded, NotYourChat),
    },
    "requeue": {
        "waiting": (AgentsOnly, AgentsOnly, NotAccepted, NotAccepted),
        "requeued": (AgentsOnly, AgentsOnly, NotAccepted, NotAccepted),
        "active": (AgentsOnly, AgentsOnly, EventType.REQUEUED, NotYourChat),
        "spent": (AgentsOnly, AgentsOnly, EventType.REQUEUED, NotYourChat),
        "away": (AgentsOnly, AgentsOnly, EventType.REQUEUED, NotYourChat),
        "ended": (AgentsOnly, AgentsOnly, ChatHasEnded, NotYourChat),
        "abandoned": (AgentsOnly, AgentsOnly, NotYourChat, NotYourChat),
        "rated": (AgentsOnly, AgentsOnly, ChatHasEnded, NotYourChat),
    },
    "end": {
        "waiting": (EventType.ENDED, ChatNotFound, NotAccepted, NotAccepted),
        "requeued": (EventType.ENDED, ChatNotFound, NotAccepted, NotAccepted),
        "active": (EventType.ENDED, ChatNotFound, EventType.ENDED, NotYourChat),
        "spent": (EventType.ENDED, ChatNotFound, EventType.ENDED, NotYourChat),
        "away": (EventType.ENDED, ChatNotFound, EventType.ENDED, NotYourChat),
        "ended": (NOTHING, ChatNotFound, ChatHasEnded, NotYourChat),
        "abandoned": (NOTHING, ChatNotFound, NotYourChat, NotYourChat),
        "rated": (NOTHING, ChatNotFound, ChatHasEnded, NotYourChat),
    },
    "rate": {
        "waiting": (NotEnded, ChatNotFound, CustomersOnly, CustomersOnly),
        "requeued": (NotEnded, ChatNotFound, CustomersOnly, CustomersOnly),
        "active": (NotEnded, ChatNotFound, CustomersOnly, CustomersOnly),
        "spent": (NotEnded, ChatNotFound, CustomersOnly, CustomersOnly),
        "away": (NotEnded, ChatNotFound, CustomersOnly, CustomersOnly),
        "ended": (EventType.RATED, ChatNotFound, CustomersOnly, CustomersOnly),
        "abandoned": (NothingToRate, ChatNotFound, CustomersOnly, CustomersOnly),
        "rated": (AlreadyRated, ChatNotFound, CustomersOnly, CustomersOnly),
    },
}
EVERYTHING = [
    pytest.param(action, state, by, outcome, id=f"{action}-{state}-{by.user}")
    for action, states in TABLE.items()
    for state, outcomes in states.items()
    for by, outcome in zip(PEOPLE, outcomes, strict=True)
]


def test_the_table_has_every_action_and_every_state() -> None:
    assert TABLE.keys() == ACTIONS.keys()
    assert all(states.keys() == STATES.keys() for states in TABLE.values())


@pytest.mark.parametrize(("action", "state", "by", "outcome"), EVERYTHING)
def test_who_may_do_what_when(action: str, state: str, by: Person, outcome: Outcome) -> None:
    chat = STATES[state]

    if isinstance(outcome, type):
        with pytest.raises(ChatError) as refused:
            ACTIONS[action](chat, by)
        assert type(refused.value) is outcome
        assert str(refused.value)
        assert not any(value in str(refused.value) for value in (by.user, chat.customer, chat.id))
        return

    result = ACTIONS[action](chat, by)

    if isinstance(result, Change):
        assert (result.event.type, result.event.by, result.event.at) == (outcome, by, LATER)
        assert result.event.chat_id == chat.id
        assert result.event.number == result.chat.version == chat.version + 1
        assert_whole(result.chat)
    else:
        assert result == outcome


def assert_whole(chat: Chat) -> None:
    """What holds of every chat there can be."""
    assert (chat.status is Status.ENDED) == (chat.ended_at is not None) == (chat.end_reason is not None)
    assert (chat.agent is not None) == (chat.status is Status.ACTIVE) or chat.status is Status.ENDED
    assert chat.agent_away_since is None or chat.status is Status.ACTIVE
    assert chat.rating is None or (chat.status is Status.ENDED and chat.was_accepted)
    assert chat.was_accepted or chat.agent is None


# What a change comes to


def told(change: Change | None) -> list[Person]:
    assert change is not None
    return list(change.to)


def facts(change: Change | None) -> dict[str, Any]:
    """What the event says beside what all events say."""
    assert change is not None
    said_always = {"chatId", "number", "type", "at", "by"}
    return {name: value for name, value in change.event.as_json().items() if name not in said_always}


def test_a_chat_starts_in_the_queue_and_its_customer_is_told() -> None:
    change = rules.start("c-1", ANA, "my order", LIMITS, NOW)

    assert change.chat == Chat(
        id="c-1",
        status=Status.WAITING,
        customer="ana",
        version=1,
        subject="my order",
        started_at=NOW,
        waiting_since=NOW,
        last_activity_at=NOW,
        allowance_whole_at={"customer#ana": later(60 / LIMITS.messages_per_minute)},
    )
    assert change.event == Event(chat_id="c-1", number=1, type=EventType.WAITING, at=NOW, by=ANA, subject="my order")
    assert told(change) == [ANA]


def test_agents_start_no_chats() -> None:
    with pytest.raises(CustomersOnly):
        rules.start("c-1", BO, None, LIMITS, NOW)


def test_accepting_says_who_has_it_and_how_long_it_waited() -> None:
    change = rules.accept(waiting(), BO, LATER)

    assert after(change).agent == "bo"
    assert after(change).accepted_at == after(change).last_activity_at == LATER
    assert facts(change) == {"agent": "bo", "seconds": 10}
    assert told(change) == [ANA, BO]


def test_after_a_requeue_the_wait_counts_from_there_and_the_place_is_the_old_one() -> None:
    first = after(rules.accept(waiting(), BO, later(5)))
    back = after(rules.transfer(first, BO, None, later(100)))
    again = rules.accept(back, CY, later(130))

    assert back.queue_key == waiting().queue_key
    assert facts(again) == {"agent": "cy", "seconds": 30}


def test_the_queue_is_first_come_first_served() -> None:
    chats = [waiting("c-2", at=later(0.001)), waiting("c-9"), waiting("c-1", at=later(3600))]

    in_order = sorted(chats, key=lambda chat: chat.queue_key)

    assert [chat.id for chat in in_order] == ["c-9", "c-2", "c-1"]


@given(st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_place_in_the_queue_is_the_same_after_the_chat_was_stored(at: datetime) -> None:
    chat = waiting(at=at)

    stored = Chat.from_text(chat.as_text())

    assert stored.queue_key == chat.queue_key


def test_a_message_is_told_to_both_sides_and_is_activity() -> None:
    change = rules.send(active(), ANA, "m-1", "hello", LIMITS, LATER)

    assert change.chat.last_activity_at == LATER
    assert facts(change) == {"id": "m-1", "text": "hello"}
    assert told(change) == [ANA, BO]


def test_while_nobody_has_the_chat_a_message_is_told_to_its_customer_alone() -> None:
    assert told(rules.send(waiting(), ANA, "m-1", "hello", LIMITS, LATER)) == [ANA]
    assert told(rules.send(requeued(), ANA, "m-1", "hello", LIMITS, LATER)) == [ANA]


def test_the_first_answer_of_an_agent_says_how_long_it_took() -> None:
    asked = rules.send(active(), ANA, "m-1", "hello", LIMITS, later(5)).chat
    first = rules.send(asked, BO, "m-2", "hello", LIMITS, later(7))
    second = rules.send(first.chat, BO, "m-3", "how can I help", LIMITS, later(9))

    assert asked.first_response_at is None
    assert first.chat.first_response_at == second.chat.first_response_at == later(7)
    assert first.event.seconds == 7
    assert second.event.seconds is None


# How much one may say


def say(chat: Chat, by: Person = ANA, *, at: float = 0, limits: Limits = LIMITS) -> Chat:
    return rules.send(chat, by, f"m-{chat.version}", "and", limits, later(at)).chat


@given(st.integers(min_value=1, max_value=200))
def test_a_minute_s_messages_may_come_at_once_and_no_more(messages_per_minute: int) -> None:
    limits = LIMITS._replace(messages_per_minute=messages_per_minute)
    chat = active(at=later(-60))
    for _ in range(messages_per_minute):
        chat = say(chat, limits=limits)

    with pytest.raises(TooManyMessages) as refused:
        say(chat, limits=limits)

    wait = refused.value.retry_after_seconds
    assert wait == -(-60 // messages_per_minute)
    assert say(chat, at=wait, limits=limits).version == chat.version + 1
    with pytest.raises(TooManyMessages):
        say(chat, at=60 / messages_per_minute - 0.001, limits=limits)


def test_after_a_minute_of_silence_one_may_say_as_much_again() -> None:
    chat = spent()
    for _ in range(LIMITS.messages_per_minute):
        chat = say(chat, at=60)
    with pytest.raises(TooManyMessages):
        say(chat, at=60)


def test_for_ever_one_may_say_as_much_as_the_limit_says() -> None:
    chat = spent()
    for second in range(1, 300):
        chat = say(chat, at=second)
        with pytest.raises(TooManyMessages):
            say(chat, at=second)


def test_everybody_has_an_allowance_of_their_own_in_each_chat() -> None:
    chat = active(at=later(-60))
    for _ in range(LIMITS.messages_per_minute):
        chat = say(chat)

    namesake = Person(role=Role.AGENT, user=ANA.user)
    others = ((chat, BO), (active(chat_id="c-2"), ANA), (after(rules.transfer(chat, BO, namesake.user, NOW)), namesake))
    for another, by in others:
        assert say(another, by).version == another.version + 1


def test_a_new_chat_gives_nobody_a_new_allowance() -> None:
    over = after(rules.end(spent(), ANA, NOW))

    with pytest.raises(TooManyMessages):
        rules.start("c-2", ANA, None, LIMITS, NOW, last=over)
    another = rules.start("c-2", ANA, None, LIMITS, later(1), last=over).chat
    with pytest.raises(TooManyMessages):
        say(another, at=1)
    assert say(another, at=2).version == another.version + 1


def test_to_start_a_chat_is_to_say_something() -> None:
    chat = None
    for _ in range(LIMITS.messages_per_minute):
        chat = after(rules.end(rules.start("c-1", ANA, None, LIMITS, NOW, last=chat).chat, ANA, NOW))

    with pytest.raises(TooManyMessages):
        rules.start("c-1", ANA, None, LIMITS, NOW, last=chat)


def test_a_transfer_and_the_queue_give_nobody_a_new_allowance() -> None:
    back = after(rules.transfer(spent(), BO, None, NOW))
    again = after(rules.accept(back, BO, NOW))

    for chat, by in ((back, ANA), (again, ANA), (again, BO)):
        with pytest.raises(TooManyMessages):
            say(chat, by)


def test_what_is_left_of_an_allowance_is_kept_while_it_is_needed_and_shown_to_nobody() -> None:
    chat = spent()

    assert len(chat.allowance_whole_at) == 2
    assert len(say(chat, at=61).allowance_whole_at) == 1
    assert "llowance" not in chat.as_text()


def test_a_transfer_is_told_to_all_three() -> None:
    change = rules.transfer(away(), BO, "cy", LATER)

    assert after(change).agent == "cy"
    assert after(change).agent_away_since is None
    assert after(change).accepted_at == after(change).last_activity_at == LATER
    assert facts(change) == {"agent": "cy"}
    assert told(change) == [ANA, CY, BO]


def test_a_transfer_to_oneself_changes_nothing() -> None:
    assert rules.transfer(active(), BO, "bo", LATER) is None


def test_back_to_the_queue_is_told_to_the_agent_who_had_it() -> None:
    change = rules.transfer(active(), BO, None, LATER)

    assert after(change).status is Status.WAITING
    assert after(change).waiting_since == LATER
    assert facts(change) == {"agent": "bo", "reason": "transfer"}
    assert told(change) == [ANA, BO]


@pytest.mark.parametrize(("by", "reason"), [(ANA, EndReason.CUSTOMER), (BO, EndReason.AGENT)])
def test_either_side_ends_a_chat(by: Person, reason: EndReason) -> None:
    change = rules.end(away(), by, LATER)

    assert change is not None
    assert (change.chat.ended_at, change.chat.end_reason, change.chat.agent) == (LATER, reason, "bo")
    assert facts(change) == {"reason": reason.value, "seconds": 10, "canBeRated": True}
    assert told(change) == [ANA, BO]


def test_what_nobody_accepted_cannot_be_rated_and_says_so() -> None:
    assert facts(rules.end(waiting(), ANA, LATER)) == {"reason": "customer", "seconds": 10, "canBeRated": False}


def test_a_rating_is_kept_as_it_was_given_and_told() -> None:
    change = rules.rate(ended(), ANA, 2, "slow", LIMITS, LATER)

    assert change is not None
    assert (change.chat.rating, change.chat.feedback) == (2, "slow")
    assert facts(change) == {"rating": 2, "feedback": "slow"}
    assert told(change) == [ANA, BO]


def test_ending_again_changes_nothing_for_who_ended_it_and_nobody_else() -> None:
    by_agent = ended(BO)
    assert rules.end(by_agent, BO, LATER) is None
    with pytest.raises(ChatHasEnded):
        rules.end(by_agent, ANA, LATER)
    by_time = after(rules.time_passed(active(), LIMITS, later(LIMITS.idle_seconds)))
    for by in (ANA, BO):
        with pytest.raises(ChatHasEnded):
            rules.end(by_time, by, later(LIMITS.idle_seconds))


@pytest.mark.parametrize(
    ("by", "action"),
    [
        *((ANA, name) for name in ("send", "type", "end")),
        *((BO, name) for name in ("accept", "send", "transfer", "end")),
    ],
)
def test_only_a_customer_is_told_to_start_another_chat(by: Person, action: str) -> None:
    over = ended(BO if by == ANA else ANA)

    with pytest.raises(ChatHasEnded) as raised:
        ACTIONS[action](over, by)

    assert str(raised.value) == ("it is over; start another one" if by == ANA else "it is over")


def test_the_same_rating_again_changes_nothing_also_when_its_time_is_over() -> None:
    much_later = later(2 * LIMITS.rating_seconds)
    assert rules.rate(rated(), ANA, 5, None, LIMITS, much_later) is None
    for rating, feedback in ((4, None), (5, "thanks")):
        with pytest.raises(AlreadyRated):
            rules.rate(rated(), ANA, rating, feedback, LIMITS, LATER)


def test_the_time_for_a_rating_is_over_at_its_very_end() -> None:
    closes = LIMITS.rating_seconds

    assert after(rules.rate(ended(), ANA, 3, None, LIMITS, later(closes - 0.001))).rating == 3
    with pytest.raises(RatingClosed):
        rules.rate(ended(), ANA, 3, None, LIMITS, later(closes))


# An agent who is away


def test_an_agent_who_leaves_has_a_while_to_return() -> None:
    left = rules.agent_left(active(), "bo", LIMITS, LATER)

    assert after(left).agent_away_since == LATER
    assert after(left).last_activity_at == NOW
    assert facts(left) == {"agent": "bo", "seconds": 60}
    assert told(left) == [ANA, BO]

    back = rules.agent_returned(after(left), "bo", later(20))

    assert after(back).agent_away_since is None
    assert after(back).last_activity_at == later(10), "the time without them does not count"
    assert facts(back) == {"agent": "bo"}
    assert told(back) == [ANA, BO]


@pytest.mark.parametrize("state", [name for name in STATES if name not in {"active", "spent"}])
def test_only_an_agent_who_is_there_can_leave(state: str) -> None:
    assert rules.agent_left(STATES[state], "bo", LIMITS, LATER) is None


@pytest.mark.parametrize("state", [name for name in STATES if name != "away"])
def test_only_an_agent_who_is_away_can_return(state: str) -> None:
    assert rules.agent_returned(STATES[state], "bo", LATER) is None


def test_who_does_not_have_the_chat_neither_leaves_nor_returns() -> None:
    assert rules.agent_left(active(), "cy", LIMITS, LATER) is None
    assert rules.agent_returned(away(), "cy", LATER) is None


# Time


TOO_LONG: dict[str, tuple[int, EventType, dict[str, Any]]] = {
    "waiting": (600, EventType.ENDED, {"reason": "max_wait", "seconds": 600, "canBeRated": False}),
    "requeued": (600, EventType.ENDED, {"reason": "max_wait", "seconds": 600, "canBeRated": True}),
    "active": (900, EventType.ENDED, {"reason": "idle", "seconds": 900, "canBeRated": True}),
    "away": (60, EventType.REQUEUED, {"agent": "bo", "reason": "agent_away"}),
}


@pytest.mark.parametrize("state", TOO_LONG)
def test_a_phase_that_has_lasted_as_long_as_it_may_is_over(state: str) -> None:
    seconds, kind, said = TOO_LONG[state]
    chat = STATES[state]

    assert rules.time_passed(chat, LIMITS, later(seconds - 0.001)) is None
    change = rules.time_passed(chat, LIMITS, later(seconds))

    assert_whole(after(change))
    assert change
    assert (change.event.type, change.event.by) == (kind, None)
    assert facts(change) == said


@pytest.mark.parametrize("state", ["ended", "abandoned", "rated"])
def test_what_is_over_stays_so(state: str) -> None:
    assert rules.time_passed(STATES[state], LIMITS, later(10_000_000)) is None


def test_a_message_moves_the_time_at_which_a_chat_is_idle() -> None:
    said = rules.send(active(), ANA, "m-1", "hello", LIMITS, later(899)).chat

    assert rules.time_passed(said, LIMITS, later(900)) is None
    assert rules.time_passed(said, LIMITS, later(899 + 900))


def test_what_customers_say_in_the_queue_does_not_move_the_end_of_their_wait() -> None:
    said = rules.send(waiting(), ANA, "m-1", "hello?", LIMITS, later(599)).chat

    assert after(rules.time_passed(said, LIMITS, later(600))).end_reason is EndReason.MAX_WAIT


def test_an_agent_who_went_and_came_is_given_the_whole_time_again() -> None:
    back = after(rules.agent_returned(away(), "bo", later(50)))
    gone_again = after(rules.agent_left(back, "bo", LIMITS, later(55)))

    assert rules.time_passed(gone_again, LIMITS, later(55 + 59)) is None
    assert rules.time_passed(gone_again, LIMITS, later(55 + 60))


def test_a_chat_whose_agent_is_back_is_not_idle() -> None:
    """While they were away nobody could do anything about it."""
    left = after(rules.agent_left(active(), "bo", LIMITS, later(880)))
    back = after(rules.agent_returned(left, "bo", later(930)))

    assert rules.time_passed(back, LIMITS, later(930 + 19)) is None
    assert after(rules.time_passed(back, LIMITS, later(930 + 20))).end_reason is EndReason.IDLE


def test_what_was_said_while_the_agent_was_away_counts_from_their_return() -> None:
    said = rules.send(away(), ANA, "m-1", "hello?", LIMITS, later(40)).chat
    back = after(rules.agent_returned(said, "bo", later(50)))

    assert back.last_activity_at == later(50)


def test_an_agent_who_comes_and_goes_does_not_keep_a_chat_in_which_nobody_says_anything() -> None:
    """Each minute there for ten seconds: it is idle when these come to as much as it may be."""
    chat, minutes = active(), 0
    while not rules.time_passed(chat, LIMITS, later(60 * minutes)):
        left = after(rules.agent_left(chat, "bo", LIMITS, later(60 * minutes + 10)))
        minutes += 1
        chat = after(rules.agent_returned(left, "bo", later(60 * minutes)))

    assert minutes * 10 == LIMITS.idle_seconds


# What the run has to know

SITUATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # at once; and when the phase is over
    "waiting": ({"phase": "Waiting", "seconds": 590}, {"phase": "Waiting", "seconds": 1}),
    "requeued": ({"phase": "Waiting", "seconds": 590}, {"phase": "Waiting", "seconds": 1}),
    "active": (
        {"phase": "Active", "seconds": 890, "agent": "bo"},
        {"phase": "Active", "seconds": 1, "agent": "bo"},
    ),
    "spent": (
        {"phase": "Active", "seconds": 900, "agent": "bo"},
        {"phase": "Active", "seconds": 1, "agent": "bo"},
    ),
    "away": (
        {"phase": "Agent Away", "seconds": 50, "agent": "bo"},
        {"phase": "Agent Away", "seconds": 1, "agent": "bo"},
    ),
    "ended": (
        {"phase": "Rating", "seconds": 86_390, "agent": "bo", "endReason": "customer"},
        {"phase": "Closed", "seconds": 1, "agent": "bo", "endReason": "customer"},
    ),
    "abandoned": (
        {"phase": "Abandoned", "seconds": 86_390, "endReason": "customer"},
        {"phase": "Abandoned", "seconds": 1, "endReason": "customer"},
    ),
    "rated": (
        {"phase": "Closed", "seconds": 86_390, "agent": "bo", "endReason": "customer", "rating": 5},
        {"phase": "Closed", "seconds": 1, "agent": "bo", "endReason": "customer", "rating": 5},
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_the_situation(state: str) -> None:
    soon, at_last = SITUATIONS[state]

    assert rules.situation(STATES[state], LIMITS, LATER) == soon
    assert rules.situation(STATES[state], LIMITS, later(100_000)) == at_last


def test_a_run_never_looks_too_early() -> None:
    """Its timer counts whole seconds; one that is a moment short would have it look twice."""
    assert rules.situation(active(), LIMITS, later(0.001))["seconds"] == 900


def test_a_chat_that_was_accepted_once_can_be_rated_even_if_it_ended_in_the_queue() -> None:
    given_up = after(rules.end(requeued(), ANA, LATER))

    assert rules.phase_of(given_up, LIMITS, LATER) is Phase.RATING
    assert after(rules.rate(given_up, ANA, 1, None, LIMITS, LATER)).rating == 1


@given(state=st.sampled_from([*STATES]), seconds=st.floats(min_value=-100, max_value=200_000), short=st.booleans())
def test_time_never_leaves_a_chat_where_it_has_to_go_on(state: str, seconds: float, *, short: bool) -> None:
    """The run's timer: after `seconds` of its situation, something is due, or it has less to wait than before."""
    limits = LIMITS._replace(idle_seconds=1, agent_away_seconds=1) if short else LIMITS
    chat, now = STATES[state], later(seconds)
    known = rules.situation(chat, limits, now)
    if known["phase"] in {Phase.ABANDONED, Phase.CLOSED}:
        return
    then = now + timedelta(seconds=known["seconds"])

    change = rules.time_passed(chat, limits, then)

    moved = rules.phase_of(change.chat if change else chat, limits, then)
    assert change is not None or moved is Phase.CLOSED
    assert moved != known["phase"]


# Who may read

READERS: dict[str, tuple[Outcome, Outcome, Outcome, Outcome]] = {
    "waiting": (NOTHING, ChatNotFound, NOTHING, NOTHING),
    "requeued": (NOTHING, ChatNotFound, NOTHING, NOTHING),
    "active": (NOTHING, ChatNotFound, NOTHING, NotYourChat),
    "spent": (NOTHING, ChatNotFound, NOTHING, NotYourChat),
    "away": (NOTHING, ChatNotFound, NOTHING, NotYourChat),
    "ended": (NOTHING, ChatNotFound, NOTHING, NotYourChat),
    "abandoned": (NOTHING, ChatNotFound, NotYourChat, NotYourChat),
    "rated": (NOTHING, ChatNotFound, NOTHING, NotYourChat),
}


@pytest.mark.parametrize("messages", [False, True], ids=["the chat", "its messages"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("number", range(len(PEOPLE)), ids=[person.user for person in PEOPLE])
def test_who_may_read_what(state: str, number: int, *, messages: bool) -> None:
    outcome, by = READERS[state][number], PEOPLE[number]
    if messages and by.role is Role.AGENT and STATES[state].status is Status.WAITING:
        outcome = NotYourChat  # they see that it waits, not what was said

    if isinstance(outcome, type):
        with pytest.raises(outcome):
            rules.may_read(STATES[state], by, messages=messages)
    else:
        rules.may_read(STATES[state], by, messages=messages)


def test_a_customers_name_is_no_agents_name() -> None:
    """The same user with the other role is somebody else."""
    impostor = Person(role=Role.AGENT, user="ana")
    namesake = Person(role=Role.CUSTOMER, user="bo")

    with pytest.raises(NotYourChat):
        rules.end(active(), impostor, LATER)
    with pytest.raises(ChatNotFound):
        rules.end(active(), namesake, LATER)
