"""Ringback for ten million connected users, on paper: the quotas to raise, the partitions, the bill of a month.

`python -m benchmarks.paper --messages-per-day 5 …` reckons it for other assumptions. What one operation takes is
counted by `benchmarks.growth` and in the state machine's histories (docs/cost.md); a test holds these numbers to both.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from benchmarks.billing.prices import DATE, PRICES, REGION
from benchmarks.billing.schedules import WHILE_AWAY
from benchmarks.billing.times import CALL_SECONDS, PROCESSOR_SECONDS, own_seconds
from benchmarks.report import Cell, Result, Say, Table
from benchmarks.reporting.cells import number

DAYS_A_MONTH = 365 / 12
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Quota:
    """A limit of AWS for one account and region, as it is before one asks for more."""

    what: str
    value: float
    unit: str
    so_at_most: str


# Those of a large region, such as us-east-1 and eu-west-1.
CONNECTIONS = Quota(
    "API Gateway: new connections", 500, "a second", "as many handshakes; the others are refused and come again"
)
REQUESTS = Quota(
    "API Gateway: requests of the account",
    10_000,
    "a second",
    "as many posts, frames from clients and handshakes together, REST and HTTP APIs among them",
)
CONCURRENCY = Quota(
    "Lambda: concurrent executions", 1_000, "at once", "as many functions at work at one moment, all of the account's"
)
_INVOCATIONS_PER_CONCURRENCY = 10
INVOCATIONS = Quota(
    "Lambda: synchronous invocations",
    _INVOCATIONS_PER_CONCURRENCY * CONCURRENCY.value,
    "a second",
    f"as many, however short they are: {_INVOCATIONS_PER_CONCURRENCY} for each concurrent execution, and raised with "
    "it",
)
STARTS = Quota(
    "Step Functions: StartExecution",
    300,
    "a second",
    "as many messages that miss their recipient, or ask for a run (1,300 at once after a rest)",
)
TRANSITIONS = Quota(
    "Step Functions: state transitions",
    5_000,
    "a second",
    "a third as many runs of somebody who is there, a fourth as many of somebody who comes back",
)
SUCCESSES = Quota(
    "Step Functions: SendTaskSuccess",
    500,
    "a second",
    "as many wakes and acknowledgements together (3,000 at once after a rest)",
)
OPEN_RUNS = Quota("Step Functions: open executions", 1_000_000, "at once", "as many messages that wait at one moment")
TABLE_WRITES = Quota(
    "DynamoDB: write units of a table",
    40_000,
    "a second",
    "as many; a new table begins with 4,000 and doubles with its load",
)
TABLE_READS = Quota(
    "DynamoDB: read units of a table",
    40_000,
    "a second",
    "as many; a new table begins with 12,000 and doubles with its load",
)
PARTITION_WRITES = Quota(
    "DynamoDB: write units of a partition",
    1_000,
    "a second",
    "half as many messages that one person can park, or be woken for",
)
PARTITION_READS = Quota(
    "DynamoDB: read units of a partition",
    3_000,
    "a second",
    "as many messages to one person that are looked up one by one",
)
PARTITION_BYTES = Quota("DynamoDB: size of a partition", 10, "GB", "more than that is split, by user")
QUOTAS = (
    CONNECTIONS, REQUESTS, CONCURRENCY, INVOCATIONS, STARTS, TRANSITIONS, SUCCESSES, OPEN_RUNS,
    TABLE_WRITES, TABLE_READS, PARTITION_WRITES, PARTITION_READS, PARTITION_BYTES,
)  # fmt: skip


@dataclass(frozen=True)
class Assumptions:
    """What a reader may know better. Each field is an argument of the command."""

    users: float = field(default=10_000_000, metadata={"what": "people who are connected at the busiest time"})
    connections_per_user: float = field(default=1.2, metadata={"what": "connections of one of them, at one time"})
    connected_hours: float = field(default=8, metadata={"what": "hours a day that one is connected"})
    reconnects_per_hour: float = field(default=1, metadata={"what": "handshakes in an hour of one connection"})
    ping_seconds: float = field(default=120, metadata={"what": "seconds between two pings of a client (its default)"})
    messages_per_day: float = field(default=20, metadata={"what": "messages to one person, a day"})
    share_online: float = field(default=0.99, metadata={"what": "share of the messages whose recipient is there"})
    share_acknowledged: float = field(default=0.0, metadata={"what": "share of the messages with `ack: client`"})
    absence_seconds: float = field(default=3_600, metadata={"what": "seconds until one who missed a message is back"})
    busiest: float = field(default=3, metadata={"what": "messages in the busiest second, over the day's mean"})
    call_seconds: float = field(
        default=CALL_SECONDS, metadata={"what": "seconds that a function waits for each call it makes"}
    )
    processor_seconds: float = field(
        default=PROCESSOR_SECONDS, metadata={"what": "seconds of a whole processor that an invocation takes for itself"}
    )
    memory_mb: float = field(default=256, metadata={"what": "memory of a function, in MB"})

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for each in fields(self):
            if getattr(self, each.name) < 0:
                raise ValueError(f"{each.name}: less than nothing")
        for name in ("share_online", "share_acknowledged"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name}: a share is at most 1")
        if not self.ping_seconds:
            raise ValueError("ping_seconds: a ping after no time")
        if not self.memory_mb:
            raise ValueError("memory_mb: a function without memory")


@dataclass(frozen=True)
class Takes:
    """What one of something takes. ``requests`` are those that API Gateway counts, ``frames`` those that it bills."""

    transitions: float = 0
    starts: float = 0
    successes: float = 0
    invocations: float = 0
    calls: float = 0
    connection_reads: float = 0
    connection_writes: float = 0
    callback_reads: float = 0
    callback_writes: float = 0
    requests: float = 0
    frames: float = 0

    def __add__(self, other: "Takes") -> "Takes":
        return Takes(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})

    def __mul__(self, times: float) -> "Takes":
        return Takes(**{each.name: getattr(self, each.name) * times for each in fields(self)})


# A post goes to every connection of a user, and is added for each. A call is one that a function waits for.
POST = Takes(calls=1, requests=1, frames=1)
FIRST_ATTEMPT = Takes(invocations=1, calls=1, connection_reads=1)
START = Takes(starts=1, calls=1)
RESOLVE = Takes(transitions=1, invocations=1, calls=1, connection_reads=1)
PARK = Takes(transitions=1, invocations=1, calls=2, connection_reads=1, callback_writes=2)
WAKE = Takes(successes=1, calls=2, callback_writes=2)
POST_STATE = Takes(transitions=2, invocations=1)  # with the question before it
AWAIT = Takes(calls=1, callback_writes=2)
ACKNOWLEDGE = Takes(successes=1, invocations=1, calls=3, callback_reads=1, callback_writes=2, requests=1, frames=1)
CONNECT = Takes(
    # The authorizer, $connect, wake, and at the end $disconnect. Handshakes are not billed as messages.
    invocations=4, calls=4, connection_reads=1, connection_writes=2, callback_reads=1, requests=2,
)  # fmt: skip
PING = Takes(requests=1, frames=2)
CONNECTION_BYTES, CALLBACK_BYTES = 500, 1_500
"""Rows with ids of the usual length, rounded up, and 100 bytes more for each that DynamoDB adds."""


@dataclass(frozen=True)
class Load:
    """What comes together, for one user and second of the mean day, and for all in the busiest second."""

    given: Assumptions

    @property
    def looks(self) -> float:
        """How often a message that waits is looked at in vain before its recipient is back."""
        return WHILE_AWAY.expected_looks(round(self.given.absence_seconds))

    def message(self) -> Takes:
        """One message of all."""
        given = self.given
        post = POST * given.connections_per_user
        acknowledged = given.share_acknowledged
        online = (FIRST_ATTEMPT + post) * (1 - acknowledged) + (
            FIRST_ATTEMPT + START + RESOLVE + POST_STATE + AWAIT + post + ACKNOWLEDGE
        ) * acknowledged
        missed = (
            FIRST_ATTEMPT
            + START
            + (RESOLVE + PARK) * (1 + self.looks)
            + WAKE
            + POST_STATE
            + post
            + (AWAIT + ACKNOWLEDGE) * acknowledged
        )
        return online * given.share_online + missed * (1 - given.share_online)

    def day(self) -> Takes:
        """What all users come to in a day."""
        given = self.given
        hours = given.users * given.connections_per_user * given.connected_hours
        return (
            self.message() * (given.users * given.messages_per_day)
            + CONNECT * (hours * given.reconnects_per_hour)
            + PING * (hours * 3600 / given.ping_seconds)
        )

    def function_seconds(self, takes: Takes) -> float:
        """How long the functions work on this, one after the other."""
        given = self.given
        own = own_seconds(given.memory_mb, processor_seconds=given.processor_seconds)
        return takes.calls * given.call_seconds + takes.invocations * own

    def second(self) -> Takes:
        """The busiest second: everybody is connected."""
        given = self.given
        connections = given.users * given.connections_per_user
        return (
            self.message() * (given.users * given.messages_per_day / _SECONDS_A_DAY * given.busiest)
            + CONNECT * (connections * given.reconnects_per_hour / 3600)
            + PING * (connections / given.ping_seconds)
        )

    @property
    def handshakes(self) -> float:
        """In the busiest second."""
        return self.given.users * self.given.connections_per_user * self.given.reconnects_per_hour / 3600

    @property
    def waiting(self) -> float:
        """Messages that wait at one time, when it is busiest."""
        given = self.given
        missed = given.users * given.messages_per_day * (1 - given.share_online) / _SECONDS_A_DAY
        return missed * given.busiest * given.absence_seconds

    def needed(self) -> dict[Quota, float]:
        """What the busiest second needs of each quota of the account."""
        second = self.second()
        return {
            CONNECTIONS: self.handshakes,
            REQUESTS: second.requests,
            # Functions are invoked synchronously by all that invokes them here, the stream among it.
            CONCURRENCY: max(self.function_seconds(second), second.invocations / _INVOCATIONS_PER_CONCURRENCY),
            INVOCATIONS: second.invocations,
            STARTS: second.starts,
            TRANSITIONS: second.transitions,
            SUCCESSES: second.successes,
            OPEN_RUNS: self.waiting,
            TABLE_WRITES: max(second.connection_writes, second.callback_writes),
            TABLE_READS: max(second.connection_reads, second.callback_reads),
        }

    def partitions(self) -> list[tuple[str, float, float, float, int]]:
        """Each table's read units, write units and GB, and how many partitions these need."""
        second = self.second()
        connections = self.given.users * self.given.connections_per_user * CONNECTION_BYTES
        tables = [
            ("Connections", second.connection_reads, second.connection_writes, connections / 1e9),
            ("Callbacks", second.callback_reads, second.callback_writes, self.waiting * CALLBACK_BYTES / 1e9),
        ]
        return [(name, reads, writes, size, _partitions(reads, writes, size)) for name, reads, writes, size in tables]

    def bill(self) -> list[tuple[str, float, float]]:
        """What is billed in a month: what, how much of it, and USD."""
        given, day = self.given, self.day()
        minutes = given.users * given.connections_per_user * given.connected_hours * 60
        pings = PING.frames * minutes * 60 / given.ping_seconds
        amounts = (
            ("WebSocket connection-minutes", minutes, "websocket_connection_minute"),
            ("WebSocket messages: pings and pongs", pings, "websocket_message"),
            ("WebSocket messages: all others", day.frames - pings, "websocket_message"),
            ("Lambda: invocations", day.invocations, "lambda_request"),
            ("Lambda: GB-seconds", self.function_seconds(day) * given.memory_mb / 1024, "lambda_gb_second"),
            ("Step Functions: transitions", day.transitions, "transition"),
            ("DynamoDB: read units", day.connection_reads + day.callback_reads, "dynamodb_read"),
            ("DynamoDB: write units", day.connection_writes + day.callback_writes, "dynamodb_write"),
        )
        return [(name, amount * DAYS_A_MONTH, amount * DAYS_A_MONTH * PRICES[price]) for name, amount, price in amounts]


