"""The tables are emptied while messages wait, restored from their backups, and every message arrives."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ringback.cli import main
from tests.operations.crowd import Crowd
from tests.operations.operated import Operated
from tests.waiting import until

USERS = 40
KINDS: list[dict[str, Any]] = [{}, {}, {"ack": "client"}, {"ordered": True}, {"ordered": True}]


def table_names(operated: Operated) -> dict[str, str]:
    """The stack's tables, by what `ringback restore` calls them, in the order in which it wants them."""
    here = operated.installation
    return {
        "sequences": here.sequences_table_name,
        "callbacks": here.callbacks_table_name,
        "connections": here.connections_table_name,
    }


def back_up(operated: Operated, names: Mapping[str, str]) -> dict[str, str]:
    """Make a backup of each."""
    client = operated.clients.dynamodb
    return {
        table: client.create_backup(TableName=name, BackupName=table)["BackupDetails"]["BackupArn"]
        for table, name in names.items()
    }


def empty(operated: Operated, name: str) -> int:
    """Delete all rows of a table; answers how many there were."""
    client = operated.clients.dynamodb
    keys = [each["AttributeName"] for each in client.describe_table(TableName=name)["Table"]["KeySchema"]]
    rows = [row for page in client.get_paginator("scan").paginate(TableName=name) for row in page["Items"]]
    for row in rows:
        client.delete_item(TableName=name, Key={key: row[key] for key in keys})
    return len(rows)


def test_two_hundred_messages_that_wait_outlive_the_loss_of_all_tables(
    operated: Operated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, names, mark = tmp_path / "local.json", table_names(operated), uuid.uuid4().hex[:8]
    operated.installation.save(file)
    with Crowd(operated.stage, [f"lost-{mark}-{number}" for number in range(USERS)]) as crowd:
        there, too_early, later = crowd.users[:10], crowd.users[10:20], crowd.users[20:]
        crowd.connect(there)
        crowd.send(crowd.messages(KINDS))
        crowd.await_all(there)
        crowd.await_parked(len(KINDS) * (USERS - len(there)))

        backups = back_up(operated, names)
        assert all(empty(operated, name) for name in names.values())

        # Meanwhile some come back, and nothing wakes what waits; those who are there are not known; numbers restart.
        crowd.connect(too_early)
        news = crowd.messages([{"ordered": True, "ack": "client"}])
        crowd.send(news)
        crowd.await_parked(USERS - len(too_early))
        assert len(crowd.missing(too_early)) == len(KINDS) * len(too_early)

        client = operated.clients.dynamodb
        for table, arn in backups.items():
            client.restore_table_from_backup(TargetTableName=f"{table}-{mark}", BackupArn=arn)
            assert main(["restore", table, f"{table}-{mark}", "--json", "--local-file", str(file)]) == 0
            told = json.loads(capsys.readouterr().out)
            assert told["restored"]
            if table == "callbacks":
                assert told["closed"] == len(too_early)
                until(lambda: not any(crowd.clients[user].is_open for user in too_early), "their connections end")
                crowd.connect(too_early)
        crowd.connect(later)
        crowd.await_all(crowd.users)
        # What was numbered before the loss keeps its number. What was numbered while the table was empty began at one
        # again: it comes, and its client says that it is late.
        meanwhile = {message["id"] for message in news}
        for user in crowd.users:
            ordered = [frame for frame in crowd.handled(user) if frame.get("ordered")]
            assert sorted(each["sequence"] for each in ordered if each["id"] not in meanwhile) == [1, 2]
        ends = {operated.stage.runs.await_end(operated.stage.runs.arn_of(id_)).status for id_ in crowd.ids_with_runs()}
        assert ends == {"SUCCEEDED"}

        # Whoever is numbered from now on comes after all of that.
        crowd.send(crowd.messages([{"ordered": True}]))
        crowd.await_all(crowd.users)
        for user in crowd.users:
            *before, last = [frame["sequence"] for frame in crowd.handled(user) if frame.get("ordered")]
            assert last > max(before)
