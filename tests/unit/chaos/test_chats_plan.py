"""The plan of a chaos run's chats."""

from collections import Counter

import pytest

from local import settings
from tests.chaos.chats import plan
from tests.chaos.chats.__main__ import SAFEGUARDS
from tests.chaos.chats.plan import AGENTS, LIMITS


def test_a_seed_gives_the_same_chats_and_another_seed_others() -> None:
    assert plan.make(7, 30) == plan.make(7, 30)
    assert plan.make(7, 30) != plan.make(8, 30)


@pytest.mark.parametrize("chats", [1, 2, 59])
def test_it_has_exactly_so_many_chats(chats: int) -> None:
    assert [chat.number for customer in plan.make(3, chats) for chat in customer.chats] == list(range(chats))


def test_none_is_no_run() -> None:
    with pytest.raises(ValueError, match="chats"):
        plan.make(1, 0)


def test_a_run_has_every_step_move_and_ending() -> None:
    chats = [chat for customer in plan.make(1, 60) for chat in customer.chats]
    steps = [step for chat in chats for step in chat.steps]
    assert {step.what for step in steps} == {"accept", "say", "type", "transfer", "requeue", "drop"}
    assert {step.move for step in steps if step.what == "drop"} == {"cut", "close", "down", "half_open", "replace"}
    assert {chat.ending for chat in chats} == {"customer", "agent", "left", "given up", "left waiting"}
    assert {chat.rating for chat in chats} == {None, 1, 2, 3, 4, 5}
    assert Counter(len(set(step.agents)) for step in steps if step.what == "accept").keys() == {1, 2}
    assert {agent for step in steps for agent in step.agents} == set(AGENTS)
    assert {step.is_patient for step in steps if step.what == "say"} == {True, False}
    away = [step.seconds > LIMITS.agent_away_seconds for step in steps if step.what == "drop"]
    assert Counter(away).keys() == {True, False}


def test_only_the_last_chat_of_a_customer_is_left_alone() -> None:
    for customer in plan.make(1, 60):
        assert not {chat.ending for chat in customer.chats[:-1]} & {"left", "left waiting"}


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_a_safeguard_is_where_it_is_taken_from(name: str) -> None:
    change = SAFEGUARDS[name]
    source = (settings.ROOT / change.file).read_text("utf-8")
    compile(changed := change.made(source), change.file, "exec")
    assert changed != source
