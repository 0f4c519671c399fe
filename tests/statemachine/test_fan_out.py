"""The fan-out machine, with functions that answer as the test says.

moto has no batches: the state that works on a stored list is played on the deployed stack, in tests/e2e.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lambdas.core.errors import InvalidMessage, MessageExpired, ServiceUnavailable
from lambdas.core.fan_out import Summary
from tests.fakes import FakeClock
from tests.statemachine.definition import MACHINES
from tests.statemachine.history import History

MACHINE = MACHINES["fan_out"].without_what_moto_lacks()
FAN_OUT = {"message": {"payload": [None, "x"]}, "audience": {"users": ["ana", "ben", "cleo"]}, "durable": False}
PARTS = [{"users": ["ana", "ben"], "size": 2}, {"users": ["cleo"], "size": 1}]
NOTHING = Summary().to_state()


def posted(summary: dict[str, int], *owed: str) -> dict[str, Any]:
    """What the function that posts answers."""
    return {
        "summary": {**NOTHING, **summary},
        "part": {"users": list(owed), "size": len(owed), "owed": True},
    }


Answer = Callable[[dict[str, Any]], Any]


class Functions:
    """The functions by name: what each answers, and what it was handed."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {
            "PlanFanOut": lambda event: {"kind": "parts", "parts": PARTS},
            "PostToAudience": lambda event: posted({"people": len(event["part"]["users"]), "posted": 1}),
            "HandOverToDeliveries": lambda event: {**event["summary"], "handedOver": len(event["part"]["users"])},
        }
        self.events: dict[str, list[dict[str, Any]]] = {name: [] for name in self.answers}

    def invoke(self, name: str, event: Any) -> Any:
        self.events[name].append(event)
        return self.answers[name](event)

    def fail(self, name: str, error: Exception, *, of: str = "ana") -> None:
        """Have a function fail whenever it is called for the part with this user."""
        answer = self.answers[name]

        def answer_or_fail(event: dict[str, Any]) -> Any:
            if of in str(event.get("part")) or "part" not in event:
                raise error
            return answer(event)

        self.answers[name] = answer_or_fail


