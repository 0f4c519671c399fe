"""The plan of a chaos run: seeded, and of users who do not depend on each other."""

from collections import Counter

import pytest

from tests.chaos import plan
from tests.chaos.plan import Go, Ids, Script, Send, User


def test_a_seed_gives_the_same_script_and_another_seed_another() -> None:
    assert plan.make(7, 400) == plan.make(7, 400)
    assert plan.make(7, 400) != plan.make(8, 400)


@pytest.mark.parametrize("messages", [1, 2, 44, 300, 1999])
def test_it_has_exactly_so_many_messages(messages: int) -> None:
    script = plan.make(3, messages)
    assert script.messages == messages
    for user in script.users:
        assert sorted(send.number for send in user.sends) == list(range(len(user.sends)))


def test_none_is_no_run() -> None:
    with pytest.raises(ValueError, match="messages"):
        plan.make(1, 0)


def test_a_user_does_the_same_however_many_others_there_are() -> None:
    few, many = plan.make(5, 90, seconds=100), plan.make(5, 900, seconds=100)
    assert few.users[0] == many.users[0]


def test_a_large_run_has_every_way_kind_and_move() -> None:
    script = plan.make(1, 3000)
    steps = [step for user in script.users for step in user.steps]
    sends = [step for step in steps if isinstance(step, Send)]
    assert {send.way for send in sends} == {"accept", "http", "sns", "bus", "start"}
    assert {send.kind for send in sends} == {"plain", "ack", "ordered", "short", "cancelled", "redriven"}
    moves = {step.move for step in steps if isinstance(step, Go)}
    assert moves == {"connect", "close", "cut", "down", "half_open", "replace"}
    assert Counter(user.devices for user in script.users).keys() == {1, 2}
    assert script.outages


def test_some_users_are_in_another_conversation_too() -> None:
    assert {user.elsewhere for user in plan.make(1, 3000).users} == {True, False}


def test_every_device_connects_first_and_is_at_rest_before_the_end() -> None:
    script = plan.make(2, 1500)
    for user in script.users:
        assert [step.at for step in user.steps] == sorted(step.at for step in user.steps)
        for device in range(user.devices):
            goings = [step for step in user.steps if isinstance(step, Go) and step.device == device]
            assert [step.move for step in goings].index("connect") == 0
            assert max(step.at + step.seconds for step in goings) < script.seconds * 0.85


def test_a_script_survives_its_json() -> None:
    script = Script(
        1, 9.0, plan.make(1, 50).users, ((3.0, 1.0),), {"gone": 0.5}, (("gone", "accept", "POST", "u1", 2),)
    )
    assert Script.from_json(script.to_json()) == script


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seed": 1, "seconds": 2, "users": [{}], "outages": []}'])
def test_what_is_no_script_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"script|Expecting"):
        Script.from_json(text)


def test_hurrying_shortens_the_long_pauses_alone_and_keeps_the_order() -> None:
    user = User("u", 1, (Go(1, "connect"), Go(2, "close", 0, 30), Send(33, 0, "accept", "plain"), Go(90, "cut")))
    hurried = plan.hurried(Script(1, 200.0, (user,), ((60.0, 2.0),)), longest_pause=8)
    moments = [step.at for step in hurried.users[0].steps]
    assert (moments, hurried.outages, hurried.seconds) == ([1, 2, 11, 27], ((19.0, 2.0),), 35.0)


def test_what_is_left_of_a_script_lasts_no_longer_than_it_needs() -> None:
    user = User("u", 1, (Go(1, "connect"), Go(10, "down", seconds=4), Send(12, 0, "accept", "plain")))
    assert plan.with_users(Script(1, 90.0, (user, user)), [user]) == Script(1, 19.0, (user,))


def test_ids_tell_their_run() -> None:
    ids = Ids("c1")
    assert ids.of("u3", 4) == "c1-u3-4"
    assert ids.belongs("c1-u3-4")
    assert not ids.belongs("c12-u3-4")
