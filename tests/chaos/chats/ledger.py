"""The ledger of chats: what was written, told, answered and indexed, and where that disagrees. Pure.

The chat is folded from its log here once more, by hand: the rules that wrote it are not asked.
A chat, an event and a person are JSON, as the API has them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

from lambdas.chat.core import rules
from lambdas.chat.core.model import Chat
from lambdas.chat.core.rules import Limits, Phase
from ringback.forms import timestamp

Json = dict[str, Any]
Key = tuple[Any, ...]
Breach = Literal["log", "told", "answer", "run", "rows"]

# In which states of a chat an event may happen; "" before it is there.
_ONLY_IN: Mapping[str, tuple[str, ...]] = {
    "waiting": ("",),
    "accepted": ("WAITING",),
    "message": ("WAITING", "ACTIVE"),
    "transferred": ("ACTIVE",),
    "requeued": ("ACTIVE",),
    "agent_away": ("ACTIVE",),
    "agent_back": ("ACTIVE",),
    "ended": ("WAITING", "ACTIVE"),
    "rated": ("ENDED",),
}
# People are told first, then the run is moved, and the stream may have to bring both again.
PATIENCE_SECONDS = 12.0
# What is never done twice, however often it is asked for.
_ONCE = frozenset({"waiting", "message", "ended", "rated"})


@dataclass
class Asked:
    """One request, with all its attempts. ``key`` is the event's that it asks for (`key_of`), None if for none.

    ``status`` and ``answer`` are those of the first answer; None if there never was one.
    """

    chat_id: str
    key: Key | None
    attempts: int = 0
    status: int | None = None
    answer: Json = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether it is said to be done."""
        return self.status is not None and self.status < HTTPStatus.MULTIPLE_CHOICES


class Told(NamedTuple):
    """A client handed a message to its application at this time. All clients' are kept in their order."""

    user: str
    id: str
    type: str
    payload: Json
    at: float = 0.0


class Nap(NamedTuple):
    """A run was parked in this state from then on, until the state's time was over."""

    state: str
    start: float
    end: float


class Run(NamedTuple):
    """A chat's run, and the state that it has entered last."""

    status: str
    state: str
    output: Json | None
    naps: tuple[Nap, ...] = ()


class Written(NamedTuple):
    """A row of the log: the event, and who is told of it."""

    event: Json
    people: Sequence[str]


@dataclass
class Evidence:
    """All there is to judge.

    ``indexed`` are the rows that lead to chats, as (collection, chat id); ``desk`` who has a row there, ``seats`` whose
    connections to it are stored, ``connected`` whose clients are. ``letters`` are the ids of dead letters' messages.
    """

    at: datetime
    limits: Limits
    logs: Mapping[str, Sequence[Written]]
    chats: Mapping[str, Json]
    indexed: frozenset[tuple[str, str]] = frozenset()
    desk: frozenset[str] = frozenset()
    seats: frozenset[str] = frozenset()
    connected: frozenset[str] = frozenset()
    runs: Mapping[str, Run] = field(default_factory=dict)
    asked: Sequence[Asked] = ()
    told: Sequence[Told] = ()
    letters: frozenset[str] = frozenset()


class Violation(NamedTuple):
    """What must not be. `str` of it says it to people."""

    breach: Breach
    chat_id: str
    why: str

    def __str__(self) -> str:
        return f"{self.breach}: {self.chat_id}: {self.why}"


def close(evidence: Evidence) -> list[Violation]:
    """What does not balance."""
    return [
        *_logs(evidence),
        *_told(evidence),
        *_answers(evidence),
        *_runs(evidence),
        *_overslept(evidence),
        *_rows(evidence),
    ]


def key_of(event: Json) -> Key:
    """By which an event and the request for it are matched."""
    kind, by = event["type"].removeprefix("chat."), event["by"]["user"]
    details = {"message": ("id", "text"), "transferred": ("agent",), "ended": ("reason",), "rated": ("rating",)}
    return (kind, by, *(event.get(name) for name in details.get(kind, ())))


