"""What the fan-out's functions answer, count and log."""

import json
import subprocess
import sys
from typing import Any

import boto3
import pytest
from jsonata import Jsonata  # type: ignore[import-untyped]

from lambdas.adapters import poster
from lambdas.adapters.tables import ConnectionTable
from lambdas.core.errors import InvalidMessage, StoreUnavailable
from lambdas.core.fan_out import Summary
from lambdas.core.ports import PostResult
from lambdas.tasks import hand_over_to_deliveries, plan_fan_out, post_to_audience
from ringback.fan_out import personal_id
from tests.builders import DAY_SECONDS, connection, recipient
from tests.contract.conftest import SECRET, Stage
from tests.fakes import FakePoster, FakeSockets
from tests.statemachine.definition import MACHINES, PATH

PLACE = {"context": "chat", "contextId": "42"}
CONVERSATION = {"conversation": PLACE}
NOBODY = {"people": 0, "posted": 0, "gone": 0, "throttled": 0, "failed": 0, "handedOver": 0}
WHOLE = {"after": None, "upTo": None, "size": 1}
ARN = "arn:aws:states:eu-central-1:123456789012:stateMachine:Delivery"


@pytest.fixture(autouse=True)
def sockets(stage: Stage, indexed_table: str, monkeypatch: pytest.MonkeyPatch) -> FakeSockets:
    stage.set(
        CONNECTIONS_TABLE_NAME=indexed_table,
        DEFAULT_TTL_SECONDS=DAY_SECONDS,
        DELIVERY_STATE_MACHINE_ARN=ARN,
        TOKENS_NAME_CONVERSATIONS="true",
    )
    definition = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    boto3.client("stepfunctions").create_state_machine(
        name="Delivery", definition=definition, roleArn="arn:aws:iam::123456789012:role/role"
    )
    sockets = FakeSockets()
    monkeypatch.setattr(poster, "shared", lambda: FakePoster(sockets))
    return sockets


def connect(table: str, user: str, *connection_ids: str) -> None:
    for connection_id in connection_ids:
        made = connection(connection_id, recipient(user))._replace(in_conversation=True, attributes={"plan": SECRET})
        ConnectionTable(table).put(made)


