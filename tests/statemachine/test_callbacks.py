"""Whom a stored token wakes: the run that waits now, whatever comes late, and every run that carries the message."""

import pytest

from lambdas.core.errors import Superseded
from tests.builders import envelope
from tests.statemachine.stage import Stage
from tests.statemachine.test_paths import AWAIT, WAIT


def test_a_park_that_comes_when_its_state_is_over_leaves_the_later_one(stage: Stage) -> None:
    stage.functions.hold_up("WaitForReconnect")
    run = stage.send(envelope())
    run.time_out_in(WAIT)
    current = run.wait_in(WAIT).task_token

    stage.functions.late["WaitForReconnect"]()

    assert [callback.task_token for callback in stage.parked()] == [current]
    stage.connect("c1")
    assert run.succeed()["attempt"] == 3
    assert stage.parked() == []


def test_a_park_that_comes_when_it_was_tried_again_leaves_the_later_one(stage: Stage) -> None:
    stage.functions.hold_up("WaitForReconnect", looks_failed=True)
    run = stage.send(envelope())
    current = run.wait_in(WAIT).task_token

    stage.functions.late["WaitForReconnect"]()

    assert [callback.task_token for callback in stage.parked()] == [current]
    stage.connect("c1")
    assert run.succeed()["attempt"] == 2


def test_a_park_replaces_the_one_that_its_run_left_behind(stage: Stage) -> None:
    run = stage.send(envelope())
    left_behind = run.time_out_in(WAIT).task_token

    current = run.wait_in(WAIT).task_token

    assert [callback.task_token for callback in stage.parked()] == [current]
    assert current != left_behind


@pytest.mark.parametrize("looks_failed", [False, True], ids=["over", "tried again"])
def test_a_post_that_comes_when_its_state_is_over_is_left_to_the_later_one(stage: Stage, *, looks_failed: bool) -> None:
    stage.connect("c1")
    stage.functions.hold_up("PostAndAwaitAcknowledgement", looks_failed=looks_failed)
    run = stage.send(envelope(ack="client"))
    if not looks_failed:
        run.time_out_in(AWAIT)
        run.time_out_in(WAIT)
    run.wait_in(AWAIT)

    with pytest.raises(Superseded):
        stage.functions.late["PostAndAwaitAcknowledgement"]()

    assert stage.gateway.posts == ["c1"]
    stage.acknowledge("m-1")
    assert run.succeed()["status"] == "acknowledged"


def test_a_reconnect_wakes_both_runs_that_carry_one_message(stage: Stage) -> None:
    runs = [stage.send(envelope(), name) for name in ("one", "two")]
    for run in runs:
        run.wait_in(WAIT)

    stage.connect("c1")

    for run in runs:
        assert run.succeed()["messageId"] == "m-1"
    assert [frame["id"] for frame in stage.gateway.received("c1")] == ["m-1", "m-1"]
    assert stage.parked() == []


def test_an_acknowledgement_is_for_both_runs_that_carry_one_message(stage: Stage) -> None:
    stage.connect("c1")
    runs = [stage.send(envelope(ack="client"), name) for name in ("one", "two")]
    for run in runs:
        run.wait_in(AWAIT)

    stage.acknowledge("m-1")

    for run in runs:
        assert run.succeed()["status"] == "acknowledged"
