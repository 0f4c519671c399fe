"""Which fault happens where follows from the seed and the place alone."""

import io
import json
from typing import TextIO

import pytest

from tests.chaos.cloud.decisions import (
    DEFAULT_RATES,
    Chaos,
    ControlError,
    Journal,
    Orders,
    Place,
    happens,
    rate_of,
)

HERE = ("wake", "SendTaskSuccess", "u1", 1)


def orders(**values: object) -> Orders:
    return Orders.read(json.dumps({"seed": 7, "active": True, **values}).encode())


def chaos(file: TextIO | None = None) -> Chaos:
    return Chaos(Journal(file or io.StringIO(), now=lambda: 5.0))


def test_a_rate_is_kept() -> None:
    hits = sum(happens(1, "error", "wake", "Query", "u1", nth, 0.2) for nth in range(10_000))
    assert 1_850 < hits < 2_150


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_never_and_always(rate: float) -> None:
    assert {happens(1, "error", "wake", "Query", "u1", nth, rate) for nth in range(500)} == {rate == 1.0}


@pytest.mark.parametrize(
    "other",
    [
        (2, "error", "wake", "Query", "u1"),
        (1, "gone", "wake", "Query", "u1"),
        (1, "error", "accept", "Query", "u1"),
        (1, "error", "wake", "GetItem", "u1"),
        (1, "error", "wake", "Query", "u2"),
    ],
)
def test_everything_about_a_place_counts(other: tuple[int, str, str, str, str]) -> None:
    def all_of(seed: int, fault: str, function: str, operation: str, subject: str) -> list[bool]:
        return [happens(seed, fault, function, operation, subject, nth, 0.5) for nth in range(64)]

    assert all_of(*other) != all_of(1, "error", "wake", "Query", "u1")


def test_a_user_s_faults_do_not_depend_on_what_others_do() -> None:
    def of_u1(others: int) -> list[bool]:
        it = chaos()
        it.obey(orders(rates={"error": 0.5}))
        decided = []
        for _ in range(64):
            for other in range(others):
                it.happens("error", it.place("wake", "Query", f"other{other}"))
            decided.append(it.happens("error", it.place("wake", "Query", "u1")))
        return decided

    assert of_u1(0) == of_u1(3)


def test_the_narrower_rate_goes_first() -> None:
    rates = {"delayed": 0.1, "delayed:wake": 0.2, "delayed:wake:Query": 0.3}
    assert rate_of(rates, "delayed", "wake", "Query", "u1") == 0.3
    assert rate_of(rates, "delayed", "wake", "GetItem", "u1") == 0.2
    assert rate_of(rates, "delayed", "accept", "Query", "u1") == 0.1
    assert rate_of(rates, "gone", "accept", "Query", "u1") == 0.0


def test_a_rate_for_some_subjects_goes_before_one_for_all() -> None:
    rates = {"delayed": 0.1, "delayed:wake:Query": 0.3, "delayed@a": 0.0, "delayed:wake@a": 0.5, "delayed@ab": 0.7}
    for subject in ("u1", "", "ba"):
        assert rate_of(rates, "delayed", "wake", "Query", subject) == 0.3
    assert rate_of(rates, "delayed", "wake", "Query", "a1") == 0.5
    assert rate_of(rates, "delayed", "accept", "Query", "a") == 0.0
    assert rate_of(rates, "delayed", "wake", "Query", "abc") == 0.7


def test_narrowed_rates_are_gone_by() -> None:
    here = orders(rates={"error:wake:SendTaskSuccess@u": 1.0})
    assert here.want("error", Place(*HERE))
    assert not here.want("error", Place("wake", "SendTaskSuccess", "a1", 1))


def test_nothing_happens_until_it_is_told_to() -> None:
    assert not Orders(rates={"error": 1.0}).want("error", Place(*HERE))
    assert orders(rates={"error": 1.0}).want("error", Place(*HERE))


def test_only_these() -> None:
    only = orders(rates={"error": 1.0}, only=[["gone", *HERE]])
    assert only.want("gone", Place(*HERE))
    assert not only.want("error", Place(*HERE))
    assert not only.want("gone", Place("wake", "SendTaskSuccess", "u1", 2))
    assert not orders(only=[]).want("error", Place(*HERE))


def test_rates_are_the_usual_ones_unless_told() -> None:
    assert orders().rates == DEFAULT_RATES
    assert orders(rates=None).rates == DEFAULT_RATES
    assert orders(rates={}).rates == {}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"sead": 1}, "unknown: sead"),
        ({"rates": {"explosion": 1}}, "unknown: explosion"),
        ({"rates": {"explosion:wake": 1}}, "unknown: explosion:wake"),
        ({"rates": {"explosion@a": 1}}, "unknown: explosion@a"),
        ({"rates": {"error": "often"}}, "not the form"),
        ({"only": [["gone"]]}, "not the form"),
        ([], "not the form"),
    ],
)
def test_orders_that_cannot_be_read(body: object, said: str) -> None:
    with pytest.raises(ControlError, match=said):
        Orders.read(json.dumps(body).encode())


def test_what_happened_is_written_down() -> None:
    file = io.StringIO()
    it = chaos(file)
    it.obey(orders(rates={"error": 1.0}))
    place = it.place("wake", "Query", "u1")
    assert it.happens("error", place)
    assert not it.happens("gone", place)
    it.journal.posted(["m-1", "m-2"], "c-1", "u1")

    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert lines == [
        {"at": 5.0, "fault": "error", "function": "wake", "operation": "Query", "subject": "u1", "nth": 1},
        {"at": 5.0, "posted": ["m-1", "m-2"], "connection": "c-1", "user": "u1"},
    ]
    assert it.journal.faults == {"error": 1}


def test_a_run_begins_at_one() -> None:
    it = chaos()
    it.place("wake", "Query", "u1")
    it.obey(orders())
    assert it.place("wake", "Query", "u1").nth == 1
    it.obey(orders(rates={}))
    assert it.place("wake", "Query", "u1").nth == 2
