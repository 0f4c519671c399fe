"""Posts per second and core: the loop with boto3, our poster, and a bare client that does nothing but sign and post.

All post the same frames to the same stand-in, in turn, round by round. What counts is the processor time of this
process for each post; the stand-in has its own process. Ratios are medians of those of the single rounds: what slows a
round down slows both sides.
"""

import json
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from benchmarks import scenes
from benchmarks.baselines.loop import THREADS, Loop
from benchmarks.fan_out import endpoint
from benchmarks.fan_out.bare import Bare
from benchmarks.fan_out.certificates import Authority
from benchmarks.report import Cell, Plot, Ratio, Result, Say, Table
from lambdas.adapters.poster import POSTS_AT_ONCE, AsyncPoster
from lambdas.adapters.signing import Credentials
from lambdas.core.fan_out import PART_SIZE
from lambdas.core.ports import Post, PostResult

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_dynamodb import DynamoDBClient

REGION = "eu-central-1"
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a-session-token-" * 40)
PAYLOAD = {"text": "x" * 400}
FRAME = json.dumps({"kind": "message", "id": "m", "type": "news", "payload": PAYLOAD}).encode()
CONNECTIONS = (10, 100, 1_000, 10_000)
ROUNDS = 7
POSTS_OF_BOTO3 = 250
"""In a round. What one of boto3's posts takes does not depend on how many connections there are, so it need not reach
all of many; the others do."""
POSTS_OF_OTHERS, POSTS_OF_OTHERS_WITH_TLS = 10_000, 2_500
"""As many, so that what is fast takes long enough to be measured."""
REQUIRED_OF_BOTO3 = 4.0
REQUIRED_OF_BARE = 0.7
ONE_BY_ONE, IN_THREADS = "(c) boto3, one by one", f"(c) boto3, {THREADS} threads"
OURS, BARE = "Ringback's poster", "bare client with the same signature"
BY_NAME, BY_CONVERSATION = WAYS = ("users by name", "a conversation")
LOOP = f"(c) the loop in {THREADS} threads"
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Side:
    """One way to make many posts, and about how many it makes in a round."""

    name: str
    post: Callable[[Sequence[Post]], object]
    posts: int
    reaches_all: bool = False


