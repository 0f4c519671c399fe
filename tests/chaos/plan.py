"""What happens in a chaos run: who publishes what for whom, and who comes, goes and breaks off when. Pure, and seeded.

Every user's script is drawn from the seed and their own number alone. So it stays the same whatever the others do, and
a run that fails can be cut down to a few users, and to a few of their steps.
"""

import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

Way = Literal["accept", "http", "sns", "bus", "start"]
Kind = Literal["plain", "ack", "ordered", "short", "cancelled", "redriven"]
Move = Literal["connect", "close", "cut", "down", "half_open", "replace"]

CONTEXT, CONTEXT_ID = "chat", "42"
OTHER_CONTEXT_ID = "43"
MESSAGES_A_USER = 90
SHORT_LIFE_SECONDS = 6
# What the stage gives a message that asks for none, and what a redrive gives.
LONG_LIFE_SECONDS = 300
CANCEL_AFTER_SECONDS = (0.0, 0.4, 3.0)

# Most are cheap, as in life: a message to somebody who is there is no run. The figures are shares of 100.
_KINDS: Mapping[Kind, int] = {"plain": 80, "ack": 7, "ordered": 6, "short": 3, "cancelled": 2, "redriven": 2}
_WAYS: Mapping[Way, int] = {"accept": 76, "http": 6, "sns": 8, "bus": 4, "start": 6}
_MOVES: Mapping[Move, int] = {"cut": 40, "half_open": 18, "replace": 12, "down": 12, "close": 18}
_BURST = (1, 1, 2, 4, 6, 9)
_TWO_DEVICES = 0.25
# Each so many-th user is in another conversation, too, where nothing is for them.
_ELSEWHERE_EVERY = 5
# The last part of a run is quiet on the users' side: they are there, and what is published then is theirs at once.
_QUIET = 0.75
_SECONDS_BETWEEN_MOVES = 22.0
_AT_THE_END_SECONDS = 5.0


@dataclass(frozen=True)
class Send:
    """One message is published. ``number`` is unique among the user's; ``cancel_after``: taken back so much later."""

    at: float
    number: int
    way: Way
    kind: Kind
    ttl_seconds: int | None = None
    cancel_after: float | None = None


@dataclass(frozen=True)
class Go:
    """A device moves.

    - `connect`: from now on it is to be connected
    - `close`: it says goodbye, and connects again after ``seconds``
    - `cut`: its connection is reset; the client comes back by itself, within milliseconds
    - `down`: the same, and there is no network for ``seconds``
    - `half_open`: its connection goes silent, and is reset after ``seconds``
    - `replace`: its connection goes silent; the client opens another at once, and the old one is reset later
    """

    at: float
    move: Move
    device: int = 0
    seconds: float = 0.0


Step = Send | Go


@dataclass(frozen=True)
class User:
    """A recipient, their devices, and what happens to them, in the order of time.

    ``elsewhere``: they have one more, in another conversation. It connects with the first.
    """

    name: str
    devices: int
    steps: tuple[Step, ...]
    elsewhere: bool = False

    @property
    def sends(self) -> list[Send]:
        """What is published for them."""
        return [step for step in self.steps if isinstance(step, Send)]


