"""Every way through the machine, each under a label that reads like the diagram.

::

    A -> B                 a transition, or a Choice's branch
    A -> B on Error        a Catcher's entry
    A again on Error       a Retrier's entry that tries again
    A never again on Error a Retrier's entry that says not to

A test says with ``@takes(label, …)`` which it takes, and the `stage` fixture holds it to that. ``{posting}`` in a label
is the posting state for which the test is run.
"""

from collections.abc import Iterator, Mapping
from itertools import product, zip_longest
from types import ModuleType
from typing import Any

import pytest

from tests.statemachine.definition import STATES
from tests.statemachine.history import History

END = "end"
States = Mapping[str, dict[str, Any]]
POSTING_STATES = ("Post To Connections", "Post And Await Acknowledgement")

takes = pytest.mark.takes


def defined(states: States = STATES) -> set[str]:
    """Every label that the definition has."""
    return {label for name, state in states.items() for label in _of_state(name, state)}


def taken(history: History, states: States = STATES) -> set[str]:
    """The labels of what a finished run took."""
    labels = set()
    for visit, following in zip_longest(history.visits, history.states[1:]):
        arrow = f"{visit.state} -> {following or END}"
        labels |= {_retry(visit.state, *_rule(states[visit.state], "Retry", error)) for error in visit.retried}
        if visit.failure is None:
            labels.add(arrow)
            continue
        labels.add(f"{arrow} on {_rule(states[visit.state], 'Catch', visit.failure)[0]}")
        name, retrier = _rule(states[visit.state], "Retry", visit.failure)
        if retrier.get("MaxAttempts") == 0:
            labels.add(_retry(visit.state, name, retrier))
    return labels


def said_by(test: pytest.Item) -> set[str]:
    """The labels that a test says it takes."""
    named = {"posting": None, **(test.callspec.params if hasattr(test, "callspec") else {})}
    return {label.format(**named) for mark in test.iter_markers("takes") for label in mark.args}


def said_in(module: ModuleType) -> set[str]:
    """The labels that a module's tests say they take."""
    marks = [mark for test in vars(module).values() for mark in getattr(test, "pytestmark", ()) if mark.name == "takes"]
    labels = {label for mark in marks for label in mark.args}
    return {label.format(posting=posting) for label, posting in product(labels, POSTING_STATES)}


def _of_state(name: str, state: dict[str, Any]) -> Iterator[str]:
    following = [choice["Next"] for choice in state.get("Choices", [])]
    for target in (*following, state.get("Default") or state.get("Next") or END):
        yield f"{name} -> {target}"
    for catcher in state.get("Catch", []):
        for error in catcher["ErrorEquals"]:
            yield f"{name} -> {catcher['Next']} on {error}"
    for retrier in state.get("Retry", []):
        for error in retrier["ErrorEquals"]:
            yield _retry(name, error, retrier)


def _retry(state: str, error: str, retrier: dict[str, Any]) -> str:
    return f"{state} {'never again' if retrier['MaxAttempts'] == 0 else 'again'} on {error}"


def _rule(state: Mapping[str, Any], field: str, error: str) -> tuple[str, dict[str, Any]]:
    """The first Retrier or Catcher that an error meets, and the name under which it does."""
    wildcards = ["States.ALL"] if error.startswith("States.") else ["States.TaskFailed", "States.ALL"]
    for rule in state.get(field, []):
        for name in (error, *wildcards):
            if name in rule["ErrorEquals"]:
                return name, rule
    return error, {}
