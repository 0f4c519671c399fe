"""The ledger: what became of every message, and what must not have become of any. Pure: it judges what was noted.

A message has one fate. The promise is broken where a fate is missing, or where a client did what it must not:

- `lost`: never answered; or accepted, and then nothing: no post, no run that goes on to its end, no dead letter of its
  last run with a reason that can be; or ended by nobody's wish; or acknowledged, though no client handled it; or taken
  by a sound connection whose client never saw it (*in doubt* if a connection began or ended at about that time: few
  may be); or **overlooked**: it waited for a person who was there.
- `foreign`: a client handled what is for somebody else, or under another message's id; or it was posted to them.
- `doubled`: one client handled one id twice.
- `out_of_order`: one client handled ordered messages against their numbers, or the numbers are wrong, or an only
  client waited in vain for one.

Who is overlooked is judged by the run's own waits, not by luck: a run that was parked for longer than ``patience``
while its recipient was connected, over a sound link and without a break, and while `wake` had been told of that
connection, has overlooked them, also if something else delivered the message later: another connection, or a look. How
long the table's stream needs to tell `wake` is no matter of judgement, and is told apart.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Fate = Literal[
    "acknowledged", "delivered", "into a dead link", "in doubt", "cancelled", "expired", "dead-lettered", "lost"
]
Breach = Literal["lost", "foreign", "doubled", "out_of_order"]
FATES: tuple[Fate, ...] = (
    "acknowledged",
    "delivered",
    "into a dead link",
    "in doubt",
    "cancelled",
    "expired",
    "dead-lettered",
    "lost",
)
BREACHES: tuple[Breach, ...] = ("lost", "foreign", "doubled", "out_of_order")

# What is on its way when a connection ends may be lost with it, on either side of that moment: two clocks, and a queue
# in every process between.
SLACK_SECONDS = 2.5
# What a run waits for when nobody was there. Everything else it waits out, with somebody there: that is backoff.
NOBODY = frozenset({"NoOpenConnection", "ConnectionGone"})
NOT_ACKNOWLEDGED = "States.Timeout"
_HANDSHAKE_SECONDS = 30.0  # what the clients allow
_WRONG_CLOCK_SECONDS = 1.5
# By so much a life may seem too short: one function says when it ends, another that it has, and each has its clock.
SKEW_SECONDS = 2.0

Interval = tuple[float, float]


@dataclass(frozen=True)
class Handled:
    """A client has handed a message to its application. Times are seconds since the epoch, here and below.

    ``nth`` counts what all clients of the run handled, since many may be within one tick of the clock. ``payload_of``
    is the id of the message whose payload it had.
    """

    at: float
    client: str
    user: str
    sequence: int | None = None
    late: bool = False
    nth: int = 0
    payload_of: str | None = None


@dataclass(frozen=True)
class Wait:
    """A run was in Wait For Reconnect.

    ``tried_at`` is when the attempt before was made, ``why`` the error it had. ``parking``: it ended in the function
    that parks the run, by its recheck or its failure.
    """

    start: float
    end: float
    why: str
    tried_at: float
    parking: bool = False


@dataclass(frozen=True)
class Run:
    """A run that carried a message. ``reason`` is its error, where it has one; ``end`` None while it goes on."""

    status: str
    start: float
    end: float | None = None
    reason: str = ""
    waits: tuple[Wait, ...] = ()
    arn: str = ""


@dataclass(frozen=True)
class Letter:
    """A dead letter: why, and of which run."""

    reason: str
    execution_arn: str = ""


@dataclass
class Entry:
    """One message, and all that is known of it.

    ``accepted_at`` is when Ringback had said that it has it, None if it never did. ``posted`` is when API Gateway took
    it for a connection of its recipient, each time; ``posted_elsewhere`` are the others for whose connections it did.
    ``ttl_seconds`` is its life, ``redrive_ttl_seconds`` the one that a redrive gives it.
    """

    id: str
    user: str
    way: str
    kind: str
    sent_at: float
    accepted_at: float | None = None
    answer: str = ""
    ttl_seconds: float = 300.0
    redrive_ttl_seconds: float = 300.0
    handled: list[Handled] = field(default_factory=list)
    posted: list[float] = field(default_factory=list)
    posted_elsewhere: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    @property
    def wants_acknowledgement(self) -> bool:
        """Whether it is delivered only when its client says so."""
        return self.kind in {"ack", "ordered", "redriven"}

    @property
    def last_run(self) -> Run | None:
        """The run that says what became of it, where there is one."""
        return max(self.runs, key=lambda run: run.start, default=None)

    @property
    def first_handled(self) -> float | None:
        """When its recipient had it."""
        return min((one.at for one in self.handled if one.user == self.user), default=None)


@dataclass(frozen=True)
class Gap:
    """A client gave up waiting for these numbers. ``alone``: its user has no other, which may have had them."""

    at: float
    client: str
    first: int
    last: int
    user: str = ""
    alone: bool = False


class Heard(NamedTuple):
    """When the table's stream had told `wake` of the connection that was made at this time."""

    connected_at: float
    at: float


