"""What the baselines' functions are told by their environment."""

import os


def connections_table_name() -> str:
    """The table of who is connected: Ringback's, so that both sides post to the same sockets."""
    return os.environ["CONNECTIONS_TABLE_NAME"]  # noqa: TID251


def management_endpoint() -> str:
    """Where posts to connections go."""
    return os.environ["MANAGEMENT_ENDPOINT"]  # noqa: TID251


def state_machine_arn() -> str:
    """The polling machine."""
    return os.environ["STATE_MACHINE_ARN"]  # noqa: TID251
