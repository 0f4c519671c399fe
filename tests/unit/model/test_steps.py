"""The model's steps are the code's calls, in the code's order: neither can be moved, added or taken away alone."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.core import delivery, presence
from lambdas.core.errors import ConnectionGone
from lambdas.core.ports import PostResult
from lambdas.routes import disconnect
from ringback.dead_letters import DeliveryDeadLetterQueue
from tests.builders import LAMBDA_CONTEXT, NOW, attempt, callback, connection, disconnect_event, envelope, waiting
from tests.builders import recipient as ana
from tests.fakes import FakeCallbacks, FakeClock, FakeConnections, FakeSockets, FakeTokens

MODEL = Path(__file__).parents[2] / "model/ringback.pml"
LABEL = re.compile(r"/\* code: (\S+) (\S+) \*/")
MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:Delivery"


class Watched:
    """A port, or a client, that notes each call."""

    def __init__(self, name: str, port: Any, calls: list[str]) -> None:
        self._name, self._port, self._calls = name, port, calls

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._port, method)

        def noted(*given: Any, **named: Any) -> Any:
            self._calls.append(f"{self._name}.{method}")
            return call(*given, **named)

        return noted


class World:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.connections = FakeConnections()
        self.callbacks = FakeCallbacks()
        self.tokens = FakeTokens(waiting={"token-1"})
        self.sockets = FakeSockets()

    def ports(self, *names: str) -> dict[str, Any]:
        return {name: Watched(name, getattr(self, name), self.calls) for name in names}


def resolve(world: World) -> None:
    world.connections.put(connection())
    delivery.resolve(attempt(), clock=FakeClock(), **world.ports("connections", "sockets"))


def post(world: World) -> None:
    """To one that is gone."""
    world.sockets.answers["tab"] = [PostResult.GONE]
    delivery.post(attempt(), [connection("tab")], clock=FakeClock(), **world.ports("connections", "sockets"))


def post_and_await(world: World) -> None:
    """In vain: the wait is taken back."""
    with (
        suppress(ConnectionGone),
        delivery.awaiting_acknowledgement(
            attempt(ack="client"), waiting(), clock=FakeClock(), **world.ports("callbacks")
        ),
    ):
        post(world)
        raise ConnectionGone


def park(world: World, *, unacknowledged: bool = False, tried: tuple[str, ...] = (), ack: str = "client") -> None:
    delivery.park_for_reconnect(
        attempt(ack=ack),
        waiting(),
        tried=tried,
        tried_at=NOW,
        unacknowledged=unacknowledged,
        max_attempts=5,
        clock=FakeClock(),
        **world.ports("connections", "callbacks", "tokens"),
    )


def park_and_go_on(world: World) -> None:
    for name in ("old", "new"):
        world.connections.put(connection(name))
    park(world, unacknowledged=True, tried=("old",))


def park_with_a_late_acknowledgement(world: World) -> None:
    world.callbacks.keep_acknowledgement(callback(), {})
    park(world)


def wake(world: World) -> None:
    world.callbacks.park_for_reconnect(callback())
    delivery.wake([connection()], has_time=lambda: True, **world.ports("callbacks", "tokens"))


def acknowledge(world: World, *, late: bool = False) -> None:
    world.callbacks.park_for_acknowledgement(callback(attempt=2, task_token="token-0" if late else "token-1"))
    if late:
        world.callbacks.park_for_reconnect(callback())
    delivery.acknowledge(
        ["m-1"],
        sender=ana(),
        connection_id="tab",
        clock=FakeClock(),
        **world.ports("connections", "callbacks", "tokens"),
    )


def connect(world: World) -> None:
    presence.admit(
        connection("new"), limit=1, policy="evict_oldest", clock=FakeClock(), **world.ports("connections", "sockets")
    )


def close(world: World) -> None:
    with pytest.MonkeyPatch.context() as patch:
        table = SimpleNamespace(connections_table_name="Connections")
        patch.setattr("lambdas.routes.disconnect.settings.load", lambda _: table)
        patch.setattr(disconnect, "ConnectionTable", lambda _: world.ports("connections")["connections"])
        answer = disconnect.handler(disconnect_event(), LAMBDA_CONTEXT)
    assert answer["statusCode"] == 200


class OneLetter:
    """SQS with a dead letter on its queue, and Step Functions."""

    def __init__(self) -> None:
        body = {"message": envelope(), "executionArn": f"{MACHINE.replace('stateMachine', 'execution')}:m-1"}
        sent = str(int(NOW.timestamp() * 1000) - 10**12)
        self._letters = [
            {"MessageId": "1", "ReceiptHandle": "1", "Body": json.dumps(body), "Attributes": {"SentTimestamp": sent}}
        ]

    def get_queue_attributes(self, **_: Any) -> Any:
        counts = {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0"}
        return {"Attributes": counts, "ResponseMetadata": {"HTTPHeaders": {}}}

    def receive_message(self, **_: Any) -> Any:
        letters, self._letters = self._letters, []
        return {"Messages": letters}

    def start_execution(self, **_: Any) -> Any:
        return {"executionArn": f"{MACHINE}:m-1-r1"}

    def delete_message_batch(self, **_: Any) -> Any:
        return {}


def redrive(world: World) -> None:
    cloud: Any = OneLetter()
    sqs, machines = (Watched(name, cloud, world.calls) for name in ("sqs", "stepfunctions"))
    queue: Any = DeliveryDeadLetterQueue
    assert queue(sqs, "url", machines, MACHINE, wait_seconds=0).redrive().counts == {"redriven": 1}
    # Looking changes nothing; the model has the letters before its eyes.
    world.calls = [call for call in world.calls if call not in {"sqs.get_queue_attributes", "sqs.receive_message"}]


# What is played, the model's process, and the code's functions that its labels name.
BRANCHES: dict[str, tuple[Callable[[World], None], str, set[str]]] = {
    "resolve": (resolve, "Function", {"resolve"}),
    "post": (post, "Function", {"post"}),
    "post and await": (post_and_await, "Function", {"awaiting_acknowledgement", "post"}),
    "park, and wait": (park, "Function", {"park_for_reconnect"}),
    "park, and go on": (park_and_go_on, "Function", {"park_for_reconnect"}),
    "park, acknowledged": (park_with_a_late_acknowledgement, "Function", {"park_for_reconnect"}),
    "wake": (wake, "Wake", {"wake"}),
    "acknowledge": (acknowledge, "Acknowledge", {"acknowledge"}),
    "acknowledge late": (lambda world: acknowledge(world, late=True), "Acknowledge", {"acknowledge", "_complete_late"}),
    "connect": (connect, "Connect", {"admit"}),
    "disconnect": (close, "Disconnect", {"disconnect"}),
    "redrive": (redrive, "Redrive", {"redrive"}),
}


def steps(process: str, functions: set[str]) -> list[str]:
    """The calls of these functions, in the order in which they stand in a process of the model, inlines opened."""
    text = _without_bugs(MODEL.read_text(encoding="utf-8"))
    inlines = dict(re.findall(r"^inline (\w+)\([^)]*\) \{(.*?)(?:^| )\}$", text, re.MULTILINE | re.DOTALL))
    (body,) = re.findall(rf"^active (?:\[\w+\] )?proctype {process}\(\) \{{(.*?)^\}}$", text, re.MULTILINE | re.DOTALL)
    call = re.compile(rf"\b({'|'.join(inlines)})\([^()]*(?:\([^()]*\)[^()]*)*\)")
    while call.search(body):
        body = call.sub(lambda found: inlines[found[1]], body)
    return [port for function, port in LABEL.findall(body) if function in functions]


def _without_bugs(text: str) -> str:
    """The model as it is when no bug is planted; both ways of every other condition."""
    kept, open_conditions = [], []
    for line in text.splitlines():
        if found := re.match(r"#(ifdef|ifndef|if)\b\s*(\w+)?", line):
            is_bug = (found[2] or "").startswith("BUG_")
            open_conditions.append((is_bug, not is_bug or found[1] == "ifndef"))
        elif line.startswith("#else"):
            is_bug, shown = open_conditions.pop()
            open_conditions.append((is_bug, not is_bug or not shown))
        elif line.startswith("#endif"):
            open_conditions.pop()
        elif all(shown for _, shown in open_conditions):
            kept.append(line)
    return "\n".join(kept)


def played(branch: str) -> list[str]:
    world = World()
    BRANCHES[branch][0](world)
    return world.calls


@pytest.mark.parametrize("branch", BRANCHES)
def test_the_code_makes_its_calls_in_the_order_of_the_models_steps(branch: str) -> None:
    _, process, functions = BRANCHES[branch]
    model = steps(process, functions)
    calls = played(branch)

    remaining = iter(model)
    assert calls
    assert all(call in remaining for call in calls), f"the code: {calls}\nthe model: {model}"


def test_every_step_of_the_model_is_a_call_of_the_code() -> None:
    for process in {process for _, process, _ in BRANCHES.values()}:
        functions = set().union(*(branch[2] for branch in BRANCHES.values() if branch[1] == process))
        called = {call for name, branch in BRANCHES.items() if branch[1] == process for call in played(name)}
        assert called == set(steps(process, functions))


def test_every_label_is_compared() -> None:
    labels = {function for function, _ in LABEL.findall(MODEL.read_text(encoding="utf-8"))}

    assert labels == set().union(*(functions for _, _, functions in BRANCHES.values()))
