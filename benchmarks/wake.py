"""How long somebody who is back waits for a message: from the accepted handshake to the frame.

Ringback's run is woken by the connection. Baseline (b) looks when its wait is over, and baseline (a) when Lambda tries
again, if it does. What can be waited for is played on the local stack, with real sockets; for longer absences the
baselines' own schedules say when they look next, and how long a look takes is measured. The local stream is immediate
where AWS asks its streams a few times a second, so what is promised has that wait added to Ringback's time.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from benchmarks.billing.schedules import next_poll, next_retry
from benchmarks.cloud import stage
from benchmarks.cloud.stage import Stage, message, user
from benchmarks.report import Plot, Ratio, Result, Say, Table
from benchmarks.storm.stream import POLL_SECONDS
from local.client import Client

ABSENCES = {"1 s": 1, "10 s": 10, "30 s": 30, "1 min": 60, "10 min": 600, "1 h": 3600}
ROUNDS = 6
LONGER_ROUNDS = 3
WAITERS = 5
REQUIRED = 50

_DRAWS = 1_001
_SPREAD = 0.2
_SEED = 4711
_HERE, _RINGBACK = "Ringback here", "Ringback with a stream's wait"
_SNS_LAMBDA, _POLLING = "(a) SNS and Lambda", "(b) polling machine"


@dataclass
class Played:
    """What was measured, in seconds: from the handshake to the frame, by absence; and how long a look itself takes."""

    ringback: dict[str, list[float]] = field(default_factory=dict)
    polling: dict[str, list[float]] = field(default_factory=dict)
    look: list[float] = field(default_factory=list)
    attempt: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Waiting:
    """A message on its way to a client that is not there."""

    client: Client
    id: str

    def wake(self) -> float:
        """Connect, and say how long the message takes."""
        self.client.connect()
        return self.client.await_message(self.id, seconds=90).arrived_at - self.client.connected_at


def run(say: Say) -> Result:
    """Play what can be waited for, and reckon the rest."""
    with stage.running(say) as on:
        return result(_play(on, say))


def _play(on: Stage, say: Say) -> Played:
    played = Played()
    with _waiting(on, "ringback", WAITERS) as early:
        published_at = time.monotonic()
        say("warming up")
        _round(on, 1)
        for _ in range(2):
            _attempt(on)
        for number in range(ROUNDS):
            say(f"absent for 1 s, round {number + 1} of {ROUNDS}")
            ours, theirs, look = _round(on, ABSENCES["1 s"])
            played.ringback.setdefault("1 s", []).append(ours)
            played.polling.setdefault("1 s", []).append(theirs)
            played.look.append(look)
            played.attempt.append(_attempt(on))
        say("absent for 30 s, which have passed meanwhile")
        time.sleep(max(0.0, published_at + ABSENCES["30 s"] - time.monotonic()))
        played.ringback["30 s"] = [each.wake() for each in early]
    say(f"absent for 10 s, {LONGER_ROUNDS} at a time")
    for ours, theirs, look in _rounds(on, ABSENCES["10 s"], LONGER_ROUNDS):
        played.ringback.setdefault("10 s", []).append(ours)
        played.polling.setdefault("10 s", []).append(theirs)
        played.look.append(look)
    return played


def _rounds(on: Stage, absent_seconds: float, count: int) -> list[tuple[float, float, float]]:
    """Some rounds beside each other, one starting a little after the other."""
    with ThreadPoolExecutor(count) as threads:
        rounds = []
        for _ in range(count):
            rounds.append(threads.submit(_round, on, absent_seconds))
            time.sleep(1)
        return [each.result() for each in rounds]


def _round(on: Stage, absent_seconds: float) -> tuple[float, float, float]:
    """Both of them, each with somebody who comes back: how long they take, and how long the look that found them."""
    with _waiting(on, "ringback", 1) as (ours,), _waiting(on, "polling", 1) as (theirs,):
        time.sleep(absent_seconds)
        woken = ours.wake()
        found = theirs.wake()
        return woken, found, _look_seconds(on, theirs)


@contextmanager
def _waiting(on: Stage, topic: str, count: int) -> Iterator[list[_Waiting]]:
    """Have messages wait for people who are not there. They are published, and looked for once."""
    clients = [(who, on.client(who)) for who in (user() for _ in range(count))]
    messages = [message(who) for who, _ in clients]
    try:
        on.publish(topic, messages)
        runs, state = (on.deliveries, "Wait For Reconnect") if topic == "ringback" else (on.polls, "Wait")
        for each in messages:
            _until_there(lambda name=each["id"]: runs.exists(name))  # type: ignore[misc]
            runs.await_state(runs.arn_of(each["id"]), state)
        yield [_Waiting(client, each["id"]) for (_, client), each in zip(clients, messages, strict=True)]
    finally:
        for _, client in clients:
            client.close()


def _until_there(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not there():
        if time.monotonic() > deadline:
            raise TimeoutError("no run was started within 30 s")
        time.sleep(0.02)


def _look_seconds(on: Stage, found: _Waiting) -> float:
    """How long it took from the end of the run's last wait to the frame."""
    history = on.polls.await_end(on.polls.arn_of(found.id)).events
    left: list[Any] = [event["timestamp"] for event in history if event["type"] == "WaitStateExited"]
    since_then = time.time() - _seconds(left[-1])
    since_the_frame = time.monotonic() - found.client.messages(found.id)[0].arrived_at
    return max(0.0, since_then - since_the_frame)


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def _attempt(on: Stage) -> float:
    """How long baseline (a) takes from the topic to the frame, to somebody who is there."""
    who = user()
    sent = message(who)
    with on.connected(on.client(who)) as client:
        published_at = time.monotonic()
        on.publish("sns_lambda", [sent])
        return client.await_message(sent["id"]).arrived_at - published_at


