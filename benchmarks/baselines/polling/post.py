"""Looks who is there, and posts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.baselines.posting import post_to_all

_DEFAULT_TTL_SECONDS = 86_400


class MessageExpired(Exception):
    """Its life is over."""


def handler(event: dict[str, Any], context: object) -> dict[str, int]:  # noqa: ARG001 - Lambda's signature
    """Post a message: ``{"message": …, "startedAt": the run's start}``."""
    message = event["message"]
    life = timedelta(seconds=message.get("ttlSeconds", _DEFAULT_TTL_SECONDS))
    if datetime.now(UTC) >= datetime.fromisoformat(event["startedAt"]) + life:
        raise MessageExpired(f"it was not delivered within {life}")
    return {"posted": post_to_all(message)}
