"""Ringback: a message waits until its recipient picks up. What a backend installs.

Everything is imported when it is first asked for: a function needs little of it, and starts the sooner.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringback.connections import ConnectionStatus
    from ringback.envelope import Envelope, Recipient, RetryPolicy
    from ringback.installation import Installation
    from ringback.publisher import Publisher, Receipt, Result, Summary
    from ringback.status import MessageStatus

__all__ = [
    "ConnectionStatus",
    "Envelope",
    "Installation",
    "MessageStatus",
    "Publisher",
    "Receipt",
    "Recipient",
    "Result",
    "RetryPolicy",
    "Summary",
]

_LATE = {
    "ConnectionStatus": "connections",
    "Envelope": "envelope",
    "Installation": "installation",
    "MessageStatus": "status",
    "Publisher": "publisher",
    "Receipt": "publisher",
    "Recipient": "envelope",
    "Result": "publisher",
    "RetryPolicy": "envelope",
    "Summary": "publisher",
}


if not TYPE_CHECKING:  # or a misspelt name would be one

    def __getattr__(name: str) -> Any:
        if name in _LATE:
            from importlib import import_module

            return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
