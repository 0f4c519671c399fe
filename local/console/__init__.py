"""The console: a page in which a person watches messages on the local stack, and its server."""

from local.console.serving import Console, reserved, running

__all__ = ["Console", "reserved", "running"]
