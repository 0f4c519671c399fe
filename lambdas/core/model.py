"""What the rules speak about: a message on its way, a connection, a callback."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from lambdas.core.errors import InvalidMessage
from ringback import errors, plain
from ringback.limits import MAX_TTL_SECONDS
from ringback.plain import Recipient

# API Gateway answers 410 until `$connect` has returned, and that function's timeout is 10 s: before that
# age a 410 says nothing, and the row must stay.
YOUNG_CONNECTION = timedelta(seconds=11)
# Who counted the end of a life may have another clock than who starts the run.
CLOCK_DIFFERENCE = timedelta(minutes=1)
# An envelope can have thousands of wrong fields, and a run's cause holds 32,768 characters, JSON and all.
MAX_REASON = 1_000


class Connection(NamedTuple):
    """One open WebSocket of a recipient.

    ``endpoint`` is the base URL of the management API that can post to it. Times are UTC;
    ``expires_at`` is the end of the row's life, ``token_expires_at`` that of the token it was opened with, and
    ``attributes`` are what that token said of its bearer. ``in_conversation``: the token named this conversation.
    ``stale_since``: it took a message then, and nobody acknowledged it.
    """

    recipient: Recipient
    connection_id: str
    endpoint: str
    connected_at: datetime
    expires_at: datetime
    token_expires_at: datetime | None
    attributes: Mapping[str, str] = MappingProxyType({})
    in_conversation: bool = False
    stale_since: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether it may be posted to. DynamoDB deletes expired rows late, so the clock decides."""
        return now < self.expires_at and (self.token_expires_at is None or now < self.token_expires_at)

    def is_young(self, now: datetime) -> bool:
        """Whether its handshake may not have ended yet."""
        return now - self.connected_at < YOUNG_CONNECTION

    def to_state(self) -> dict[str, Any]:
        """Its form in the state machine, where the recipient is known."""
        return {
            "connectionId": self.connection_id,
            "endpoint": self.endpoint,
            "connectedAt": timestamp(self.connected_at),
            "expiresAt": timestamp(self.expires_at),
            "tokenExpiresAt": timestamp(self.token_expires_at) if self.token_expires_at else None,
        }

    @classmethod
    def from_state(cls, recipient: Recipient, state: dict[str, Any]) -> Self:
        """Read what `to_state` wrote."""
        return cls(
            recipient=recipient,
            connection_id=state["connectionId"],
            endpoint=state["endpoint"],
            connected_at=utc(state["connectedAt"]),
            expires_at=utc(state["expiresAt"]),
            token_expires_at=utc(state["tokenExpiresAt"]) if state["tokenExpiresAt"] else None,
        )


class Callback:
    """A stored task token: a run that waits for a reconnect or for an acknowledgement of one message.

    No tuple, which a log would write out: whoever has the token can complete the run.

    ``entry`` orders the tokens of one run: of two, the greater one belongs to the state that was entered later.
    ``sequence`` is an ordered message's number, ``attempt`` counts from 1, ``accepted_at`` is the message's own.
    """

    __slots__ = (
        "accepted_at",
        "attempt",
        "entry",
        "execution_name",
        "expires_at",
        "message_id",
        "recipient",
        "sequence",
        "since",
        "task_token",
    )

    def __init__(
        self,
        *,
        recipient: Recipient,
        message_id: str,
        execution_name: str,
        entry: int,
        task_token: str,
        since: datetime,
        expires_at: datetime,
        accepted_at: datetime,
        attempt: int,
        sequence: int | None = None,
    ) -> None:
        self.recipient = recipient
        self.message_id = message_id
        self.execution_name = execution_name
        self.entry = entry
        self.task_token = task_token
        self.since = since
        self.expires_at = expires_at
        self.accepted_at = accepted_at
        self.attempt = attempt
        self.sequence = sequence

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Callback) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    def __repr__(self) -> str:
        """Leave the token out."""
        return f"Callback({self.recipient!r}, {self.message_id!r})"


class Message(NamedTuple):
    """An accepted envelope: it has an id and an end of life."""

    id: str
    envelope: plain.Envelope
    accepted_at: datetime
    expires_at: datetime

    @property
    def recipient(self) -> Recipient:
        """Who it is for."""
        return self.envelope.recipient

    @classmethod
    def accept(cls, value: Any, *, fallback_id: str, accepted_at: datetime, default_ttl_seconds: int) -> Self:
        """Make a message of an envelope in its JSON form.

        Raises:
            InvalidMessage: what is wrong with it, in words that are safe to log.
        """
        try:
            parsed = plain.read(value)
        except errors.InvalidMessage as error:
            raise invalid(error) from None
        life = timedelta(seconds=parsed.ttl_seconds or default_ttl_seconds)
        if (
            parsed.expires_at
            and parsed.expires_at - accepted_at > timedelta(seconds=MAX_TTL_SECONDS) + CLOCK_DIFFERENCE
        ):
            raise InvalidMessage(f"expiresAt: at most {MAX_TTL_SECONDS} seconds ahead")
        return cls(
            id=parsed.id or fallback_id,
            envelope=parsed,
            accepted_at=accepted_at,
            expires_at=parsed.expires_at or accepted_at + life,
        )


def invalid(error: errors.InvalidMessage) -> InvalidMessage:
    """The error that a run ends with, in so many words as its cause has room for."""
    reason = str(error)
    return InvalidMessage(reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]} …")


def utc(text: str) -> datetime:
    """Read an RFC 3339 time."""
    return datetime.fromisoformat(text).astimezone(UTC)


def timestamp(moment: datetime) -> str:
    """Write a time as RFC 3339 in UTC, in milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