@dataclass
class Figures:
    """What one side made for so many connections, round by round."""

    side: str
    connections: int
    per_cpu_second: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Posts per second and core."""
        return median(self.per_cpu_second)

    @property
    def spread(self) -> str:
        """The lowest and the highest round."""
        return f"{min(self.per_cpu_second):,.0f} to {max(self.per_cpu_second):,.0f}"

    def over(self, other: "Figures") -> float:
        """How many times as many as the other one, of the same rounds."""
        return times(self.per_cpu_second, other.per_cpu_second)


def times(some: Sequence[float], others: Sequence[float]) -> float:
    """How many times as much, in the median of the rounds, of which each has both."""
    return median(mine / theirs for mine, theirs in zip(some, others, strict=True))


def run(say: Say) -> Result:
    """Measure the posts, plain and with TLS, and the whole function that makes them."""
    figures: list[Figures] = []
    with endpoint.running() as url, _sides(f"{url}/prod") as sides:
        for count in CONNECTIONS:
            say(f"posts to {count:,} connections")
            figures += measure(sides, f"{url}/prod", count)
        say(f"the whole function, for {PART_SIZE} people")
        whole = _whole_function(url)
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        with (
            endpoint.running(authority.server("127.0.0.1")) as url,
            _sides(f"{url}/prod", authority=authority) as sides,
        ):
            say("the same with TLS")
            secured = measure(sides, f"{url}/prod", 1_000)
    most = {figure.side: figure for figure in figures if figure.connections == CONNECTIONS[-1]}
    return Result(
        name="fan_out",
        what="Posts per second and core, of one message for many",
        tables=(
            _table(
                figures,
                "Posts per second and core",
                "Processor time of the process that posts. The poster gets them in calls of "
                f"{PART_SIZE}, as the function does, and has up to {POSTS_AT_ONCE} sockets open, as the bare client "
                "has; that one is the limit of what Python can do here. Posts of the loop (c) only: its queries are in "
                f"the tables of the whole function. Of many connections boto3 reaches {POSTS_OF_BOTO3} in a round, "
                "since what one of its posts takes does not depend on how many there are.",
            ),
            _table(
                secured,
                "The same with TLS, as to API Gateway",
                "The certificate is checked, the sockets are open already.",
            ),
            _function_table(whole),
            _use_table(secured, whole),
        ),
        ratios=(
            Ratio(
                f"posts per core to {CONNECTIONS[-1]:,} connections, in times of (c) {THREADS} threads of boto3",
                round(most[OURS].over(most[IN_THREADS]), 2),
                REQUIRED_OF_BOTO3,
                "at least",
            ),
            Ratio(
                f"posts per core to {CONNECTIONS[-1]:,} connections, in times of a {BARE}",
                round(most[OURS].over(most[BARE]), 3),
                REQUIRED_OF_BARE,
                "at least",
            ),
        ),
        plots=(
            Plot(
                name="fan-out",
                title="Posts per second and core",
                x_title="connections",
                y_title="posts per second of processor time",
                series={
                    name: [(each.connections, round(each.median)) for each in figures if each.side == name]
                    for name in (ONE_BY_ONE, IN_THREADS, OURS, BARE)
                },
                log_x=True,
                log_y=True,
            ),
        ),
        not_measured=(
            f"How soon API Gateway answers. The stand-in does at once; the poster waits for {POSTS_AT_ONCE} together.",
            "How many posts API Gateway takes.",
            "The handshakes of TLS: a socket that is opened takes as long as many posts.",
        ),
        details={
            "rounds": ROUNDS,
            "frameBytes": len(FRAME),
            "posts": [_details(figure) for figure in figures],
            "withTls": [_details(figure) for figure in secured],
            "function": whole,
        },
    )


def measure(sides: Sequence[Side], url: str, count: int) -> list[Figures]:
    """All sides in turn, round by round, on this many connections."""
    everybody = [Post(url, f"Sm9tZQ{number:07d}=", FRAME) for number in range(count)]
    figures = {side.name: Figures(side.name, count) for side in sides}
    for side in sides:
        side.post(everybody[: _share(side, count)])  # so that every socket is open
    for number in range(ROUNDS):
        for side in sides:
            share = _share(side, count)
            start = number * share % count
            posts = everybody[start : start + share]
            repeats = max(1, side.posts // share)
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(repeats):
                side.post(posts)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            figures[side.name].per_cpu_second.append(repeats * len(posts) / cpu)
            figures[side.name].per_second.append(repeats * len(posts) / wall)
    return list(figures.values())


def _share(side: Side, count: int) -> int:
    """To how many connections it posts in one round; another round takes others."""
    return -(-count // ROUNDS) if side.reaches_all and count > side.posts else min(count, side.posts)


@contextmanager
def _sides(url: str, authority: Authority | None = None) -> Iterator[list[Side]]:
    verify = str(authority.certificate) if authority else None
    many = POSTS_OF_OTHERS_WITH_TLS if authority else POSTS_OF_OTHERS
    loop = Loop(_dynamodb(), _management_api(url, verify), table=scenes.CONNECTIONS, conversation="chat#42")
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(THREADS))
        tls = authority.client if authority else ssl.create_default_context
        poster = stack.enter_context(AsyncPoster(lambda: CREDENTIALS, region=REGION, tls=tls))
        bare = Bare(
            url, CREDENTIALS, region=REGION, at_once=POSTS_AT_ONCE, tls=authority.client() if authority else None
        )
        stack.callback(bare.close)

        def one(post: Post) -> None:
            if not loop.post(post.connection_id, post.frame):
                raise RuntimeError("the stand-in did not take a post")

        def one_by_one(posts: Sequence[Post]) -> None:
            for post in posts:
                one(post)

        def in_threads(posts: Sequence[Post]) -> None:
            for _ in pool.map(one, posts):
                pass

        def in_parts(posts: Sequence[Post]) -> None:
            for start in range(0, len(posts), PART_SIZE):
                if set(poster.post(posts[start : start + PART_SIZE])) != {PostResult.POSTED}:
                    raise RuntimeError("the stand-in did not take every post")

        yield [
            Side(ONE_BY_ONE, one_by_one, POSTS_OF_BOTO3),
            Side(IN_THREADS, in_threads, POSTS_OF_BOTO3),
            Side(OURS, in_parts, many, reaches_all=True),
            Side(BARE, bare.post, many, reaches_all=True),
        ]


def _whole_function(url: str) -> dict[str, list[dict[str, float]]]:
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        subprocess.run(  # noqa: S603 - our own interpreter, our own module
            [sys.executable, "-m", "benchmarks.fan_out.audience", url, str(report)],
            cwd=_ROOT,
            env={**scenes.environment(), "AWS_ENDPOINT_URL_DYNAMODB": url},
            stdout=subprocess.DEVNULL,  # the handler's log
            check=True,
        )
        measured: dict[str, list[dict[str, float]]] = json.loads(report.read_text())
        return measured


def _table(figures: Sequence[Figures], title: str, note: str) -> Table:
    threads, bare = (
        {figure.connections: figure for figure in figures if figure.side == side} for side in (IN_THREADS, BARE)
    )
    return Table(
        title,
        ("connections", "side", "median", "rounds", "by the clock", f"times {IN_THREADS}", "times the bare client"),
        tuple(
            (
                figure.connections,
                figure.side,
                round(figure.median),
                figure.spread,
                round(median(figure.per_second)),
                round(figure.over(threads[figure.connections]), 2),
                round(figure.over(bare[figure.connections]), 3),
            )
            for figure in figures
        ),
        note,
    )


def _function_table(measured: dict[str, list[dict[str, float]]]) -> Table:
    def of(way: str, what: str) -> float:
        return median(each[what] for each in measured[way])

    rows: list[tuple[Cell, ...]] = []
    for way in WAYS:
        whole, reading, posting = (of(way, what) for what in ("all", "reading", "posting"))
        rows.append((way, *(round(value, 1) for value in (whole, reading, posting, whole - reading - posting))))
    return Table(
        f"One call of `post_to_audience` for {PART_SIZE} people (ms of processor time, warm)",
        ("who", "whole", "reading", "posting", "the rest"),
        (*rows, (LOOP, round(of(LOOP, "all"), 1), "", "", "")),
        "People who are named are looked up by a query each, in threads, with consistent reads; a page of a "
        "conversation is one query of the index. DynamoDB is a stand-in that answers at once.",
    )


def _use_table(secured: Sequence[Figures], measured: dict[str, list[dict[str, float]]]) -> Table:
    by_side = {figure.side: figure for figure in secured}
    ours = by_side[OURS]
    whole = {way: [each["all"] for each in rounds] for way, rounds in measured.items()}
    reading = median(each["reading"] for each in measured[BY_NAME])
    return Table(
        "What one really gets, with TLS and with the queries",
        ("what", "against", "times as fast, per core"),
        (
            ("the posts, with TLS", IN_THREADS, round(ours.over(by_side[IN_THREADS]), 2)),
            ("the posts, with TLS", BARE, round(ours.over(by_side[BARE]), 3)),
            (f"the whole function, {BY_NAME}", LOOP, round(times(whole[LOOP], whole[BY_NAME]), 2)),
            (f"the whole function, {BY_CONVERSATION}", LOOP, round(times(whole[LOOP], whole[BY_CONVERSATION]), 2)),
        ),
        "By name, the function is bound by what it reads, and not by what it posts: one query of DynamoDB for each "
        f"person, as the loop makes them too, are {reading:.0f} of its {median(whole[BY_NAME]):.0f} ms. So who wants "
        "the speed sends to conversations, of which one query reads a page.",
    )


def _details(figure: Figures) -> dict[str, Any]:
    return {
        "connections": figure.connections,
        "side": figure.side,
        "perCpuSecond": figure.per_cpu_second,
        "perSecond": figure.per_second,
    }


def _management_api(url: str, verify: str | None) -> "ApiGatewayManagementApiClient":
    config = Config(max_pool_connections=THREADS, retries={"mode": "standard", "total_max_attempts": 1})
    return _session().client("apigatewaymanagementapi", endpoint_url=url, config=config, verify=verify)


def _dynamodb() -> "DynamoDBClient":
    return _session().client("dynamodb")


def _session() -> boto3.Session:
    return boto3.Session(
        aws_access_key_id=CREDENTIALS.access_key,
        aws_secret_access_key=CREDENTIALS.secret_key,
        aws_session_token=CREDENTIALS.token,
        region_name=REGION,
    )
