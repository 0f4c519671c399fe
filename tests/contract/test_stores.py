"""The two stores: what holds for the fakes holds for the tables."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from lambdas.adapters.tables import CallbackTable, ConnectionTable
from lambdas.core.model import Callback
from lambdas.core.ports import CallbackStore, ConnectionStore
from tests.builders import NOW, callback, connection, recipient
from tests.fakes import FakeCallbacks, FakeConnections

ANA = recipient()
NEIGHBOURS = [
    recipient(user="an"),
    recipient(user="ana2"),
    recipient(context="cha"),
    recipient(context="chat2"),
    recipient(context_id="4"),
    recipient(context_id="421"),
    recipient(user="ana", context="chat2", context_id="42"),
]


@pytest.fixture(params=["fake", "table"])
def connections(request: pytest.FixtureRequest) -> ConnectionStore:
    if request.param == "fake":
        return FakeConnections()
    return ConnectionTable(request.getfixturevalue("connections_table"))


@pytest.fixture(params=["fake", "table"])
def callbacks(request: pytest.FixtureRequest) -> CallbackStore:
    if request.param == "fake":
        return FakeCallbacks()
    return CallbackTable(request.getfixturevalue("callbacks_table"))


# Connections


@pytest.mark.parametrize("token_life", [None, 900])
def test_a_connection_comes_back_as_it_was(connections: ConnectionStore, token_life: float | None) -> None:
    stored = replace(
        connection("Sm9tZQ=", token_life_seconds=token_life), connected_at=NOW - timedelta(milliseconds=1_234)
    )

    connections.put(stored)
    connections.put(stored)

    assert connections.of_recipient(ANA) == [stored]


def test_expired_rows_are_there_until_the_store_removes_them(connections: ConnectionStore) -> None:
    connections.put(connection(life_seconds=-1))

    assert len(connections.of_recipient(ANA)) == 1


def test_a_recipients_connections_are_no_neighbours(connections: ConnectionStore) -> None:
    for to in (ANA, *NEIGHBOURS):
        connections.put(connection("tab", to))
    connections.put(connection("phone"))

    assert {row.connection_id for row in connections.of_recipient(ANA)} == {"tab", "phone"}
    assert {row.recipient for row in connections.of_recipient(ANA)} == {ANA}


def test_a_users_connections_are_those_in_every_conversation(connections: ConnectionStore) -> None:
    for to in (ANA, *NEIGHBOURS):
        connections.put(connection("tab", to))

    found = [row.recipient for row in connections.of_user("ana")]

    assert sorted((to.context, to.context_id) for to in found) == sorted(
        (to.context, to.context_id) for to in {ANA, *NEIGHBOURS} if to.user == "ana"
    )


def test_deleting_removes_exactly_one_connection_once(connections: ConnectionStore) -> None:
    connections.put(connection("old"))
    connections.put(connection("new"))

    assert connections.delete(ANA, "old") is True
    assert connections.delete(ANA, "old") is False
    assert connections.delete(recipient(context_id="4"), "new") is False
    assert [row.connection_id for row in connections.of_recipient(ANA)] == ["new"]


# Callbacks, of either kind

Kind = tuple[
    Callable[[CallbackStore, Callback], bool],
    Callable[[CallbackStore], list[Callback]],
    Callable[[CallbackStore, Callback], None],
]
RECONNECT: Kind = (
    lambda store, given: store.park_for_reconnect(given),
    lambda store: list(store.waiting_for_reconnect(ANA)),
    lambda store, given: store.remove_reconnect(given),
)
ACKNOWLEDGEMENT: Kind = (
    lambda store, given: store.park_for_acknowledgement(given),
    lambda store: list(store.waiting_for_acknowledgement("ana", "m-1")),
    lambda store, given: store.remove_acknowledgement(given),
)
either_kind = pytest.mark.parametrize("kind", [RECONNECT, ACKNOWLEDGEMENT], ids=["reconnect", "acknowledgement"])


@either_kind
def test_a_callback_comes_back_as_it_was_until_it_is_removed(callbacks: CallbackStore, kind: Kind) -> None:
    park, waiting, remove = kind
    stored = replace(callback(), since=NOW + timedelta(milliseconds=1_234))

    assert park(callbacks, stored) is True
    assert waiting(callbacks) == [stored]

    remove(callbacks, stored)
    remove(callbacks, stored)
    assert waiting(callbacks) == []


@either_kind
def test_a_runs_later_callback_replaces_its_earlier_one_and_survives_its_removal(
    callbacks: CallbackStore, kind: Kind
) -> None:
    park, waiting, remove = kind
    earlier, later = callback(entry=9), callback(entry=10)
    park(callbacks, earlier)
    assert park(callbacks, later) is True

    remove(callbacks, earlier)

    assert waiting(callbacks) == [later]


@either_kind
def test_a_runs_callback_that_comes_late_is_refused(callbacks: CallbackStore, kind: Kind) -> None:
    park, waiting, _ = kind
    earlier, later = callback(entry=9), callback(entry=10)
    park(callbacks, later)

    assert park(callbacks, earlier) is False
    assert waiting(callbacks) == [later]


@either_kind
def test_a_callback_may_be_stored_again(callbacks: CallbackStore, kind: Kind) -> None:
    park, waiting, _ = kind
    again = replace(callback(), since=NOW + timedelta(seconds=1))
    park(callbacks, callback())

    assert park(callbacks, again) is True
    assert waiting(callbacks) == [again]


@either_kind
def test_two_runs_that_carry_one_message_do_not_take_each_others_place(callbacks: CallbackStore, kind: Kind) -> None:
    park, waiting, remove = kind
    one, other = callback(entry=2, execution_name="run-1"), callback(entry=1, execution_name="run-2")

    assert park(callbacks, one)
    assert park(callbacks, other)
    assert waiting(callbacks) == [one, other]

    remove(callbacks, one)
    assert waiting(callbacks) == [other]


def test_a_message_can_wait_for_both_and_neither_touches_the_other(callbacks: CallbackStore) -> None:
    reconnect, acknowledgement = callback(entry=1), callback(entry=2)
    callbacks.park_for_reconnect(reconnect)
    callbacks.park_for_acknowledgement(acknowledgement)

    callbacks.remove_reconnect(reconnect)

    assert list(callbacks.waiting_for_reconnect(ANA)) == []
    assert list(callbacks.waiting_for_acknowledgement("ana", "m-1")) == [acknowledgement]


def test_the_callbacks_of_a_recipient_are_no_neighbours(callbacks: CallbackStore) -> None:
    for to in (ANA, *NEIGHBOURS):
        callbacks.park_for_reconnect(callback("m-1", to))
    callbacks.park_for_reconnect(callback("m-2"))

    found = list(callbacks.waiting_for_reconnect(ANA))

    assert {(each.recipient, each.message_id) for each in found} == {(ANA, "m-1"), (ANA, "m-2")}


@pytest.mark.parametrize(
    ("user", "message_id"), [("bo", "m-1"), ("an", "m-1"), ("ana", "m-"), ("ana", "m-12"), ("ana", "m-1#m-1")]
)
def test_an_acknowledgement_is_that_of_one_user_and_one_message(
    callbacks: CallbackStore, user: str, message_id: str
) -> None:
    callbacks.park_for_acknowledgement(callback("m-1"))

    assert list(callbacks.waiting_for_acknowledgement(user, message_id)) == []


def test_more_callbacks_than_one_page_holds(callbacks: CallbackStore) -> None:
    for number in range(30):
        callbacks.park_for_reconnect(replace(callback(f"m-{number}"), task_token="x" * 50_000))

    assert len(list(callbacks.waiting_for_reconnect(ANA))) == 30
