"""`python -m benchmarks.fan_out.audience URL RESULT`: what one call of `tasks/post_to_audience` takes, in this process.

The real handler, whose log goes to stdout; DynamoDB and the management API are the stand-in at this URL. Writes JSON to
the file RESULT: for both kinds of part, the milliseconds of processor time of each call, as a whole, for reading the
connections, and for posting; and the same for the loop with boto3.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
from botocore.config import Config

from benchmarks import scenes
from benchmarks.baselines.loop import THREADS, Loop
from benchmarks.fan_out import LOOP, PAYLOAD, WAYS
from benchmarks.fan_out.endpoint import PAGE_SIZE
from lambdas.adapters import poster
from lambdas.adapters.poster import AsyncPoster
from lambdas.core import fan_out
from lambdas.tasks import post_to_audience

ROUNDS = 7
USERS = [f"{number:07}" for number in range(PAGE_SIZE)]


class _Watch:
    """Adds up what the calls of a function take."""

    def __init__(self) -> None:
        self.milliseconds = 0.0

    @contextmanager
    def on(self, owner: Any, name: str) -> Iterator[None]:
        """Have it watch this function."""
        real = getattr(owner, name)

        def timed(*given: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return real(*given, **named)
            finally:
                self.milliseconds += (time.process_time() - start) * 1000

        with mock.patch.object(owner, name, timed):
            yield


def main(url: str, result: Path) -> None:
    """Measure, and write it down."""
    events = [_event(part) for part in ({"users": USERS, "size": PAGE_SIZE}, {"after": None, "upTo": None, "size": 1})]
    report: dict[str, list[dict[str, float]]] = {way: [] for way in (*WAYS, LOOP)}
    with ThreadPoolExecutor(THREADS) as pool:
        loop = _loop(url, pool)
        for _ in range(ROUNDS + 1):
            for way, event in zip(WAYS, events, strict=True):
                report[way].append(_call(event))
            report[LOOP].append({"all": _milliseconds(loop)})
    poster.shared().close()
    result.write_text(json.dumps({way: rounds[1:] for way, rounds in report.items()}))  # the first one opens sockets


def _call(event: dict[str, Any]) -> dict[str, float]:
    reading, posting = _Watch(), _Watch()
    with reading.on(fan_out, "_people"), posting.on(AsyncPoster, "post"):
        whole = _milliseconds(lambda: _handle(event))
    return {"all": whole, "reading": reading.milliseconds, "posting": posting.milliseconds}


def _handle(event: dict[str, Any]) -> None:
    answer = post_to_audience.handler(event, scenes.context())
    if answer["summary"]["posted"] != PAGE_SIZE:
        raise RuntimeError(f"the stand-in did not take every post: {answer['summary']}")


def _loop(url: str, pool: ThreadPoolExecutor) -> Callable[[], None]:
    config = Config(max_pool_connections=THREADS)
    api = boto3.client("apigatewaymanagementapi", endpoint_url=f"{url}/prod", config=config)
    loop = Loop(boto3.client("dynamodb", config=config), api, table=scenes.CONNECTIONS, conversation="chat#42")
    frame = json.dumps({"kind": "message", "id": "m", "type": "news", "payload": PAYLOAD}).encode()

    def send() -> None:
        if loop.in_threads(USERS, frame, pool) != PAGE_SIZE:
            raise RuntimeError("the stand-in did not take every post")

    return send


def _event(part: dict[str, Any]) -> dict[str, Any]:
    place = {"context": "chat", "contextId": "42"}
    audience = {"users": USERS, **place} if "users" in part else {"conversation": place}
    execution = {
        "arn": "arn:aws:states:eu-central-1:123456789012:execution:FanOut:run",
        "name": "run",
        "startedAt": datetime.now(UTC).isoformat(),
    }
    message = {"type": "news", "payload": PAYLOAD}
    return {
        "fanOut": {"id": "news-7", "message": message, "audience": audience},
        "execution": execution,
        "part": part,
        "summary": {"people": 0, "posted": 0, "gone": 0, "throttled": 0, "failed": 0, "handedOver": 0},
    }


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