def task(audience: dict[str, Any], part: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    execution = {
        "arn": "arn:aws:states:eu-central-1:123456789012:execution:FanOut:run-1",
        "name": "run-1",
        "startedAt": "2030-01-31T12:00:00.000Z",
    }
    value = {"id": "news-7", "message": {"payload": SECRET}, "audience": audience, **changes}
    return {"fanOut": value, "execution": execution, **({"part": part, "summary": NOBODY} if part else {})}


def runs() -> dict[str, Any]:
    client = boto3.client("stepfunctions")
    arns = [each["executionArn"] for each in client.list_executions(stateMachineArn=ARN)["executions"]]
    described = [client.describe_execution(executionArn=arn) for arn in arns]
    return {each["name"]: json.loads(each["input"]) for each in described}


def test_a_conversation_is_planned_and_posted_to(stage: Stage, indexed_table: str, sockets: FakeSockets) -> None:
    connect(indexed_table, "ana", "phone", "tab")
    connect(indexed_table, "ben", "dead")
    sockets.answers["dead"] = [PostResult.GONE]

    planned = stage.call(plan_fan_out.handler, task(CONVERSATION))
    assert planned == {"kind": "parts", "parts": [{"after": None, "upTo": None, "size": 3}]}

    (part,) = planned["parts"]
    answer = stage.call(post_to_audience.handler, task(CONVERSATION, part, durable=True))
    assert answer["summary"] == {**NOBODY, "people": 2, "posted": 2, "gone": 1}
    assert answer["part"] == {"users": ["ben"], "size": 1, "owed": True}
    assert [json.loads(frame)["id"] for frame in sockets.posts["phone"]] == [personal_id("news-7", "ana")]
    assert ConnectionTable(indexed_table).of_user("ben") == []
    assert stage.metrics() == {"Posted": 2, "Gone": 1}
    assert runs() == {}

    rest = task(CONVERSATION, answer["part"], durable=True) | {"summary": answer["summary"]}
    assert stage.call(hand_over_to_deliveries.handler, rest) == {**answer["summary"], "handedOver": 1}
    assert set(runs()) == {personal_id("news-7", "ben")}
    assert stage.metrics() == {"Posted": 2, "Gone": 1, "Accepted": 1}


def test_what_a_function_writes_names_the_fan_out(stage: Stage, indexed_table: str) -> None:
    connect(indexed_table, "ana", "tab")
    message = {"payload": SECRET, "correlationId": "c-1"}

    stage.call(post_to_audience.handler, task(CONVERSATION, WHOLE, message=message))

    (line,) = stage.metric_lines()
    assert (line["message_id"], line["correlation_id"]) == ("news-7", "c-1")


def test_users_are_handed_over(stage: Stage) -> None:
    part = {"users": ["ana", "ben"], "size": 2}

    answer = stage.call(hand_over_to_deliveries.handler, task({"users": ["ana", "ben"], **PLACE}, part, durable=True))

    assert answer == {**NOBODY, "people": 2, "handedOver": 2}
    assert {run["recipient"]["user"]: run["payload"] for run in runs().values()} == {"ana": SECRET, "ben": SECRET}


@pytest.mark.parametrize("handler", [plan_fan_out.handler, post_to_audience.handler, hand_over_to_deliveries.handler])
def test_what_is_no_fan_out_is_an_answer_and_no_failure(stage: Stage, handler: Any) -> None:
    with pytest.raises(InvalidMessage, match=r"^audience: give exactly one of users, list and conversation$"):
        stage.call(handler, task({}, {"users": [], "size": 0}))

    assert stage.metrics() == {}


def test_a_stage_whose_tokens_name_no_conversations_says_so(stage: Stage) -> None:
    stage.set(TOKENS_NAME_CONVERSATIONS="false")

    with pytest.raises(InvalidMessage, match=r"set token\.contexts_claim in its settings"):
        stage.call(plan_fan_out.handler, task(CONVERSATION))


def test_a_table_that_is_not_there_is_a_failure(stage: Stage) -> None:
    stage.set(CONNECTIONS_TABLE_NAME="Nowhere")

    with pytest.raises(StoreUnavailable):
        stage.call(plan_fan_out.handler, task(CONVERSATION))

    assert stage.metrics() == {"Errors": 1}


def test_the_state_machine_counts_what_the_functions_count() -> None:
    states = dict(MACHINES["fan_out"].states)

    assert list(states["Sum Up"]["Output"]) == list(Summary().to_state())
    for name in ("", " Of List"):
        assert list(states[f"Count The Rest{name} As Failed"]["Output"]) == list(Summary().to_state())
    for start in (states["Post To Each Part"]["ItemSelector"], states["Take The Batch"]["Output"]):
        assert start["summary"] == Summary().to_state()


def test_a_batch_whose_execution_failed_counts_its_lines_as_failed() -> None:
    """Of one that failed, the state gets the execution itself, as it is described; or nothing to go by."""
    batch = {"BatchInput": {}, "Items": ["ana", {"user": "ben"}, "cleo"]}
    results: list[Any] = [
        {**NOBODY, "people": 2, "failed": 1},
        {"Status": "FAILED", "Input": json.dumps(batch), "Error": "States.Runtime", "Name": "…"},
        {"Status": "FAILED", "Input": json.dumps({**batch, "Items": ["dan"]})},
        {"Status": "ABORTED", "InputDetails": {"Included": False}},
        None,
    ]
    states = dict(MACHINES["fan_out"].states)

    def output(name: str, **values: Any) -> Any:
        expression = Jsonata(states[name]["Output"][2:-2])
        expression.assign("states", values)
        expression.register_lambda("parse", json.loads)  # Step Functions' own
        return expression.evaluate(None)

    summaries = output("Post To Stored List", result=results)
    assert summaries == [results[0], {"failed": 3}, {"failed": 1}, {"failed": 1}, {"failed": 1}]
    assert output("Post To Stored List", result=results[:1]) == results[:1]
    assert output("Post To Stored List", result=[]) == []


@pytest.mark.parametrize("name", ["Plan Fan Out", "Post To Audience", "Hand Over To Deliveries"])
def test_an_answer_is_never_asked_for_again_and_a_failure_is(name: str) -> None:
    answer, failure = dict(MACHINES["fan_out"].states)[name]["Retry"]

    assert (answer["ErrorEquals"], answer["MaxAttempts"]) == (["InvalidMessage", "MessageExpired"], 0)
    assert failure["ErrorEquals"] == ["States.TaskFailed"]
    assert (failure["JitterStrategy"], failure["BackoffRate"]) == ("FULL", 2)


def test_only_the_function_that_posts_to_many_loads_the_client_for_many() -> None:
    """It takes longer to load than most functions take to answer."""
    program = """
import importlib, pathlib, sys
for file in sorted(pathlib.Path("lambdas").glob("[crt]*/[!_]*.py")):
    module = ".".join(file.with_suffix("").parts)
    if module != "lambdas.tasks.post_to_audience":
        importlib.import_module(module)
assert "lambdas.tasks.plan_fan_out" in sys.modules
sys.exit("httptools" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PATH.parents[1])  # noqa: S603
