"""What is brought back from a restored table, and what is left as it is."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lambdas.adapters.tables import CallbackTable, ConnectionTable, SequenceTable
from lambdas.chat.adapters.table import ChatTable
from lambdas.chat.core import rules
from lambdas.chat.core.model import Change
from lambdas.core.ports import Numbered
from ringback import restore as restoring
from ringback.cli import main
from ringback.errors import RingbackError
from ringback.installation import Installation
from ringback.restore import Restored, restore
from tests.builders import NOW, callback, connection, recipient
from tests.chats import ANA, BO, DAN, LIMITS, later
from tests.integration.sdk.conftest import Place, _table, now
from tests.integration.service import Answer, Service
from tests.sdk import REGION, session

LATER = timedelta(days=2)


@pytest.fixture
def management_api() -> Iterator[Service]:
    with Service().running() as service:
        service.answer = Answer(204, b"")
        yield service


@pytest.fixture
def damaged(place: Place, management_api: Service, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation, and beside it a restored table for each of its own; all at noon."""
    monkeypatch.setattr("ringback.restore.time.time", NOW.timestamp)
    here = session(REGION)
    _table(here, "Sequences", "position")
    for name, sort_key in (("Connections", "context"), ("Callbacks", "waits_for"), ("Sequences", "position")):
        _table(here, f"{name}-restored", sort_key)
    outputs = {**place.installation.outputs, "SequencesTableName": "Sequences"}
    return replace(place.installation, outputs={**outputs, "ManagementEndpoint": management_api.url})


def test_callbacks_that_are_gone_come_back_and_newer_ones_stay(damaged: Installation) -> None:
    backup, table = CallbackTable("Callbacks-restored"), CallbackTable("Callbacks")
    backup.park_for_reconnect(callback("m-1", task_token="old-1"))
    backup.park_for_reconnect(callback("m-2", task_token="old-2"))
    backup.park_for_acknowledgement(callback("m-3"))
    backup.keep_acknowledgement(callback("m-4"), {"status": "acknowledged"})
    table.park_for_reconnect(callback("m-2", task_token="new-2", entry=2))

    assert dict(restore(damaged, "callbacks", "Callbacks-restored")) == {"restored": 3, "newer": 1, "closed": 0}

    tokens = {each.message_id: each.task_token for each in table.waiting_for_reconnect(recipient())}
    assert tokens == {"m-1": "old-1", "m-2": "new-2"}
    assert table.kept_acknowledgement(callback("m-4")) == {"status": "acknowledged"}


def test_who_is_connected_while_a_message_waits_is_made_to_come_back(
    damaged: Installation, management_api: Service
) -> None:
    there = connection("tab")._replace(connected_at=now(), expires_at=now() + LATER)
    for each in (there, there._replace(recipient=recipient(context_id="43"), connection_id="elsewhere")):
        ConnectionTable("Connections").put(each)
    CallbackTable("Callbacks-restored").park_for_reconnect(callback())

    assert restore(damaged, "callbacks", "Callbacks-restored")["closed"] == 1
    assert [(each.method, each.path) for each in management_api.requests] == [("DELETE", "/@connections/tab")]

    management_api.answer = Answer(410, b'{"message": "Gone"}', {"x-amzn-ErrorType": "GoneException"})
    assert restore(damaged, "callbacks", "Callbacks-restored")["closed"] == 0


def test_numbers_go_on_beyond_what_the_backup_knows(damaged: Installation) -> None:
    backup, table, until = SequenceTable("Sequences-restored"), SequenceTable("Sequences"), NOW + LATER
    for name in ("m-1", "m-2"):
        backup.number(recipient(), name, until=until)
    for name in ("n-1", "n-2", "n-3"):
        table.number(recipient("bo"), name, until=until)
    backup.number(recipient("bo"), "n-1", until=until)  # so bo's own count is beyond it, as if it had begun anew
    table.number(recipient(), "m-9", until=until)  # who came after the loss began at one again

    assert dict(restore(damaged, "sequences", "Sequences-restored", numbers_left_out=100)) == {
        "restored": 4,
        "newer": 1,
        "closed": 0,
    }
    assert restore(damaged, "sequences", "Sequences-restored", numbers_left_out=100)["restored"] == 0

    assert table.number(recipient(), "m-1", until=until) == Numbered(1, is_new=False)
    assert table.number(recipient(), "m-3", until=until) == Numbered(103, is_new=True)
    assert table.number(recipient("bo"), "n-4", until=until) == Numbered(102, is_new=True)


