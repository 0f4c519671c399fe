"""What a backend is told of a message, read from the real machine's own histories."""

from typing import Any

from ringback.status import MessageStatus, read_status
from tests import builders
from tests.statemachine.stage import MAX_ATTEMPTS, Answer, Stage


class NewestFirst:
    """moto's client, which does not know `reverseOrder`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_execution_history(self, *, executionArn: str, **_: Any) -> Any:  # noqa: N803
        return {"events": self._client.get_execution_history(executionArn=executionArn)["events"][::-1]}


def look(stage: Stage) -> MessageStatus:
    for run in stage.runs:
        stage.interpreter.until_idle(run.arn)
    (machine,) = stage.step_functions.list_state_machines()["stateMachines"]
    client: Any = NewestFirst(stage.step_functions)
    return read_status(client, machine["stateMachineArn"], "m-1")


def test_a_message_that_arrives_at_once(stage: Stage) -> None:
    stage.connect("c-1")
    stage.send(builders.envelope()).succeed()

    status = look(stage)

    assert (status.state, status.attempts, status.waiting_for, status.id) == ("delivered", 1, None, "m-1")


def test_a_message_that_waits_comes_and_waits_again(stage: Stage) -> None:
    run = stage.send(builders.envelope())
    first = look(stage)
    run.time_out_in("Wait For Reconnect")
    second = look(stage)
    stage.connect("c-1")
    run.succeed()

    assert [(one.state, one.waiting_for, one.attempts) for one in (first, second, look(stage))] == [
        ("waiting", "reconnect", 1),
        ("waiting", "reconnect", 2),
        ("delivered", None, 3),
    ]
    assert first.next_attempt_at is not None
    assert first.waiting_since is not None
    assert first.next_attempt_at > first.waiting_since


def test_a_message_that_nobody_acknowledges(stage: Stage) -> None:
    stage.connect("c-1")
    run = stage.send(builders.envelope(ack="client"))
    posted = look(stage)
    stage.acknowledge("m-1")
    run.succeed()

    assert (posted.state, posted.waiting_for, posted.attempts) == ("waiting", "acknowledgement", 1)
    assert look(stage).state == "acknowledged"


def test_a_message_that_never_arrives(stage: Stage) -> None:
    stage.connect("c-1")
    stage.gateway.answer("c-1", Answer.GONE)
    run = stage.send(builders.envelope())
    for _ in range(MAX_ATTEMPTS - 1):
        run.time_out_in("Wait For Reconnect")
    run.fail()

    status = look(stage)

    assert (status.state, status.reason, status.attempts) == ("dead_lettered", "AttemptsExhausted", MAX_ATTEMPTS)
    assert str(status.cause).startswith(f"Dead-lettered after {MAX_ATTEMPTS} attempts")
