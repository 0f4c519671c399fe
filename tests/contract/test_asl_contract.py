"""The delivery machine and its functions agree; and the definition keeps the habits of the house."""

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint  # type: ignore[import-untyped]
from jsonata import Jsonata  # type: ignore[import-untyped]
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

from lambdas.core import errors
from tests.statemachine.definition import MACHINES, STATES, TEXT, Machine, elsewhere

START: str = json.loads(TEXT)["StartAt"]
LAMBDAS = Path(__file__).parents[2] / "lambdas"
TASKS = LAMBDAS / "tasks"
CHAT = MACHINES["chat_session"]
LAMBDA = "arn:aws:states:::lambda:invoke"
LAMBDA_WITH_TOKEN = f"{LAMBDA}.waitForTaskToken"
SQS = "arn:aws:states:::sqs:sendMessage"

TASK_STATES = {name: state for name, state in STATES.items() if state["Type"] == "Task"}
LAMBDA_STATES = {name: state for name, state in TASK_STATES.items() if state["Resource"].startswith(LAMBDA)}
TOKEN_STATES = {name: state for name, state in LAMBDA_STATES.items() if state["Resource"] == LAMBDA_WITH_TOKEN}

# What a function tells nobody: the state that called it is over.
UNHEARD = {errors.Superseded.__name__}

MESSAGE = "$states.context.Execution.Input"
ASKED_FOR = re.compile(r"\$exists\(\$states\.input\.(\w+)\)")
# What stands for the message's own number of attempts, whether or not there is one and whatever it is.
LIMIT_OF_ANY_INPUT = f"($own := {MESSAGE}.retry.maxAttempts; $type($own) = 'number' ? $own : 1)"
FIRST_ENTRY = f"$string($states.input) = $string({MESSAGE}) ?"

# The chat's has several states that wait, and for each one that settles what has waited too long.
WITH_A_FUNCTION_A_STATE = {name: machine for name, machine in MACHINES.items() if machine is not CHAT}

of_every_machine = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
in_every_lambda_state = pytest.mark.parametrize("name", LAMBDA_STATES)


def module_of(name: str) -> Path:
    """The module of a state's function."""
    return TASKS / f"{name.lower().replace(' ', '_')}.py"


def answers_of(name: str) -> set[str]:
    """The errors that a state's function declares as its answers."""
    (handler,) = (
        node
        for node in ast.parse(module_of(name).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == "handler"
    )
    (decorator,) = handler.decorator_list
    assert isinstance(decorator, ast.Call)
    return {ast.unparse(argument) for argument in decorator.args}


def rules_of(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A state's Retriers and Catchers."""
    return [*state.get("Retry", []), *state.get("Catch", [])]


def named_errors(rules: list[dict[str, Any]]) -> set[str]:
    """The errors of ours that Retriers or Catchers name."""
    return {error for rule in rules for error in rule["ErrorEquals"] if not error.startswith("States.")}


def steps_of(state: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], set[str]]]:
    """The ways out of a state, and where each leads: the state's own, a Choice's rules, the Catchers."""
    for step in (state, *state.get("Choices", []), *state.get("Catch", [])):
        yield dict(step), {step[field] for field in ("Next", "Default") if field in step}


def targets_of(state: Mapping[str, Any]) -> set[str]:
    """The states that may follow this one."""
    return {target for _, targets in steps_of(state) for target in targets}


def reachable(leads_on: Callable[[str, dict[str, Any]], bool] = lambda name, step: True) -> set[str]:
    """The states that a run may come to, if it only takes the steps that lead on."""
    reached, ahead = set[str](), {START}
    while ahead:
        reached |= ahead
        steps = [(name, *way) for name in ahead for way in steps_of(STATES[name])]
        ahead = {target for name, step, targets in steps if leads_on(name, step) for target in targets} - reached
    return reached


def there_on_every_way(
    at_start: set[str], after: Callable[[set[str], dict[str, Any]], set[str]]
) -> dict[str, set[str]]:
    """What is there when a state is entered, whichever way the run came; `after` says what a step makes of it."""
    there = {START: at_start}
    ahead = [START]
    while ahead:
        name = ahead.pop()
        for step, targets in steps_of(STATES[name]):
            for target in targets:
                common = there.get(target, after(there[name], step)) & after(there[name], step)
                if there.get(target) != common:
                    there[target] = common
                    ahead.append(target)
    return there


def expressions_in(value: Any) -> Iterator[str]:
    """Every JSONata expression inside a value of the definition."""
    match value:
        case str() if value.startswith("{%") and value.endswith("%}"):
            yield re.sub(r"\$\{\w+\}", "1", value[2:-2])
        case dict():
            for item in value.values():
                yield from expressions_in(item)
        case list():
            for item in value:
                yield from expressions_in(item)


def variables_in(value: Any) -> set[str]:
    """The machine's variables that a value of the definition reads."""
    found = set()
    for expression in expressions_in(value):
        own = set(re.findall(r"\$(\w+)\s*:=", expression))
        found |= set(re.findall(r"\$(\w+)\b(?!\s*\()", expression)) - own - {"states"}
    return found


