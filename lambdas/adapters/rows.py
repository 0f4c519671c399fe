"""What the rows of the tables say, read from a table or from its stream; `lambdas.adapters.tables` has their keys.

Nothing here asks a table, so who only hears of rows needs no client for that.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lambdas.core.model import Connection
from ringback.plain import Recipient


def connection_from_item(item: Mapping[str, Any]) -> Connection:
    """Read a row of the connections table, from the table or from its stream."""
    expires, stale = item.get("token_expires_at"), item.get("stale_since")
    return Connection(
        recipient=Recipient.from_json(item["recipient"]["S"]),
        connection_id=item["connection_id"]["S"],
        endpoint=item["endpoint"]["S"],
        connected_at=moment(int(item["connected_at"]["N"]) / 1000),
        expires_at=moment(int(item["expiration_date"]["N"])),
        token_expires_at=moment(int(expires["N"])) if expires else None,
        attributes={name: value["S"] for name, value in item["attributes"]["M"].items()}
        if "attributes" in item
        else {},
        in_conversation="conversation" in item,
        stale_since=moment(int(stale["N"]) / 1000) if stale else None,
    )


def connection_named_by(key: Mapping[str, Any]) -> tuple[Recipient, str]:
    """Whose connection has this key, and its id: all that the stream tells of a row that is gone."""
    user = key["caller_id"]["S"].removeprefix("user#")
    context, context_id, connection_id = key["context"]["S"].split("#", 2)  # none of the names has one in it
    return Recipient(user=user, context=context, context_id=context_id), connection_id


def moment(seconds: float) -> datetime:
    """A time from its seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
