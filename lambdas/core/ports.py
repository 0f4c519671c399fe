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

    def park_for_reconnect(self, callback: Callback) -> None:
        """Store a callback that the recipient's next connection completes; replaces that message's older one."""

    def park_for_acknowledgement(self, callback: Callback) -> None:
        """Store a callback that the client's acknowledgement completes; replaces that message's older one."""

    def waiting_for_reconnect(self, recipient: Recipient) -> Iterator[Callback]:
        """Every callback that waits for this recipient to connect."""

    def waiting_for_acknowledgement(self, user: str, message_id: str) -> Callback | None:
        """The callback that waits for this user to acknowledge this message."""

    def remove_reconnect(self, callback: Callback) -> None:
        """Remove the callback, unless a newer one of the same message has taken its place."""

    def remove_acknowledgement(self, callback: Callback) -> None:
        """Remove the callback, unless a newer one of the same message has taken its place."""


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

    def close(self, connection: Connection) -> None:
        """Close the socket; closing one that is gone changes nothing."""


class Deliveries(Protocol):
    """The delivery state machine."""

    def start(self, name: str, envelope_json: str) -> bool:
        """Start a run; False if the name is taken, so that the message has been accepted before.

        True also for a run that is under way with the same envelope: to the service, that is the same start.
        """


class RejectedMessages(Protocol):
    """Where ingest puts what it cannot parse."""

    def put(self, body: str, reason: str) -> None:
        """Keep the body as it came, with the reason beside it."""