class Machine:
    """The machine, and one run of it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from lambdas.adapters import aws
        from tests.statemachine.interpreter import Interpreter

        self.functions = Functions()
        self._interpreter = Interpreter(FakeClock(), self.functions.invoke)
        self._interpreter.install(patch)
        self._client = aws.step_functions()
        values = {name: f"arn:aws:lambda:eu-central-1:123456789012:function:{name}" for name in MACHINE.placeholders}
        values = {name: value.removesuffix("FunctionArn") for name, value in values.items()}
        self._arn = self._client.create_state_machine(
            name="fan-out", definition=MACHINE.with_values(values), roleArn="arn:aws:iam::123456789012:role/fan-out"
        )["stateMachineArn"]

    def run(self, **changes: Any) -> dict[str, Any]:
        """What a run ended with, with its history."""
        arn = self._client.start_execution(
            stateMachineArn=self._arn, name="fan-1", input=json.dumps({**FAN_OUT, **changes})
        )["executionArn"]
        assert self._interpreter.until_idle(arn) is None
        events = self._client.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        return {**self._client.describe_execution(executionArn=arn), "history": History.of(events)}

    def summary(self, **changes: Any) -> dict[str, int]:
        """The summary of a run that succeeds, without its zeros."""
        run = self.run(**changes)
        assert run["status"] == "SUCCEEDED", run
        summary: dict[str, int] = json.loads(run["output"])
        assert list(summary) == list(NOTHING)
        return {name: number for name, number in summary.items() if number}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    from tests.statemachine.interpreter import cloud

    with cloud(monkeypatch) as patch:
        yield Machine(patch)


def test_every_part_is_posted_to_and_the_summaries_are_summed_up(machine: Machine) -> None:
    assert machine.summary() == {"people": 3, "posted": 2}

    events = machine.functions.events["PostToAudience"]
    assert sorted((event["part"] for event in events), key=lambda part: -part["size"]) == PARTS
    (plan,) = machine.functions.events["PlanFanOut"]
    for event in events:
        assert event["fanOut"] == plan["fanOut"] == FAN_OUT
        assert event["execution"] == plan["execution"]
    assert plan["execution"]["name"] == "fan-1"
    assert plan["execution"]["startedAt"] == "2030-01-31T12:00:00.000Z"


@pytest.mark.parametrize("parts", [[], PARTS[:1]])
def test_no_part_and_one_part_are_summed_up_as_well(machine: Machine, parts: list[Any]) -> None:
    machine.functions.answers["PlanFanOut"] = lambda event: {"kind": "parts", "parts": parts}

    assert machine.summary() == ({"people": 2, "posted": 1} if parts else {})


def test_a_run_is_billed_for_four_transitions_and_three_a_part(machine: Machine) -> None:
    assert machine.run()["history"].billed_transitions == 4 + 3 * len(PARTS)


def test_handing_over_costs_no_more(machine: Machine) -> None:
    machine.functions.answers["PostToAudience"] = lambda event: posted({}, "ana")

    assert machine.run(durable=True)["history"].billed_transitions == 4 + 3 * len(PARTS)


@pytest.mark.parametrize("owed", [["ben"], ["ana", "ben"]])
def test_who_missed_it_is_handed_over_and_posted_to_no_more(machine: Machine, owed: list[str]) -> None:
    def post(event: dict[str, Any]) -> dict[str, Any]:
        return posted({"people": 2, "gone": 2}, *owed) if event["part"] == PARTS[0] else posted({"people": 1})

    machine.functions.answers["PostToAudience"] = post

    assert machine.summary(durable=True) == {"people": 3, "gone": 2, "handedOver": len(owed)}
    (event,) = machine.functions.events["HandOverToDeliveries"]
    assert event["part"] == {"users": owed, "size": len(owed), "owed": True}
    assert event["summary"] == {**NOTHING, "people": 2, "gone": 2}
    assert event["fanOut"] == {**FAN_OUT, "durable": True}
    assert event["execution"]["name"] == "fan-1"
    assert len(machine.functions.events["PostToAudience"]) == len(PARTS)


def test_deliveries_that_cannot_be_started_are_no_reason_to_post_again(machine: Machine) -> None:
    owed = {2: ["ben"], 1: []}
    machine.functions.answers["PostToAudience"] = lambda event: posted({"posted": 1}, *owed[event["part"]["size"]])
    machine.functions.fail("HandOverToDeliveries", ServiceUnavailable("throttled"), of="ben")

    assert machine.summary(durable=True) == {"posted": 2, "failed": 1}
    assert len(machine.functions.events["PostToAudience"]) == len(PARTS)
    assert len(machine.functions.events["HandOverToDeliveries"]) == 7


def test_a_page_of_a_conversation_is_handed_on_as_it_is(machine: Machine) -> None:
    pages: list[Any] = [{"after": None, "upTo": "ben", "size": 2}, {"after": "ben", "upTo": None, "size": 1}]
    machine.functions.answers |= {
        "PlanFanOut": lambda event: {"kind": "parts", "parts": pages},
        "PostToAudience": lambda event: posted({}),
    }

    assert machine.summary() == {}
    assert [event["part"] for event in machine.functions.events["PostToAudience"]] in (pages, pages[::-1])


@pytest.mark.parametrize("error", [InvalidMessage("audience: nobody"), MessageExpired("its life ended")])
def test_what_is_no_fan_out_fails_with_the_reason_and_posts_nothing(machine: Machine, error: Exception) -> None:
    machine.functions.fail("PlanFanOut", error)

    run = machine.run()

    assert (run["status"], run["error"], run["cause"]) == ("FAILED", type(error).__name__, str(error))
    assert run["history"].states == ["Plan Fan Out", "Nothing Was Posted"]
    assert run["history"].billed_transitions == 2, "an answer is not asked for again"
    assert machine.functions.events["PostToAudience"] == []


def test_a_part_that_fails_for_a_moment_is_posted_to_again(machine: Machine) -> None:
    calls = iter([ServiceUnavailable("throttled"), ServiceUnavailable("throttled")])
    answer = machine.functions.answers["PostToAudience"]

    def fail_twice(event: dict[str, Any]) -> Any:
        if "ana" in event["part"]["users"] and (error := next(calls, None)):
            raise error
        return answer(event)

    machine.functions.answers["PostToAudience"] = fail_twice

    assert machine.summary() == {"people": 3, "posted": 2}


def test_a_part_that_keeps_failing_is_counted_and_the_others_go_on(machine: Machine) -> None:
    machine.functions.fail("PostToAudience", ServiceUnavailable("down"))

    assert machine.summary() == {"people": 1, "posted": 1, "failed": 2}
    assert len(machine.functions.events["PostToAudience"]) == 5 + 1
    assert machine.functions.events["HandOverToDeliveries"] == []


def test_everybody_in_it_gets_a_delivery_if_it_is_durable(machine: Machine) -> None:
    machine.functions.fail("PostToAudience", RuntimeError("a bug"))

    assert machine.summary(durable=True) == {"people": 1, "posted": 1, "handedOver": 2}
    (event,) = machine.functions.events["HandOverToDeliveries"]
    assert (event["part"], event["fanOut"]["durable"], event["summary"]) == (PARTS[0], True, NOTHING)


@pytest.mark.parametrize(("error", "tries"), [(ServiceUnavailable("down"), 7), (MessageExpired("over"), 1)])
def test_and_who_cannot_even_be_handed_over_is_counted(machine: Machine, error: Exception, tries: int) -> None:
    machine.functions.fail("PostToAudience", ServiceUnavailable("down"))
    machine.functions.fail("HandOverToDeliveries", error)

    assert machine.summary(durable=True) == {"people": 1, "posted": 1, "failed": 2}
    assert len(machine.functions.events["HandOverToDeliveries"]) == tries


@pytest.mark.parametrize("error", [MessageExpired("over"), InvalidMessage("too large")])
def test_what_can_be_posted_no_more_is_not_handed_over_either(machine: Machine, error: Exception) -> None:
    machine.functions.fail("PostToAudience", error)

    assert machine.summary(durable=True) == {"people": 1, "posted": 1, "failed": 2}
    assert len(machine.functions.events["PostToAudience"]) == 2
    assert machine.functions.events["HandOverToDeliveries"] == []
