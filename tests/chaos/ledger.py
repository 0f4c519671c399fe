"""The ledger: what became of every message, and what must not have become of any. Pure: it judges what was noted.

A message has one fate. The promise is broken where a fate is missing, or where a client did what it must not:

- `lost`: accepted, and then nothing; or acknowledged, though no client handled it; or taken by a sound connection whose
  client never saw it; or **overlooked**: it waited for a person who was there.
- `foreign`: a client handled what is for somebody else.
- `doubled`: one client handled one id twice.
- `out_of_order`: one client handled ordered messages against their numbers, or the numbers are wrong.

Who is overlooked is judged by the run's own waits, not by luck: a run that was parked for longer than ``patience``
while its recipient was connected, over a sound link and without a break, has overlooked them, also if something else
delivered the message later: another connection, or a look. If it was this very connection that woke it, it is late, and
no more: a stream tries for an hour. Late wake-ups are counted, and the longest is told.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Fate = Literal[
    "acknowledged", "delivered", "into a dead link", "cancelled", "expired", "dead-lettered", "unanswered", "lost"
]
Breach = Literal["lost", "foreign", "doubled", "out_of_order"]
FATES: tuple[Fate, ...] = (
    "acknowledged",
    "delivered",
    "into a dead link",
    "cancelled",
    "expired",
    "dead-lettered",
    "unanswered",
    "lost",
)
BREACHES: tuple[Breach, ...] = ("lost", "foreign", "doubled", "out_of_order")

# What is on its way when a connection ends may be lost with it, on either side of that moment: two clocks, and a queue
# in every process between.
SLACK_SECONDS = 2.5
# What a run waits for when nobody was there. Everything else it waits out, with somebody there: that is backoff.
NOBODY = frozenset({"NoOpenConnection", "ConnectionGone"})
NOT_ACKNOWLEDGED = "States.Timeout"

Interval = tuple[float, float]


@dataclass(frozen=True)
class Handled:
    """A client has handed a message to its application. Times are seconds since the epoch, here and below.

    ``nth`` counts what all clients of the run handled, since many may be within one tick of the clock.
    """

    at: float
    client: str
    user: str
    sequence: int | None = None
    late: bool = False
    nth: int = 0


@dataclass(frozen=True)
class Wait:
    """A run was in Wait For Reconnect.

    ``tried_at`` is when the attempt before was made, ``why`` the error it had; ``woken``: something ended the wait, and
    not its own time.
    """

    start: float
    end: float
    why: str
    tried_at: float
    woken: bool = False


@dataclass(frozen=True)
class Run:
    """A run that carried a message. ``reason`` is its error, where it has one; ``end`` None while it goes on."""

    status: str
    start: float
    end: float | None = None
    reason: str = ""
    waits: tuple[Wait, ...] = ()


@dataclass
class Entry:
    """One message, and all that is known of it.

    ``accepted_at`` is when Ringback had said that it has it, None if it never did. ``answered_at_once``: the first call
    was answered, so nothing was sent twice. ``posted`` is when API Gateway took it for a connection of its recipient,
    each time. ``letters`` are the reasons of its dead letters.
    """

    id: str
    user: str
    way: str
    kind: str
    sent_at: float
    accepted_at: float | None = None
    answer: str = ""
    answered_at_once: bool = False
    handled: list[Handled] = field(default_factory=list)
    posted: list[float] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)

    @property
    def wants_acknowledgement(self) -> bool:
        """Whether it is delivered only when its client says so."""
        return self.kind in {"ack", "ordered", "redriven"}

    @property
    def first_handled(self) -> float | None:
        """When its recipient had it."""
        return min((one.at for one in self.handled if one.user == self.user), default=None)


@dataclass(frozen=True)
class Gap:
    """A client gave up waiting for these numbers."""

    at: float
    client: str
    first: int
    last: int


@dataclass
class Presence:
    """When a user was there.

    ``sound`` are the times of each connection that worked; ``dead`` those when a socket took bytes that nobody read;
    ``breaks`` the moments at which a connection began or ended.
    """

    sound: list[Interval] = field(default_factory=list)
    dead: list[Interval] = field(default_factory=list)
    breaks: list[float] = field(default_factory=list)

    def was_there(self, at: float) -> bool:
        """Whether something that is posted then has to arrive."""
        near = any(abs(moment - at) <= SLACK_SECONDS for moment in self.breaks)
        dead = any(start - SLACK_SECONDS <= at <= end + SLACK_SECONDS for start, end in self.dead)
        return not near and not dead and any(start <= at <= end for start, end in self.sound)

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
    late_wakes: list[float] = field(default_factory=list)

    @property
    def messages(self) -> int:
        """How many messages it closes."""
        return self.fates.total()

    @property
    def balances(self) -> bool:
        """Whether the promise was kept."""
        return not self.violations

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
) -> Ledger:
    """Close the ledger.

    Args:
        entries: all messages that were sent.
        presence: by user.
        patience: for so many seconds a run may wait for somebody who is there.
        backoff: so many more if it waits out a failure.
        gaps: which numbers clients gave up.
        strays: messages that clients handled and nobody sent, by id.
    """
    ledger = Ledger(gaps=len(gaps))
    messages = list(entries)
    for entry in messages:
        there = presence.get(entry.user, Presence())
        found = _breaches(entry, there, patience=patience, backoff=backoff)
        fate = _fate(entry, there)
        if fate == "lost" and not any(one.breach == "lost" for one in found):
            found.append(_violation("lost", entry, _why_lost(entry)))
        ledger.violations += found
        ledger.fates[entry.kind, entry.way, "lost" if any(one.breach == "lost" for one in found) else fate] += 1
        ledger.late += sum(one.late for one in entry.handled)
        ledger.comes_again += max(0, len(entry.posted) - 1)
        ledger.redriven += len(entry.runs) > 1
        ledger.late_wakes += [
            one.seconds for one in _overlooked(entry, there, patience=patience, backoff=backoff) if one.late
        ]
        _add_lag(ledger, entry, there)
    ledger.violations += [
        Violation("foreign", one.user, message_id, f"{one.client} handled a message that nobody sent")
        for message_id, one in strays
    ]
    ledger.violations += _out_of_order(messages, gaps)
    return ledger


def _fate(entry: Entry, there: Presence) -> Fate:
    """What became of it, by what is written down; `lost` if nothing did."""
    last = max(entry.runs, key=lambda run: run.start, default=None)
    if entry.accepted_at is None:
        return "unanswered"
    if last and last.status == "SUCCEEDED" and entry.wants_acknowledgement:
        return "acknowledged"
    if entry.first_handled is not None and not entry.wants_acknowledgement:
        return "delivered"
    if last and last.status == "ABORTED":
        return "cancelled"
    if last and last.status in {"FAILED", "TIMED_OUT"}:
        if not entry.letters:
            return "lost"
        return "expired" if last.reason == "MessageExpired" else "dead-lettered"
    done = (last and last.status == "SUCCEEDED") or (not last and entry.answer == "delivered") or entry.posted
    if done and not entry.wants_acknowledgement and (not last or last.status != "RUNNING"):
        moments = entry.posted or [last.end or last.start if last else entry.accepted_at]
        return "lost" if any(there.was_there(at) for at in moments) else "into a dead link"
    return "lost"


def _why_lost(entry: Entry) -> str:
    last = max(entry.runs, key=lambda run: run.start, default=None)
    if last and last.status == "RUNNING":
        return "its run goes on, though all is quiet"
    if last and last.status in {"FAILED", "TIMED_OUT"}:
        return f"its run ended with {last.reason or last.status}, and there is no dead letter"
    if entry.posted or last or entry.answer == "delivered":
        return "it was posted to a sound connection, and its client never saw it"
    return f"it was accepted ({entry.answer or entry.way}), and nothing came of it"


def _breaches(entry: Entry, there: Presence, *, patience: float, backoff: float) -> list[Violation]:
    found = [
        _violation("foreign", entry, f"{one.client} handled it, who is {one.user}")
        for one in entry.handled
        if one.user != entry.user
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
    for overlooked in _overlooked(entry, there, patience=patience, backoff=backoff):
        if not overlooked.late:
            why = f"its run waited for {overlooked.seconds:.1f} s after {overlooked.why}, and the recipient was there"
            found.append(_violation("lost", entry, why))
            break
    return found


class _Overlooked(NamedTuple):
    seconds: float
    why: str
    late: bool


def _overlooked(entry: Entry, there: Presence, *, patience: float, backoff: float) -> Iterator[_Overlooked]:
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
            seconds = min(wait.end, end) - max(wait.start, start)
            if seconds > allowed:
                by_another = any(start < other <= wait.end for other, _ in there.sound)
                yield _Overlooked(seconds, wait.why, late=wait.woken and wait.end <= end and not by_another)


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
        found += _against_acceptance([(number, entry) for number, entry in numbered if _knows_its_place(entry)])
    return found


def _knows_its_place(entry: Entry) -> bool:
    """Whether it had its number before it was answered: it was sent once, by a way that numbers."""
    numbers = entry.answer == "started" and entry.way in {"accept", "http"}
    return numbers and entry.answered_at_once and len(entry.runs) < 2


def _against_acceptance(numbered: Sequence[tuple[int, Entry]]) -> Iterator[Violation]:
    """What has a lower number than a message that was accepted before it was sent."""
    for number, entry in numbered:
        for other_number, other in numbered:
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
