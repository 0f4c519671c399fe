"""Everything that a caller can be told, each with what to do about it.

::

    ChatError
    ├── Forbidden          this person may not do that, in no state of the chat
    │   ├── AgentsOnly
    │   ├── CustomersOnly
    │   └── NotYourChat
    ├── ChatNotFound       there is none, or none that this person may know of
    ├── WrongState         not in this state of the chat
    │   ├── AlreadyAccepted
    │   ├── NotAccepted
    │   ├── ChatHasEnded
    │   ├── NotEnded
    │   ├── NothingToRate
    │   ├── AlreadyRated
    │   └── RatingClosed
    ├── TooManyMessages    this person has sent as many to the chat as they may for now
    ├── IdTaken            the message's id belongs to another message
    ├── NotAtTheDesk       the agent who accepts has no open connection to the desk
    ├── AgentNotPresent    the agent to transfer to has none
    └── Unavailable        a service does not answer, or too many change the chat at once: try again
        └── Unreadable     a newer version wrote it, and was taken back: nobody else waits for that
"""


class ChatError(Exception):
    """Base of all of them. The text is for the caller, and repeats no value."""


class Forbidden(ChatError):
    """This person may not do that."""


class AgentsOnly(Forbidden):
    """Customers cannot do this."""


class CustomersOnly(Forbidden):
    """Agents cannot do this."""


class NotYourChat(Forbidden):
    """It is another agent's."""


class ChatNotFound(ChatError):
    """There is no such chat for this person."""


class WrongState(ChatError):
    """The chat is in no state for that."""


class AlreadyAccepted(WrongState):
    """Another agent was first."""


class NotAccepted(WrongState):
    """No agent has accepted it yet."""


class ChatHasEnded(WrongState):
    """It is over."""


class NotEnded(WrongState):
    """It goes on."""


class NothingToRate(WrongState):
    """No agent has ever accepted it."""


class AlreadyRated(WrongState):
    """It has its rating."""


class RatingClosed(WrongState):
    """The time for a rating is over."""


class TooManyMessages(ChatError):
    """This person sends faster than they may; the next one is taken in so many seconds."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("this is more than one person may do in a minute; send it again when the wait is over")
        self.retry_after_seconds = retry_after_seconds


class IdTaken(ChatError):
    """Another message of this chat has the id."""


class NotAtTheDesk(ChatError):
    """The agent has no open connection that what is said could be pushed to."""


class AgentNotPresent(ChatError):
    """Nobody of that name sits at the desk."""


class Unavailable(ChatError):
    """Try the same again in a moment."""


class Unreadable(Unavailable):
    """What is kept cannot be read by this version. Whoever has others to serve leaves it out."""
