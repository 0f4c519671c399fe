"""The names of runs."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.names import execution_name, first_name, redrive_name

IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128)


@pytest.mark.parametrize(
    "message_id", ["m-1", "059f36b4-87a3-44ab-83d2-661975830a7d", "a" * 74, "A_b-9", "a-r0", "-r1"]
)
def test_an_id_that_may_name_an_execution_does(message_id: str) -> None:
    assert execution_name(message_id) == message_id


@pytest.mark.parametrize("message_id", ["order/17", "a" * 75, "a.b", "a:b", "m-1\n", "m-1-r1"])
def test_another_id_is_hashed(message_id: str) -> None:
    assert execution_name(message_id).startswith("sha256-")


@given(st.sets(IDS, min_size=2))
def test_every_name_is_one_that_step_functions_takes_and_no_two_ids_share_one(message_ids: set[str]) -> None:
    names = {execution_name(message_id) for message_id in message_ids}

    assert len(names) == len(message_ids)
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,80}", name) for name in names)


@given(IDS, st.integers(1, 50))
def test_every_redrive_has_a_name_of_its_own_that_follows_from_the_one_before(message_id: str, times: int) -> None:
    names = [execution_name(message_id)]
    for _ in range(times):
        names.append(redrive_name(names[-1]))

    assert len(set(names)) == times + 1
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,80}", name) for name in names)
    assert names[1:] == [f"{names[0]}-r{number}" for number in range(1, times + 1)]
    assert {first_name(name) for name in names} == {names[0]}


def test_a_run_that_was_started_by_hand_under_a_long_name_is_redriven_too() -> None:
    name = redrive_name("a" * 80)

    assert len(name) <= 80
    assert redrive_name(name) == f"{name.removesuffix('-r1')}-r2"


@given(IDS, st.integers(1, 9_998))
def test_a_message_whose_id_looks_like_a_redrive_does_not_take_its_name(message_id: str, number: int) -> None:
    redrive = f"{execution_name(message_id)}-r{number}"

    assert len(redrive) <= 80
    assert execution_name(redrive) != redrive
    assert redrive_name(execution_name(redrive)) != redrive_name(redrive)


def test_there_is_an_end_to_redriving() -> None:
    assert redrive_name("m-1-r9998") == "m-1-r9999"
    with pytest.raises(ValueError, match="this message was redriven too often"):
        redrive_name("m-1-r9999")