def test_connections_come_back_but_for_those_that_are_over(damaged: Installation) -> None:
    backup = ConnectionTable("Connections-restored")
    backup.put(connection("tab"))
    backup.put(connection("over", life_seconds=0))

    assert dict(restore(damaged, "connections", "Connections-restored")) == {"restored": 1, "expired": 1, "closed": 0}
    assert ConnectionTable("Connections").of_recipient(recipient()) == [connection("tab")]


def test_many_rows_are_read_page_by_page_and_told(damaged: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "_A_ROUND", 2)
    for number in range(5):
        ConnectionTable("Connections-restored").put(connection(f"c-{number}"))
    told: list[int] = []
    restore(damaged, "connections", "Connections-restored", on_progress=told.append)
    assert told == [2, 4, 5]


def test_the_chats_table_has_to_be_named(damaged: Installation) -> None:
    with pytest.raises(ValueError, match="ChatsTableName"):
        restore(damaged, "chats", "Chats-restored")


class Chats:
    """The chat's table and its backup."""

    def __init__(self, installation: Installation) -> None:
        here = session(REGION)
        self.installation = installation
        self.client = here.client("dynamodb")
        self.table, self.backup = (
            ChatTable(_table(here, name, "item", partition_key="collection"), self.client, timedelta(days=3650))
            for name in ("Chats", "Chats-restored")
        )

    def have(self, *changes: Change | None, backed_up: int) -> None:
        """Have one chat go through all of them in the table, and through so many in the backup."""
        for table, seen in ((self.table, len(changes)), (self.backup, backed_up)):
            before = None
            for change in changes[:seen]:
                assert change is not None
                table.put(before, change)
                before = change.chat

    def lose(self) -> None:
        """Empty the table."""
        for row in self.client.scan(TableName="Chats")["Items"]:
            self.lose_row(row["collection"]["S"], row["item"]["S"])

    def lose_row(self, collection: str, item: str) -> None:
        self.client.delete_item(TableName="Chats", Key={"collection": {"S": collection}, "item": {"S": item}})

    def restore(self) -> Restored:
        return restore(self.installation, "chats", "Chats-restored", into="Chats")

    @property
    def found(self) -> tuple[list[str], list[str], list[str]]:
        """Who finds which chat: in the queue, Bo's, Cy's."""
        queue = [chat.id for chat in self.table.waiting(limit=10)]
        return queue, self.table.active_of("bo"), self.table.active_of("cy")


@pytest.fixture
def chats(damaged: Installation) -> Chats:
    return Chats(damaged)


def changed(change: Change | None) -> Change:
    assert change is not None
    return change


STARTED = rules.start("c-1", ANA, None, LIMITS, NOW)
ACCEPTED = changed(rules.accept(STARTED.chat, BO, NOW))
SAID = rules.send(STARTED.chat, ANA, "m-1", "are you there?", LIMITS, later(1))


def test_lost_chats_are_found_again_where_they_were(chats: Chats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "_A_ROUND", 1)
    second = rules.start("c-2", DAN, None, LIMITS, later(1))
    third = rules.start("c-3", ANA.replace(user="eve"), None, LIMITS, later(2))
    chats.have(STARTED, backed_up=1)
    chats.have(second, backed_up=1)
    chats.have(third, rules.accept(third.chat, BO, later(3)), backed_up=2)
    before = chats.client.scan(TableName="Chats")["Items"]
    chats.lose()

    assert dict(chats.restore()) == {"restored": len(before), "closed": 0}

    assert chats.found == (["c-1", "c-2"], ["c-3"], [])
    assert dict(chats.restore()) == {"newer": len(before), "closed": 0}


