"""Messages, connections and callbacks."""

import traceback
from datetime import UTC, datetime, timedelta, timezone

import pytest

from lambdas.core.errors import InvalidMessage
from lambdas.core.model import MAX_REASON, YOUNG_CONNECTION, Connection, Message, timestamp, utc
from tests.builders import DAY_SECONDS, NOW, connection, envelope


@pytest.mark.parametrize(
    ("end_of_life", "expires_at"),
    [
        ({}, NOW + timedelta(days=1)),
        ({"ttlSeconds": 90}, NOW + timedelta(seconds=90)),
        ({"expiresAt": "2030-02-01T00:00:00Z"}, datetime(2030, 2, 1, tzinfo=UTC)),
        ({"expiresAt": "2030-02-07T12:01:00Z"}, NOW + timedelta(days=7, minutes=1)),
    ],
    ids=["the stage's default", "counted from acceptance", "a moment", "the latest moment, by a clock that is ahead"],
)
def test_the_end_of_a_messages_life(end_of_life: dict[str, object], expires_at: datetime) -> None:
    accepted = Message.accept(
        envelope(**end_of_life), fallback_id="f", accepted_at=NOW, default_ttl_seconds=DAY_SECONDS
    )

    assert accepted.expires_at == expires_at


@pytest.mark.parametrize("moment", ["2030-02-07T12:01:00.001Z", "9999-12-31T23:59:59Z"])
def test_an_end_of_life_too_far_ahead_is_refused(moment: str) -> None:
    with pytest.raises(InvalidMessage, match=r"^expiresAt: at most 604800 seconds ahead$"):
        Message.accept(envelope(expiresAt=moment), fallback_id="f", accepted_at=NOW, default_ttl_seconds=DAY_SECONDS)


@pytest.mark.parametrize(("own", "result"), [("m-1", "m-1"), (None, "execution-name")])
def test_a_message_without_an_id_takes_that_of_what_carries_it(own: str | None, result: str) -> None:
    accepted = Message.accept(
        envelope(id=own), fallback_id="execution-name", accepted_at=NOW, default_ttl_seconds=DAY_SECONDS
    )

    assert accepted.id == result


def test_what_is_no_envelope_is_an_invalid_message_with_no_trace_of_its_values() -> None:
    with pytest.raises(InvalidMessage, match=r"^ack: must be 'none' or 'client'$") as invalid:
        Message.accept(envelope(ack="SECRET"), fallback_id="f", accepted_at=NOW, default_ttl_seconds=DAY_SECONDS)

    assert "SECRET" not in "".join(traceback.format_exception(invalid.value, limit=0)), "as a log shows it"


def test_a_thousand_mistakes_are_told_in_a_text_that_a_run_can_end_with() -> None:
    mistakes = envelope(**{f"mistake-{number}": 1 for number in range(1_000)})

    with pytest.raises(InvalidMessage, match=r"^mistake-0: there is no such field; .* …$") as invalid:
        Message.accept(mistakes, fallback_id="f", accepted_at=NOW, default_ttl_seconds=DAY_SECONDS)

    assert len(str(invalid.value)) == MAX_REASON + len(" …")


@pytest.mark.parametrize(
    ("life", "token_life", "state"),
    [(1, None, "open"), (0, None, "closed"), (1, 1, "open"), (1, 0, "closed"), (0, 1, "closed")],
)
def test_a_connection_is_open_until_its_life_or_its_token_ends(
    life: float, token_life: float | None, state: str
) -> None:
    assert connection(life_seconds=life, token_life_seconds=token_life).is_open(NOW) is (state == "open")


@pytest.mark.parametrize(("more_seconds", "young"), [(-0.001, True), (0, False)], ids=["not yet", "now"])
def test_a_connection_is_young_until_its_handshake_must_have_ended(more_seconds: float, *, young: bool) -> None:
    age = YOUNG_CONNECTION.total_seconds() + more_seconds

    assert connection(age_seconds=age).is_young(NOW) is young


@pytest.mark.parametrize("token_life", [None, 900])
def test_a_connection_survives_its_way_through_the_state_machine(token_life: float | None) -> None:
    before = connection(token_life_seconds=token_life)

    assert Connection.from_state(before.recipient, before.to_state()) == before


def test_times_are_written_in_utc_and_read_in_any_zone() -> None:
    there = datetime(2030, 1, 31, 14, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))

    assert timestamp(there) == "2030-01-31T12:00:00.123Z"
    assert utc("2030-01-31T14:00:00+02:00") == NOW
    assert utc("2030-01-31T14:00:00+02:00").tzinfo is UTC
