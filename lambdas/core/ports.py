"""What the rules need from the outside. The adapters implement it with boto3, the tests with fakes.

Every method may raise `ServiceUnavailable` (the two stores: `StoreUnavailable`); the same call may be made again.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol

from lambdas.core.model import Callback, Connection
from ringback.envelope import Recipient


class Clock(Protocol):
    """The time, in UTC, and a way to let it pass."""

    def now(self) -> datetime: ...

    def sleep(self, seconds: float) -> None: ...


class ConnectionStore(Protocol):
    """The connections that are there. Reads are consistent."""

    def put(self, connection: Connection) -> None:
        """Store a connection; storing it again changes nothing."""

    def delete(self, recipient: Recipient, connection_id: str) -> bool:
        """Remove exactly this connection; False if it was not there."""

    def of_recipient(self, recipient: Recipient) -> list[Connection]:
        """Every stored connection of the recipient, expired rows included."""

    def of_user(self, user: str) -> list[Connection]:
        """Every stored connection of the user, in any conversation, expired rows included."""


class CallbackStore(Protocol):
    """The runs that wait. Reads are consistent."""

    def park_for_reconnect(self, callback: Callback) -> bool:
        """Store a callback that the recipient's next connection completes, in place of its run's earlier one.

        False if the run's later one is there: this one comes late, and its state is over.
        """

    def park_for_acknowledgement(self, callback: Callback) -> bool:
        """Store a callback that the client's acknowledgement completes, as above."""

    def waiting_for_reconnect(self, recipient: Recipient) -> Iterator[Callback]:
        """Every callback that waits for this recipient to connect."""

    def waiting_for_acknowledgement(self, user: str, message_id: str) -> Iterator[Callback]:
        """Every callback that waits for this user to acknowledge this message: one, unless two runs carry it."""

    def remove_reconnect(self, callback: Callback) -> None:
        """Remove the callback, unless a later one of the same run has taken its place."""

    def remove_acknowledgement(self, callback: Callback) -> None:
        """Remove the callback, unless a later one of the same run has taken its place."""


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


class Sockets(Protocol):
    """API Gateway's side of the connections."""

    def post(self, connection: Connection, frame: bytes) -> PostResult:
        """Post one text frame. Raises `InvalidMessage` if API Gateway finds it too large."""

    def close(self, connection: Connection) -> bool:
        """Close the socket; False if there is none (410)."""


class Start(Enum):
    """What became of starting a run."""

    STARTED = auto()
    DUPLICATE = auto()
    ID_TAKEN = auto()


class Deliveries(Protocol):
    """The delivery state machine."""

    def start(self, name: str, envelope_json: str) -> Start:
        """Start a run; if the name is taken, say whether it is by the same message, the end of its life aside.

        To the service, the same envelope once more while its run is under way is the same start, and so it is here.
        """


class RejectedMessages(Protocol):
    """Where ingest puts what it cannot parse."""

    def put(self, body: str, reason: str) -> None:
        """Keep the body as it came, with the reason beside it."""
