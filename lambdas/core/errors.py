"""Every error that a run can end or turn on. The class names are the error names in the state machine.

::

    RingbackError
    ├── InvalidMessage       the envelope is not one; nothing will make it deliverable
    ├── MessageExpired       its life is over
    ├── AttemptsExhausted    its attempts are used up
    ├── NoOpenConnection     the recipient has no open connection now
    ├── ConnectionGone       every connection tried was gone (410)
    ├── PostThrottled        API Gateway answered 429; the connections are there
    ├── Superseded           the state that called has ended, and a later one of the same run has taken over
    └── ServiceUnavailable   a service did not answer, or answered 5xx; the same call may succeed later
        ├── StoreUnavailable     … and it was a table
        └── Throttled            … and it takes no more calls a second

The first five are answers that the machine routes on; the others are retried.
"""


class RingbackError(Exception):
    """Base of all errors that this code raises on purpose."""


class InvalidMessage(RingbackError):
    """The envelope cannot be delivered as it is; says which field and why, never its value."""


class MessageExpired(RingbackError):
    """The message's life is over."""


class AttemptsExhausted(RingbackError):
    """The message had all the attempts that the stage allows."""


class NoOpenConnection(RingbackError):
    """The recipient has no open connection now."""


class ConnectionGone(RingbackError):
    """Every connection that was tried is gone."""


class PostThrottled(RingbackError):
    """API Gateway throttled the post: the connections are there, the message is not yet."""


class Superseded(RingbackError):
    """The state that called has ended, and nobody hears the answer any more."""


class ServiceUnavailable(RingbackError):
    """A service could not be reached or answered with a fault of its own."""


class StoreUnavailable(ServiceUnavailable):
    """A table could not be reached."""


class Throttled(ServiceUnavailable):
    """A service takes so many calls a second, and this was one more."""
