"""Requests to the chat's API: what is read without pydantic is what the models would read, and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.chat.routes import bodies, requests
from lambdas.chat.routes.requests import Given
from lambdas.problems import Problem
from ringback.surely import NotSure

KINDS = (requests.NewChat, requests.NewMessage, requests.Transfer, requests.NewRating, requests.Page, requests.Form)
_NAMES = sorted({name for kind in KINDS for name in kind._fields})
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 101),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["bo", "m-1", "a b", "x" * 201, "x" * 4_001, "\ud800", "a\n\tb", " \u200b", "json", "07", "1_0", "101"]
    ),
    st.lists(st.integers(), max_size=1),
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(value=st.dictionaries(st.sampled_from([*_NAMES, "other"]), _VALUES, max_size=3))
def test_what_is_surely_right_is_so_by_the_model_too(kind: type[Given], value: dict[str, Any]) -> None:
    try:
        read: Any = kind.surely(value)
    except NotSure:
        return
    assert bodies.read(kind.__name__, value) == read._asdict()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (requests.NewChat, {}),
        (requests.NewChat, {"subject": "Grüße"}),
        (requests.NewMessage, {"text": "a\nb\u200f!", "id": None}),
        (requests.NewMessage, {"text": "x" * 4_000, "id": "m/1"}),
        (requests.Transfer, {"agent": "bo"}),
        (requests.Transfer, {"queue": True, "agent": None}),
        (requests.NewRating, {"rating": 5, "feedback": "👋"}),
        (requests.Page, {"after": "99999999", "limit": "1"}),
        (requests.Page, {}),
        (requests.Form, {"format": "text"}),
    ],
)
def test_what_is_usual_is_surely_right(kind: type[Given], value: dict[str, Any]) -> None:
    read: Any = kind.surely(value)
    assert read._asdict() == bodies.read(kind.__name__, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(requests.Page, {"after": "1,2"}), (requests.Page, {"limit": "0"}), (requests.Form, {"format": "json,text"})],
)
def test_a_parameter_that_is_given_twice_or_wrongly_is_refused(kind: type[Given], value: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        requests.parameters(kind, value)


def test_other_parameters_change_nothing() -> None:
    assert requests.parameters(requests.Page, {"after": "3", "utm": "x"}) == (3, requests.MAX_EVENTS)
