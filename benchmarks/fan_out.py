"""Posts per second and core: boto3 in threads, our poster, and a bare client that does nothing but sign and post.

All three post the same frames to the same stand-in, in turn, round by round. What counts is the processor time of this
process for each post; the stand-in has its own process.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import boto3
from botocore.config import Config
from yarl import URL

from benchmarks import endpoint
from lambdas.adapters.poster import POSTS_AT_ONCE, AsyncPoster
from lambdas.adapters.signing import Credentials, Signer, connection_path
from lambdas.core.ports import Post, PostResult

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

REPORT = Path(__file__).parents[1] / "build" / "bench-fan-out.json"
REGION = "eu-central-1"
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a-session-token-" * 40)
THREADS = 32
ROUNDS = 9
POSTS = 1_500
REQUIRED_RATIO = 4.0

FRAME = json.dumps({"kind": "message", "id": "m", "type": "news", "payload": {"text": "x" * 400}}).encode()


@dataclass(frozen=True)
class Figures:
    """What one side made, round by round, in posts per second of processor time and per second."""

    name: str
    per_cpu_second: list[float]
    per_second: list[float]

    @property
    def median(self) -> float:
        """Posts per second and core."""
        return statistics.median(self.per_cpu_second)

    def row(self, base: float) -> str:
        """One line of the table."""
        low, high = min(self.per_cpu_second), max(self.per_cpu_second)
        spread = f"{low:,.0f} to {high:,.0f}"
        return (
            f"  {self.name:<34} {self.median:>10,.0f}   {spread:>18}   {statistics.median(self.per_second):>9,.0f}"
            f"   {self.median / base:>5.1f} x"
        )


Side = Callable[[Sequence[Post]], None]


def main() -> int:
    """Measure, print, write the report; 1 if our poster is not as much better as it has to be."""
    with (
        endpoint.running() as url,
        ThreadPoolExecutor(THREADS) as pool,
        AsyncPoster(lambda: CREDENTIALS, region=REGION) as poster,
        asyncio.Runner() as runner,
    ):
        base = f"{url}/prod"
        posts = [Post(base, f"Sm9tZQ{number:07d}=", FRAME) for number in range(POSTS)]
        bare = _Bare(runner, base)
        try:
            sides: dict[str, Side] = {
                f"boto3, {THREADS} threads": _in_threads(_client(base), pool),
                "Ringback's poster": lambda posts: _check(poster.post(posts)),
                "aiohttp, signing and nothing else": bare.post,
            }
            figures = _measure(sides, posts)
        finally:
            bare.close()
    boto, ours, limit = figures
    print(f"  {'posts per second and core':<34} {'median':>10}   {'spread':>18}   {'wall':>9}   {'ratio':>7}")
    for side in figures:
        print(side.row(boto.median))
    ratio = ours.median / boto.median
    good = ratio >= REQUIRED_RATIO
    print(f"  {'good' if good else 'NOT GOOD'}: {ratio:.1f} times boto3, and {REQUIRED_RATIO:g} times is required;")
    print(f"  {ours.median / limit.median:.0%} of what aiohttp can do at all.")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "unit": "posts per second of processor time",
        "rounds": ROUNDS,
        "posts": POSTS,
        "sides": {side.name: {"median": side.median, "rounds": side.per_cpu_second} for side in figures},
        "ratio": ratio,
        "required": REQUIRED_RATIO,
        "ok": good,
    }
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if good else 1


def _measure(sides: dict[str, Side], posts: Sequence[Post]) -> list[Figures]:
    figures = [Figures(name, [], []) for name in sides]
    for side in sides.values():
        side(posts[: len(posts) // 4])  # so that every connection is open
    for _ in range(ROUNDS):
        for side, figure in zip(sides.values(), figures, strict=True):
            cpu, wall = time.process_time(), time.perf_counter()
            side(posts)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            figure.per_cpu_second.append(len(posts) / cpu)
            figure.per_second.append(len(posts) / wall)
    return figures


def _client(url: str) -> "ApiGatewayManagementApiClient":
    session = boto3.Session(
        aws_access_key_id=CREDENTIALS.access_key,
        aws_secret_access_key=CREDENTIALS.secret_key,
        aws_session_token=CREDENTIALS.token,
        region_name=REGION,
    )
    config = Config(max_pool_connections=THREADS, retries={"mode": "standard", "total_max_attempts": 1})
    return session.client("apigatewaymanagementapi", endpoint_url=url, config=config)


def _in_threads(client: "ApiGatewayManagementApiClient", pool: ThreadPoolExecutor) -> Side:
    def post(item: Post) -> None:
        client.post_to_connection(ConnectionId=item.connection_id, Data=item.frame)

    def post_all(posts: Sequence[Post]) -> None:
        for _ in pool.map(post, posts):
            pass

    return post_all


def _check(results: list[PostResult]) -> None:
    if set(results) != {PostResult.POSTED}:
        raise RuntimeError("the stand-in did not take every post")


class _Bare:
    """The least that can be done with aiohttp: what the poster could reach if it did nothing else."""

    def __init__(self, runner: asyncio.Runner, url: str) -> None:
        self._runner = runner
        parts = urlsplit(url)
        self._origin, self._path = f"{parts.scheme}://{parts.netloc}", parts.path
        self._signer = Signer(CREDENTIALS, region=REGION, host=parts.netloc)
        self._session = runner.run(self._make_session())

    def post(self, posts: Sequence[Post]) -> None:
        """Post them all."""
        self._runner.run(self._post_all(posts))

    def close(self) -> None:
        """Close the connections."""
        self._runner.run(self._session.close())

    async def _make_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=POSTS_AT_ONCE),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            auto_decompress=False,
        )

    async def _post_all(self, posts: Sequence[Post]) -> None:
        waiting = iter(posts)

        async def work() -> None:
            for post in waiting:
                path = connection_path(self._path, post.connection_id)
                headers = self._signer.headers(path, post.frame, datetime.now(UTC))
                async with self._session.post(
                    URL(self._origin + path, encoded=True), data=post.frame, headers=headers
                ) as answer:
                    answer.raise_for_status()

        await asyncio.gather(*(work() for _ in range(POSTS_AT_ONCE)))


if __name__ == "__main__":
    sys.exit(main())
