"""The bill's tables and its plot."""

from collections.abc import Iterator, Mapping

from benchmarks.bill.plays import BURST, Played
from benchmarks.bill.reckoning import BATCHES, MOST_BATCHES, Bills, dearest, kinds_of
from benchmarks.billing import prices
from benchmarks.billing.counts import Counts
from benchmarks.billing.schedules import WHILE_AWAY, poll_seconds
from benchmarks.billing.times import ASSUMED
from benchmarks.billing.units import TASK_TOKEN_CHARACTERS
from benchmarks.report import Cell, Plot, Table

PROMISED = {0.999: 1.15, 0.99: 1.6}
"""By the share of those who are online: what a message may cost, against (a)."""
SHARES = (1.0, 0.999, 0.99, 0.9, 0.5, 0.0)
MESSAGES_PER_CONNECTION = (1, 2, 5, 10, 20, 100)

_MILLION = 1_000_000
# A receive of an idle queue ends after 20 s, and Lambda's readers begin the next one at once.
_EMPTY_RECEIVES_A_MONTH = MOST_BATCHES * 365 / 12 * 86_400 / 20
_RINGBACK, _SNS_LAMBDA, _POLLING = "Ringback", "(a) SNS and Lambda", "(b) polling machine"

_LABELS = {
    "online": "Ringback: online",
    "by topic": "Ringback, by topic: online",
    "(a) online": "(a) online",
    "(b) online": "(b) online",
    "absent": "Ringback: comes back before the first look",
    "a look": "Ringback: each look in vain",
    "(a) absent": "(a) absent for 3 minutes or longer: not delivered",
    "a poll": "(b) each look in vain",
    "burst": f"Ringback: {BURST} at once for one person",
    "burst by topic": f"Ringback, by topic: {BURST} at once for one person",
    "(a) burst": f"(a) {BURST} at once for one person",
    "acknowledged": "Ringback: online, acknowledged",
    "connection": "Ringback: a connection, beyond storing it",
}


def used(played: Mapping[str, Played]) -> Table:
    """What each kind has used."""
    kinds = kinds_of(played)
    counted = {name: each.counts for name, each in played.items()}
    counted |= {"a look": kinds.look, "a poll": kinds.poll, "burst by topic": kinds.burst_by_topic}
    names = {
        "transitions": "transitions",
        "invocations": "invocations",
        "gb_seconds": "GB-s",
        "reads": "DynamoDB reads",
        "writes": "DynamoDB writes",
        "queue_requests": "SQS requests",
        "publishes": "SNS publishes",
        "frames": "WebSocket messages",
    }
    rows = [
        (label, *(round(getattr(counted[name], field), 5) for field in names), _usd(counted[name].usd()))
        for name, label in _LABELS.items()
    ]
    return Table(
        "What is used",
        ("", *names.values(), "USD per million"),
        tuple(rows),
        "Counted; what brings a message to a function (publish, queue) by AWS's rules; GB-s by what is assumed: "
        f"{ASSUMED} (what a client of AWS computes is in it), on all sides. Cold starts, which Lambda bills too, are "
        f"not in the bill. Ringback by `accept`, where it does not say by topic. {BURST} that are published in one "
        "request (PublishBatch) are billed by their size together: of the ways to read SNS's prices the one that is "
        "cheaper for (a).",
    )


def mixes(bills: Mapping[str, Bills]) -> Table:
    """What is promised: mixes of who is there, by how long the others are away."""
    rows = []
    for share, absence, bill in _mixes(bills):
        ours, sns, polling = bill.ringback(share), bill.sns_lambda(share), bill.polling(share)
        loses = f"{1 - share:.1%}" if share < 1 and bill.is_lost else "none"
        rows.append(
            (
                f"{share:.1%}",
                absence,
                _usd(ours),
                _usd(sns),
                loses,
                _usd(polling),
                round(ours / sns, 2),
                round(ours / polling, 3),
            )
        )
    longest = list(bills.values())[-1]
    return Table(
        "A million messages, in USD",
        (
            "online",
            "others back after",
            _RINGBACK,
            _SNS_LAMBDA,
            "(a) loses",
            _POLLING,
            "ours / (a)",
            "ours / (b)",
        ),
        tuple(rows),
        "This is what is promised: Ringback by `accept`, as its SDK hands messages over; (a) and (b) by their "
        "topics; without logs, and without what only Ringback does for a connection. `accept` is no durable "
        "hand-over, as a topic is: who calls it and gets no answer tries again, with the same id. What (a) loses is "
        "in its dead letter queue. (b) could be a single Task whose Retry waits, for one transition a look instead "
        f"of two: all absent for {list(bills)[-1]}, ours would be "
        f"{longest.ringback(0.0) / longest.polling(0.0, transitions_a_look=1):.3f} of that, instead of "
        f"{longest.ringback(0.0) / longest.polling(0.0):.3f}.",
    )