@pytest.mark.parametrize(
    ("changes", "backed_up", "found"),
    [
        pytest.param([STARTED, ACCEPTED], 1, ([], ["c-1"], []), id="accepted"),
        pytest.param(
            [STARTED, ACCEPTED, rules.transfer(ACCEPTED.chat, BO, "cy", later(1))], 2, ([], [], ["c-1"]), id="handed on"
        ),
        pytest.param(
            [STARTED, ACCEPTED, rules.transfer(ACCEPTED.chat, BO, None, later(1))], 2, (["c-1"], [], []), id="back"
        ),
        pytest.param([STARTED, rules.end(STARTED.chat, ANA, later(1))], 1, ([], [], []), id="ended"),
    ],
)
def test_nobody_finds_a_chat_where_it_was_before_what_happened_since(
    chats: Chats, changes: list[Change], backed_up: int, found: tuple[list[str], list[str], list[str]]
) -> None:
    chats.have(*changes, backed_up=backed_up)
    assert chats.found == found

    chats.restore()

    assert chats.found == found


def test_nobody_finds_a_chat_that_is_gone_from_the_backup_too(chats: Chats) -> None:
    chats.have(STARTED, backed_up=1)
    chats.lose()
    chats.client.delete_item(TableName="Chats-restored", Key={"collection": {"S": "chat#c-1"}, "item": {"S": "state"}})

    chats.restore()

    assert chats.found == ([], [], [])


def test_a_place_in_the_queue_that_is_lost_alone_comes_back_as_the_chat_is_now(chats: Chats) -> None:
    chats.have(STARTED, SAID, backed_up=1)
    chats.lose_row("queue", STARTED.chat.queue_key)

    assert chats.restore()["restored"] == 1

    assert [chat.version for chat in chats.table.waiting(limit=1)] == [2]


@pytest.mark.parametrize(
    ("meanwhile", "found"), [(ACCEPTED, ([], ["c-1"], [])), (SAID, (["c-1"], [], []))], ids=["accepted", "said"]
)
def test_what_happens_to_a_chat_while_it_is_put_back_counts(
    chats: Chats, meanwhile: Change, found: tuple[list[str], list[str], list[str]]
) -> None:
    chats.have(STARTED, backed_up=1)
    chats.lose_row("queue", STARTED.chat.queue_key)
    happens = iter([meanwhile])

    def happen(**_: Any) -> None:
        for change in happens:
            chats.table.put(STARTED.chat, change)

    chats.installation.clients.dynamodb.meta.events.register("before-call.dynamodb.TransactWriteItems", happen)
    chats.restore()

    assert chats.found == found


@pytest.mark.parametrize("reason", ["TransactionConflict", "ThrottlingError"])
def test_a_write_that_is_in_another_s_way_is_made_again_and_any_other_failure_told(chats: Chats, reason: str) -> None:
    chats.have(STARTED, backed_up=1)
    chats.lose_row("queue", STARTED.chat.queue_key)
    client = chats.installation.clients.dynamodb
    cancelled = client.exceptions.TransactionCanceledException(
        {
            "Error": {"Code": "TransactionCanceledException", "Message": ""},
            "CancellationReasons": [{"Code": reason}, {"Code": "None"}],
        },
        "TransactWriteItems",
    )
    refusals = iter([cancelled])

    def refuse(**_: Any) -> None:
        for refusal in refusals:
            raise refusal

    client.meta.events.register("before-call.dynamodb.TransactWriteItems", refuse)
    with nullcontext() if reason == "TransactionConflict" else pytest.raises(RingbackError, match="TransactWriteItems"):
        chats.restore()

    assert chats.found[0] == (["c-1"] if reason == "TransactionConflict" else [])


def test_the_command_says_what_it_did(
    damaged: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ConnectionTable("Connections-restored").put(connection("tab"))
    monkeypatch.setattr("ringback.cli.restore.open_installation", lambda _: damaged)
    assert main(["restore", "connections", "Connections-restored"]) == 0
    assert capsys.readouterr().out == "1 rows restored, 0 newer ones left, 0 expired\n"
    assert main(["restore", "connections", "Connections-restored", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"restored": 0, "newer": 1, "expired": 0, "closed": 0}
    with pytest.raises(SystemExit) as misused:
        main(["restore", "chats", "Chats-restored"])
    assert misused.value.code == 2
    assert main(["restore", "connections", "nothing"]) == 1