def fold(log: Sequence[Json]) -> Iterator[tuple[Json, set[str]]]:
    """The chat after each of its events, and who has to be told of it.

    Raises:
        ValueError: it could not happen then.
    """
    chat: Json = {}
    for number, event in enumerate(log, 1):
        before = chat
        chat = {**_after(before, event), "version": number}
        had = before.get("agent") if event["type"] in {"chat.transferred", "chat.requeued"} else None
        yield chat, {chat["customer"], chat.get("agent"), had} - {None}


def _after(before: Json, event: Json) -> Json:
    kind, at, by = event["type"].removeprefix("chat."), event["at"], event.get("by")
    if before.get("status", "") not in _ONLY_IN[kind]:
        raise ValueError(f"{kind} in {before.get('status')}")
    people = {("customer", before.get("customer")), ("agent", before.get("agent"))}
    if by and kind not in {"waiting", "accepted"} and (by["role"], by["user"]) not in people:
        raise ValueError(f"{kind} by {by['user']}, whose chat it is not")
    facts: Mapping[str, Json] = {
        "waiting": {
            "id": event["chatId"],
            "status": "WAITING",
            "customer": by and by["user"],
            "subject": event.get("subject"),
            "startedAt": at,
            "waitingSince": at,
        },
        "accepted": {"status": "ACTIVE", "agent": event.get("agent"), "acceptedAt": at},
        "message": {"firstResponseAt": at} if by and by["role"] == "agent" and "firstResponseAt" not in before else {},
        "transferred": {"agent": event.get("agent"), "acceptedAt": at, "agentAwaySince": None},
        "requeued": {"status": "WAITING", "agent": None, "agentAwaySince": None, "waitingSince": at},
        "agent_away": {"agentAwaySince": at},
        "agent_back": {"agentAwaySince": None, "lastActivityAt": _without_absence(before, at)},
        "ended": {"status": "ENDED", "endedAt": at, "endReason": event.get("reason"), "agentAwaySince": None},
        "rated": {"rating": event.get("rating"), "feedback": event.get("feedback")},
    }
    active = {} if kind in {"agent_away", "agent_back", "ended", "rated"} else {"lastActivityAt": at}
    return {name: value for name, value in (before | facts[kind] | active).items() if value is not None}


def _without_absence(before: Json, at: str) -> str | None:
    """When somebody last did something, as if the agent had not been away."""
    if "agentAwaySince" not in before:
        return None
    active_at, since, now = (
        datetime.fromisoformat(each) for each in (before["lastActivityAt"], before["agentAwaySince"], at)
    )
    return timestamp(active_at + max(now - max(active_at, since), timedelta(0)))


def _logs(evidence: Evidence) -> Iterator[Violation]:
    """Each log has no gap, could happen, says whom it was told to, and comes to the chat that is stored."""
    for chat_id in sorted(evidence.logs.keys() | evidence.chats.keys()):
        log = evidence.logs.get(chat_id, ())
        events = [written.event for written in log]
        numbers = [event["number"] for event in events]
        if numbers != list(range(1, len(log) + 1)) or not log:
            yield Violation("log", chat_id, f"its numbers are {numbers}")
            continue
        try:
            folded = list(fold(events))
        except ValueError as error:
            yield Violation("log", chat_id, str(error))
            continue
        if (stored := evidence.chats.get(chat_id)) != folded[-1][0]:
            yield Violation("log", chat_id, f"the chat is {stored}, and its log comes to {folded[-1][0]}")
        for written, (_, people) in zip(log, folded, strict=True):
            if sorted(written.people) != sorted(people):
                why = f"{written.event['number']} is for {sorted(people)}, and was told to {sorted(written.people)}"
                yield Violation("told", chat_id, why)


