"""Every error that this package raises on purpose; each text says what is wrong and what to do.

::

    RingbackError
    ├── InvalidMessage       what was given is no message; nothing was sent
    ├── IdConflict           the id belongs to another message
    ├── MessageNotFound      no run carries a message with this id
    ├── NotCancellable       the message has ended before it could be cancelled
    ├── Undelivered          the message ended without being delivered
    ├── NotInTime            the message was not delivered in the time that was given (also a `TimeoutError`)
    ├── LetterNotFound       no dead letter with this id is on the queue
    ├── NotInstalled         there is no Ringback here, or it lacks what was asked for
    ├── NotAuthenticated     AWS does not know who is calling
    ├── AccessDenied         the caller lacks a permission; `action` and `resource` name it
    ├── Unavailable          a service did not answer, or failed; the same call may succeed later
    └── Refused              AWS refused a call for a reason that none of the above covers
"""


class RingbackError(Exception):
    """Base of all errors that this package raises on purpose."""


class InvalidMessage(RingbackError):
    """What was given is no message: says which field and why, never its value."""


class IdConflict(RingbackError):
    """The id belongs to another message. ``message_id`` is the id."""

    def __init__(self, message_id: str, detail: str | None = None) -> None:
        super().__init__(
            f"the id {message_id} belongs to another message: give this one an id of its own"
            + (f" ({detail})" if detail else "")
        )
        self.message_id = message_id


class MessageNotFound(RingbackError):
    """No run carries a message with this id. ``message_id`` is the id."""

    def __init__(self, message_id: str) -> None:
        super().__init__(
            f"no run carries a message {message_id}. A message that was delivered at the first attempt has no run: "
            "send it with track to be able to look it up. A run that was started by hand is found if it is named "
            "after its message."
        )
        self.message_id = message_id


class NotCancellable(RingbackError):
    """The message has ended. ``state`` says how: delivered, acknowledged or dead_lettered."""

    def __init__(self, message_id: str, state: str) -> None:
        hint = "; its dead letter can be purged" if state == "dead_lettered" else ""
        super().__init__(f"message {message_id} is {state} and cannot be cancelled any more{hint}")
        self.message_id = message_id
        self.state = state


class Undelivered(RingbackError):
    """The message ended without being delivered. ``state`` is cancelled or dead_lettered."""

    def __init__(self, message_id: str, state: str, reason: str | None) -> None:
        super().__init__(f"message {message_id} is {state}" + (f": {reason}" if reason else ""))
        self.message_id = message_id
        self.state = state
        self.reason = reason


class NotInTime(RingbackError, TimeoutError):
    """The message was not delivered in the time that was given; it may be yet."""


class LetterNotFound(RingbackError):
    """No dead letter with this id was seen on the queue."""


class NotInstalled(RingbackError):
    """There is no Ringback here, or it lacks what was asked for."""


class NotAuthenticated(RingbackError):
    """AWS does not know who is calling: no credentials, or expired or wrong ones."""


class AccessDenied(RingbackError):
    """The caller lacks a permission: ``action`` (such as ``sqs:ReceiveMessage``) on ``resource``, if AWS says which."""

    def __init__(self, action: str, resource: str | None = None) -> None:
        on = f" on {resource}" if resource else ""
        super().__init__(f"you may not {action}{on}: have that action allowed to the role or user that calls")
        self.action = action
        self.resource = resource


class Unavailable(RingbackError):
    """A service could not be reached, throttled the call, or failed. The same call may succeed later."""


class Refused(RingbackError):
    """AWS refused a call; names the call and AWS's code."""