@dataclass
class Presence:
    """When a user was there.

    ``sound`` are the times of each connection that worked; ``dead`` those when a socket took bytes that nobody read;
    ``breaks`` the moments at which a connection began or ended; ``heard`` when `wake` was told of which.
    """

    sound: list[Interval] = field(default_factory=list)
    dead: list[Interval] = field(default_factory=list)
    breaks: list[float] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)

    def heard_of(self, start: float, *, otherwise: float) -> float:
        """When `wake` had been told of the connection that its client had from this time on."""
        # A connection's time is that of its handshake, which takes some time, on a clock that is wrong.
        near = [one.at for one in self.heard if -_HANDSHAKE_SECONDS <= one.connected_at - start <= _WRONG_CLOCK_SECONDS]
        return max(near, default=otherwise)

    def was_there(self, at: float) -> bool:
        """Whether something that is posted then has to arrive."""
        near = any(abs(moment - at) <= SLACK_SECONDS for moment in self.breaks)
        dead = any(start - SLACK_SECONDS <= at <= end + SLACK_SECONDS for start, end in self.dead)
        return not near and not dead and any(start <= at <= end for start, end in self.sound)

    def was_deaf(self, at: float) -> bool:
        """Whether what is posted then is sure to get lost: no other connection of theirs worked."""
        dead = any(start <= at <= end for start, end in self.dead)
        return dead and not any(start + SLACK_SECONDS <= at <= end - SLACK_SECONDS for start, end in self.sound)

    def connected_since(self, at: float) -> float | None:
        """Since when they had been connected at that moment."""
        return min((start for start, end in self.sound if start <= at <= end), default=None)


@dataclass(frozen=True)
class Violation:
    """What must not have happened. `str` of it says it to people."""

    breach: Breach
    user: str
    message_id: str
    why: str

    def __str__(self) -> str:
        return f"{self.breach}: {self.message_id} ({self.user}): {self.why}"


@dataclass
class Ledger:
    """The closed ledger. ``fates`` counts by kind, way and fate; ``lags`` are in seconds."""

    fates: Counter[tuple[str, str, Fate]] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    lags_there: list[float] = field(default_factory=list)
    lags_came_back: list[float] = field(default_factory=list)
    gaps: int = 0
    late: int = 0
    comes_again: int = 0
    redriven: int = 0
    late_parks: list[float] = field(default_factory=list)
    stream_lags: list[float] = field(default_factory=list)

    @property
    def messages(self) -> int:
        """How many messages it closes."""
        return self.fates.total()

    @property
    def balances(self) -> bool:
        """Whether the promise was kept."""
        return not self.violations

    @property
    def plain(self) -> dict[Fate, float]:
        """Which part of the plain messages had which fate."""
        counts: Counter[Fate] = Counter()
        for (kind, _, fate), count in self.fates.items():
            counts[fate] += count if kind == "plain" else 0
        return {fate: counts[fate] / (counts.total() or 1) for fate in FATES}

    def count(self, breach: Breach) -> int:
        """How many messages it befell."""
        return len({(one.user, one.message_id) for one in self.violations if one.breach == breach})


def close(
    entries: Iterable[Entry],
    presence: Mapping[str, Presence],
    *,
    patience: float,
    backoff: float,
    gaps: Sequence[Gap] = (),
    strays: Sequence[tuple[str, Handled]] = (),
    is_over: bool = True,
) -> Ledger:
    """Close the ledger.

    Args:
        entries: all messages that were sent.
        presence: by user.
        patience: for so many seconds a run may wait for somebody who is there.
        backoff: so many more if it waits out a failure.
        gaps: which numbers clients gave up.
        strays: messages that clients handled and nobody sent, by id.
        is_over: whether all is quiet. Until it is, what has no fate yet is not lost.
    """
    stream_lags = [one.at - one.connected_at for there in presence.values() for one in there.heard]
    ledger = Ledger(gaps=len(gaps), stream_lags=stream_lags)
    messages = list(entries)
    for entry in messages:
        there = presence.get(entry.user, Presence())
        overlooked = list(_overlooked(entry, there, patience=patience, backoff=backoff, is_over=is_over))
        found = _breaches(entry, overlooked)
        fate, why_lost = _fate(entry, there)
        if fate == "lost" and is_over and not any(one.breach == "lost" for one in found):
            found.append(_violation("lost", entry, why_lost))
        ledger.violations += found
        ledger.fates[entry.kind, entry.way, "lost" if any(one.breach == "lost" for one in found) else fate] += 1
        ledger.late += sum(one.late for one in entry.handled)
        ledger.comes_again += max(0, len(entry.posted) - 1)
        ledger.redriven += len(entry.runs) > 1
        ledger.late_parks += [one.seconds for one in overlooked if one.late]
        _add_lag(ledger, entry, there)
    ledger.violations += [
        Violation("foreign", one.user, message_id, f"{one.client} handled a message that nobody sent")
        for message_id, one in strays
    ]
    ledger.violations += _out_of_order(messages, gaps)
    return ledger