def _told(evidence: Evidence) -> Iterator[Violation]:
    """Everybody handled what was for them, once, as it is written and in its order, and nothing else."""
    due = {
        f"{chat_id}-{written.event['number']}-{place}": (user, written.event)
        for chat_id, log in evidence.logs.items()
        for written in log
        for place, user in enumerate(written.people)
    }
    times: Counter[str] = Counter()
    last: dict[tuple[str, str], int] = {}
    for user, message_id, kind, payload, _ in evidence.told:
        if kind in {"chat.queue", "chat.position", "chat.typing"}:
            yield from _shown(evidence, user, kind, payload)
            continue
        times[message_id] += 1
        chat_id, number = payload.get("chatId", ""), payload.get("number", 0)
        if due.get(message_id) != (user, payload) or kind != payload.get("type"):
            yield Violation("told", chat_id, f"{user} was told {message_id}, which is not so, or not for them")
        if (before := last.get((user, chat_id), 0)) >= number:
            yield Violation("told", chat_id, f"{user} handled {number} after {before}")
        last[user, chat_id] = number
    for message_id, (user, event) in due.items():
        if times[message_id] > 1:
            yield Violation("told", event["chatId"], f"{user} handled {event['number']} {times[message_id]} times")
        if not times[message_id] and message_id not in evidence.letters:
            why = f"{user} never handled {event['number']} ({event['type']}), and there is no dead letter"
            yield Violation("told", event["chatId"], why)


def _shown(evidence: Evidence, user: str, kind: str, payload: Json) -> Iterator[Violation]:
    chat_id = payload.get("chatId", "")
    people = {each for written in evidence.logs.get(chat_id, ()) for each in written.people}
    customers = {chat["customer"] for chat in evidence.chats.values()}
    is_theirs = user not in customers if kind == "chat.queue" else user in people
    if kind == "chat.position":
        is_theirs = user in people & customers
    if not is_theirs:
        yield Violation("told", chat_id, f"{user} was shown {kind}")


def _answers(evidence: Evidence) -> Iterator[Violation]:
    """What was said to be done is in the log, once; nothing is that nobody asked for."""
    attempts: Counter[tuple[str, Key]] = Counter()
    done: set[tuple[str, Key]] = set()
    for asked in evidence.asked:
        if asked.key:
            attempts[asked.chat_id, asked.key] += asked.attempts
            done |= {(asked.chat_id, asked.key)} if asked.is_done else set()
        yield from _answer(asked, [written.event for written in evidence.logs.get(asked.chat_id, ())])
    written = Counter(
        (chat_id, key_of(one.event)) for chat_id, log in evidence.logs.items() for one in log if one.event.get("by")
    )
    for chat_id, key in sorted(attempts.keys() | written.keys(), key=str):
        count, most = written[chat_id, key], attempts[chat_id, key]
        if key[0] in _ONCE:
            most = min(1, most)
        if not ((chat_id, key) in done) <= count <= most:
            is_done = "done" if (chat_id, key) in done else "not known to be done"
            yield Violation(
                "answer",
                chat_id,
                f"{key} was asked for {attempts[chat_id, key]} times, is {is_done}, and is in the log {count} times",
            )


def _answer(asked: Asked, log: Sequence[Json]) -> Iterator[Violation]:
    """An answer tells an event of the log, or the chat as the log has it."""
    answer = asked.answer
    if asked.is_done and "number" in answer and answer not in log:
        yield Violation("answer", asked.chat_id, f"{answer} was answered, and is not in the log")
    if asked.is_done and "version" in answer:
        so_far = list(_as_far_as_it_goes(log[: answer["version"]]))
        chat = {name: value for name, value in answer.items() if name != "position"}
        if not so_far or so_far[-1] != chat:
            yield Violation("answer", asked.chat_id, f"{chat} was answered, and never was so")
    if asked.key and str(answer.get("type")).endswith(":already-accepted"):
        winners = {event.get("agent") for event in log if event["type"] in {"chat.accepted", "chat.transferred"}}
        if not winners - {asked.key[1]}:
            yield Violation("answer", asked.chat_id, f"{asked.key[1]} was told that another has it, and nobody had")


def _as_far_as_it_goes(log: Sequence[Json]) -> Iterator[Json]:
    try:
        for chat, _ in fold(log):
            yield chat
    except ValueError:
        return  # which `_logs` tells


