"""Forms: like frozen data classes, with a JSON form."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ringback.forms import Form, timestamp, to_camel
from tests.builders import NOW


class Inner(Form):
    """Something inside."""

    user_name: str


class Outer(Form):
    """Something."""

    first_of_all: int
    note: str | None = None
    inner: Inner
    at: Any = NOW


GIVEN = Outer(first_of_all=1, inner=Inner(user_name="ana"), at=NOW + timedelta(milliseconds=5))


def test_a_form_has_its_fields_in_their_order_and_its_defaults() -> None:
    assert GIVEN.to_json() == {
        "firstOfAll": 1,
        "note": None,
        "inner": {"userName": "ana"},
        "at": "2030-01-31T12:00:00.005Z",
    }
    assert list(GIVEN.to_json()) == ["firstOfAll", "note", "inner", "at"]
    assert repr(GIVEN).startswith("Outer(first_of_all=1, note=None, inner=Inner(user_name='ana'), at=")


def test_a_time_of_any_zone_is_written_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    assert GIVEN.replace(at=GIVEN.at.astimezone(berlin)).to_json()["at"] == "2030-01-31T12:00:00.005Z"


@pytest.mark.parametrize("microseconds", [0, 123, 999, 1_000, 250_999, 999_999])
def test_a_time_that_is_read_again_is_written_as_before(microseconds: int) -> None:
    text = timestamp(NOW.replace(microsecond=microseconds))
    assert timestamp(datetime.fromisoformat(text)) == text


def test_forms_are_equal_if_they_say_the_same() -> None:
    assert GIVEN.replace() == GIVEN
    assert hash(GIVEN.replace()) == hash(GIVEN)
    assert GIVEN.replace(note="x") != GIVEN
    assert GIVEN.replace(note="x").note == "x"
    assert GIVEN.inner != "ana"


@pytest.mark.parametrize("given", [{}, {"first_of_all": 1}, {"first_of_all": 1, "inner": None, "other": 1}])
def test_a_field_that_is_missing_or_unknown_is_no_form(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"Outer: missing, or no field: (first_of_all, )?(inner|other)"):
        Outer(**given)


def test_a_form_stays_as_it_is() -> None:
    with pytest.raises(AttributeError, match="replace"):
        GIVEN.note = "x"  # type: ignore[misc]


def test_names_in_json_are_camel_case() -> None:
    assert [to_camel(name) for name in ("id", "context_id", "agent_away_since")] == [
        "id",
        "contextId",
        "agentAwaySince",
    ]
