"""What AWS bills by size."""

from typing import Any

import pytest

from benchmarks.billing import units


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "abc"}, 3),
        ({"S": "é"}, 2),
        ({"B": b"1234"}, 4),
        ({"BOOL": False}, 1),
        ({"NULL": True}, 1),
        ({"SS": ["ab", "c"]}, 3),
        ({"N": "0"}, 1),
        ({"N": "1795000000"}, 3),
        ({"N": "-12"}, 3),
        ({"N": "0.05"}, 2),
        ({"NS": ["1", "22"]}, 4),
        ({"L": [{"S": "ab"}, {"BOOL": True}]}, 3 + 2 + 3),
        ({"M": {"name": {"S": "ab"}}}, 3 + 1 + 4 + 2),
    ],
)
def test_a_value_has_the_size_of_the_rules(value: dict[str, Any], size: int) -> None:
    assert units.value_bytes(value) == size


def test_names_count_as_well() -> None:
    assert units.item_bytes({"caller_id": {"S": "user#ana"}, "n": {"N": "7"}}) == 9 + 8 + 1 + 2


def sized(size: int) -> dict[str, dict[str, str]]:
    return {"a": {"S": "x" * (size - 1)}}


@pytest.mark.parametrize(
    ("size", "read", "written"), [(1, 1, 1), (1024, 1, 1), (1025, 1, 2), (4096, 1, 4), (4097, 2, 5)]
)
def test_units_begin_anew_at_each_kilobyte_written_and_at_each_fourth_read(size: int, read: int, written: int) -> None:
    assert units.get_units(sized(size), consistent=True) == read
    assert units.get_units(sized(size), consistent=False) == read / 2
    assert units.write_units(None, sized(size)) == written


def test_a_query_is_billed_for_its_items_together() -> None:
    assert units.query_units([sized(2000), sized(2000)], consistent=True) == 1
    assert units.query_units([sized(2000)] * 3, consistent=True) == 2


def test_nothing_found_is_one_unit_too() -> None:
    assert units.query_units([], consistent=True) == 1
    assert units.get_units(None, consistent=False) == 0.5
    assert units.write_units(None, None) == 1


def test_the_larger_version_of_an_item_is_billed() -> None:
    assert units.write_units(sized(3000), sized(10)) == units.write_units(sized(10), sized(3000)) == 3


def test_what_the_rules_here_do_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="BS"):
        units.value_bytes({"BS": [b"x"]})


@pytest.mark.parametrize(("size", "messages", "requests"), [(0, 1, 1), (32768, 1, 1), (32769, 2, 1), (65537, 3, 2)])
def test_frames_and_requests_are_billed_by_the_piece(size: int, messages: int, requests: int) -> None:
    assert units.websocket_messages(size) == messages
    assert units.queue_requests(size) == requests
