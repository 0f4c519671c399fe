"""The rules of a fan-out: who gets it, part by part; posting to all of them; handing over who missed it."""

import json
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from lambdas.core import presence
from lambdas.core.authorization import MAX_USER_LENGTH, attribute_text, is_identifier
from lambdas.core.delivery import at_once, post_in_rounds
from lambdas.core.errors import InvalidMessage, MessageExpired, ServiceUnavailable, StoreUnavailable
from lambdas.core.frames import message_frame
from lambdas.core.model import Connection, Message, invalid, timestamp, utc
from lambdas.core.ports import (
    Clock,
    ConnectionStore,
    Conversations,
    Deliveries,
    Page,
    Post,
    Poster,
    PostResult,
    Sockets,
    Start,
)
from ringback import errors, plain_fan_out
from ringback.names import execution_name
from ringback.plain import Recipient
from ringback.plain_fan_out import personal_id

PART_SIZE = 250
# Their bounds, two users of 255 characters a page, fit into what Step Functions hands from state to state.
MAX_PAGES = 400
# What Step Functions hands to a state is 256 KiB at most, and that is the fan-out with a part beside it.
_LARGEST_INPUT = 256 * 1024 - 2048
_LARGEST_PART = PART_SIZE * (MAX_USER_LENGTH + len('{"user": ""}, '))
# Step Functions starts 150 runs a second in small regions, for the whole account; up to 20 parts are handed over at
# once.
STARTS_AT_ONCE = 5
SECONDS_BETWEEN_STARTS = 1
# After a start that failed, most likely because there are too many.
START_AGAIN_AFTER_SECONDS = (1, 2, 4, 8, 16, 32)
# Then the state machine tries again; the function has a minute more.
HAND_OVER_SECONDS = 300


class FanOut(NamedTuple):
    """An accepted fan-out: it has an id and an end of life."""

    id: str
    request: plain_fan_out.FanOut
    message: Mapping[str, Any]  # as it came, with its end of life
    size: int  # of the whole, in bytes of JSON
    accepted_at: datetime
    expires_at: datetime
    excluded: frozenset[str]
    wanted: Mapping[str, frozenset[str]]  # by the attribute's name

    @classmethod
    def from_task(cls, task: Mapping[str, Any], *, default_ttl_seconds: int) -> Self:
        """Read what every state hands its function: the fan-out, and the execution.

        Raises:
            InvalidMessage: the execution was started with something that is no fan-out.
        """
        value, execution = task["fanOut"], task["execution"]
        try:
            request = plain_fan_out.read(value)
        except errors.InvalidMessage as error:
            raise invalid(error) from None
        accepted_at = utc(execution["startedAt"])
        life = timedelta(seconds=request.message.ttl_seconds or default_ttl_seconds)
        expires_at = request.message.expires_at or accepted_at + life
        # The state machine of a delivery reads the same fields, and for JSONata a null is there.
        given = {name: item for name, item in value["message"].items() if item is not None or name == "payload"}
        given.pop("ttlSeconds", None)
        return cls(
            id=request.id or execution["name"],
            request=request,
            message={**given, "expiresAt": timestamp(expires_at)},
            size=_size(value),
            accepted_at=accepted_at,
            expires_at=expires_at,
            excluded=frozenset(request.exclude),
            wanted={name: _wanted(values) for name, values in request.where.items()},
        )

    def envelope_for(self, user: str) -> dict[str, Any]:
        """The envelope of one person's delivery. It has the same id as what was posted to them."""
        return {**self.message, "id": personal_id(self.id, user), "recipient": self.recipient(user).to_wire()}

    def recipient(self, user: str) -> Recipient:
        """One person, in the conversation that the fan-out is for."""
        return Recipient(user, *self.request.audience.place)

    def frames(self, sent_at: datetime) -> Callable[[str], bytes]:
        """How to make each user's frame. They differ in the id only, so the rest is made once.

        Raises:
            InvalidMessage: they would be too large, or the message is none.
        """
        somebody = "somebody"
        message = Message.accept(
            self.envelope_for(somebody), fallback_id="", accepted_at=self.accepted_at, default_ttl_seconds=1
        )
        frame = message_frame(message, attempt=1, sent_at=sent_at)
        before, theirs, after = frame.partition(_as_json(message.id))
        if not theirs:
            raise RuntimeError("a frame does not hold its message's id")
        return lambda user: b"".join((before, _as_json(personal_id(self.id, user)), after))

    def require_life(self, clock: Clock) -> None:
        """Raise `MessageExpired` when its life is over."""
        if clock.now() >= self.expires_at:
            raise MessageExpired(f"its life ended at {timestamp(self.expires_at)}")

    def fits(self, connection: Connection) -> bool:
        """Whether the connection has the attributes that are asked for."""
        return all(connection.attributes.get(name) in values for name, values in self.wanted.items())


