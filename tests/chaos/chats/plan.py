"""What happens in which chat, drawn from the seed and the chat's number alone. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lambdas.chat.core.rules import Limits
from tests.chaos.cloud.decisions import DEFAULT_RATES
from tests.chaos.plan import Move

What = Literal["accept", "say", "type", "transfer", "requeue", "drop"]
Side = Literal["customer", "agent"]
Ending = Literal["customer", "agent", "left", "given up", "left waiting"]

AGENTS = tuple(f"a{number}" for number in range(5))
CHATS_A_CUSTOMER = 2
# Short, so that time ends chats. A rating has hours: a run that nobody wakes stays in its state.
LIMITS = Limits(
    max_wait_seconds=30, idle_seconds=25, agent_away_seconds=8, rating_seconds=36_000, messages_per_minute=60
)
_FAILURES = ("throttled", "error", "lost_answer", "killed_after")
# There are few calls of the chat's functions beside those of deliveries, so more of them go wrong; most of all where a
# run parks while its chat changes, where it is to go on, and where people are told.
RATES: Mapping[str, float] = {
    **DEFAULT_RATES,
    "done_late:await_change:PutItem": 0.5,
    "killed_after:await_change:PutItem": 0.05,
    "killed_after:chat_api": 0.01,
    "lost_answer:chat_api": 0.03,
    "slow": 0.01,
    "timed_out": 0.002,
    **{f"{fault}:publish_events:Invoke": 0.04 for fault in _FAILURES},
    "error:publish_events:SendTaskSuccess": 0.4,
    **{f"{fault}:settle_overdue": 0.05 for fault in _FAILURES},
    "duplicate_records:publish_events": 0.08,
    "late_records:publish_events": 0.02,
    "duplicate_batch:notice_presence": 0.2,
}

_WHAT: Mapping[What, int] = {"say": 62, "type": 8, "transfer": 8, "requeue": 6, "drop": 16}
_MOVES: Mapping[Move, int] = {"cut": 30, "close": 20, "down": 30, "half_open": 10, "replace": 10}
_ENDINGS: Mapping[Ending, int] = {"customer": 37, "agent": 45, "given up": 18}
# A customer has one open chat: only after the last one nobody waits for its end.
_LAST_ENDINGS: Mapping[Ending, int] = {"customer": 25, "agent": 30, "given up": 5, "left": 25, "left waiting": 15}
_UNACCEPTED = frozenset({"given up", "left waiting"})
_RATED, _AT_ONCE, _SEEN, _IMPATIENT, _LONG = 0.7, 0.5, 0.7, 0.15, 0.4


@dataclass(frozen=True)
class Step:
    """One step of a chat, so long after the one before.

    ``is_seen``: they wait a little to be told what was before. ``agents`` accept the chat, at once if they are two,
    where nobody has it; a `transfer` is to the first of them. ``is_patient``: done again until there is an answer.
    ``move`` and ``seconds`` are a drop's (`Go`).
    """

    what: What
    by: Side
    pause: float
    agents: tuple[str, ...]
    is_seen: bool = False
    is_patient: bool = True
    move: Move = "cut"
    seconds: float = 0.0


@dataclass(frozen=True)
class Chat:
    """What happens in one chat, how it ends, and how it is rated: None for never."""

    number: int
    steps: tuple[Step, ...]
    ending: Ending
    rating: int | None


@dataclass(frozen=True)
class Customer:
    """Somebody, and their chats, one after the other."""

    name: str
    chats: tuple[Chat, ...]


def make(seed: int, chats: int) -> tuple[Customer, ...]:
    """Draw so many chats."""
    if chats < 1:
        raise ValueError("chats: at least 1")
    numbers = range(chats)
    groups = [numbers[start : start + CHATS_A_CUSTOMER] for start in range(0, chats, CHATS_A_CUSTOMER)]
    return tuple(
        Customer(f"c{place}", tuple(_chat(seed, number, is_last=number == group[-1]) for number in group))
        for place, group in enumerate(groups)
    )


def _chat(seed: int, number: int, *, is_last: bool) -> Chat:
    draw = random.Random(f"{seed} chat {number}")  # noqa: S311 - a plan, no secret
    ending = _one(draw, _LAST_ENDINGS if is_last else _ENDINGS)
    rating = draw.randint(1, 5) if draw.random() < _RATED else None
    if ending in _UNACCEPTED:
        steps = [_step(draw, "say", "customer") for _ in range(draw.randint(0, 2))]
    else:
        steps = [_step(draw, "accept", "agent"), *(_anything(draw) for _ in range(draw.randint(3, 9)))]
    return Chat(number, tuple(steps), ending, rating)


def _anything(draw: random.Random) -> Step:
    what = _one(draw, _WHAT)
    by: Side = "agent" if what in {"transfer", "requeue"} or draw.random() < 0.5 else "customer"
    return _step(draw, what, by)


def _step(draw: random.Random, what: What, by: Side) -> Step:
    agents = tuple(draw.sample(AGENTS, 2 if draw.random() < _AT_ONCE else 1))
    pause = round(draw.choice((0.0, draw.uniform(0, 0.3), draw.uniform(0.3, 1.5))), 3)
    away = LIMITS.agent_away_seconds
    seconds = draw.uniform(away + 2, away + 6) if draw.random() < _LONG else draw.uniform(0.1, 3)
    is_seen, is_patient = draw.random() < _SEEN, draw.random() >= _IMPATIENT
    return Step(what, by, pause, agents, is_seen, is_patient, _one(draw, _MOVES), round(seconds, 3))


def _one(draw: random.Random, shares: Mapping[Any, int]) -> Any:
    return draw.choices(list(shares), list(shares.values()))[0]