def otherwise(bills: Mapping[str, Bills]) -> Table:
    """The same mixes with logs, without SNS, and by topic."""
    rows = []
    for share, absence, bill in _mixes(bills):
        ours, sns = bill.ringback(share), bill.sns_lambda(share)
        logged, sns_logged = bill.ringback_with_logs(share), bill.sns_with_logs(share)
        invoked, by_topic = bill.invoked(share), bill.by_topic(share)
        rows.append(
            (
                f"{share:.1%}",
                absence,
                _usd(logged),
                _usd(sns_logged),
                round(logged / sns_logged, 2),
                _usd(invoked),
                round(ours / invoked, 2),
                _usd(by_topic),
                round(by_topic / sns, 2),
            )
        )
    return Table(
        "The same, reckoned otherwise",
        (
            "online",
            "others back after",
            f"{_RINGBACK} with logs",
            "(a) with logs",
            "ours / (a), with logs",
            "(a) without SNS",
            "ours / (a), without SNS",
            f"{_RINGBACK} by topic",
            "that / (a)",
        ),
        tuple(rows),
        "For information, nothing of it is promised. With logs: what both sides' functions write, Ringback's at "
        "INFO, its default, with the lines of its metrics; (a) writes nothing but its errors. Without SNS: the "
        "backend invokes (a)'s function itself, asynchronously. By topic, Ringback costs more than (a): a queue that "
        "keeps the messages costs more than a topic that invokes a function and may lose them.",
    )


def with_connections(bills: Mapping[str, Bills]) -> Table:
    """What is promised, with what only Ringback does for a connection."""
    by_share = {share: dearest(bills, share) for share in PROMISED}
    rows = []
    for messages in MESSAGES_PER_CONNECTION:
        row: list[Cell] = [messages]
        for share, bill in by_share.items():
            ours, sns = bill.ringback_with_connections(share, messages), bill.sns_lambda(share)
            row += [_usd(ours), _usd(sns), round(ours / sns, 2)]
        rows.append(tuple(row))
    crossings = []
    for share, required in PROMISED.items():
        fewest = by_share[share].fewest_messages(share, required)
        crossings.append(f"At {share * 100:g} % online, {required:g} is kept {_from(fewest)}.")
    one = next(iter(by_share.values())).kinds.connection.usd()
    return Table(
        "With what a connection costs",
        (
            "messages per connection",
            *(f"{name}, {share * 100:g} %" for share in PROMISED for name in (_RINGBACK, "(a)", "ours / (a)")),
        ),
        tuple(rows),
        "USD per million messages. For each connection Ringback runs `wake`, which queries the callbacks, and looks "
        f"up how many connections the user has: {_usd(one):g} USD per million connections. What everybody pays for "
        f"one (its minutes, the handshake, storing it) is on neither side. {' '.join(crossings)} What is promised is "
        "without it.",
    )


def _from(fewest: int | None) -> str:
    if fewest is None:
        return "with no number of messages per connection"
    return f"from {fewest} messages per connection on" if fewest > 1 else "with any number of messages per connection"


def _mixes(bills: Mapping[str, Bills]) -> Iterator[tuple[float, str, Bills]]:
    """Shares, absences and their bills: where nobody is absent, one."""
    for share in SHARES:
        for absence, bill in bills.items():
            yield share, absence if share < 1 else "", bill
            if share == 1.0:
                break


