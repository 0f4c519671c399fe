"""The reconnect storm: 2,000 users for each of whom 5 messages wait come back within a minute, under AWS's quotas.

The function is the real one, in processes of its own as Lambda has them, with the real botocore; Step Functions,
DynamoDB and the stream are stand-ins on loopback. The time is real. Two cores do not carry an account's whole quotas,
so everything that there is a number of is divided by one factor, the lanes of the stream included: what one lane has
to do, and may do, is what it is in AWS.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.report import Plot, Ratio, Result, Say, Table
from benchmarks.storm import cloud
from benchmarks.storm.environment import TIMEOUT_SECONDS, Environment
from benchmarks.storm.quotas import Quota, at_best
from benchmarks.storm.stream import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Change,
    Counts,
    EventSource,
    Invoke,
    Mapping,
)

SCALE = 10
USERS, MESSAGES_EACH = 2_000, 5
CONNECTIONS_A_SECOND = 500
LARGE_REGION, SMALL_REGION = Quota(3_000, 500), Quota(1_500, 300)
TRANSITIONS = Quota(5_000, 5_000)
SHARDS = 4
"""A new table that is paid by use has four partitions, and its stream a shard for each."""
SOURCE = EventSource()

COLD_START_SECONDS = 1.0
TRANSITIONS_AFTER_A_WAKE = 3
POST_SECONDS = 0.1
REQUIRED_RATIO = 1.2
WAITED_FOR = 3
"""Times the best: what has not arrived by then, and ten seconds more, counts as lost, whether it still waits or not."""
MEMORY_MB = 256
"""Of `wake`, in the stack."""
_WHOLE_PROCESSOR_MB = 1_769  # Lambda gives as much of a processor as there is of this


@dataclass(frozen=True)
class Shape:
    """How they come back. ``seconds``: within how many, evenly. All figures are AWS's, unscaled."""

    name: str
    users: int
    messages_each: int
    seconds: float
    quota: Quota
    is_required: bool = False
    scale: int = SCALE

    @property
    def messages(self) -> int:
        """So many wait."""
        return self.users * self.messages_each


# A minute is longer than the quotas take for it: the arrivals are what it lasts, and nearly any wake would do.
MINUTE = Shape("evenly over a minute", USERS, MESSAGES_EACH, 60, LARGE_REGION, is_required=True)
# Here the quotas are what it lasts, so this is the one that decides.
AT_ONCE = Shape(
    "as fast as they are let in",
    USERS,
    MESSAGES_EACH,
    USERS / CONNECTIONS_A_SECOND,
    LARGE_REGION,
    is_required=True,
)
SMALL = Shape(
    "as fast as they are let in, in a small region", USERS, MESSAGES_EACH, USERS / CONNECTIONS_A_SECOND, SMALL_REGION
)
# One lane has all the work, and is not divided: nor is anything else.
ONE_USER = Shape("one user with all of the messages", 1, USERS * MESSAGES_EACH, 0, LARGE_REGION, scale=1)


@dataclass(frozen=True)
class Outcome:
    """What became of a storm. Times are seconds since its first connection, one for each message, in order."""

    shape: Shape
    arrived: list[float]
    at_best: list[float]
    lost: int
    left_behind: int
    throttled: list[float]
    calls: dict[str, int]
    mapping: Counts
    processor_seconds: float

    @property
    def ratio(self) -> float:
        """How much longer it took than the quotas allow at best, for the messages that arrived."""
        return self.arrived[-1] / self.at_best[-1] if self.arrived else 0.0

    def row(self) -> tuple[str | int | float, ...]:
        """One line of the table."""
        last = self.arrived[-1] if self.arrived else 0.0
        tried = self.calls.get("SendTaskSuccess", 0)
        return (
            self.shape.name,
            round(last, 1),
            round(self.at_best[-1], 1),
            round(self.ratio, 2),
            round(len(self.throttled) / max(1, tried), 3),
            round(tried / len(self.at_best), 2),
            self.mapping.invocations,
            self.mapping.failed,
            self.lost,
        )


def run(say: Say) -> Result:
    """Have the storms; the one that takes a minute beside the others."""
    with _account(say) as one, _account(say) as other, ThreadPoolExecutor(1) as beside:
        long = beside.submit(_storm, one, MINUTE, say)
        outcomes = [_storm(other, shape, say) for shape in (AT_ONCE, SMALL, ONE_USER)]
        outcomes = [long.result(), *outcomes]
    required = [outcome for outcome in outcomes if outcome.shape.is_required]
    return Result(
        name="storm",
        what=f"Reconnect storm: {USERS:,} users come back, and {MESSAGES_EACH} messages wait for each of them",
        tables=(_table(outcomes), _processor(outcomes)),
        ratios=tuple(ratio for outcome in required for ratio in _ratios(outcome)),
        plots=(_plot(outcomes[1]),),
        not_measured=_not_measured(),
        details={outcome.shape.name: _details(outcome) for outcome in outcomes},
    )