def _runs(evidence: Evidence) -> Iterator[Violation]:
    """No chat goes on, and each run is where its chat says, or has ended as the chat did."""
    for chat_id, stored in evidence.chats.items():
        chat, run = Chat.from_json(stored), evidence.runs.get(chat_id)
        phase = rules.phase_of(chat, evidence.limits, evidence.at)
        if stored["status"] != "ENDED":
            yield Violation("run", chat_id, f"nothing goes on any more, and it is {stored['status']}: {run}")
            continue
        names = ("endReason",) if phase is Phase.ABANDONED else ("endReason", "agent", "rating")
        output = {"chatId": chat_id, **{name: stored[name] for name in names if name in stored}}
        is_over = Run("SUCCEEDED", phase.value, output)
        expected = Run("RUNNING", phase.value, None) if phase is Phase.RATING else is_over
        if run is None or run._replace(naps=()) != expected:
            yield Violation("run", chat_id, f"its run is {run}, and has to be {expected}")


def _overslept(evidence: Evidence) -> Iterator[Violation]:
    """No run was parked until the end of its time after its chat had left that phase, and people had been told so.

    The end of the time heals it, so that luck decides what a run without its wake-up looks like in the end.
    """
    told: dict[tuple[str, int], float] = {}
    for one in evidence.told:
        if "number" in one.payload:
            told.setdefault((one.payload["chatId"], one.payload["number"]), one.at)
    for chat_id, run in evidence.runs.items():
        log = [written.event for written in evidence.logs.get(chat_id, ())]
        after = [(event, _phase(chat, evidence)) for event, chat in zip(log, _as_far_as_it_goes(log), strict=False)]
        for nap in run.naps:
            long_before = nap.end - PATIENCE_SECONDS
            known = sum(told.get((chat_id, event["number"]), nap.end) < long_before for event, _ in after)
            since = [phase for event, phase in after[max(0, known - 1) :] if _seconds(event["at"]) < nap.end]
            if known and nap.start < long_before and nap.state not in since:
                why = (
                    f"its run slept in {nap.state} for {nap.end - nap.start:.0f} s, and it was {since[0]}, as was told"
                )
                yield Violation("run", chat_id, why)


def _phase(chat: Json, evidence: Evidence) -> str:
    return rules.phase_of(Chat.from_json(chat), evidence.limits, evidence.at).value


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _rows(evidence: Evidence) -> Iterator[Violation]:
    """The index rows are those of the chats as they are, a customer's of their last one, the desk's of who is there."""
    last = {asked.key[1]: asked.chat_id for asked in evidence.asked if asked.key and asked.key[0] == "waiting"}
    due = {(f"customer#{customer}", chat_id) for customer, chat_id in last.items()}
    for chat_id, chat in evidence.chats.items():
        if chat["status"] != "ENDED":
            due.add(("queue" if chat["status"] == "WAITING" else f"agent#{chat['agent']}", chat_id))
    for collection, chat_id in sorted(due ^ evidence.indexed):
        missing = (collection, chat_id) in due
        yield Violation("rows", chat_id, f"{collection} {'does not have it' if missing else 'has it still'}")
    if evidence.desk != evidence.seats or not evidence.connected <= evidence.desk:
        there = f"connected {sorted(evidence.connected)}, connections stored of {sorted(evidence.seats)}"
        yield Violation("rows", "desk", f"{sorted(evidence.desk)} sit there; {there}")


def counts(evidence: Evidence) -> dict[str, Counter[str]]:
    """What happened, for people."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for chat in evidence.chats.values():
        ended = f"by {chat['endReason']}" if "endReason" in chat else "not at all"
        found["ended"][ended + (", rated" if "rating" in chat else "")] += 1
    for log in evidence.logs.values():
        found["events"].update(written.event["type"].removeprefix("chat.") for written in log)
    for asked in evidence.asked:
        found["answers"][str(asked.status or "none")] += 1
    found["told"].update(one.type.removeprefix("chat.") for one in evidence.told)
    return found
