"""What is left to do when a run has ended and its message was not delivered."""

import json
from typing import Any

import pytest

from lambdas.core.endings import Ended, conclude
from lambdas.core.errors import ServiceUnavailable
from lambdas.core.ports import Numbered
from tests.builders import DAY_SECONDS, NOW, connection, envelope, recipient
from tests.fakes import FakeDeadLetters
from tests.unit.test_first_attempt import World

EXPIRED = "Dead-lettered after 3 attempts: its life ended at 2030-01-31T12:00:00.000Z"


class Aftermath:
    """A world in which runs have ended."""

    def __init__(self) -> None:
        self.world = World()
        self.dead_letters = FakeDeadLetters()

    def conclude(self, run: Ended) -> None:
        conclude(
            run,
            default_ttl_seconds=DAY_SECONDS,
            sequences=self.world.sequences,
            dead_letters=self.dead_letters,
            intake=self.world.intake(),
            clock=self.world.clock,
        )

    def number(self, *names: str) -> None:
        for name in names:
            self.world.sequences.number(recipient(), name, until=NOW)


@pytest.fixture
def after() -> Aftermath:
    return Aftermath()


def ended(status: str = "FAILED", *, name: str = "m-1", error: str = "", cause: str = "", **changes: Any) -> Ended:
    return Ended(
        arn=f"arn:aws:states:eu-central-1:123456789012:execution:Delivery:{name}",
        name=name,
        status=status,
        envelope_json=json.dumps(envelope(**changes)),
        error=error,
        cause=cause,
        started_at=NOW,
    )


def test_what_the_run_dead_lettered_itself_is_done(after: Aftermath) -> None:
    after.conclude(ended(error="MessageExpired", cause=EXPIRED))

    assert after.dead_letters.kept == []
    assert after.world.deliveries.runs == {}


def test_who_cancelled_a_message_wants_no_dead_letter_of_it(after: Aftermath) -> None:
    after.conclude(ended("ABORTED", error="Cancelled"))

    assert after.dead_letters.kept == []
    assert after.world.deliveries.runs == {}


@pytest.mark.parametrize(
    ("status", "error"),
    [("FAILED", "States.DataLimitExceeded"), ("FAILED", "States.Runtime"), ("TIMED_OUT", "States.Timeout")],
)
def test_a_message_that_its_run_could_not_keep_is_kept_here(after: Aftermath, status: str, error: str) -> None:
    after.conclude(ended(status, error=error, cause="it was too large"))

    assert after.dead_letters.kept == [
        {
            "message": envelope(),
            "reason": error,
            "cause": "it was too large",
            "lastError": {"error": error, "cause": "it was too large"},
            "attempts": None,
            "executionArn": "arn:aws:states:eu-central-1:123456789012:execution:Delivery:m-1",
            "deadLetteredAt": "2030-01-31T12:00:00.000Z",
        }
    ]
    assert after.world.deliveries.runs == {}, "nobody waits for a number that it never had"


def test_what_is_no_message_is_kept_too_and_has_no_number(after: Aftermath) -> None:
    after.conclude(ended(error="States.Runtime")._replace(envelope_json='{"ordered": true}'))

    assert [letter["message"] for letter in after.dead_letters.kept] == [{"ordered": True}]
    assert after.world.sequences.runs == {}


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(ended("ABORTED", error="Cancelled", ordered=True), id="cancelled"),
        pytest.param(ended(error="MessageExpired", cause=EXPIRED, ordered=True), id="dead-lettered"),
        pytest.param(ended(error="States.Runtime", ordered=True), id="died"),
    ],
)
def test_a_number_that_will_not_be_delivered_is_announced_to_those_who_wait_for_it(
    after: Aftermath, run: Ended
) -> None:
    after.number("m-0", "m-1", "m-2")

    after.conclude(run)

    (started,) = after.world.deliveries.runs.values()
    assert json.loads(started) == {
        "id": "skipped-m-1",
        "recipient": {"user": "ana", "context": "chat", "contextId": "42"},
        "type": "ringback.skipped",
        "payload": {"id": "m-1", "sequence": 2},
        "expiresAt": "2030-02-07T12:00:00.000Z",
    }


def test_who_acknowledges_the_message_acknowledges_that_it_will_not_come(after: Aftermath) -> None:
    after.world.connections.put(connection("tab"))
    after.number("m-1")

    after.conclude(ended("ABORTED", ordered=True, ack="client", ackTimeoutSeconds=7, retry={"maxAttempts": 3}))

    (started,) = after.world.deliveries.runs.values()
    assert {"ack": "client", "ackTimeoutSeconds": 7, "retry": {"maxAttempts": 3}}.items() <= json.loads(started).items()
    assert after.world.received() == []


def test_someone_who_is_there_is_told_at_once(after: Aftermath) -> None:
    after.world.connections.put(connection("tab"))
    after.number("m-1")

    after.conclude(ended("ABORTED", ordered=True))

    assert after.world.received() == [["skipped-m-1"]]
    assert after.world.deliveries.runs == {}


def test_a_redriven_run_that_ends_announces_its_own_number(after: Aftermath) -> None:
    after.number("m-1", "m-1-r1")

    for name in ("m-1", "m-1-r1"):
        after.conclude(ended("ABORTED", name=name, ordered=True))

    announced = [json.loads(text) for text in after.world.deliveries.runs.values()]
    assert [each["payload"] for each in announced] == [{"id": "m-1", "sequence": 1}, {"id": "m-1", "sequence": 2}]
    assert announced[0]["id"] == "skipped-m-1" != announced[1]["id"]


def test_an_event_that_comes_twice_is_one_announcement(after: Aftermath) -> None:
    after.number("m-1")

    for _ in range(2):
        after.conclude(ended("ABORTED", ordered=True))

    assert after.world.deliveries.runs.keys() == {"skipped-m-1"}
    assert after.world.sequences.runs[recipient()] == ["m-1"]


def test_an_announcement_that_ends_undelivered_announces_nothing(after: Aftermath) -> None:
    after.number("m-1")
    after.conclude(ended("ABORTED", ordered=True))
    (announcement,) = after.world.deliveries.runs.values()

    after.conclude(ended(error="MessageExpired", cause=EXPIRED)._replace(envelope_json=announcement))

    assert len(after.world.deliveries.runs) == 1


def test_what_cannot_be_announced_now_is_tried_again(after: Aftermath) -> None:
    after.number("m-1")
    after.world.deliveries.unreachable = {"skipped-m-1"}

    with pytest.raises(ServiceUnavailable, match="StartExecution: ThrottlingException"):
        after.conclude(ended("ABORTED", ordered=True))


def test_a_number_counts_as_long_as_it_was_kept(after: Aftermath, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def number(to: Any, name: str, *, until: Any) -> Numbered:
        asked.append(until)
        return Numbered(1, is_new=False)

    monkeypatch.setattr(after.world.sequences, "number", number)
    after.conclude(ended("ABORTED", ordered=True, ttlSeconds=60))

    assert (asked[0] - NOW).total_seconds() == 60 + 2 * DAY_SECONDS
