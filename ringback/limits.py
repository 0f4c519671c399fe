"""The limits of what a backend may hand over."""

from typing import Final

MAX_USER_LENGTH: Final = 255
MAX_CONTEXT_LENGTH: Final = 64
MAX_CONTEXT_ID_LENGTH: Final = 128
MAX_ID_LENGTH: Final = 128
MAX_TEXT_LENGTH: Final = 128
"""Of a type and of a correlation id."""

MAX_TTL_SECONDS: Final = 7 * 24 * 3600
MAX_ACK_TIMEOUT_SECONDS: Final = 3600
# Step Functions ends a run at 25,000 events of history, and then there is not even a dead letter. An attempt with all
# the retries there are writes 91.
MAX_ATTEMPTS: Final = 270
MAX_BACKOFF_BASE_SECONDS: Final = 3600
MAX_BACKOFF_CAP_SECONDS: Final = 86_400

# Of a fan-out.
MAX_FAN_OUT_ID_LENGTH: Final = 100
MAX_USERS: Final = 10_000
MAX_ATTRIBUTES: Final = 10
