"""A post to one connection that the caller knows."""

import json
from typing import Any

import pytest

from lambdas.core import direct
from lambdas.core.errors import InvalidMessage
from lambdas.core.ports import PostResult
from tests.builders import DOMAIN
from tests.fakes import FakeClock, FakeSockets

OWN = f"https://{DOMAIN}/prod"
OTHER = "https://other.execute-api.eu-central-1.amazonaws.com/prod"


def value(recipient: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {"id": "m-1", "recipient": {"connectionId": "tab", **(recipient or {})}, "payload": "hello", **changes}


def read(given: Any, *allowed: str) -> direct.DirectPost:
    return direct.read(given, new_id="made-up", own_endpoint=OWN, allowed_endpoints=allowed)


def test_a_message_goes_to_that_connection_as_one_frame() -> None:
    sockets = FakeSockets()

    assert direct.post(read(value(type="step.done", correlationId="c-1")), sockets=sockets, clock=FakeClock()) == (
        "delivered"
    )
    assert json.loads(sockets.posts["tab"][0]) == {
        "kind": "message",
        "id": "m-1",
        "type": "step.done",
        "payload": "hello",
        "sentAt": "2030-01-31T12:00:00.000Z",
        "attempt": 1,
        "correlationId": "c-1",
    }


def test_without_an_id_one_is_made_up() -> None:
    assert read(value(id=None)).id == "made-up"


@pytest.mark.parametrize(
    ("answers", "status", "posts"),
    [
        ([PostResult.POSTED], "delivered", 1),
        ([PostResult.GONE], "gone", 1),
        ([PostResult.THROTTLED, PostResult.POSTED], "delivered", 2),
        ([PostResult.FAILED, PostResult.GONE], "gone", 2),
        ([PostResult.THROTTLED], "failed", 3),
        ([PostResult.FAILED], "failed", 3),
    ],
)
def test_it_is_tried_for_half_a_second_and_waits_for_nobody(answers: list[PostResult], status: str, posts: int) -> None:
    sockets, clock = FakeSockets(answers={"tab": answers}), FakeClock()

    assert direct.post(read(value()), sockets=sockets, clock=clock) == status
    assert len(sockets.posts["tab"]) == posts
    assert sum(clock.slept) <= 0.5


def test_the_stages_own_endpoint_is_the_default_and_may_be_said() -> None:
    assert read(value()).endpoint == OWN
    assert read(value({"endpoint": OWN})).endpoint == OWN


def test_another_endpoint_is_taken_only_from_the_stages_list() -> None:
    assert read(value({"endpoint": OTHER}), OTHER).endpoint == OTHER

    for endpoint in (OTHER, f"{OTHER}/", f"{OTHER}.evil.example", OTHER.replace("https", "http")):
        with pytest.raises(InvalidMessage, match=r"^recipient.endpoint: the stage does not allow it; add it to"):
            read(value({"endpoint": endpoint}), "https://third.example")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "envelope: must be a JSON object"),
        ({}, "recipient: is missing; payload: is missing"),
        (value({"user": "ana"}), "recipient.user: there is no such field"),
        (value(ttlSeconds=60), "ttlSeconds: there is no such field"),
        (value(ack="client"), "ack: there is no such field"),
        (value({"endpoint": "ftp://x"}), "recipient.endpoint: must be an http or https URL"),
        (value({"connectionId": "../x"}), "recipient.connectionId: must be a connection's id"),
    ],
)
def test_what_is_no_direct_message_is_said_to_be_none(given: Any, reason: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        read(given)

    assert str(raised.value).startswith(reason)


def test_a_frame_that_is_too_large_is_not_posted() -> None:
    sockets = FakeSockets()

    with pytest.raises(InvalidMessage, match=r"^payload: the frame would be"):
        direct.post(read(value(payload="x" * 131_072)), sockets=sockets, clock=FakeClock())
    assert sockets.posts == {}
