"""What is brought back from a restored table, and what is left as it is."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lambdas.adapters.tables import CallbackTable, ConnectionTable, SequenceTable
from lambdas.core.ports import Numbered
from ringback import restore as restoring
from ringback.cli import main
from ringback.installation import Installation
from ringback.restore import restore
from tests.builders import NOW, callback, connection, recipient
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
    here = session(REGION)
    for name in ("Chats", "Chats-restored"):
        _table(here, name, "item")
    row: dict[str, Any] = {"caller_id": {"S": "chat#c-1"}, "item": {"S": "chat"}}
    here.client("dynamodb").put_item(TableName="Chats-restored", Item=row)
    assert restore(damaged, "chats", "Chats-restored", into="Chats")["restored"] == 1


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