def _fate(entry: Entry, there: Presence) -> tuple[Fate, str]:
    """What became of it, by what is written down; `lost` if nothing did, and why."""
    last = entry.last_run
    if entry.accepted_at is None:
        return "lost", "it was never answered"
    if last and last.status == "SUCCEEDED" and entry.wants_acknowledgement:
        return "acknowledged", ""
    if entry.first_handled is not None and not entry.wants_acknowledgement:
        return "delivered", ""
    if last and last.status == "RUNNING":
        return "lost", "its run goes on, though all is quiet"
    if last and last.status == "ABORTED" and entry.kind == "cancelled":
        return "cancelled", ""
    if last and last.status == "ABORTED":
        return "lost", "its run was stopped, and nobody had asked for that"
    if last and last.status != "SUCCEEDED":
        return _undelivered(entry, last)
    if entry.wants_acknowledgement or not (last or entry.posted or entry.answer == "delivered"):
        return "lost", f"it was accepted ({entry.answer or entry.way}), and nothing came of it"
    if not entry.posted:
        return "lost", "it is said to be delivered, and was not posted to any connection of its recipient"
    if any(there.was_there(at) for at in entry.posted):
        return "lost", "it was posted to a sound connection, and its client never saw it"
    return ("into a dead link" if any(there.was_deaf(at) for at in entry.posted) else "in doubt"), ""


def _undelivered(entry: Entry, last: Run) -> tuple[Fate, str]:
    """Whether its last run had to end so, and left its dead letter."""
    if Letter(last.reason, last.arn) not in entry.letters:
        return "lost", f"its run ended with {last.reason or last.status}, and there is no dead letter of that"
    if last.reason == "AttemptsExhausted":
        return "dead-lettered", ""
    if last.reason != "MessageExpired":
        return "lost", f"it is a dead letter for {last.reason}"
    first = len(entry.runs) == 1
    life = entry.ttl_seconds if first else entry.redrive_ttl_seconds
    lived = (last.start if last.end is None else last.end) - (entry.sent_at if first else last.start)
    if lived < life - SKEW_SECONDS:
        return "lost", f"it expired after {lived:.1f} s, and its life is {life:.0f} s"
    return "expired", ""


def _breaches(entry: Entry, overlooked: "Iterable[_Overlooked]") -> list[Violation]:
    found = [
        _violation("foreign", entry, f"{one.client} handled it, who is {one.user}")
        for one in entry.handled
        if one.user != entry.user
    ]
    found += [
        _violation("foreign", entry, f"{one.client} handled it with the payload of {one.payload_of}")
        for one in entry.handled
        if one.payload_of != entry.id
    ]
    found += [
        _violation("foreign", entry, f"it was posted to a connection of {user or 'nobody known'}")
        for user in entry.posted_elsewhere
    ]
    by_client = Counter(one.client for one in entry.handled)
    found += [
        _violation("doubled", entry, f"{client} handled it {count} times")
        for client, count in by_client.items()
        if count > 1
    ]
    if entry.accepted_at is None:
        return found
    if entry.answer in {"conflict", "invalid"}:
        found.append(_violation("lost", entry, f"it was answered {entry.answer}"))
    acknowledged = any(run.status == "SUCCEEDED" for run in entry.runs) and entry.wants_acknowledgement
    if acknowledged and entry.first_handled is None:
        found.append(_violation("lost", entry, "it was acknowledged, and no client handled it"))
    for one in overlooked:
        if not one.late:
            why = f"its run waited for {one.seconds:.1f} s after {one.why}, and the recipient was there"
            found.append(_violation("lost", entry, why))
            break
    return found


class _Overlooked(NamedTuple):
    seconds: float
    why: str
    late: bool


