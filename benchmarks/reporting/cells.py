"""Figures as people read them."""

import math

from benchmarks.report import Cell

_DIGITS = 3


def cell(value: Cell) -> str:
    """One cell of a table."""
    return value if isinstance(value, str) else number(value)


def number(value: float) -> str:
    """Whole numbers in full, all others to three digits: 12,345 and 1.15 and 0.0031."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 10**15):
        return f"{int(value):,}"
    if not math.isfinite(value):
        return "none"
    decimals = max(0, _DIGITS - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text