def result(played: Played) -> Result:
    """Tables, ratio and plot of what was measured, with what follows from the schedules."""
    here = [seconds for some in played.ringback.values() for seconds in some]
    ours = with_stream(here)
    look, attempt = median(played.look), median(played.attempt)
    polling = {
        absence: played.polling.get(absence) or reckoned(seconds, next_poll, look)
        for absence, seconds in ABSENCES.items()
    }
    sns = {absence: reckoned(seconds, next_retry, attempt) for absence, seconds in ABSENCES.items()}
    rows = tuple(
        (
            absence,
            _text(played.ringback.get(absence, here)) + ("" if absence in played.ringback else " *"),
            f"{_text(ours)} *",
            _text(polling[absence]) + ("" if absence in played.polling else " *"),
            _text(sns[absence]) + (" *" if sns[absence] else ""),
            round(median(polling[absence]) / median(ours)),
        )
        for absence in ABSENCES
    )
    return Result(
        name="wake",
        what="How long somebody who is back waits for a message: from the accepted handshake to the frame.",
        tables=(
            Table(
                "From the handshake to the frame",
                ("absent for", _HERE, _RINGBACK, _POLLING, _SNS_LAMBDA, "(b) / Ringback with it"),
                rows,
                "Median (5 % to 95 %). * reckoned: Ringback does not depend on the absence, so it is all that was "
                f"measured; the others by their schedules. AWS asks a stream about {1 / POLL_SECONDS:.0f} times a "
                "second, and the local one is immediate: the stream's wait is drawn evenly from 0 to "
                f"{POLL_SECONDS:g} s, {POLL_SECONDS / 2:g} s in the median, and added to what was measured. The ratio, "
                "and with it the promise, is the one with that wait.",
            ),
        ),
        ratios=(
            Ratio(
                "wait after 10 min of absence: (b) polling machine, in times of Ringback with a stream's wait",
                median(polling["10 min"]) / median(ours),
                REQUIRED,
                "at least",
            ),
        ),
        plots=(_plot(here, ours, polling, sns),),
        not_measured=_not_measured(look, attempt, median(polling["10 min"])),
        details={"seed": _SEED, "rounds": {"ringback": played.ringback, "polling": played.polling}},
    )


def _not_measured(look: float, attempt: float, after_ten_minutes: float) -> tuple[str, ...]:
    reckoned_ones = (
        "Absences of 30 s and more for (b), of a minute and more for Ringback, and all for (a). "
        f"{_DRAWS:,} are drawn, up to {_SPREAD:.0%} shorter or longer; (b) looks next as its machine does, (a) by "
        "Lambda's: 60 and 180 s after the first attempt. To that comes what a look takes here: "
        f"{look * 1000:.0f} ms for (b), {attempt * 1000:.0f} ms for (a)."
    )
    aws = (
        "How fast AWS is, but for the stream's wait. The promised ratio is kept as long as all of it takes no more "
        f"than {after_ten_minutes / REQUIRED:.1f} s."
    )
    return reckoned_ones, aws


def with_stream(measured: Sequence[float]) -> list[float]:
    """These times, each with waits from nothing to that between two looks of AWS at a stream."""
    draw = random.Random(_SEED)  # noqa: S311 - the same in every run
    each = -(-_DRAWS // len(measured))
    return [seconds + draw.uniform(0, POLL_SECONDS) for seconds in measured for _ in range(each)]


def reckoned(absent_seconds: float, next_look: Callable[[float], int | None], look_seconds: float) -> list[float]:
    """How long people wait who were absent for about so long: those of them who get the message at all."""
    draw = random.Random(_SEED)  # noqa: S311 - the same for all, and in every run
    waits = []
    for _ in range(_DRAWS):
        back = absent_seconds * draw.uniform(1 - _SPREAD, 1 + _SPREAD)
        if (second := next_look(back)) is not None:
            waits.append(second - back + look_seconds)
    return waits


def _text(seconds: Sequence[float]) -> str:
    if not seconds:
        return "never"
    ordered = sorted(seconds)
    low, high = ordered[round(0.05 * (len(ordered) - 1))], ordered[round(0.95 * (len(ordered) - 1))]
    return f"{_short(median(ordered))} ({_short(low)} to {_short(high)})"


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _plot(
    here: Sequence[float],
    ours: Sequence[float],
    polling: Mapping[str, Sequence[float]],
    sns: Mapping[str, Sequence[float]],
) -> Plot:
    return Plot(
        name="wake",
        title="From the handshake to the frame",
        x_title="absent for, s",
        y_title="median, s",
        series={
            _HERE: [(seconds, median(here)) for seconds in ABSENCES.values()],
            _RINGBACK: [(seconds, median(ours)) for seconds in ABSENCES.values()],
            _POLLING: [(ABSENCES[absence], median(waits)) for absence, waits in polling.items()],
            _SNS_LAMBDA: [(ABSENCES[absence], median(waits)) for absence, waits in sns.items() if waits],
        },
        log_x=True,
        log_y=True,
    )
