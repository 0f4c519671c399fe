"""Times as the console's JSON has them."""

from datetime import UTC, datetime


def text(moment: datetime) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    """The time."""
    return text(datetime.now(UTC))
