"""A user's open connections, as the table holds them. The DynamoDB client is passed in."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from ringback import aws
from ringback.forms import Form
from ringback.plain import Recipient

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class ConnectionStatus(Form):
    """One open connection; its JSON form is camelCase, with times in UTC as RFC 3339.

    ``state`` is `stale` if it took a message and left it unacknowledged, since ``stale_since``; else `active`.
    ``expires_at`` is when it is not believed in any more, or when its token ends.
    """

    connection_id: str
    user: str
    context: str
    context_id: str
    connected_at: datetime
    expires_at: datetime
    state: Literal["active", "stale"]
    stale_since: datetime | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of the connections table, in DynamoDB's own JSON."""
        recipient = Recipient.from_json(row["recipient"]["S"])
        ends = [int(row[name]["N"]) for name in ("expiration_date", "token_expires_at") if name in row]
        stale = row.get("stale_since")
        return cls(
            connection_id=row["connection_id"]["S"],
            user=recipient.user,
            context=recipient.context,
            context_id=recipient.context_id,
            connected_at=_moment(int(row["connected_at"]["N"]) / 1000),
            expires_at=_moment(min(ends)),
            state="stale" if stale else "active",
            stale_since=_moment(int(stale["N"]) / 1000) if stale else None,
        )


def read_connections(
    client: "DynamoDBClient", table_name: str, user: str, *, now: datetime | None = None
) -> list[ConnectionStatus]:
    """Read the connections of a user that are open now, the oldest first.

    Raises:
        AccessDenied, NotAuthenticated, NotInstalled, Unavailable: the table cannot be read.
    """
    now = now or datetime.now(UTC)
    found = (ConnectionStatus.of(row) for row in _rows(client, table_name, user))
    # DynamoDB deletes expired rows late, so the clock decides.
    return sorted((one for one in found if now < one.expires_at), key=lambda one: one.connected_at)


def _rows(client: "DynamoDBClient", table_name: str, user: str) -> Iterator[Mapping[str, Any]]:
    request: dict[str, Any] = {
        "TableName": table_name,
        "KeyConditionExpression": "caller_id = :user",
        "ExpressionAttributeValues": {":user": {"S": f"user#{user}"}},
        "ConsistentRead": True,
    }
    while True:
        with aws.translated("dynamodb"):
            page = client.query(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