@dataclass(frozen=True)
class Script:
    """A whole run. ``outages`` are (at, seconds); ``rates`` of faults by name, or None for the cloud's own.

    ``only`` are the faults that happen, and no others, where a run is played again that had exactly these.
    """

    seed: int
    seconds: float
    users: tuple[User, ...]
    outages: tuple[tuple[float, float], ...] = ()
    rates: Mapping[str, float] | None = None
    only: tuple[tuple[Any, ...], ...] | None = None

    @property
    def messages(self) -> int:
        """How many messages are published."""
        return sum(len(user.sends) for user in self.users)

    @property
    def size(self) -> str:
        """How much there is, for people."""
        steps = sum(len(user.steps) for user in self.users)
        faults = "" if self.only is None else f", {len(self.only)} faults"
        return f"{len(self.users)} users, {steps} steps{faults}, {len(self.outages)} outages, {self.seconds:.0f} s"

    def to_json(self) -> str:
        """Its JSON form."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is no script.
        """
        try:
            value = json.loads(text)
            users = tuple(
                User(
                    user["name"],
                    user["devices"],
                    tuple(Go(**step) if "move" in step else Send(**step) for step in user["steps"]),
                    user.get("elsewhere", False),
                )
                for user in value["users"]
            )
            only = value.get("only")
            return cls(
                seed=value["seed"],
                seconds=value["seconds"],
                users=users,
                outages=tuple((at, seconds) for at, seconds in value["outages"]),
                rates=value.get("rates"),
                only=None if only is None else tuple(tuple(fault) for fault in only),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no script of a chaos run: {error!r}") from None


def make(seed: int, messages: int, *, rates: Mapping[str, float] | None = None, seconds: float | None = None) -> Script:
    """Draw a run of so many messages.

    Args:
        seed: of everything.
        messages: how many are published; about 90 for each user.
        rates: of faults, by name; the cloud's own unless told.
        seconds: how long it goes on, without what comes after; by the number of messages unless told.
    """
    if messages < 1:
        raise ValueError("messages: at least 1")
    span = seconds or max(40.0, 30.0 + messages * 0.04)
    count = max(1, min(250, round(messages / MESSAGES_A_USER)))
    shares = [messages // count + (number < messages % count) for number in range(count)]
    users = tuple(_user(seed, number, share, span) for number, share in enumerate(shares))
    return Script(seed, span, users, _outages(seed, span), rates)


def _outages(seed: int, span: float) -> tuple[tuple[float, float], ...]:
    draw = random.Random(f"{seed} outages")  # noqa: S311 - a plan, no secret
    count = int(span // 60 + 1) // 2  # a restart costs every function a cold start
    return tuple(
        (round(span * _QUIET * (number + draw.uniform(0.3, 0.9)) / count, 2), round(draw.uniform(1, 3), 2))
        for number in range(count)
    )


def _user(seed: int, number: int, messages: int, span: float) -> User:
    draw = random.Random(f"{seed} user {number}")  # noqa: S311 - a plan, no secret
    devices = 2 if draw.random() < _TWO_DEVICES else 1
    goings = [step for device in range(devices) for step in _goings(draw, device, span)]
    moments = [step.at for step in goings]
    sends: list[Send] = []
    while len(sends) < messages:
        kind = _one(draw, _KINDS)
        at = _moment(draw, moments, span, kind)
        burst = min(draw.choice(_BURST) if kind == "plain" and _is_there(goings, at) else 1, messages - len(sends))
        if kind == "ordered":
            burst = min(draw.choice((1, 2, 3)), messages - len(sends))
        way = _one(draw, _WAYS)
        sends += [
            Send(
                round(at, 3),
                len(sends) + index,
                way,
                kind,
                SHORT_LIFE_SECONDS if kind in {"short", "redriven"} else None,
                draw.choice(CANCEL_AFTER_SECONDS) if kind == "cancelled" else None,
            )
            for index in range(burst)
        ]
    steps: list[Step] = [*goings, *sends]
    steps.sort(key=lambda step: step.at)
    return User(f"u{number}", devices, tuple(steps), elsewhere=number % _ELSEWHERE_EVERY == 0)


def _goings(draw: random.Random, device: int, span: float) -> list[Go]:
    """A device is there from the start, or comes soon; then it moves now and then, until the quiet last part."""
    at = draw.uniform(0, 4 if device == 0 else span / 3)
    goings = [Go(round(at, 3), "connect", device)]
    end = span * _QUIET
    while (at := at + 2 + draw.expovariate(1 / _SECONDS_BETWEEN_MOVES)) < end:
        move = _one(draw, _MOVES)
        seconds = 0.0
        if move in {"half_open", "replace"}:
            seconds = draw.uniform(1, 8)
        elif move == "down":
            seconds = draw.uniform(0.3, 5)
        elif move == "close":
            seconds = draw.choice((draw.uniform(0.01, 0.3), draw.uniform(1, 12), draw.uniform(20, 40)))
        seconds = min(seconds, max(0.05, span * (_QUIET + 0.05) - at))
        goings.append(Go(round(at, 3), move, device, round(seconds, 3)))
        at += seconds
    return goings


def _moment(draw: random.Random, moments: list[float], span: float, kind: Kind) -> float:
    """Anywhere; more often just before or after somebody moves, which is when it goes wrong."""
    # What is to expire, and to be redriven, has to have the time for it.
    end = span * (_QUIET if kind in {"short", "redriven"} else 0.97)
    if draw.random() < 0.5:
        return min(end, max(1.0, draw.choice(moments) + draw.uniform(-0.3, 0.7)))
    return draw.uniform(1.0, end)


def _is_there(goings: Iterable[Go], at: float) -> bool:
    """Whether a device is meant to be connected then."""
    away = [(step.at, step.at + step.seconds) for step in goings if step.move in {"close", "down"}]
    came = [step.at for step in goings if step.move == "connect"]
    return min(came) + 1 < at and not any(start - 0.5 < at < end + 1 for start, end in away)


def _one(draw: random.Random, shares: Mapping[Any, int]) -> Any:
    return draw.choices(list(shares), list(shares.values()))[0]


def with_users(script: Script, users: Iterable[User]) -> Script:
    """The same for these users alone, and no longer than they need."""
    made = replace(script, users=tuple(users))
    last = max((step.at + _lasts(step) for user in made.users for step in user.steps), default=0.0)
    return replace(made, seconds=min(script.seconds, last + _AT_THE_END_SECONDS))


def _lasts(step: Step) -> float:
    return step.seconds if isinstance(step, Go) else 0.0


def hurried(script: Script, *, longest_pause: float = 8.0) -> Script:
    """The same with no long pause in which nothing happens."""
    moments = sorted(
        {step.at for user in script.users for step in user.steps}
        | {step.at + step.seconds for user in script.users for step in user.steps if isinstance(step, Go)}
        | {at for at, _ in script.outages}
    )
    when = _squeezed(moments, longest_pause)
    users = tuple(
        replace(user, steps=tuple(replace(step, at=round(when(step.at), 3)) for step in user.steps))
        for user in script.users
    )
    outages = tuple((round(when(at), 3), seconds) for at, seconds in script.outages)
    last = when(moments[-1]) if moments else 0.0
    return replace(script, users=users, outages=outages, seconds=min(script.seconds, last + longest_pause))


def _squeezed(moments: list[float], longest: float) -> Callable[[float], float]:
    new: dict[float, float] = {}
    old_time = new_time = 0.0
    for moment in moments:
        new_time += min(moment - old_time, longest)
        old_time = moment
        new[moment] = new_time
    return lambda at: new[at]


@dataclass(frozen=True)
class Ids:
    """The ids of one run's messages: a stack may play many, and none may meet another's."""

    prefix: str

    def of(self, user: str, number: int) -> str:
        """The id of a user's message."""
        return f"{self.prefix}-{user}-{number}"

    def belongs(self, message_id: str) -> bool:
        """Whether it is of this run."""
        return message_id.startswith(f"{self.prefix}-")