# The text


@of_every_machine
def test_it_is_json_that_says_nothing_twice(machine: Machine) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), names
        return dict(pairs)

    json.loads(machine.text, object_pairs_hook=once)


@of_every_machine
def test_every_state_has_a_name_of_its_own_those_within_a_map_too(machine: Machine) -> None:
    """Or CreateStateMachine answers DUPLICATE_STATE_NAME; neither the linter nor any emulator does."""

    def names_in(value: Any) -> Iterator[str]:
        match value:
            case dict():
                if "StartAt" in value:
                    yield from value["States"]
                for item in value.values():
                    yield from names_in(item)
            case list():
                for item in value:
                    yield from names_in(item)

    names = Counter(names_in(json.loads(machine.text)))

    assert set(names) >= {name for name, _ in machine.states}
    assert [name for name, count in names.items() if count > 1] == []


@of_every_machine
def test_the_linter_finds_nothing(machine: Machine) -> None:
    resource = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "RoleArn": "arn:aws:iam::123456789012:role/machine",
            "Definition": json.loads(machine.text),
            "DefinitionSubstitutions": dict.fromkeys(machine.placeholders, "1"),
        },
    }

    found = lint(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Machine": resource}}))

    # cfn-lint does not know yet that TimeoutSeconds may be an expression.
    assert [str(match) for match in found if match.path[-1] != "TimeoutSeconds"] == []


@of_every_machine
def test_the_grammar_of_the_language_takes_it(machine: Machine) -> None:
    """moto's parser is stricter than the linter's schema: it knows, for example, the jitter strategies."""
    known = machine.without_what_moto_lacks()
    AmazonStateLanguageParser.parse(known.with_values(dict.fromkeys(machine.placeholders, "1")))


@of_every_machine
def test_every_expression_can_be_parsed(machine: Machine) -> None:
    expressions = list(expressions_in(json.loads(machine.text)))
    assert len(expressions) > 20

    for expression in expressions:
        Jsonata(expression)


def test_every_state_can_be_reached_and_every_target_is_a_state() -> None:
    assert reachable() == set(STATES)


# The habits


@of_every_machine
def test_a_state_and_its_rules_say_what_they_are_for(machine: Machine) -> None:
    for _, state in machine.states:
        for part in (state, *rules_of(state)):
            assert part["Comment"].endswith((".", "?", "!"))


@of_every_machine
def test_only_choices_are_questions(machine: Machine) -> None:
    assert {name for name, _ in machine.states if name.endswith("?")} == {
        name for name, state in machine.states if state["Type"] == "Choice"
    }


def test_tasks_call_our_functions_and_the_dead_letter_queue() -> None:
    assert {state["Resource"] for state in TASK_STATES.values()} == {LAMBDA, LAMBDA_WITH_TOKEN, SQS}


# The functions


@in_every_lambda_state
def test_a_state_its_function_and_its_module_have_one_name(name: str) -> None:
    assert STATES[name]["Arguments"]["FunctionName"] == f"${{{name.replace(' ', '')}FunctionArn}}"
    assert module_of(name).is_file()


@pytest.mark.parametrize("machine", WITH_A_FUNCTION_A_STATE.values(), ids=WITH_A_FUNCTION_A_STATE)
def test_every_function_has_the_name_of_its_state(machine: Machine) -> None:
    called = {
        name: state["Arguments"]["FunctionName"]
        for name, state in machine.states
        if state.get("Resource", "").startswith(LAMBDA)
    }

    assert called == {name: f"${{{elsewhere(name).replace(' ', '')}FunctionArn}}" for name in called}
    assert all(module_of(elsewhere(name)).is_file() for name in called)


def test_every_module_is_the_function_of_a_state() -> None:
    states = [(name, state) for machine in WITH_A_FUNCTION_A_STATE.values() for name, state in machine.states]
    called = {module_of(elsewhere(name)).name for name, state in states if state.get("Resource", "").startswith(LAMBDA)}

    assert {path.name for path in TASKS.glob("[!_]*.py")} == called


def test_the_same_thing_has_the_same_form_in_every_payload() -> None:
    forms: dict[str, set[str]] = {}
    for name, state in LAMBDA_STATES.items():
        for key, value in state["Arguments"]["Payload"].items():
            if (name, key) != ("Resolve Connections", "attempt"):  # it is where the attempt is numbered
                forms.setdefault(key, set()).add(json.dumps(value))

    assert {key: form for key, form in forms.items() if len(form) > 1} == {}


def test_an_attempt_has_the_number_that_its_first_function_was_told() -> None:
    state = STATES[START]
    assigned = {step["Assign"]["attempt"] for step, _ in steps_of(state) if "Assign" in step}

    assert assigned == {state["Arguments"]["Payload"]["attempt"]}


@in_every_lambda_state
def test_a_function_has_a_token_exactly_where_its_state_waits(name: str) -> None:
    for key in ("taskToken", "entry"):
        assert (key in STATES[name]["Arguments"]["Payload"]) == (name in TOKEN_STATES)
    assert ("TimeoutSeconds" in STATES[name]) == (name in TOKEN_STATES)


# The errors


def test_every_error_that_is_named_is_one_of_ours() -> None:
    ours = {name for name, value in vars(errors).items() if isinstance(value, type)}

    assert named_errors([rule for state in STATES.values() for rule in rules_of(state)]) <= ours


@in_every_lambda_state
def test_a_state_knows_every_answer_of_its_function_and_no_other(name: str) -> None:
    """Under Retry, so that none of them is tried again as a failure by accident."""
    assert named_errors(STATES[name]["Retry"]) == answers_of(name) - UNHEARD


def test_what_nobody_hears_is_only_said_to_a_state_that_may_be_over() -> None:
    assert {name for name in LAMBDA_STATES if answers_of(name) & UNHEARD} <= set(TOKEN_STATES)


@in_every_lambda_state
def test_whatever_a_function_raises_the_run_goes_on(name: str) -> None:
    caught = {error for catcher in STATES[name]["Catch"] for error in catcher["ErrorEquals"]}

    assert "States.TaskFailed" in caught
    assert ("States.Timeout" in caught) == (name in TOKEN_STATES)


@in_every_lambda_state
def test_a_failure_is_tried_again_with_backoff_and_jitter(name: str) -> None:
    *_, retrier = STATES[name]["Retry"]

    assert retrier["ErrorEquals"] == ["States.TaskFailed"]
    assert retrier["MaxAttempts"] > 0
    assert retrier["BackoffRate"] > 1
    assert retrier["JitterStrategy"] == "FULL"
    assert retrier["MaxDelaySeconds"] >= retrier["IntervalSeconds"]


@pytest.mark.parametrize("name", TOKEN_STATES)
def test_a_timeout_of_a_wait_is_caught_and_never_tried_again(name: str) -> None:
    """A retry would wait again with no new look at the connections."""
    for retrier in STATES[name]["Retry"]:
        assert not {"States.Timeout", "States.ALL"} & set(retrier["ErrorEquals"])


# The expressions


@pytest.mark.parametrize("name", STATES)
def test_no_output_reads_what_the_same_step_assigns(name: str) -> None:
    """On AWS it would see the value from before, in moto the one from after; the tests could not tell."""
    for step, _ in steps_of(STATES[name]):
        assert not variables_in(step.get("Output")) & set(step.get("Assign", {}))


def test_every_variable_that_is_read_has_been_assigned_on_every_way_there() -> None:
    assigned = there_on_every_way(set(), lambda before, step: before | set(step.get("Assign", {})))

    unassigned = {name: variables_in(state) - assigned[name] for name, state in STATES.items()}
    assert {name: variables for name, variables in unassigned.items() if variables} == {}


def test_every_field_of_the_input_that_is_read_has_been_handed_over_on_every_way_there() -> None:
    """A field that is missing fails the run on AWS, with no dead letter."""

    def after(before: set[str], step: dict[str, Any]) -> set[str]:
        if asked_for := ASKED_FOR.findall(step.get("Condition", "")):
            return before | set(asked_for)
        if "Output" not in step:
            return before if step.get("Type") in {None, "Choice", "Wait"} and "ErrorEquals" not in step else set()
        # What is no object here is a function's answer, and that is the connections.
        return set(step["Output"]) if isinstance(step["Output"], dict) else {"connections"}

    read = {
        name: {
            field
            for text in expressions_in(state)
            for field in re.findall(r"\$states\.input\.(\w+)", ASKED_FOR.sub("", text))
        }
        for name, state in STATES.items()
    }
    # At the start there is the message instead; the next tests see to that.
    handed = there_on_every_way(set[str]().union(*read.values()), after)

    missing = {name: fields - handed[name] for name, fields in read.items()}
    assert {name: fields for name, fields in missing.items() if fields} == {}


def test_where_a_run_starts_every_look_into_the_input_asks_first_whether_it_is_the_message() -> None:
    looks = [text for text in expressions_in(STATES[START]) if "$states.input" in text]

    assert looks
    for text in looks:
        assert text.count("$states.input.") == text.count(FIRST_ENTRY) == 1
        assert re.match(rf"\(?{re.escape(FIRST_ENTRY)}", text.strip())


def test_objects_are_compared_as_text() -> None:
    """Whether AWS compares two objects, nobody has shown."""
    for text in expressions_in(STATES):
        assert not re.search(r"\.[iI]nput\s*!?=|(?<!:)=\s*\$states[\w.]*\.[iI]nput\b(?!\.)", text)


def test_nothing_reads_the_fields_of_a_message_that_no_function_has_looked_at() -> None:
    def looked_at(name: str, step: dict[str, Any]) -> bool:
        return name == START and ("ErrorEquals" not in step or "NoOpenConnection" in step["ErrorEquals"])

    unseen = reachable(lambda name, step: not looked_at(name, step))

    assert "Wait Out The Failure" in unseen
    for text in expressions_in([STATES[name] for name in unseen]):
        rest = text.replace(f"$string({MESSAGE})", "").replace(LIMIT_OF_ANY_INPUT, "")
        assert MESSAGE not in rest or text.strip() == MESSAGE