@dataclass(frozen=True)
class _Account:
    """The services, and the environments of `wake`, one for each lane."""

    services: cloud.Client
    environments: list[Environment]


@contextmanager
def _account(say: Say) -> Iterator[_Account]:
    lanes = SHARDS * SOURCE.lanes_a_shard // SCALE
    say(f"starting {lanes} environments of wake")
    with cloud.running() as services, ExitStack() as ends:
        environments = [Environment(services.url) for _ in range(lanes)]
        for environment in environments:
            ends.callback(environment.end)
        _together(environments, lambda environment: environment.do("warm"))
        yield _Account(services, environments)


def _storm(account: _Account, shape: Shape, say: Say) -> Outcome:
    quota, users, messages_each = shape.quota.of(shape.scale), shape.users // shape.scale, shape.messages_each
    names = [f"user-{number:05}" for number in range(users)]
    runs = [(name, number) for name in names for number in range(messages_each)]
    account.services.reset(quota)
    lanes = len(account.environments)
    _together(
        list(enumerate(account.environments)),
        lambda each: (
            each[1].do("park", runs=runs[each[0] :: lanes]),
            each[1].do("store", users=names[each[0] :: lanes]),
        ),
    )
    rows = sorted(account.services.connections(), key=lambda row: str(row["connection_id"]["S"]))
    say(f"{shape.name}: {users * messages_each:,} messages wait for {users:,} users (1:{shape.scale})")

    for environment in account.environments:
        environment.processor_seconds = 0
    begin = time.monotonic() + 0.5
    comes = [number * shape.seconds / users for number in range(users)]
    changes = [Change(_record(row, number), begin + comes[number]) for number, row in enumerate(rows)]
    best = _at_client(at_best([at for at in comes for _ in range(messages_each)], quota), shape)
    mapping = Mapping(
        EventSource(lanes_a_shard=lanes // SHARDS),
        shards=SHARDS,
        invokers=[_invoker(environment) for environment in account.environments],
        cold_seconds=COLD_START_SECONDS,
    )
    counts = mapping.bring(changes, until=begin + WAITED_FOR * best[-1] + 10)  # what is left then counts as lost
    report = account.services.report()
    woken = sorted(at - begin for at in report.woken.values())
    outcome = Outcome(
        shape=shape,
        arrived=_at_client(woken, shape, latency=POST_SECONDS),
        at_best=best,
        lost=users * messages_each - len(woken),
        left_behind=report.waiting,
        throttled=[at - begin for at in report.throttled],
        calls=report.calls,
        mapping=counts,
        processor_seconds=sum(environment.processor_seconds for environment in account.environments),
    )
    say(f"{shape.name}: {outcome.ratio:.2f} of the best, {len(outcome.throttled):,} throttled, {outcome.lost} lost")
    return outcome


def _at_client(woken: Sequence[float], shape: Shape, *, latency: float = 0) -> list[float]:
    through = at_best(woken, TRANSITIONS.of(shape.scale), calls=TRANSITIONS_AFTER_A_WAKE)
    return [at + latency for at in through]


def _invoker(environment: Environment) -> Invoke:
    def invoke(records: list[dict[str, Any]]) -> dict[str, Any]:
        answer: dict[str, Any] = environment.do("wake", event={"Records": records})
        return answer

    return invoke


def _record(row: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        "eventID": f"event-{number}",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 0,
            "Keys": {name: row[name] for name in ("caller_id", "context")},
            "NewImage": row,
            "SequenceNumber": f"{number:021}",
            "SizeBytes": 500,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/Connections/stream/2030-01-31",
    }


def _together(items: Sequence[Any], call: Callable[[Any], object]) -> None:
    with ThreadPoolExecutor(len(items)) as pool:
        for _ in pool.map(call, items):
            pass


def _ratios(outcome: Outcome) -> tuple[Ratio, ...]:
    return (
        Ratio(f"messages lost when all come back {outcome.shape.name}", outcome.lost, 0, "at most"),
        Ratio(
            f"time until the last arrives when all come back {outcome.shape.name}, in times of what the quotas allow",
            outcome.ratio,
            REQUIRED_RATIO,
            "at most",
        ),
    )


def _table(outcomes: Sequence[Outcome]) -> Table:
    return Table(
        title=f"Until the last of {USERS * MESSAGES_EACH:,} messages has arrived",
        columns=(
            "how they come back",
            "seconds",
            "at best",
            "ratio",
            "share of calls throttled",
            "calls a message",
            "invocations",
            "failed ones",
            "lost",
        ),
        rows=tuple(outcome.row() for outcome in outcomes),
        note=(
            f"At best: {LARGE_REGION.burst:,.0f} SendTaskSuccess at once and {LARGE_REGION.per_second:,.0f} a second "
            f"({SMALL_REGION.burst:,.0f} and {SMALL_REGION.per_second:,.0f} in a small region), spent without a gap. "
            f"“{MINUTE.name}” lasts as long as the arrivals do, which the quotas keep up with; the storm that decides "
            f"is “{AT_ONCE.name}”, at {CONNECTIONS_A_SECOND} new connections a second. What has not arrived after "
            f"{WAITED_FOR} times the best and 10 s counts as lost. “{ONE_USER.name}” is one lane, and one function at "
            f"work: with the processor that {MEMORY_MB} MB buy it would take {_alone(outcomes[-1]):,.0f} s, "
            "in several invocations: each ends before its time is up, and the stream brings the rest again."
        ),
    )


def _processor(outcomes: Sequence[Outcome]) -> Table:
    def row(outcome: Outcome) -> tuple[str | int | float, ...]:
        milliseconds = 1000 * _share_of_memory(outcome)
        return outcome.shape.name, round(1000 * _a_message(outcome), 2), round(milliseconds, 1), round(_alone(outcome))

    return Table(
        title="Processor time of a wake",
        columns=(
            "how they come back",
            "ms a message",
            f"ms with the processor that {MEMORY_MB} MB buy",
            "seconds of one function for all of them",
        ),
        rows=tuple(map(row, outcomes)),
        note=(
            "Of the function's own process: the query, SendTaskSuccess with all that was throttled, and the removal. "
            f"Many users fill {SHARDS * SOURCE.lanes_a_shard} lanes, and as many functions share the last column; one "
            "user has but one."
        ),
    )


def _a_message(outcome: Outcome) -> float:
    """Seconds of this machine's processor."""
    return outcome.processor_seconds / max(1, len(outcome.arrived))


def _share_of_memory(outcome: Outcome) -> float:
    """Seconds that a message takes with the share of a processor that the function has in Lambda."""
    return _a_message(outcome) * _WHOLE_PROCESSOR_MB / MEMORY_MB


def _alone(outcome: Outcome) -> float:
    """Seconds until one function has woken all of them in Lambda: bound by its processor, or by the quotas."""
    return max(_share_of_memory(outcome) * outcome.shape.messages, outcome.at_best[-1])


def _plot(outcome: Outcome) -> Plot:
    def so_far(times: Sequence[float]) -> list[tuple[float, float]]:
        seconds = [step / 2 for step in range(int(2 * max(outcome.arrived[-1:] + outcome.at_best[-1:])) + 2)]
        return [(second, outcome.shape.scale * sum(at <= second for at in times)) for second in seconds]

    return Plot(
        name="storm",
        title=f"{outcome.shape.messages:,} messages, {outcome.shape.name}",
        x_title="seconds since the first connection",
        y_title="messages",
        series={
            "arrived": so_far(outcome.arrived),
            "at best": so_far(outcome.at_best),
            "calls throttled": so_far(outcome.throttled),
        },
    )


def _not_measured() -> tuple[str, ...]:
    scale = (
        f"Everything that there is a number of is divided by {SCALE}: messages, users, quotas, and the lanes of the "
        "stream; nothing is for the one user, whose messages are all in one lane. The time is real."
    )
    assumed = (
        f"Assumed, as AWS does not say: SendTaskSuccess answers in {cloud.SEND_TASK_SUCCESS_SECONDS * 1000:g} ms, "
        f"DynamoDB in {cloud.DYNAMODB_SECONDS * 1000:g}; a cold start takes {COLD_START_SECONDS:g} s; the stream has "
        f"{SHARDS} shards, and pauses before it brings a failed batch again, from {FIRST_PAUSE_SECONDS:g} s doubling "
        f"up to {LONGEST_PAUSE_SECONDS:g}; what is throttled takes no token; nobody else calls SendTaskSuccess."
    )
    after = (
        f"What follows a wake is reckoned, not run: {TRANSITIONS_AFTER_A_WAKE} transitions of the quota of "
        f"{TRANSITIONS.per_second:,.0f} a second, and {POST_SECONDS * 1000:g} ms for the post."
    )
    processor = (
        "Each environment has as much of this machine's processors as it gets, not the share that its memory buys. "
        "That matters for the one user alone, who keeps one environment busy: the note has what it would take."
    )
    return scale, assumed, after, processor


def _details(outcome: Outcome) -> dict[str, Any]:
    return {
        "scale": outcome.shape.scale,
        "timeoutSeconds": TIMEOUT_SECONDS,
        "messages": len(outcome.at_best),
        "seconds": outcome.arrived[-1] if outcome.arrived else None,
        "secondsAtBest": outcome.at_best[-1],
        "medianSeconds": outcome.arrived[len(outcome.arrived) // 2] if outcome.arrived else None,
        "throttled": len(outcome.throttled),
        "calls": outcome.calls,
        "mapping": vars(outcome.mapping),
        "lost": outcome.lost,
    }
