"""What each way through the machine is billed for: counted in real histories, and held against docs/cost.md."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import envelope
from tests.statemachine.stage import Answer, Run, Stage

COSTS = Path(__file__).parent.parent.parent / "docs" / "cost.md"
USD_FOR_A_MILLION_TRANSITIONS = 25
AWAIT, WAIT = "Post And Await Acknowledgement", "Wait For Reconnect"


def online(stage: Stage) -> Run:
    stage.connect("c1")
    return stage.send(envelope())


def online_acknowledged(stage: Stage) -> Run:
    stage.connect("c1")
    run = stage.send(envelope(ack="client"))
    run.wait_in(AWAIT)
    stage.acknowledge("m-1")
    return run


def reconnect(stage: Stage) -> Run:
    run = stage.send(envelope())
    run.wait_in(WAIT)
    stage.connect("c1")
    return run


def reconnect_acknowledged(stage: Stage) -> Run:
    run = stage.send(envelope(ack="client"))
    run.wait_in(WAIT)
    stage.connect("c1")
    run.wait_in(AWAIT)
    stage.acknowledge("m-1")
    return run


def gone(stage: Stage) -> Run:
    stage.connect("c1")
    stage.gateway.answer("c1", Answer.GONE)
    run = stage.send(envelope())
    run.wait_in(WAIT)
    stage.connect("c2")
    return run


def unacknowledged(stage: Stage) -> Run:
    stage.connect("c1")
    run = stage.send(envelope(ack="client"))
    run.time_out_in(AWAIT)
    run.wait_in(WAIT)
    stage.connect("c2")
    run.wait_in(AWAIT)
    stage.acknowledge("m-1")
    return run


def late(stage: Stage) -> Run:
    stage.connect("c1")
    run = stage.send(envelope(ack="client"))
    run.time_out_in(AWAIT)
    run.wait_in(WAIT)
    stage.acknowledge("m-1")
    return run


PATHS: dict[str, Callable[[Stage], Run]] = {
    "online, as a run": online,
    "online, acknowledged": online_acknowledged,
    "nobody there, then a reconnect": reconnect,
    "nobody there, then a reconnect, acknowledged": reconnect_acknowledged,
    "gone (410), then a reconnect": gone,
    "not acknowledged in time, then a reconnect, acknowledged": unacknowledged,
    "not acknowledged in time, then acknowledged after all": late,
}
NO_RUN, CYCLE, EXPIRED = (
    "online, first attempt by intake: no run",
    "each backoff cycle in which nobody comes",
    "nobody comes: expired after two cycles, dead letter",
)


def documented() -> dict[str, int]:
    """The page's table; its prices follow from its transitions."""
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \|$", COSTS.read_text("utf-8"), re.MULTILINE)
    assert [int(usd) for _, _, usd in rows] == [int(count) * USD_FOR_A_MILLION_TRANSITIONS for _, count, _ in rows]
    return {path: int(count) for path, count, _ in rows}


def test_the_page_has_every_path() -> None:
    assert documented().keys() == {*PATHS, NO_RUN, CYCLE, EXPIRED}


@pytest.mark.parametrize("path", PATHS)
def test_a_path_costs_what_the_page_says(stage: Stage, path: str) -> None:
    run = PATHS[path](stage)
    run.succeed()
    assert run.history.billed_transitions == documented()[path]


def test_waiting_in_vain_costs_what_the_page_says(stage: Stage) -> None:
    run = stage.send(envelope(ttlSeconds=20, retry={"backoffBaseSeconds": 5}))
    billed = []
    for _ in range(2):
        run.wait_in(WAIT)
        billed.append(run.history.billed_transitions)
        run.time_out_in(WAIT)
    stage.clock.sleep(20)
    while stage.interpreter.until_idle(run.arn):
        run.time_out_in(WAIT)
    assert run.fail()[0] == "MessageExpired"
    costs = documented()
    cycles = run.history.states.count(WAIT)
    assert billed[1] - billed[0] == costs[CYCLE]
    assert run.history.billed_transitions - (cycles - 2) * costs[CYCLE] == costs[EXPIRED]