def looks_in_vain(bills: Mapping[str, Bills]) -> Table:
    """How often each side looks while nobody is there."""
    rows = [(absence, round(bill.looks, 2), len(poll_seconds(bill.absent_seconds))) for absence, bill in bills.items()]
    return Table(
        "Looks in vain",
        ("absent for", f"{_RINGBACK} (expected)", _POLLING),
        tuple(rows),
        f"By default Ringback looks {WHILE_AWAY.base_seconds / 7200:g} to {WHILE_AWAY.base_seconds / 3600:g} hours "
        "later, and the reconnect ends the wait in any case; (b) looks a minute later at most.",
    )


def ways_in(played: Mapping[str, Played]) -> Table:
    """What the way in costs where everybody is there."""
    kinds, sns = kinds_of(played), played["(a) online"].counts
    ways = {
        "Ringback, by accept, one at a time": kinds.online,
        f"Ringback, by accept, {BURST} at a time for one person": kinds.burst / BURST,
        "Ringback, by topic, one at a time": kinds.online_by_topic,
        f"Ringback, by topic, {BURST} at a time for {BURST} people": played["crowd by topic"].counts,
        **{
            f"Ringback, by topic, {BURST} at a time for one person, {text}": (kinds.burst_by_topic + kinds.batch * more)
            / BURST
            for text, more in {
                "in one batch": 1 - BATCHES,
                f"in {BATCHES} batches": 0,
                f"in {MOST_BATCHES} batches": MOST_BATCHES - BATCHES,
            }.items()
        },
        "(a) by topic": sns,
        f"(a) by topic, {BURST} at a time for one person": played["(a) burst"].counts / BURST,
        "(a) its function invoked by the backend": sns - Counts(publishes=sns.publishes),
    }
    rows = [(name, _usd(counts.usd()), round(counts.usd() / sns.usd(), 2)) for name, counts in ways.items()]
    return Table(
        "Everybody is online: what the way in costs",
        ("way in", "USD per million", "of (a) by topic"),
        tuple(rows),
        "The promises compare Ringback by accept with (a) by topic: what each side's user would do. Without logs.",
    )


def logs(played: Mapping[str, Played]) -> Table:
    """What functions log."""
    rows = [
        (label, round(played[name].counts.log_bytes), _usd(played[name].counts.logs_usd()))
        for name, label in _LABELS.items()
        if name in played
    ]
    return Table(
        "What functions log",
        ("", "bytes", "USD per million"),
        tuple(rows),
        "In the sums above only where they say so: everybody logs what they like. Lambda's own lines come on top, on "
        "all sides.",
    )


def plot(bills: Mapping[str, Bills]) -> Plot:
    """Both against the share of those who are absent."""
    absent = [(1 - share) * 100 for share in SHARES if share < 1]
    sides = {
        **{f"{_RINGBACK}, absent {name}": bill.ringback for name, bill in bills.items()},
        f"{_SNS_LAMBDA} (loses them after 3 min)": bills["10 h"].sns_lambda,
        **{f"{_POLLING}, absent {name}": bill.polling for name, bill in bills.items()},
    }
    return Plot(
        name="bill",
        title="What a million messages cost",
        x_title="recipients who are absent, %",
        y_title="USD per million messages",
        series={
            name: [(percent, usd(1 - percent / 100) * _MILLION) for percent in absent] for name, usd in sides.items()
        },
        log_x=True,
        log_y=True,
    )


def _usd(one: float) -> float:
    return round(one * _MILLION, 2)


def not_measured() -> tuple[str, ...]:
    """What could not be measured, and what is left out."""
    idle = _EMPTY_RECEIVES_A_MONTH * prices.PRICES["sqs_request"]
    return (
        f"How long functions take on AWS. On all sides, {ASSUMED}. Billed cold starts are not in the bill.",
        "Absences are not waited for: what one look in vain uses is counted, and how many there are is reckoned.",
        "Lambda's pauses before it tries (a) again, a minute and two more, are seconds here.",
        f"How many messages Lambda takes from a queue at a time, which AWS decides: a burst is reckoned in {BATCHES}.",
        "What is the same for everybody: a connection's minutes, the handshake, the authorizer, storing it; storage.",
        f"What is there once a month: empty receives of an idle queue (about {idle:.2f} USD), alarms, metrics, traces.",
        f"Step Functions' own task tokens: they are taken to have {TASK_TOKEN_CHARACTERS} characters.",
    )
