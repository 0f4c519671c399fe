"""`accept` as a backend calls it."""

import json
import uuid
from typing import Any

import pytest

from lambdas.calls import accept
from lambdas.core.errors import InvalidMessage
from tests.builders import envelope
from tests.contract.conftest import SECRET, Stage
from tests.contract.ways_in import Outside, complaints, wired

RUNS = "arn:aws:states:eu-central-1:123456789012:execution:Delivery"


@pytest.fixture(autouse=True)
def outside(stage: Stage, connections_table: str, sequences_table: str, monkeypatch: pytest.MonkeyPatch) -> Outside:
    return wired(stage, monkeypatch, connections_table=connections_table, sequences_table=sequences_table)


def call(stage: Stage, *values: Any) -> list[dict[str, Any]]:
    answer = stage.call(accept.handler, {"messages": list(values)})
    assert json.loads(json.dumps(answer)) == answer, "it is the JSON that the caller gets"
    assert list(answer) == ["results"]
    return list(answer["results"])


def test_every_message_gets_its_answer_in_their_order(stage: Stage, outside: Outside) -> None:
    outside.connect()
    outside.deliveries.unreachable = {"m-6"}

    results = call(
        stage,
        envelope(payload=SECRET),
        envelope(id="m-2", payload=SECRET, track=True),
        envelope(id="m-2", payload=SECRET, track=True),
        envelope(id="m-2", payload=f"other {SECRET}"),
        envelope(id="m-5", ack=SECRET),
        envelope(id="m-6", track=True, payload=SECRET),
    )

    assert results == [
        {"id": "m-1", "status": "delivered"},
        {"id": "m-2", "status": "started", "executionArn": f"{RUNS}:m-2"},
        {"id": "m-2", "status": "duplicate", "executionArn": f"{RUNS}:m-2"},
        {
            "id": "m-2",
            "status": "conflict",
            "detail": "id: another message has it; an id names one content for one recipient",
        },
        {"id": "m-5", "status": "invalid", "detail": "ack: must be 'none' or 'client'"},
        {"id": "m-6", "status": "unavailable", "detail": "StartExecution: ThrottlingException"},
    ]
    assert stage.metrics() == {
        "Accepted": 2,
        "Delivered": 1,
        "Posted": 1,
        "Duplicates": 1,
        "Conflicts": 1,
        "Rejected": 1,
        "Errors": 1,
    }


def test_who_is_not_there_misses_what_is_not_durable(stage: Stage, outside: Outside) -> None:
    outside.connect()
    ben = {"user": "ben", "context": "chat", "contextId": "42"}

    results = call(
        stage,
        envelope(durable=False, payload=SECRET),
        envelope(id="m-2", durable=False, payload=SECRET, recipient=ben),
        envelope(id="m-3", durable=False, payload=SECRET, track=True),
    )

    assert results == [
        {"id": "m-1", "status": "delivered"},
        {"id": "m-2", "status": "missed"},
        {
            "id": "m-3",
            "status": "invalid",
            "detail": "envelope: give durable false without ack client, ordered, track and retry: it is posted now or "
            "not at all",
        },
    ]
    assert outside.deliveries.runs == {}
    assert stage.metrics() == {"Accepted": 1, "Delivered": 1, "Posted": 1, "Missed": 1, "Rejected": 1}


@pytest.mark.parametrize("expires_at", ["2030-01-31T12:00:00Z", "2020-01-01T00:00:00Z"])
def test_who_hears_the_answer_is_told_that_a_message_comes_too_late(
    stage: Stage, outside: Outside, expires_at: str
) -> None:
    (result,) = call(stage, envelope(expiresAt=expires_at, track=True))

    assert result == {"id": "m-1", "status": "invalid", "detail": "expiresAt: is over already"}
    assert outside.deliveries.runs == {}


def test_a_missing_id_is_made_up_and_answered(stage: Stage, outside: Outside) -> None:
    first, second = call(stage, *({**envelope(track=True), "id": None} for _ in range(2)))

    assert {first["id"], second["id"]} == outside.deliveries.runs.keys()
    assert uuid.UUID(first["id"]).version == 4

    (missed,) = call(stage, {**envelope(durable=False), "id": None})
    assert (uuid.UUID(missed["id"]).version, missed["status"]) == (4, "missed")


def test_a_stage_that_makes_every_message_a_run_posts_nothing(stage: Stage, outside: Outside) -> None:
    outside.connect()
    stage.set(EVERY_MESSAGE_IS_A_RUN="true")

    assert [result["status"] for result in call(stage, envelope())] == ["started"]
    assert outside.sockets.posts == {}


def test_a_first_attempt_that_cannot_be_made_is_logged_and_the_run_makes_it(stage: Stage) -> None:
    stage.set(CONNECTIONS_TABLE_NAME="Missing")

    assert [result["status"] for result in call(stage, envelope(payload=SECRET))] == ["started"]
    assert [line["reason"] for line in complaints(stage)] == ["Query: ResourceNotFoundException"]
    assert stage.metrics() == {"Accepted": 1, "Errors": 1}


@pytest.mark.parametrize(("seconds_left", "status"), [(28, "delivered"), (15, "started"), (5, "unavailable")])
def test_nothing_is_begun_that_the_function_has_no_time_to_end(
    stage: Stage, outside: Outside, seconds_left: int, status: str
) -> None:
    outside.connect()

    answer = stage.call(
        accept.handler, {"messages": [envelope()]}, get_remaining_time_in_millis=lambda: seconds_left * 1000
    )

    assert [result["status"] for result in answer["results"]] == [status]


def test_nothing_is_answered_with_nothing(stage: Stage) -> None:
    assert call(stage) == []


@pytest.mark.parametrize("event", [None, [], "x", {}, {"messages": {}}, {"messages": [envelope()] * 101}, envelope()])
def test_what_is_no_list_of_messages_is_refused_and_is_no_error_of_ours(stage: Stage, event: Any) -> None:
    with pytest.raises(InvalidMessage, match=r'^give \{"messages": \[…\]\} with at most 100 envelopes$'):
        stage.call(accept.handler, event)

    assert stage.metrics() == {}
