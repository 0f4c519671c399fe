"""The AWS that the adapters and handlers meet here (moto's), and what the handlers write while they run."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from lambdas.adapters.conversations import INDEX
from lambdas.clock import SystemClock
from lambdas.observability import logger, metrics
from tests.builders import LAMBDA_CONTEXT, NOW

SECRET = "s3cr3t"
"""Payloads and tokens hold it, so it is what no handler may write anywhere."""


def mocked_aws(**config: Any) -> AbstractContextManager[Any]:
    """moto, in the one session of all tests; a new one would read the services' models again."""
    options: Any = {"core": {"reset_boto3_session": False}, **config}
    return mock_aws(config=options)


@pytest.fixture
def cloud() -> Iterator[None]:
    with mocked_aws():
        yield


@pytest.fixture
def connections_table(cloud: None) -> str:
    return create_table("Connections", "caller_id", "context")


@pytest.fixture
def callbacks_table(cloud: None) -> str:
    return create_table("Callbacks", "caller_id", "waits_for")


@pytest.fixture
def sequences_table(cloud: None) -> str:
    return create_table("Sequences", "caller_id", "position")


@pytest.fixture
def indexed_table(cloud: None) -> str:
    """The connections table with its index by conversation."""
    names = ("caller_id", "context", "conversation")
    boto3.client("dynamodb").create_table(
        TableName="Connections",
        KeySchema=[
            {"AttributeName": "caller_id", "KeyType": "HASH"},
            {"AttributeName": "context", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        GlobalSecondaryIndexes=[
            {
                "IndexName": INDEX,
                "KeySchema": [
                    {"AttributeName": "conversation", "KeyType": "HASH"},
                    {"AttributeName": "caller_id", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return "Connections"


def create_table(name: str, partition_key: str, sort_key: str) -> str:
    boto3.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": partition_key, "KeyType": "HASH"},
            {"AttributeName": sort_key, "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": partition_key, "AttributeType": "S"},
            {"AttributeName": sort_key, "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def rows(table: str) -> list[dict[str, Any]]:
    """A table's items as they are stored."""
    return [dict(item) for item in boto3.client("dynamodb").scan(TableName=table)["Items"]]


def spoil_state(chat_id: str) -> None:
    """Have a chat's row say what only a newer version would understand."""
    key = {"collection": {"S": f"chat#{chat_id}"}, "item": {"S": "state"}}
    state = boto3.client("dynamodb").get_item(TableName="Chats", Key=key)["Item"]
    chat = json.loads(state["chat"]["S"]) | {"status": SECRET}
    boto3.client("dynamodb").put_item(TableName="Chats", Item=state | {"chat": {"S": json.dumps(chat)}})


class Stage:
    """Calls handlers at noon, and keeps what they write."""

    def __init__(self, log: io.StringIO, output: pytest.CaptureFixture[str], environment: pytest.MonkeyPatch) -> None:
        self._log = log
        self._output = output
        self._environment = environment
        self._metrics: list[dict[str, Any]] = []

    def set(self, **variables: str | int) -> None:
        """Set variables of the functions' environment."""
        for name, value in variables.items():
            self._environment.setenv(name, str(value))

    def call(self, handler: Callable[..., Any], event: dict[str, Any], **context: Any) -> Any:
        """Call a handler, with an ordinary context but for what the test says of it."""
        return handler(event, SimpleNamespace(**vars(LAMBDA_CONTEXT) | context))

    def log(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    def metrics(self) -> dict[str, float]:
        """The counts, all of one namespace."""
        return {name: sum(values) for name, (unit, values) in self._series().items() if unit == "Count"}

    def durations(self) -> dict[str, tuple[str, list[float]]]:
        """The other metrics: the unit, and what was measured."""
        return {name: series for name, series in self._series().items() if series[0] != "Count"}

    def metric_lines(self) -> list[dict[str, Any]]:
        """The lines that the metrics are made of."""
        self._collect()
        return self._metrics

    def _series(self) -> dict[str, tuple[str, list[float]]]:
        series: dict[str, tuple[str, list[float]]] = {}
        for blob in self.metric_lines():
            (directive,) = blob["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == "Ringback"
            assert directive["Dimensions"] == [["stack", "service"]]
            for metric in directive["Metrics"]:
                series.setdefault(metric["Name"], (metric["Unit"], []))[1].extend(blob[metric["Name"]])
        return series

    def written(self) -> str:
        """Everything that left a handler otherwise than by its answer."""
        self._collect()
        return self._log.getvalue() + json.dumps(self._metrics)

    def _collect(self) -> None:
        output, errors = self._output.readouterr()
        assert errors == ""
        self._metrics += [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def stage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(SystemClock, "now", lambda self: NOW)
    log = io.StringIO()
    handler: Any = logger.registered_handler
    before = handler.setStream(log)
    metrics.clear_metrics()  # what a test before this one has counted outside of a handler
    stage = Stage(log, capsys, monkeypatch)
    yield stage
    handler.setStream(before)
    assert SECRET not in stage.written()