def _partitions(reads: float, writes: float, size: float) -> int:
    needed = max(reads / PARTITION_READS.value, writes / PARTITION_WRITES.value, size / PARTITION_BYTES.value)
    return max(1, -int(-needed // 1))


def run(say: Say) -> Result:
    """Reckon with the assumptions as they are."""
    say("this is reckoned, not measured")
    return reckon(Assumptions())


def reckon(given: Assumptions) -> Result:
    """The tables for these assumptions."""
    load = Load(given)
    bill = load.bill()
    total = sum(usd for _, _, usd in bill)
    return Result(
        name="paper",
        what=f"Reckoned, not measured: {number(given.users)} people connected at the busiest time.",
        tables=(
            _limits(),
            _assumptions(given),
            _quotas(load),
            Table(
                "What the tables need in the busiest second",
                ("table", "read units", "write units", "GB", "partitions"),
                tuple((name, *map(_rounded, figures), partitions) for name, *figures, partitions in load.partitions()),
                "Rows are spread by user, so partitions fill evenly. A table that is to begin with so many wants to be"
                " warmed first (warm throughput), or to grow into it.",
            ),
            _back_at_once(given),
            Table(
                f"The bill of a month ({REGION}, list prices as known in {DATE})",
                ("what", "millions", "USD", "share, %"),
                (
                    *(
                        (name, _rounded(amount / 1e6), _rounded(usd), _rounded(100 * usd / total))
                        for name, amount, usd in bill
                    ),
                    ("all of it", "", _rounded(total), 100),
                ),
                f"{_usd(total / given.users)} USD for one person and month. Not in it: discounts for volume, storage,"
                " data transfer, logs, metrics, traces, cold starts, and what hands the messages over.",
            ),
        ),
        not_measured=("Any of this on AWS.",),
        details={"assumptions": vars(given), "looks": load.looks, "usd": total},
    )


def _limits() -> Table:
    return Table(
        "What limits Ringback",
        ("quota of a large region", "it is", "", "so there are at most"),
        tuple((quota.what, quota.value, quota.unit, quota.so_at_most) for quota in QUOTAS),
        "The first eight are of the account and region, and AWS raises them when asked; a table's are raised in the"
        " same way, a partition's never: a busy person is one partition, a busy table is many.",
    )


def _assumptions(given: Assumptions) -> Table:
    rows = tuple(
        (str(each.metadata["what"]), getattr(given, each.name), f"`--{each.name.replace('_', '-')}`")
        for each in fields(given)
    )
    note = "A function's times are, as they come, those of the bill of a million messages. Cold starts are in neither."
    return Table("Assumptions", ("what", "is taken to be", "argument"), rows, note)


def _quotas(load: Load) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for quota, needed in load.needed().items():
        times = needed / quota.value
        rows.append(
            (quota.what, quota.value, _rounded(needed), f"{number(_rounded(times))} times" if times > 1 else "no")
        )
    return Table(
        "Quotas to raise for it",
        ("quota", "it is", "the busiest second needs", "to raise"),
        tuple(rows),
        f"A message that waits is looked at {number(_rounded(load.looks))} times in vain before its recipient is back.",
    )


def _back_at_once(given: Assumptions) -> Table:
    connections = given.users * given.connections_per_user
    waiting = Load(given).waiting
    rows = tuple(
        (
            times,
            _rounded(connections / (CONNECTIONS.value * times) / 60),
            _rounded(waiting / (SUCCESSES.value * times) / 60),
        )
        for times in (1, 10, 100)
    )
    return Table(
        "When everybody was cut off, and comes back",
        ("quotas, times", "minutes until all are connected", "minutes until all who waited are woken"),
        rows,
        "Handshakes are the narrower of the two; messages to those who are still outside wait meanwhile.",
    )


def _rounded(value: float) -> float:
    """To three digits: there are no more in the assumptions."""
    return float(f"{value:.3g}")


def _usd(value: float) -> str:
    return f"{value:.4f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables for the assumptions that are given."""
    from benchmarks.reporting.terminal import show

    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description="Reckon quotas and bill.")
    for each in fields(Assumptions):
        parser.add_argument(
            f"--{each.name.replace('_', '-')}", type=float, default=each.default, help=each.metadata["what"]
        )
    try:
        given = Assumptions(**vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))
    show(reckon(given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
