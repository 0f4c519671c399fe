"""After all attacks: everyone was answered as documented, nothing has crashed, and people are served as before."""

import json
import uuid

import pytest

from local.demo.stage import envelope
from tests.attacks.conftest import REFUSALS, Case
from tests.attacks.target import Target

FEWEST_CASES = 400
_CRASHED = ("[ERROR]", "Task timed out", "Runtime.")
# Answers that are exceptions, the authorizer's 401 and a state's error; the runtime writes them like any other.
_ANSWERS = ("[ERROR] Unauthorized: Unauthorized", "[ERROR] NoOpenConnection: ")


def test_all_were_answered_as_documented(request: pytest.FixtureRequest, ledger: list[Case]) -> None:
    collected = [item for item in request.session.items if item.path != request.path]
    assert len(ledger) == len(collected)
    assert [case.name for case in ledger if not case.as_documented] == []
    assert len({(case.group, case.name) for case in ledger}) == len(ledger) >= FEWEST_CASES


def test_the_document_has_every_refusal(target: Target) -> None:
    assert {str(status) for status in target.handshakes} <= {"101", *REFUSALS}


def test_nothing_has_crashed(target: Target) -> None:
    assert max(target.handshakes) < 500 > max(target.statuses)
    found = list(target.lines())
    assert len(found) > FEWEST_CASES, "there are logs to look at"
    crashes = [(group, line) for group, line in found if any(word in line for word in _CRASHED)]
    assert [(group, line) for group, line in crashes if not line.startswith(_ANSWERS)] == []
    tracebacks = sum(line.startswith("Traceback") for _, line in found)
    assert tracebacks == len(crashes) > 0
    records = [json.loads(line) for _, line in found if line.startswith("{")]
    assert [record for record in records if record.get("level") in {"ERROR", "CRITICAL"} or "Errors" in record] == []


def test_people_are_served(target: Target) -> None:
    stage, user = target.stage, f"ana-{uuid.uuid4()}"
    client = stage.client(user)
    client.acknowledges = True
    message = envelope(user, "hello", ack="client")
    with stage.connected(client):
        stage.await_rows(client, user, 1)
        run = stage.runs.await_end(stage.runs.start(message))
        (at_once,) = stage.accept(envelope(user, "and now"))
    assert (run.status, run.output and run.output["status"]) == ("SUCCEEDED", "acknowledged")
    assert at_once["status"] == "delivered"
