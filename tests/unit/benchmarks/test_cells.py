"""Figures as people read them."""

import pytest

from benchmarks.reporting.cells import cell


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("a text", "a text"),
        (0, "0"),
        (12345, "12,345"),
        (3.0, "3"),
        (12345.6, "12,346"),
        (1.15, "1.15"),
        (1.1549, "1.15"),
        (99.94, "99.9"),
        (0.0031, "0.0031"),
        (-0.5, "-0.5"),
        (float("inf"), "none"),
    ],
)
def test_three_digits_of_what_is_not_whole(value: str | float, read: str) -> None:
    assert cell(value) == read
