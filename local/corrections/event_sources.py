"""What starts a function or reaches a queue: event source mappings, SNS, EventBridge."""

import json
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ministack.core.concurrency import spawn_background  # type: ignore[import-untyped]
from ministack.services import (  # type: ignore[import-untyped]
    dynamodb,
    eventbridge,
    lambda_svc,
    sns,
)

from local.corrections.places import Json, replace

_MOST_ATTRIBUTES = 10  # of an SQS message


def _failures_within_a_stream_batch() -> None:
    """`batchItemFailures`, from a function that reads a DynamoDB stream.

    AWS counts all before the first failure as done and brings the rest again, in order; an item that is not in the
    batch fails all of it. MiniStack does not look at the answer.
    Here the position moves to the first failure, and the batch is reported as failed, so that it comes again.
    """
    reading = threading.local()

    def polling(upstream: Callable[[], bool]) -> Callable[[], bool]:
        def poll() -> bool:
            reading.a_stream = True
            try:
                return upstream()
            finally:
                reading.a_stream = False

        return poll

    def executing(upstream: Callable[[Json, Any], Json]) -> Callable[[Json, Any], Json]:
        def execute(function: Json, event: Any) -> Json:
            result = upstream(function, event)
            if not getattr(reading, "a_stream", False) or result.get("error"):
                return result
            mapping = _mapping(event["Records"][0]["eventSourceARN"], function)
            if mapping is None or (failed := _first_failure(result.get("body"), event["Records"])) is None:
                return result
            _move_to(mapping, failed)
            error = {"errorType": "BatchItemFailures", "errorMessage": f"from {failed} on"}
            return {**result, "error": True, "body": error}

        return execute

    replace(lambda_svc, "_poll_dynamodb_streams", polling)
    replace(lambda_svc, "_execute_function", executing)


def _mapping(source: str, function: Json) -> Json | None:
    """The mapping between these two that looks for failures within a batch."""
    name = function["config"]["FunctionName"]
    for _account, _region, mapping in lambda_svc._iter_all_esms():
        if mapping["EventSourceArn"] == source and mapping["FunctionName"].rpartition(":")[2] == name:
            return mapping if "ReportBatchItemFailures" in mapping.get("FunctionResponseTypes", []) else None
    return None


def _first_failure(answer: Any, records: list[Json]) -> str | None:
    """The sequence number of the first record that failed."""
    failures = (answer.get("batchItemFailures") if isinstance(answer, dict) else None) or []
    numbers = [_sequence_number(record) for record in records]
    places = [numbers.index(item) if (item := failure.get("itemIdentifier")) in numbers else 0 for failure in failures]
    return numbers[min(places)] if places else None


def _move_to(mapping: Json, sequence_number: str) -> None:
    """Let a mapping go on from this record. Filters have thinned the batch out, so the stream itself is counted."""
    table = mapping["EventSourceArn"].split("/")[1]
    positions = lambda_svc._dynamodb_stream_positions
    with lambda_svc._dynamodb_stream_positions_lock:
        position = positions[mapping["UUID"]]
        records = dynamodb.stream_records_since(table, position, mapping.get("BatchSize", 100))
        positions[mapping["UUID"]] = position + [_sequence_number(record) for record in records].index(sequence_number)


def _sequence_number(record: Json) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


class _Reader:
    """What reads one stream for one function, in a thread of its own while there is something to read."""

    def __init__(self, read: Callable[[], bool]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._wanted = self._running = False

    def wake(self) -> None:
        """Look whether there is something."""
        with self._lock:
            self._wanted = True
            if not self._running:
                self._running = True
                spawn_background(self._run, thread_name="ringback-stream")

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    self._running = False
                    return
                self._wanted = False
            try:
                while self._read():
                    pass
            except Exception:  # noqa: BLE001 - MiniStack goes on, too
                traceback.print_exc()


def _streams_beside_all_else() -> None:
    """A function on a stream that takes its time.

    On AWS it holds up its own reading of that stream, and nothing else. MiniStack reads all streams and queues in one
    thread, and waits in it for the function: all others stand still meanwhile. Here each function that reads a stream
    has a thread of its own.
    """
    reading = threading.local()
    readers: dict[str, _Reader] = {}

    def iterating(upstream: Callable[[], Iterator[tuple[str, str, Json]]]) -> Callable[[], Iterator[Any]]:
        def mappings() -> Iterator[Any]:
            mine = getattr(reading, "mapping", None)
            return (each for each in upstream() if mine in (None, each[2]["UUID"]))

        return mappings

    def polling(upstream: Callable[[], bool]) -> Callable[[], bool]:
        def read(mapping: str) -> bool:
            reading.mapping = mapping
            return upstream()

        def poll() -> bool:
            for _account, _region, mapping in lambda_svc._iter_all_esms():
                if ":dynamodb:" in mapping["EventSourceArn"]:
                    name = mapping["UUID"]
                    readers.setdefault(name, _Reader(partial(read, name))).wake()
            return False

        return poll

    replace(lambda_svc, "_iter_all_esms", iterating)
    replace(lambda_svc, "_poll_dynamodb_streams", polling)


def _too_many_attributes() -> None:
    """A message with more than 10 attributes, to a queue, delivered raw.

    SQS takes no more than 10, so SNS on AWS discards the message. MiniStack delivers it.
    """

    def make(upstream: Callable[..., None]) -> Callable[..., None]:
        def deliver(endpoint: str, envelope: str, raw: object, *args: Any, **kwargs: Any) -> None:
            if not (raw and len(kwargs.get("message_attributes") or {}) > _MOST_ATTRIBUTES):
                upstream(endpoint, envelope, raw, *args, **kwargs)

        return deliver

    replace(sns, "_deliver_to_sqs", make)


def _events_try_functions_again() -> None:
    """A function that EventBridge invokes, and that fails.

    AWS invokes it asynchronously: twice more, then comes the function's own destination or dead letter queue.
    MiniStack has this for other invocations, but tries here only once.
    """

    def make(_upstream: object) -> Callable[[str, str], None]:
        def dispatch(arn: str, payload: str) -> None:
            function, config, _name = lambda_svc._get_func_record_for_ref(arn)
            if function and config:
                record = lambda_svc._execution_record_for_config(function, config)
                lambda_svc.invoke_async_with_retry(record, json.loads(payload))

        return dispatch

    replace(eventbridge, "_dispatch_to_lambda", make)


CORRECTIONS = (
    _failures_within_a_stream_batch,
    _streams_beside_all_else,
    _too_many_attributes,
    _events_try_functions_again,
)
