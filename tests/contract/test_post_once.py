"""`post_once` as another function or state machine calls it."""

import json
from typing import Any

import pytest

from lambdas.calls import post_once
from lambdas.core.errors import InvalidMessage
from lambdas.core.ports import PostResult
from tests.builders import DOMAIN
from tests.contract.conftest import SECRET, Stage
from tests.fakes import FakeSockets

OTHER = "https://other.execute-api.eu-central-1.amazonaws.com/prod"
MESSAGE: dict[str, Any] = {"id": "m-1", "recipient": {"connectionId": "tab"}, "payload": SECRET}


@pytest.fixture(autouse=True)
def sockets(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> FakeSockets:
    stage.set(MANAGEMENT_ENDPOINT=f"https://{DOMAIN}/prod")
    sockets = FakeSockets()
    monkeypatch.setattr(post_once, "ManagementApi", lambda: sockets)
    monkeypatch.setattr("lambdas.clock.time.sleep", lambda seconds: None)
    return sockets


@pytest.mark.parametrize(
    ("result", "status", "metric"),
    [
        (PostResult.POSTED, "delivered", "Posted"),
        (PostResult.GONE, "gone", "Gone"),
        (PostResult.FAILED, "failed", "Errors"),
        (PostResult.THROTTLED, "failed", "Errors"),
    ],
)
def test_it_says_what_became_of_the_post(
    stage: Stage, sockets: FakeSockets, result: PostResult, status: str, metric: str
) -> None:
    sockets.answers["tab"] = [result]

    assert stage.call(post_once.handler, MESSAGE) == {"status": status, "id": "m-1", "connectionId": "tab"}

    assert json.loads(sockets.posts["tab"][0])["payload"] == SECRET
    assert stage.metrics() == {metric: 1}


def test_an_endpoint_counts_only_if_the_stage_allows_it(stage: Stage, sockets: FakeSockets) -> None:
    elsewhere = {**MESSAGE, "recipient": {"connectionId": "tab", "endpoint": OTHER}}
    with pytest.raises(InvalidMessage, match="allowed_endpoints"):
        stage.call(post_once.handler, elsewhere)
    assert sockets.posts == {}

    stage.set(ALLOWED_ENDPOINTS=f"https://third.example,{OTHER}")
    assert stage.call(post_once.handler, elsewhere)["status"] == "delivered"


@pytest.mark.parametrize("event", [None, [], {}, {"recipient": {"user": "ana"}, "payload": SECRET}])
def test_what_is_no_direct_message_is_refused_and_is_no_error_of_ours(stage: Stage, event: Any) -> None:
    with pytest.raises(InvalidMessage):
        stage.call(post_once.handler, event)

    assert stage.metrics() == {}
