"""Which process the fuzzer starts for what."""

from pathlib import Path

import pytest

from lambdas import calls, routes, tasks, triggers
from lambdas.chat import routes as chat_routes
from lambdas.chat import tasks as chat_tasks
from lambdas.chat import triggers as chat_triggers
from tests.fuzz import PAST_FINDINGS
from tests.fuzz import __main__ as fuzz

ROOMS = (calls, routes, tasks, triggers, chat_routes, chat_tasks, chat_triggers)


def test_every_handler_is_fuzzed() -> None:
    there = {
        file.stem
        for room in ROOMS
        for file in Path(str(room.__path__[0])).glob("*.py")
        if "def handler(" in file.read_text("utf-8")
    }
    listed = [handler for handlers in fuzz.HANDLERS.values() for handler in handlers]
    assert sorted(listed) == sorted(there)
    tests = (Path(fuzz.__file__).parent / "test_handlers.py").read_text("utf-8")
    assert all(f"def test_{handler}_handler(" in tests for handler in listed)


def test_every_parser_is_fuzzed() -> None:
    from tests.fuzz import parsing

    assert sorted(fuzz.PARSERS) == sorted(parsing.TARGETS)
    for name, target in parsing.TARGETS.items():
        for data in target.real:
            parsing.look(name, data)


@pytest.mark.parametrize("held_by", PAST_FINDINGS.values(), ids=PAST_FINDINGS)
def test_what_was_found_before_is_held_by_a_test_that_there_is(held_by: str) -> None:
    module, _, test = held_by.partition("::")
    assert f"\ndef {test}(" in (Path(fuzz.__file__).parents[1] / f"{module}.py").read_text("utf-8")


def test_a_target_has_its_time_with_all_its_tests() -> None:
    command = fuzz.command("handlers:tasks", seconds=20, seed=7)
    assert "--fuzz-seconds=5.0" in command
    assert "--fuzz-seed=7" in command
    assert command[-1] == "tests/fuzz/test_handlers.py::test_wait_for_reconnect_handler"
    assert fuzz.command("parser:row", seconds=20, seed=7)[-4:] == ["row", "build/fuzz", "10", "7"]


@pytest.mark.parametrize(
    ("file", "end"),
    [
        ("test_wake_handler.json", ["tests/fuzz/test_handlers.py::test_wake_handler"]),
        ("fan-out-task-crash-0a1b", ["tests.fuzz.parsers", "fan-out-task", "build/fuzz/fan-out-task-crash-0a1b"]),
        ("fan-out-crash-0a1b", ["tests.fuzz.parsers", "fan-out", "build/fuzz/fan-out-crash-0a1b"]),
    ],
)
def test_a_finding_says_what_plays_it_again(file: str, end: list[str]) -> None:
    command = fuzz.replay(Path("build/fuzz") / file)
    assert command[-len(end) :] == end


def test_an_unknown_target_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fuzz.main(["parser:nothing"])
    assert "there is no target parser:nothing" in capsys.readouterr().err
