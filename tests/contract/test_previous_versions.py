"""Runs wait for a week, so what earlier versions wrote and sent still comes: today's functions have to take it."""

import json
from typing import Any

import boto3
import pytest

from lambdas.adapters.tables import CallbackTable, ConnectionTable, SequenceTable
from lambdas.core.model import utc
from lambdas.core.ports import Numbered
from lambdas.routes import acknowledge
from lambdas.triggers import wake
from ringback.dead_letters import DeliveryDeadLetterQueue
from tests.builders import NOW, message_event, recipient, stream_record
from tests.contract.conftest import Stage, mocked_aws
from tests.contract.previous import scenes, versions
from tests.contract.previous.scenes import BO_AT_HOME, CY_IN_CHAT
from tests.fakes import FakeTokens

of_every_version = pytest.mark.parametrize("version", versions.VERSIONS)
TABLES = {"Connections": "connections", "Callbacks": "callbacks", "Sequences": "sequences"}


def test_the_version_that_is_worked_on_has_left_what_it_writes_and_sends_today() -> None:
    folder = versions.FOLDER / versions.current()
    left = {file.name: file.read_text("utf-8") for file in folder.glob("*.json")}
    changed = [name for name, text in versions.files().items() if left.get(name) != text]
    assert changed == [], (
        "runs that wait would meet this: make sure that what is recorded is still taken, then record it anew with "
        "`python -m tests.contract.previous`; the records of released versions stay as they are"
    )


@of_every_version
@pytest.mark.parametrize("name", versions.PLAYS)
def test_calls_as_an_earlier_definition_makes_them_come_to_the_same(version: str, name: str) -> None:
    calls = versions.read(version, name)["calls"]
    assert calls
    for call, outcome in zip(calls, versions.replayed(name, calls), strict=True):
        assert scenes.holds(outcome, call["outcome"]), (call["function"], call["event"], outcome)


@of_every_version
@pytest.mark.parametrize("name", versions.PLAYS)
def test_a_run_goes_to_its_end_on_an_earlier_definition_with_the_functions_of_today(version: str, name: str) -> None:
    versions.played(name, versions.definition(version, name))


class Left:
    """The tables as an earlier version left them at one moment, and today's handlers with them."""

    def __init__(self, version: str, moment: str, stage: Stage, patch: pytest.MonkeyPatch) -> None:
        rows = versions.read(version, "delivery")["rows"][moment]
        scenes.fill({name: rows[recorded] for name, recorded in TABLES.items()})
        self.rows = {name: rows[recorded] for name, recorded in TABLES.items()}
        self.tokens = FakeTokens(waiting={row["task_token"]["S"] for row in rows["callbacks"] if "task_token" in row})
        for module in (wake, acknowledge):
            patch.setattr(module, "WaitingRuns", lambda **_: self.tokens)
        stage.set(CONNECTIONS_TABLE_NAME="Connections", CALLBACKS_TABLE_NAME="Callbacks")
        self._stage = stage

    def connects(self, user: str) -> None:
        """The stream brings the row of this user's connection."""
        (row,) = (row for row in self.rows["Connections"] if row["caller_id"]["S"] == f"user#{user}")
        assert self._stage.call(wake.handler, {"Records": [stream_record(row, "1")]}) == {"batchItemFailures": []}

    def acknowledges(self, message_id: str) -> None:
        """Bo's client does."""
        event = message_event(json.dumps({"action": "ack", "id": message_id}), "phone")
        event["requestContext"]["authorizer"] |= BO_AT_HOME.to_wire()
        assert self._stage.call(acknowledge.handler, event)["statusCode"] == 200


@pytest.fixture
def left(
    stage: Stage,
    connections_table: str,
    callbacks_table: str,
    sequences_table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    return lambda version, moment: Left(version, moment, stage, monkeypatch)


@of_every_version
def test_a_callback_of_an_earlier_version_is_woken_by_its_connection(left: Any, version: str) -> None:
    found = left(version, "waits for a reconnect after that")
    assert found.tokens.waiting

    found.connects("bo")

    (output,) = found.tokens.outputs.values()
    assert output["wokenBy"] == "reconnect"
    assert [each["connectionId"] for each in output["connections"]] == ["phone"]
    assert list(CallbackTable("Callbacks").waiting_for_reconnect(BO_AT_HOME)) == []


@of_every_version
@pytest.mark.parametrize("moment", ["awaits an acknowledgement", "waits for a reconnect after that"])
def test_a_callback_of_an_earlier_version_is_acknowledged_in_time_or_late(left: Any, version: str, moment: str) -> None:
    found = left(version, moment)

    found.acknowledges("m-2")

    outputs = json.dumps(list(found.tokens.outputs.values()))
    assert '"status": "acknowledged"' in outputs


@of_every_version
def test_rows_of_an_earlier_version_are_read_as_they_were_meant(left: Any, version: str) -> None:
    left(version, "waits for a reconnect")

    (callback,) = CallbackTable("Callbacks").waiting_for_reconnect(CY_IN_CHAT)
    assert (callback.message_id, callback.execution_name, callback.attempt) == ("m-3", "m-3", 2)
    (tab,) = ConnectionTable("Connections").of_recipient(recipient())
    assert (tab.connection_id, tab.connected_at < NOW < tab.expires_at) == ("tab", True)
    numbers = SequenceTable("Sequences")
    until = utc("2030-02-07T12:00:00.000Z")
    assert numbers.number(BO_AT_HOME, "m-2", until=until) == Numbered(1, is_new=False)
    assert numbers.number(BO_AT_HOME, "m-9", until=until) == Numbered(2, is_new=True)


@of_every_version
def test_an_acknowledgement_that_an_earlier_version_kept_is_found(left: Any, version: str) -> None:
    left(version, "waits for a reconnect after that")
    (parked,) = CallbackTable("Callbacks").waiting_for_reconnect(BO_AT_HOME)
    assert CallbackTable("Callbacks").kept_acknowledgement(parked) is None

    late = versions.read(version, "delivery")["rows"]["was acknowledged late"]["callbacks"]
    scenes.fill({"Callbacks": late})

    kept = CallbackTable("Callbacks").kept_acknowledgement(parked)
    assert kept is not None
    assert (kept["status"], kept["messageId"], kept["connectionId"]) == ("acknowledged", "m-2", "phone")


@of_every_version
def test_dead_letters_of_an_earlier_version_can_be_read_and_redriven(version: str) -> None:
    letters = versions.read(version, "delivery")["deadLetters"]
    assert letters
    with mocked_aws():
        sqs, machines = boto3.client("sqs"), boto3.client("stepfunctions")
        url = sqs.create_queue(QueueName="DeadLetters")["QueueUrl"]
        ends = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
        role = "arn:aws:iam::123456789012:role/delivery"
        machine = machines.create_state_machine(name="delivery", definition=ends, roleArn=role)["stateMachineArn"]
        for letter in letters:
            sqs.send_message(QueueUrl=url, MessageBody=json.dumps(letter))
        queue = DeliveryDeadLetterQueue(sqs, url, machines, machine)

        read = list(queue.letters())
        assert [(each.readable, each.message_id, each.reason, each.message) for each in read] == [
            (True, letter["message"]["id"], letter["reason"], letter["message"]) for letter in letters
        ]
        assert queue.find("m-4").execution_arn == letters[0]["executionArn"]
