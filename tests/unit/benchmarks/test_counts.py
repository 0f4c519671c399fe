"""What amounts come to, and how kinds of messages are mixed."""

from dataclasses import fields

import pytest

from benchmarks.billing import times
from benchmarks.billing.counts import NAMES, Counts, invocation, mix, total
from benchmarks.billing.prices import PRICES


@pytest.mark.parametrize(
    ("counts", "usd_per_million"),
    [
        (Counts(transitions=4), 100),
        (Counts(invocations=1), 0.2),
        (Counts(gb_seconds=1), 13.3334),
        (Counts(reads=2), 0.25),
        (Counts(writes=1), 0.625),
        (Counts(queue_requests=3), 1.2),
        (Counts(publishes=1), 0.5),
        (Counts(frames=1), 1),
        (Counts(calls=9, log_bytes=1024**3), 0),
        (Counts(transitions=1, frames=2), 27),
    ],
)
def test_everything_has_its_price(counts: Counts, usd_per_million: float) -> None:
    assert counts.usd() * 1_000_000 == pytest.approx(usd_per_million)


def test_the_table_can_be_another() -> None:
    assert Counts(transitions=2).usd({**PRICES, "transition": 1.5}) == 3


def test_logs_are_priced_beside_the_bill() -> None:
    assert Counts(log_bytes=2 * 1024**3, frames=1).logs_usd() == pytest.approx(1)


def test_amounts_are_added_and_multiplied_by_name() -> None:
    one = Counts(**{name: index + 1 for index, name in enumerate(NAMES)})
    assert one + one == one * 2 == total([one, one])
    assert one * 2 - one == one == (one * 4) / 4
    assert len({getattr(one, field.name) for field in fields(one)}) == len(NAMES)


def test_a_function_is_billed_by_memory_and_by_its_calls() -> None:
    alone, calling = invocation(memory_mb=512, calls=0), invocation(memory_mb=512, calls=2)
    assert (calling.invocations, calling.calls) == (1, 2)
    assert calling.gb_seconds - alone.gb_seconds == pytest.approx(2 * times.CALL_SECONDS / 2)
    # What takes the processor costs the same with any memory, up to a whole one.
    assert alone.gb_seconds == pytest.approx(invocation(memory_mb=128, calls=0).gb_seconds)
    assert alone.gb_seconds == pytest.approx(times.PROCESSOR_SECONDS * 1769 / 1024)
    assert times.own_seconds(4096) == times.PROCESSOR_SECONDS


@pytest.mark.parametrize(("share", "transitions"), [(1, 0), (0.999, 0.004), (0.5, 2), (0, 4)])
def test_a_mix_has_each_kind_by_its_share(share: float, transitions: float) -> None:
    mixed = mix(Counts(frames=1), Counts(frames=1, transitions=4), share_online=share)
    assert mixed.transitions == pytest.approx(transitions)
    assert mixed.frames == 1
