"""The three stores: what holds for the fakes holds for the tables."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Lock

import pytest
from botocore.exceptions import ClientError

from lambdas.adapters import aws
from lambdas.adapters.tables import CallbackTable, ConnectionTable, SequenceTable
from lambdas.core.errors import StoreUnavailable
from lambdas.core.model import Callback
from lambdas.core.ports import CallbackStore, ConnectionStore, Numbered, Sequences
from tests.builders import NOW, callback, connection, recipient
from tests.contract.conftest import rows
from tests.fakes import FakeCallbacks, FakeConnections, FakeSequences

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


@pytest.fixture(params=["fake", "table"])
def sequences(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Sequences:
    if request.param == "fake":
        return FakeSequences()
    monkeypatch.setattr("lambdas.adapters.tables.time.sleep", lambda seconds: None)
    table = SequenceTable(request.getfixturevalue("sequences_table"))
    client, one_at_a_time = aws.dynamodb(), Lock()

    class Atomic:
        """Each call is made as a whole, as DynamoDB makes them and moto's threads do not."""

        def __getattr__(self, name: str) -> Callable[..., object]:
            def call(**request: object) -> object:
                with one_at_a_time:
                    return getattr(client, name)(**request)

            return call

    monkeypatch.setattr(aws, "dynamodb", Atomic)
    return table


# Connections


@pytest.mark.parametrize("token_life", [None, 900])
def test_a_connection_comes_back_as_it_was(connections: ConnectionStore, token_life: float | None) -> None:
    stored = connection("Sm9tZQ=", token_life_seconds=token_life)._replace(
        connected_at=NOW - timedelta(milliseconds=1_234)
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

    assert connections.delete(ANA, "old") == connection("old")
    assert connections.delete(ANA, "old") is None
    assert connections.delete(recipient(context_id="4"), "new") is None
    assert [row.connection_id for row in connections.of_recipient(ANA)] == ["new"]


def test_a_stale_connection_is_so_since_the_first_time_and_until_it_is_active(connections: ConnectionStore) -> None:
    connections.put(connection("tab", token_life_seconds=900))
    connections.put(connection("phone"))

    for later in (0, 60):
        connections.mark_stale(ANA, "tab", NOW + timedelta(seconds=later))

    stale = connection("tab", token_life_seconds=900, stale_since=NOW)
    assert sorted(connections.of_recipient(ANA), key=lambda row: row.connection_id) == [connection("phone"), stale]

    for _ in range(2):
        connections.mark_active(ANA, "tab")
    assert connection("tab", token_life_seconds=900) in connections.of_recipient(ANA)


def test_a_connection_that_is_not_there_is_neither_stale_nor_active(connections: ConnectionStore) -> None:
    connections.mark_stale(ANA, "gone", NOW)
    connections.mark_active(ANA, "gone")

    assert connections.of_user("ana") == []


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
    stored = callback(
        attempt=3,
        sequence=7,
        since=NOW + timedelta(milliseconds=1_234),
        accepted_at=NOW - timedelta(milliseconds=1_234),
    )

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
    again = callback(since=NOW + timedelta(seconds=1))
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
        callbacks.park_for_reconnect(callback(f"m-{number}", task_token="x" * 50_000))

    assert len(list(callbacks.waiting_for_reconnect(ANA))) == 30


def test_the_callbacks_of_ordered_messages_come_in_their_order(callbacks: CallbackStore) -> None:
    """Whatever their names, and whoever waits among them."""
    for name, sequence in (("a", 100), ("b", 9), ("c", None), ("99", 10), ("z", 1), ("000000000005", None)):
        callbacks.park_for_reconnect(callback(name, sequence=sequence))

    numbers = [each.sequence for each in callbacks.waiting_for_reconnect(ANA)]

    assert [number for number in numbers if number is not None] == [1, 9, 10, 100]
    assert len(numbers) == 6


def test_what_a_run_has_parked_is_found_by_any_of_its_callbacks(callbacks: CallbackStore) -> None:
    for name, sequence in (("run-1", 7), ("run-2", None)):
        callbacks.park_for_reconnect(callback(execution_name=name, entry=2, sequence=sequence))

    for name, sequence in (("run-1", 7), ("run-2", None)):
        parked = callback(execution_name=name, entry=2, sequence=sequence)
        assert callbacks.reconnect_of(callback(execution_name=name, entry=1, sequence=sequence)) == parked
    assert callbacks.reconnect_of(callback(execution_name="run-3")) is None


def test_a_late_acknowledgement_is_kept_for_its_run_whatever_becomes_of_its_callback(callbacks: CallbackStore) -> None:
    output = {"status": "acknowledged", "messageId": "m-1"}
    callbacks.park_for_acknowledgement(callback(entry=1))
    callbacks.keep_acknowledgement(callback(entry=1), output)

    callbacks.park_for_acknowledgement(callback(entry=2))
    callbacks.remove_acknowledgement(callback(entry=2))

    assert callbacks.kept_acknowledgement(callback(entry=3)) == output
    assert callbacks.kept_acknowledgement(callback(entry=3, execution_name="another")) is None
    assert callbacks.kept_acknowledgement(callback("m-2", entry=3, execution_name="m-1")) is None
    assert callbacks.kept_acknowledgement(callback(to=recipient(user="bo"))) is None


def test_a_late_acknowledgement_is_no_callback(callbacks: CallbackStore) -> None:
    callbacks.keep_acknowledgement(callback(), {"status": "acknowledged"})

    assert list(callbacks.waiting_for_acknowledgement("ana", "m-1")) == []
    assert list(callbacks.waiting_for_reconnect(ANA)) == []


def test_everything_in_the_callbacks_table_expires(callbacks_table: str) -> None:
    table = CallbackTable(callbacks_table)
    table.park_for_reconnect(callback())
    table.park_for_acknowledgement(callback())
    table.keep_acknowledgement(callback(), {})

    expected = str(int(callback().expires_at.timestamp()))
    assert [row["expiration_date"]["N"] for row in rows(callbacks_table)] == [expected] * 3


# The numbers of ordered messages

UNTIL = NOW + timedelta(days=3)


def test_numbers_are_contiguous_for_each_recipient_from_one(sequences: Sequences) -> None:
    for to in {ANA, *NEIGHBOURS}:
        given = [sequences.number(to, f"run-{run}", until=UNTIL) for run in range(3)]

        assert given == [Numbered(number, is_new=True) for number in (1, 2, 3)]


def test_a_run_that_asks_again_is_given_the_same_number(sequences: Sequences) -> None:
    for run in ("run-1", "run-2"):
        sequences.number(ANA, run, until=UNTIL)

    assert sequences.number(ANA, "run-1", until=UNTIL) == Numbered(1, is_new=False)
    assert sequences.number(ANA, "run-3", until=UNTIL) == Numbered(3, is_new=True)


def test_numbers_that_many_take_at_once_are_contiguous_and_none_is_given_twice(sequences: Sequences) -> None:
    """Each run asks twice at once, as intake and the run's first state do."""

    def take(name: str) -> Numbered:
        while True:
            try:
                return sequences.number(ANA, name, until=UNTIL)
            except StoreUnavailable:
                continue  # as the queue and the run do

    names = [f"run-{number // 2}" for number in range(240)]
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(take, names))

    assert sorted(number.sequence for number in numbers if number.is_new) == list(range(1, 121))
    assert {name: number.sequence for name, number in zip(names, numbers, strict=True)} == {
        name: number.sequence for name, number in zip(reversed(names), reversed(numbers), strict=True)
    }