def _overlooked(
    entry: Entry, there: Presence, *, patience: float, backoff: float, is_over: bool
) -> Iterator[_Overlooked]:
    """The times for which its runs waited for somebody who was there, longer than is within reason."""
    handled = entry.first_handled
    for wait in (wait for run in entry.runs for wait in run.waits):
        if handled is not None and handled < wait.start:
            continue  # they have it, and their acknowledgement got lost: it waits to ask again
        allowed = patience if wait.why in NOBODY or wait.why == NOT_ACKNOWLEDGED else patience + backoff
        for start, end in there.sound:
            # A connection that was posted to and did not acknowledge is waited out; one that came since ends the wait.
            if wait.why == NOT_ACKNOWLEDGED and start <= wait.tried_at:
                continue
            # Of what was never told when all is over, the run waits from the connection's beginning.
            heard = there.heard_of(start, otherwise=start if is_over else end)
            seconds = min(wait.end, end) - max(wait.start, start, heard)
            if seconds > allowed:
                # Until a run is parked no wake-up can be lost. Its function was held, or had to wait for its turn: the
                # local cloud runs two of each at a time, where AWS runs as many as it takes.
                yield _Overlooked(seconds, wait.why, late=wait.parking)


def _out_of_order(entries: Sequence[Entry], gaps: Sequence[Gap]) -> list[Violation]:
    given_up: dict[str, list[Gap]] = defaultdict(list)
    for gap in gaps:
        given_up[gap.client].append(gap)
    ordered = [entry for entry in entries if entry.kind == "ordered"]
    by_client: dict[str, list[tuple[Entry, Handled]]] = defaultdict(list)
    for entry in ordered:
        for one in entry.handled:
            by_client[one.client].append((entry, one))
    found: list[Violation] = []
    for client, came in by_client.items():
        came.sort(key=lambda pair: pair[1].nth)
        found += _in_this_client(client, came, given_up[client])
    for gap in gaps:
        numbers = {one.sequence for _, one in by_client[gap.client]}
        missing = sorted(set(range(gap.first, gap.last + 1)) - numbers)
        if gap.alone and missing:
            why = f"{gap.client} waited for them in vain"
            found.append(Violation("out_of_order", gap.user, f"numbers {missing}", why))
    return found + _numbers(ordered)


def _in_this_client(client: str, came: Sequence[tuple[Entry, Handled]], gaps: Sequence[Gap]) -> list[Violation]:
    found = []
    before = 0
    first: int | None = None
    for entry, one in came:
        number = one.sequence
        if number is None:
            found.append(_violation("out_of_order", entry, f"{client} got it without a number"))
        elif one.late:
            # Late is what was given up, or what came before the first: without a memory, nobody knows which that is.
            excused = any(gap.first <= number <= gap.last for gap in gaps) or (first is not None and number < first)
            if not excused:
                found.append(_violation("out_of_order", entry, f"{client} got number {number} late, and gave up none"))
        else:
            if number <= before:
                found.append(_violation("out_of_order", entry, f"{client} handled {number} after {before}"))
            before = max(before, number)
            first = number if first is None else first
    return found


def _numbers(ordered: Sequence[Entry]) -> list[Violation]:
    """No number is another message's, and what was accepted later has a higher one."""
    found = []
    by_user: dict[str, list[tuple[int, Entry]]] = defaultdict(list)
    for entry in ordered:
        numbers = {one.sequence for one in entry.handled if one.user == entry.user and one.sequence is not None}
        # A redrive has a number of its own.
        if len(numbers) > max(1, len(entry.runs)):
            found.append(_violation("out_of_order", entry, f"it came under the numbers {sorted(numbers)}"))
        by_user[entry.user] += [(number, entry) for number in numbers]
    for numbered in by_user.values():
        owners: dict[int, Entry] = {}
        for number, entry in numbered:
            if owners.setdefault(number, entry) is not entry:
                found.append(_violation("out_of_order", entry, f"{owners[number].id} has its number {number}, too"))
        found += _against_acceptance(numbered)
    return found


def _knows_its_place(entry: Entry) -> bool:
    """Whether it had its number before it was answered: it came by a way that numbers, and was given no other."""
    return entry.answer in {"started", "duplicate"} and entry.way in {"accept", "http"} and len(entry.runs) < 2


def _against_acceptance(numbered: Sequence[tuple[int, Entry]]) -> Iterator[Violation]:
    """What has a lower number than a message that was accepted before it was sent."""
    for number, entry in numbered:
        for other_number, other in numbered:
            if not _knows_its_place(other):
                continue
            if other.accepted_at is not None and other.accepted_at < entry.sent_at and other_number > number:
                why = f"it has number {number}, and {other.id}, accepted before it was sent, has {other_number}"
                yield _violation("out_of_order", entry, why)
                break


def _add_lag(ledger: Ledger, entry: Entry, there: Presence) -> None:
    """From when it was sent, or its recipient came back, to when it was handled."""
    handled = entry.first_handled
    if handled is None:
        return
    since = there.connected_since(handled)
    if since is None or since <= entry.sent_at:
        ledger.lags_there.append(max(0.0, handled - entry.sent_at))
    else:
        ledger.lags_came_back.append(max(0.0, handled - since))


def _violation(breach: Breach, entry: Entry, why: str) -> Violation:
    return Violation(breach, entry.user, entry.id, f"{entry.kind} by {entry.way}: {why}")
