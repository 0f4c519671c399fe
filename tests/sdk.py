"""An installation for the tests of the `ringback` package: moto's AWS, and an accept function that a test scripts."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws

from ringback.installation import Clients, Installation

REGION = "eu-central-1"
Answer = Callable[[list[dict[str, Any]]], Any]


def all_started(messages: list[dict[str, Any]]) -> Any:
    return {"results": [{"id": one["id"], "status": "started", "executionArn": arn(one["id"])} for one in messages]}


def arn(name: str) -> str:
    return f"arn:aws:states:{REGION}:123456789012:execution:Delivery:{name}"


@dataclass
class FakeFunctions:
    """boto3's Lambda client, as far as sending needs it. Answers are used up in order; then all is `started`."""

    answers: list[Answer] = field(default_factory=list)
    calls: list[list[dict[str, Any]]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        messages = json.loads(Payload)["messages"]
        with self._lock:
            self.calls.append(messages)
            self.sizes.append(len(Payload))
            answer = self.answers.pop(0) if self.answers else all_started
        result = answer(messages)
        if result is None:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "crashed"}')}
        return {"Payload": io.BytesIO(json.dumps(result).encode())}


@cache
def session(region: str = REGION) -> boto3.Session:
    """One for all tests: a new one would read the services' models again."""
    return boto3.Session(region_name=region)


class FakeClients(Clients):
    """Clients whose accept function is a fake."""

    def __init__(self, functions: FakeFunctions, region: str = REGION) -> None:
        super().__init__(session(region))
        self.fake = functions

    @property
    def functions(self) -> Any:
        return self.fake


def sending_to(functions: FakeFunctions, **outputs: str) -> Installation:
    """An installation that can be sent to, and nothing else, but for what these outputs name."""
    clients = cast("Clients", FakeClients(functions))
    return Installation("here", {"AcceptFunctionName": "accept", **outputs}, clients)


@contextmanager
def cloud(**config: Any) -> Iterator[None]:
    """moto, in the one session of all tests; a new one would read the services' models again."""
    options: Any = {"core": {"reset_boto3_session": False}, **config}
    with mock_aws(config=options):
        yield


def refusal(code: str, message: str, status: int = 400, *, body: bytes | None = None) -> AWSResponse:
    """What a service answers that refuses a call, for botocore's event `before-send`."""
    content = json.dumps({"__type": code, "message": message}).encode() if body is None else body
    raw: Any = SimpleNamespace(stream=lambda: iter([content]))
    return AWSResponse("https://service", status, HTTPHeaders(), raw)
