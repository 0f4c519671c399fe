"""What a page is told: everything once, and then what has changed, however often it has."""

import asyncio
import json
from typing import Any

import pytest

from local.console.board import Board, Page
from local.console.runs import Runs
from tests.unit.test_console_runs import MACHINES, STARTED, entered, told


@pytest.fixture
def board() -> Board:
    return Board(Runs(MACHINES))


def frame(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    assert value.pop("now").endswith("Z")
    return value


def names(text: str) -> list[str]:
    return [run["name"] for run in frame(text)["runs"]]


def has_news(page: Page) -> bool:
    async def look() -> bool:
        try:
            await asyncio.wait_for(page.news(), 0.01)
        except TimeoutError:
            return False
        return True

    return asyncio.run(look())


def test_a_snapshot_has_everything(board: Board) -> None:
    board.take_runs([told(STARTED)])
    board.set_connections([{"connectionId": "c-1"}])
    board.set_letters("ingest", [{"letterId": "l-2"}])
    board.set_letters("delivery", [{"letterId": "l-1"}])

    shown = frame(board.open_page().snapshot())

    assert (shown["kind"], [run["id"] for run in shown["runs"]]) == ("snapshot", ["m-1"])
    assert shown["connections"] == [{"connectionId": "c-1"}]
    assert shown["deadLetters"] == [{"letterId": "l-1"}, {"letterId": "l-2"}]


def test_a_snapshot_of_nothing_has_all_parts(board: Board) -> None:
    shown = frame(board.open_page().snapshot())

    assert shown == {"kind": "snapshot", "runs": [], "connections": [], "deadLetters": []}


def test_a_run_that_changed_often_is_told_once_and_no_other_with_it(board: Board) -> None:
    board.take_runs([told(STARTED, name="m-1"), told(STARTED, name="m-2")])
    page = board.open_page()
    page.snapshot()

    for number in range(1, 10):
        board.take_runs([told(entered("Resolve Connections", number), name="m-2", first=number)])
    shown = frame(page.changes())

    assert shown["kind"] == "changes"
    assert [(run["name"], run["events"]) for run in shown["runs"]] == [("m-2", 10)]
    assert "connections" not in shown
    assert "deadLetters" not in shown
    assert not has_news(page)


def test_each_page_is_told_what_it_has_not_seen(board: Board) -> None:
    early = board.open_page()
    early.snapshot()
    board.take_runs([told(STARTED)])
    late = board.open_page()

    assert names(late.snapshot()) == ["m-1"]
    assert not has_news(late)
    assert names(early.changes()) == ["m-1"]


def test_what_stays_as_it_was_is_no_news(board: Board) -> None:
    board.set_connections([{"connectionId": "c-1"}])
    board.set_letters("delivery", [])
    page = board.open_page()

    board.set_connections([{"connectionId": "c-1"}])
    board.set_letters("delivery", [])
    assert not has_news(page)

    board.set_connections([])
    assert has_news(page)
    assert frame(page.changes()) == {"kind": "changes", "connections": []}


def test_half_of_a_surrogate_pair_is_told_like_all_else(board: Board) -> None:
    """Such a text has no UTF-8, and one message with it must not silence everybody's feed."""
    page = board.open_page()
    board.take_runs([told(STARTED, given={"id": "\ud800", "recipient": {"user": "\ud800"}})])
    board.set_letters("delivery", [{"message": "\ud800"}])

    for text in (page.changes(), page.snapshot()):
        text.encode()
        shown = frame(text)
        assert [run["id"] for run in shown["runs"]] == ["\ud800"]
        assert shown["deadLetters"] == [{"message": "\ud800"}]


def test_a_numbered_run_is_told_as_well(board: Board) -> None:
    board.take_runs([told(STARTED, given={"id": "\ud800"})])
    board.number_runs({told()["arn"]: 7})

    shown = board.open_page().snapshot()

    shown.encode()
    assert [(run["id"], run["sequence"]) for run in frame(shown)["runs"]] == [("\ud800", 7)]


def test_a_page_that_went_is_told_nothing(board: Board) -> None:
    page = board.open_page()
    board.close_page(page)

    board.take_runs([told(STARTED)])

    assert not has_news(page)


def test_it_is_ready_when_everything_was_read_once(board: Board) -> None:
    def is_ready() -> bool:
        async def look() -> bool:
            try:
                await asyncio.wait_for(board.ready(), 0.01)
            except TimeoutError:
                return False
            return True

        return asyncio.run(look())

    board.has_read("runs")
    board.set_connections([])
    board.set_letters("delivery", [])
    assert not is_ready()

    board.set_letters("ingest", [])
    assert is_ready()


def test_a_number_is_told_once_it_is_known_and_stays(board: Board) -> None:
    board.take_runs([told(STARTED)])
    page = board.open_page()
    arn = told()["arn"]

    board.number_runs({arn: 7, "another": 8})
    (numbered,) = frame(page.changes())["runs"]
    board.take_runs([told(entered("Wait For Reconnect", 1), first=1)])
    (later,) = frame(page.changes())["runs"]

    assert (numbered["sequence"], later["sequence"], later["events"]) == (7, 7, 2)
