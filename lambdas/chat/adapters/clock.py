"""The real clock."""

import time
from datetime import UTC, datetime


class SystemClock:
    """`lambdas.chat.core.ports.Clock`: the machine's."""

    def now(self) -> datetime:
        """The time now, in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)
