"""What the rules need from the outside. The adapters implement it with boto3, the tests with fakes.

Every method may raise `ServiceUnavailable` (the two stores: `StoreUnavailable`); the same call may be made again.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lambdas.core.model import Callback, Connection
from ringback.plain import Recipient

if TYPE_CHECKING:  # most functions know no fan-outs
    from ringback.plain_fan_out import Conversation

CALLS_AT_ONCE = 16
"""So many calls may be under way in one function."""


class Numbered(NamedTuple):
    """A number, and whether it was given just now."""

    sequence: int
    is_new: bool


class Clock(Protocol):
    """The time, in UTC, and a way to let it pass."""

    def now(self) -> datetime: ...

    def sleep(self, seconds: float) -> None: ...


class ConnectionStore(Protocol):
    """The connections that are there. Reads are consistent."""

    def put(self, connection: Connection) -> None:
        """Store a connection; storing it again changes nothing."""

    def delete(self, recipient: Recipient, connection_id: str) -> Connection | None:
        """Remove exactly this connection, and answer what was stored; None if it was not there."""

    def of_recipient(self, recipient: Recipient) -> list[Connection]:
        """Every stored connection of the recipient, expired rows included."""

    def of_user(self, user: str) -> list[Connection]:
        """Every stored connection of the user, in any conversation, expired rows included."""

    def mark_stale(self, recipient: Recipient, connection_id: str, since: datetime) -> None:
        """Note that it took a message which nobody acknowledged; nothing if that is noted, or it is not there."""

    def mark_active(self, recipient: Recipient, connection_id: str) -> None:
        """Take that back; nothing if it is not there."""


class CallbackStore(Protocol):
    """The runs that wait. Reads are consistent."""

    def park_for_reconnect(self, callback: Callback) -> bool:
        """Store a callback that the recipient's next connection completes, in place of its run's earlier one.

        False if the run's later one is there: this one comes late, and its state is over.
        """

    def park_for_acknowledgement(self, callback: Callback) -> bool:
        """Store a callback that the client's acknowledgement completes, as above."""

    def waiting_for_reconnect(self, recipient: Recipient) -> Iterator[Callback]:
        """Every callback that waits for this recipient to connect; those of ordered messages in their order."""

    def waiting_for_acknowledgement(self, user: str, message_id: str) -> Iterator[Callback]:
        """Every callback that waits for this user to acknowledge this message: one, unless two runs carry it."""

    def reconnect_of(self, callback: Callback) -> Callback | None:
        """What the same run has parked for a reconnect, if it has."""

    def keep_acknowledgement(self, callback: Callback, output: dict[str, Any]) -> None:
        """Keep an acknowledgement that came too late for this callback, for whatever the same run waits for next."""

    def kept_acknowledgement(self, callback: Callback) -> dict[str, Any] | None:
        """The acknowledgement that came too late for the same run, if one did."""

    def remove_reconnect(self, callback: Callback) -> None:
        """Remove the callback, unless a later one of the same run has taken its place."""

    def remove_acknowledgement(self, callback: Callback) -> None:
        """Remove the callback, unless a later one of the same run has taken its place."""


class Sequences(Protocol):
    """The numbers of ordered messages: contiguous for each recipient, from 1."""

    def number(self, recipient: Recipient, execution_name: str, *, until: datetime) -> Numbered:
        """The number of the message that this run carries; the next one if it has none yet.

        It is known at least until then; later the run would be given another.
        """


class TaskTokens(Protocol):
    """The runs' own side of a callback."""

    def succeed(self, task_token: str, output: dict[str, Any]) -> bool:
        """Let the run go on with this output; False if it no longer waits on this token."""


class PostResult(Enum):
    """What became of one post."""

    POSTED = auto()
    GONE = auto()
    THROTTLED = auto()
    FAILED = auto()


class Address(Protocol):
    """Where a post goes."""

    @property
    def connection_id(self) -> str: ...

    @property
    def endpoint(self) -> str: ...


class Sockets(Protocol):
    """API Gateway's side of the connections."""

    def post(self, connection: Address, frame: bytes) -> PostResult:
        """Post one text frame. Raises `InvalidMessage` if API Gateway finds it too large."""

    def close(self, connection: Connection) -> bool:
        """Close the socket; False if there is none (410)."""


class Post(NamedTuple):
    """One post of many."""

    endpoint: str
    connection_id: str
    frame: bytes


class Poster(Protocol):
    """API Gateway's side of many connections at once."""

    def post(self, posts: Sequence[Post]) -> list[PostResult]:
        """Post each text frame, once. Raises `InvalidMessage` if API Gateway finds one too large."""


class Page(NamedTuple):
    """The users of a conversation between these two, the second one included; None is no bound."""

    after: str | None
    up_to: str | None
    connections: int


class Conversations(Protocol):
    """The connections by conversation: of those only whose token was allowed into it. Reads may be a moment behind."""

    def pages(self, conversation: "Conversation", *, size: int) -> Iterator[Page]:
        """Cut a conversation into pages of about this many connections. All connections of a user are in one page."""

    def of_page(self, conversation: "Conversation", page: Page) -> list[Connection]:
        """The connections of a page, as they are now, expired rows included."""


class Start(Enum):
    """What became of starting a run."""

    STARTED = auto()
    RUNNING = auto()
    """A duplicate of a message whose run goes on."""
    DUPLICATE = auto()
    """A duplicate of a message that was delivered."""
    UNDELIVERED = auto()
    """A duplicate of a message whose run has ended without delivering it."""
    ID_TAKEN = auto()


class Deliveries(Protocol):
    """The delivery state machine."""

    def start(self, name: str, envelope_json: str) -> Start:
        """Start a run; if the name is taken, say whether it is by the same message, the end of its life aside.

        The same envelope once more within two seconds, while its run is under way, may be taken for the same start.
        """


class DeadLetters(Protocol):
    """Where messages are kept that were not delivered."""

    def put(self, letter: dict[str, Any]) -> None:
        """Keep a dead letter."""


class RejectedMessages(Protocol):
    """Where ingest puts what it cannot parse."""

    def put(self, body: str, reason: str) -> None:
        """Keep the body as it came, with the reason beside it."""