def test_a_number_that_others_take_again_and_again_is_worth_another_try(
    sequences_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overtaken:
        """Somebody else is faster each time."""

        def transact_write_items(self, **request: object) -> None:
            raise ClientError({"Error": {"Code": "TransactionCanceledException"}}, "TransactWriteItems")

        def __getattr__(self, name: str) -> object:
            return getattr(client, name)

    client = aws.dynamodb()
    paused: list[float] = []
    monkeypatch.setattr(aws, "dynamodb", Overtaken)
    monkeypatch.setattr("lambdas.adapters.tables.time.sleep", paused.append)

    with pytest.raises(StoreUnavailable, match="too many want the next number of one recipient"):
        SequenceTable(sequences_table).number(ANA, "run-1", until=UNTIL)

    assert sum(paused) <= 3
    assert rows(sequences_table) == []


@pytest.mark.parametrize("call", ["batch_get_item", "transact_write_items"])
def test_a_failure_of_the_table_is_no_contention(
    sequences_table: str, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    class Failing:
        def __getattr__(self, name: str) -> object:
            return fail if name == call else getattr(client, name)

    def fail(**request: object) -> None:
        asked.append(call)
        raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, call)

    client = aws.dynamodb()
    asked: list[str] = []
    monkeypatch.setattr(aws, "dynamodb", Failing)

    with pytest.raises(StoreUnavailable, match="ProvisionedThroughputExceededException"):
        SequenceTable(sequences_table).number(ANA, "run-1", until=UNTIL)
    assert asked == [call]


def test_the_rows_of_a_number_are_the_last_one_for_good_and_the_runs_until_it_may_go(sequences_table: str) -> None:
    SequenceTable(sequences_table).number(ANA, "run-1", until=UNTIL)

    assert sorted(rows(sequences_table), key=lambda row: row["position"]["S"]) == [
        {"caller_id": {"S": "user#ana"}, "position": {"S": "last#chat#42"}, "sequence": {"N": "1"}},
        {
            "caller_id": {"S": "user#ana"},
            "position": {"S": "number#chat#42#run-1"},
            "sequence": {"N": "1"},
            "expiration_date": {"N": str(int(UNTIL.timestamp()))},
        },
    ]
