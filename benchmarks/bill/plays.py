"""Each kind of message, played on the local stack, with what it uses."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.billing import units
from benchmarks.billing.counts import Counts, invocation
from benchmarks.billing.schedules import RETRY_SECONDS
from benchmarks.cloud.meter import Use
from benchmarks.cloud.stage import BASELINES, CONNECTING, RINGBACK, Stage, message, user
from local.client import Client
from local.runs import Run, Runs

BURST = 10
DEAD_LETTER = Counts(queue_requests=1)
MEMORY_MB = 256  # of `connect`, and of the baselines

_MANY_LOOKS = {"backoffBaseSeconds": 1, "backoffCapSeconds": 1}
_LOOKS = 2


@dataclass(frozen=True)
class Played:
    """What one play has used, and how often its message was looked after in vain."""

    counts: Counts
    looks: float = 0


# It begins where nothing happens any more, and ends when all that its message has caused is done.
Play = Callable[[Stage], Played]


@contextmanager
def _there(on: Stage, *clients: Client) -> Iterator[tuple[Client, ...]]:
    """Have these connected, and all done that happens then."""
    with ExitStack() as connections:
        on.meter.start()
        for client in clients:
            connections.enter_context(on.connected(client))
        on.meter.await_calls("Wake", "Query", len(clients))
        on.meter.skip()
        yield clients


def _online_by(topic: str, of: Sequence[str], runs: Callable[[Stage], Runs] | None = None) -> Play:
    """One message by topic, to one who is there."""

    def play(on: Stage) -> Played:
        who = user()
        sent = message(who)
        with _there(on, on.client(who)) as (client,):
            on.publish(topic, [sent])
            client.await_message(sent["id"])
            ends = [runs(on).await_end(runs(on).arn_of(sent["id"]))] if runs else []
            return _played(on.meter.use(of), ends, _handed_over(topic, [sent]))

    return play


def _burst_by(topic: str, of: Sequence[str]) -> Play:
    """Messages for one person who is there, published in one request."""

    def play(on: Stage) -> Played:
        who = user()
        sent = [message(who) for _ in range(BURST)]
        with _there(on, on.client(who)) as (client,):
            on.publish(topic, sent)
            for each in sent:
                client.await_message(each["id"])
            return _played(on.meter.use(of), [], _handed_over(topic, sent))

    return play


def _crowd(on: Stage) -> Played:
    """Messages for as many people who are there: what one of them uses where the queue is busy."""
    people = [user() for _ in range(BURST)]
    sent = [message(who) for who in people]
    with _there(on, *(on.client(who) for who in people)) as clients:
        on.publish("ringback", sent)
        for client, each in zip(clients, sent, strict=True):
            client.await_message(each["id"])
        all_of_them = _played(on.meter.use(RINGBACK), [], _handed_over("ringback", sent))
    return Played(all_of_them.counts / BURST)


def _accepted(count: int, **fields: Any) -> Play:
    """Messages by a direct call, to one who is there."""

    def play(on: Stage) -> Played:
        who = user()
        sent = [message(who, **fields) for _ in range(count)]
        with _there(on, on.client(who, acknowledges="ack" in fields)) as (client,):
            on.accept(sent)
            for each in sent:
                client.await_message(each["id"])
            arns = [on.deliveries.arn_of(each["id"]) for each in sent] if "ack" in fields else []
            ends = [on.deliveries.await_end(arn) for arn in arns]
            # API Gateway bills the client's acknowledgement as a message, too.
            return _played(on.meter.use(RINGBACK), ends, Counts(frames=len(ends)))

    return play


def _absent(looks: int, **fields: Any) -> Play:
    """One message by a direct call, to one who comes back after so many looks in vain."""

    def play(on: Stage) -> Played:
        who = user()
        sent = message(who, **fields)
        arn = on.deliveries.arn_of(sent["id"])
        on.meter.start()
        on.accept([sent])
        on.meter.await_invocations("WaitForReconnect", looks + 1)
        with on.connected(on.client(who)) as client:
            client.await_message(sent["id"])
            end = on.deliveries.await_end(arn)
            return _played(on.meter.use(RINGBACK), [end], Counts(), waits="Wait For Reconnect")

    return play


def _comes(on: Stage) -> Played:
    """A connection for which nothing waits: what it takes beyond a `connect` that only stores it."""
    on.meter.start()
    with on.connected(on.client(user())):
        on.meter.await_invocations("Wake", 1)
        use = on.meter.use(CONNECTING)
    bare = invocation(memory_mb=MEMORY_MB, calls=1) + Counts(writes=use.counts.writes)
    return Played(use.counts - bare + Counts(log_bytes=use.log_bytes))


def _lost(on: Stage) -> Played:
    """One message of baseline (a), to one who does not come back in time."""
    sent = message(user())
    on.meter.start()
    on.publish("sns_lambda", [sent])
    on.meter.await_invocations("SnsLambdaPost", 1 + len(RETRY_SECONDS))
    return _played(on.meter.use(BASELINES), [], _handed_over("sns_lambda", [sent]) + DEAD_LETTER)


def _polled(on: Stage) -> Played:
    """One message of baseline (b), to one who comes back after some looks in vain."""
    who = user()
    sent = message(who)
    on.meter.start()
    on.publish("polling", [sent])
    on.meter.await_invocations("PollingPost", _LOOKS)
    with on.connected(on.client(who)) as client:
        client.await_message(sent["id"])
        end = on.polls.await_end(on.polls.arn_of(sent["id"]))
        return _played(on.meter.use(BASELINES), [end], _handed_over("polling", [sent]), waits="Wait")


PLAYS: Mapping[str, Play] = {
    "online": _accepted(1),
    "(a) online": _online_by("sns_lambda", BASELINES),
    "(b) online": _online_by("polling", BASELINES, lambda on: on.polls),
    "burst": _accepted(BURST),
    "(a) burst": _burst_by("sns_lambda", BASELINES),
    "absent": _absent(0),
    "absent, with looks": _absent(_LOOKS, retry=_MANY_LOOKS),
    "(a) absent": _lost,
    "(b) absent": _polled,
    "by topic": _online_by("ringback", RINGBACK),
    "burst by topic": _burst_by("ringback", RINGBACK),
    "crowd by topic": _crowd,
    "acknowledged": _accepted(1, ack="client"),
    "connection": _comes,
}


def _played(use: Use, runs: Iterable[Run], handed_over: Counts, *, waits: str = "") -> Played:
    histories = list(runs)
    billed = Counts(transitions=sum(history.billed_transitions for history in histories))
    entered = sum(history.states.count(waits) for history in histories)
    # The last wait of Ringback's ends with the reconnect; all of the baseline's run their time.
    looks = max(0, entered - 1) if waits == "Wait For Reconnect" else entered
    return Played(use.counts + billed + handed_over + Counts(log_bytes=use.log_bytes), looks)


def _handed_over(topic: str, messages: Sequence[Mapping[str, Any]]) -> Counts:
    """What it takes to publish these in one request, and to bring them where a function gets them, by the rules."""
    size = sum(len(json.dumps(each)) for each in messages)
    to_a_queue = len(messages) if topic == "ringback" else 0
    return Counts(publishes=units.queue_requests(size), queue_requests=to_a_queue)
