"""Ringback: a message waits until its recipient picks up. What a backend installs."""

from ringback.envelope import Envelope, Recipient

__all__ = ["Envelope", "Recipient"]