class Part(NamedTuple):
    """A part of the audience that one call works on: users by name, or a page of a conversation.

    Users who are ``owed`` the message were looked up and posted to before, in vain.
    """

    users: tuple[str, ...] = ()
    page: Page | None = None
    unreadable: int = 0
    owed: bool = False

    @classmethod
    def from_task(cls, task: Mapping[str, Any]) -> Self:
        """Read it. Users of a stored list are what somebody wrote there: what is no user is counted."""
        part = task["part"]
        if "users" not in part:
            return cls(page=Page(part["after"], part["upTo"], part["size"]))
        items = [item.get("user") if isinstance(item, dict) else item for item in part["users"]]
        users = [item for item in items if isinstance(item, str) and is_identifier(item, MAX_USER_LENGTH)]
        return cls(tuple(dict.fromkeys(users)), unreadable=len(items) - len(users), owed=part.get("owed", False))


@dataclass(slots=True)
class Summary:
    """What became of a part: people, posts by their result, people handed over, and what failed."""

    people: int = 0
    posted: int = 0
    gone: int = 0
    throttled: int = 0
    failed: int = 0
    handed_over: int = 0

    @classmethod
    def from_task(cls, task: Mapping[str, Any]) -> Self:
        """Read what became of the part so far."""
        summary = task["summary"]
        names = ("people", "posted", "gone", "throttled", "failed", "handedOver")
        return cls(*(summary[name] for name in names))

    def __add__(self, other: "Summary") -> "Summary":
        """Both together."""
        return Summary(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    def to_state(self) -> dict[str, int]:
        """Its form in the state machine."""
        return {
            "people": self.people,
            "posted": self.posted,
            "gone": self.gone,
            "throttled": self.throttled,
            "failed": self.failed,
            "handedOver": self.handed_over,
        }


class Posted(NamedTuple):
    """What became of posting to a part, and who is owed the message still."""

    summary: Summary
    owed: tuple[str, ...] = ()

    def to_state(self) -> dict[str, Any]:
        """Its form in the state machine: what is left of the part."""
        part = {"users": list(self.owed), "size": len(self.owed), "owed": True}
        return {"summary": self.summary.to_state(), "part": part}


@dataclass(slots=True)
class _People:
    """The people of a part, each with the connections that fit; and those nobody could look up."""

    connections: dict[str, list[Connection]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def plan(fan_out: FanOut, *, conversations: Conversations | None, clock: Clock) -> dict[str, Any]:
    """Check the whole fan-out, and cut its audience into parts; a stored list is cut by the state machine.

    Args:
        fan_out: what is to be done.
        conversations: None where tokens do not say which conversations they open.
        clock: the time.

    Raises:
        InvalidMessage: it cannot be done as it is.
        MessageExpired: its life is over.
    """
    fan_out.require_life(clock)
    fan_out.frames(clock.now())
    require_room(fan_out)
    audience = fan_out.request.audience
    if audience.stored_list is not None:
        return {"kind": "list", "key": audience.stored_list, "parts": []}
    if audience.users is not None:
        return {"kind": "parts", "parts": _parts(fan_out, audience.users)}
    if conversations is None:
        raise InvalidMessage(
            "audience.conversation: this stage does not know whose token is allowed into a conversation; set "
            "token.contexts_claim in its settings, or name the users"
        )
    parts: list[dict[str, Any]] = []
    for page in conversations.pages(audience.place, size=PART_SIZE):
        if len(parts) == MAX_PAGES:
            raise InvalidMessage(
                f"audience.conversation: it has more than {MAX_PAGES * PART_SIZE:,} connections; "
                "give its users as a list in the bucket"
            )
        parts.append({"after": page.after, "upTo": page.up_to, "size": page.connections})
    return {"kind": "parts", "parts": parts}


def require_room(fan_out: FanOut) -> None:
    """See that the fan-out fits into what Step Functions hands to a state, with any part of its audience beside it.

    Raises:
        InvalidMessage: it is too large.
    """
    audience = fan_out.request.audience
    if audience.users is not None:
        part = max(map(_size, _parts(fan_out, audience.users)), default=0)
    elif audience.stored_list is not None or fan_out.request.durable:
        part = _LARGEST_PART  # of a conversation, those who are owed the message
    else:
        part = 2 * MAX_USER_LENGTH
    if fan_out.size + part > _LARGEST_INPUT:
        raise InvalidMessage(
            f"the fan-out has {fan_out.size} bytes and may have {_LARGEST_INPUT - part}: name fewer users, or give "
            "them as a list in the bucket"
        )


def post_part(
    fan_out: FanOut,
    part: Part,
    *,
    connections: ConnectionStore,
    conversations: Conversations,
    poster: Poster,
    sockets: Sockets,
    clock: Clock,
) -> Posted:
    """Post to every connection of a part, and forget those that are gone. If it is durable, say who missed it.

    Doing it again posts the same messages again, under the same ids.

    Raises:
        InvalidMessage, MessageExpired: it cannot be posted, or no more.
    """
    fan_out.require_life(clock)
    people = _people(fan_out, part, connections=connections, conversations=conversations)
    targets = [connection for found in people.connections.values() for connection in found]
    results = _post(fan_out, targets, connections=connections, poster=poster, sockets=sockets, clock=clock)
    counted = list(results.values())
    summary = Summary(
        people=len(people.connections) + len(people.unknown),
        posted=counted.count(PostResult.POSTED),
        gone=counted.count(PostResult.GONE),
        throttled=counted.count(PostResult.THROTTLED),
        failed=counted.count(PostResult.FAILED) + len(people.unknown) + part.unreadable,
    )
    if not fan_out.request.durable:
        return Posted(summary)
    missed = [
        user
        for user, found in people.connections.items()
        if not any(results[connection.connection_id] is PostResult.POSTED for connection in found)
    ]
    owed = [*missed, *_for_certain(fan_out, people)]
    kept = _that_fit(owed)
    summary.failed += len(owed) - len(kept)
    return Posted(summary, tuple(kept))


def hand_over_part(
    fan_out: FanOut,
    part: Part,
    *,
    connections: ConnectionStore,
    conversations: Conversations,
    deliveries: Deliveries,
    clock: Clock,
) -> Summary:
    """Start a delivery for everybody of a part: of one that could not be posted to, or of those who are owed it.

    It starts only some a second, because all runs of the account share what Step Functions starts.

    Raises:
        MessageExpired: its life is over.
        ServiceUnavailable: some of them could not be started; doing it again starts the others.
    """
    fan_out.require_life(clock)
    if part.owed:
        return _start_deliveries(fan_out, part.users, deliveries, clock)
    people = _people(fan_out, part, connections=connections, conversations=conversations)
    summary = Summary(
        people=len(people.connections) + len(people.unknown), failed=len(people.unknown) + part.unreadable
    )
    owed = [*people.connections, *_for_certain(fan_out, people)]
    return summary + _start_deliveries(fan_out, owed, deliveries, clock)


def _parts(fan_out: FanOut, named: Iterable[str]) -> list[dict[str, Any]]:
    users = [user for user in dict.fromkeys(named) if user not in fan_out.excluded]
    cuts = (users[start : start + PART_SIZE] for start in range(0, len(users), PART_SIZE))
    return [{"users": cut, "size": len(cut)} for cut in cuts]


def _that_fit(users: Sequence[str]) -> Sequence[str]:
    """As many users as there is room for. A page may have become a crowd since it was cut."""
    room = _LARGEST_PART
    for count, user in enumerate(users):
        room -= _size(user) + len(", ")
        if room < 0:
            return users[:count]
    return users


def _people(fan_out: FanOut, part: Part, *, connections: ConnectionStore, conversations: Conversations) -> _People:
    people = _People()
    if part.page is not None:
        found: dict[str, list[Connection]] = defaultdict(list)
        for connection in conversations.of_page(fan_out.request.audience.place, part.page):
            found[connection.recipient.user].append(connection)
        known: Iterable[tuple[str, list[Connection] | None]] = found.items()
    else:
        users = [user for user in part.users if user not in fan_out.excluded]
        known = zip(users, _look_up(fan_out, users, connections), strict=True)
    for user, theirs in known:
        if user in fan_out.excluded:
            continue
        if theirs is None:
            people.unknown.append(user)
            continue
        fitting = [connection for connection in theirs if fan_out.fits(connection)]
        # Of somebody who is not there, nobody knows the attributes.
        if fitting or not fan_out.wanted:
            people.connections[user] = fitting
    return people


def _look_up(fan_out: FanOut, users: Sequence[str], connections: ConnectionStore) -> list[list[Connection] | None]:
    def look_up(user: str) -> list[Connection] | None:
        try:
            return connections.of_recipient(fan_out.recipient(user))
        except StoreUnavailable:
            return None

    return at_once(look_up, users) if users else []


def _for_certain(fan_out: FanOut, people: _People) -> list[str]:
    """Those nobody could look up, but who are in the audience whatever their connections are."""
    return [] if fan_out.wanted else people.unknown


def _post(
    fan_out: FanOut,
    targets: Sequence[Connection],
    *,
    connections: ConnectionStore,
    poster: Poster,
    sockets: Sockets,
    clock: Clock,
) -> dict[str, PostResult]:
    """Post as `lambdas.core.delivery.post_frame` does, each user their own frame; the results by connection."""
    frame_of = fan_out.frames(clock.now())
    results = {target.connection_id: PostResult.GONE for target in targets}
    now = clock.now()
    over = [target for target in targets if not target.is_open(now)]
    _each(over, lambda target: presence.end(target, connections=connections, sockets=sockets, clock=clock))
    gone: list[Connection] = []

    def post_to(pending: Sequence[Connection]) -> list[PostResult]:
        return poster.post(
            [Post(target.endpoint, target.connection_id, frame_of(target.recipient.user)) for target in pending]
        )

    still_open = [target for target in targets if target.is_open(now)]
    results |= post_in_rounds(still_open, post_to, forget=gone.append, clock=clock)
    _each(gone, lambda target: _forget(target, connections))
    return results


def _start_deliveries(fan_out: FanOut, users: Iterable[str], deliveries: Deliveries, clock: Clock) -> Summary:
    def start(user: str) -> Start | None:
        envelope = fan_out.envelope_for(user)
        text = json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
        try:
            return deliveries.start(execution_name(envelope["id"]), text)
        except ServiceUnavailable:
            return None

    summary = Summary()
    pending = deque(users)
    give_up_at = clock.now() + timedelta(seconds=HAND_OVER_SECONDS)
    pauses = iter(START_AGAIN_AFTER_SECONDS)
    while pending:
        if clock.now() >= fan_out.expires_at:
            summary.failed += len(pending)
            break
        some = [pending.popleft() for _ in range(min(STARTS_AT_ONCE, len(pending)))]
        answers = at_once(start, some)
        again = [user for user, answer in zip(some, answers, strict=True) if answer is None]
        taken = answers.count(Start.ID_TAKEN)
        summary.failed += taken
        summary.handed_over += len(some) - len(again) - taken
        pending.extend(again)
        if not again:
            pauses = iter(START_AGAIN_AFTER_SECONDS)
        pause = next(pauses, None) if again else SECONDS_BETWEEN_STARTS
        if pending:
            if pause is None or clock.now() >= give_up_at:
                raise ServiceUnavailable(f"{len(pending)} deliveries could not be started")
            clock.sleep(pause)
    return summary


def _each(targets: Sequence[Connection], do: Callable[[Connection], None]) -> None:
    if targets:
        at_once(do, targets)


def _forget(connection: Connection, connections: ConnectionStore) -> None:
    # The posts are done; failing now would post them again. The row is met again, or expires.
    try:
        connections.delete(connection.recipient, connection.connection_id)
    except StoreUnavailable:
        return


def _wanted(values: object) -> frozenset[str]:
    listed: Collection[object] = values if isinstance(values, list) else [values]
    return frozenset(text for value in listed if (text := attribute_text(value)) is not None)


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _as_json(text: str) -> bytes:
    return json.dumps(text).encode()
