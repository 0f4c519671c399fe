"""The chat's machine, its functions and its core agree. What holds for every machine: `test_asl_contract.py`."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from lambdas.chat.core import errors
from lambdas.chat.core.rules import Phase
from tests.statemachine.definition import MACHINES

TASKS = Path(__file__).parents[2] / "lambdas" / "chat" / "tasks"
CHAT = MACHINES["chat_session"]
STATES = dict(CHAT.states)
LAMBDA = "arn:aws:states:::lambda:invoke"
TASK_STATES = {name: state for name, state in STATES.items() if state["Type"] == "Task"}
WAITS = {name: state for name, state in TASK_STATES.items() if state["Resource"] == f"{LAMBDA}.waitForTaskToken"}
SETTLES = {name: state for name, state in TASK_STATES.items() if state["Resource"] == LAMBDA}
ENDS = {name for name, state in STATES.items() if state["Type"] == "Succeed"}

in_every_task = pytest.mark.parametrize("name", TASK_STATES)


def answers_of(module: str) -> list[str]:
    """The errors that a function declares as its answers."""
    tree = ast.parse((TASKS / f"{module}.py").read_text(encoding="utf-8"))
    (handler,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "handler")
    (decorator,) = handler.decorator_list
    assert isinstance(decorator, ast.Call)
    return [ast.unparse(argument) for argument in decorator.args]


def test_the_phases_of_a_chat_are_the_states_that_its_run_can_be_in() -> None:
    assert set(WAITS) | ENDS == {phase.value for phase in Phase}
    question = STATES["Which Phase?"]
    led_to = {choice["Condition"]: choice["Next"] for choice in question["Choices"]}
    assert led_to == {f"{{% $states.input.phase = '{name}' %}}": name for name in led_to.values()}
    assert {*led_to.values(), question["Default"]} == {phase.value for phase in Phase}


def test_a_run_starts_where_a_chat_does() -> None:
    assert json.loads(CHAT.text)["StartAt"] == Phase.WAITING.value


def test_every_wait_has_a_state_of_its_own_that_settles_it() -> None:
    settled_by = {name: [catcher["Next"] for catcher in state["Catch"]] for name, state in WAITS.items()}

    assert sorted(target for targets in settled_by.values() for target in targets) == sorted(SETTLES)
    assert all(len(targets) == 1 for targets in settled_by.values())


def test_after_whatever_happened_the_chat_says_where_the_run_goes_on() -> None:
    assert {state["Next"] for state in TASK_STATES.values()} == {"Which Phase?"}


@pytest.mark.parametrize(("states", "function"), [(WAITS, "AwaitChange"), (SETTLES, "SettleOverdue")])
def test_all_states_of_a_kind_ask_the_same_function_the_same_way(states: dict[str, Any], function: str) -> None:
    first, *others = (json.dumps(state["Arguments"]) for state in states.values())

    assert set(others) == {first}
    assert f"${{{function}FunctionArn}}" in first


def test_every_module_is_a_function_of_the_machine() -> None:
    assert {path.stem for path in TASKS.glob("[!_]*.py")} == {"await_change", "settle_overdue"}
    assert CHAT.placeholders == {"AwaitChangeFunctionArn", "SettleOverdueFunctionArn"}


def test_only_states_that_wait_have_a_token_and_a_timeout() -> None:
    for name, state in TASK_STATES.items():
        waits = name in WAITS
        assert (
            ("taskToken" in state["Arguments"]["Payload"]) == ("TimeoutSeconds" in state) == ("Catch" in state) == waits
        )


@in_every_task
def test_answers_are_not_tried_again_and_failures_are_for_hours(name: str) -> None:
    """A chat must not lose its run, and a state that waits not its new look at the chat: a timeout is never retried."""
    answers, failures = STATES[name]["Retry"]

    module = "await_change" if name in WAITS else "settle_overdue"
    assert answers["ErrorEquals"] == answers_of(module)
    assert all(issubclass(getattr(errors, error), errors.ChatError) for error in answers["ErrorEquals"])
    assert answers["MaxAttempts"] == 0
    assert failures["ErrorEquals"] == ["States.TaskFailed"]
    assert failures["MaxAttempts"] * failures["MaxDelaySeconds"] / 2 > 6 * 3600
    assert failures["BackoffRate"] > 1
    assert failures["JitterStrategy"] == "FULL"
