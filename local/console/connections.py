"""Who is connected: the connections table, followed by its stream, so that nobody has to scan it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from local.console import moments
from ringback import aws
from ringback.connections import ConnectionStatus
from ringback.installation import Installation

Json = dict[str, Any]

_RECORDS = 1000


class Connections:
    """The rows of the table, as its stream tells them from its beginning on. Not for several threads at once."""

    def __init__(self, installation: Installation) -> None:
        self._tables = installation.clients.dynamodb
        self._streams = installation.clients.other("dynamodbstreams")
        self._table_name = installation.output("ConnectionsTableName")
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._iterator: str | None = None

    def read(self) -> list[Json]:
        """The open connections now, the oldest first.

        Raises:
            RingbackError: the stream cannot be read; the next reading begins anew.
        """
        try:
            with aws.translated("dynamodbstreams"):
                if self._iterator is None:
                    self._rows.clear()
                    self._iterator = self._beginning()
                while self._follow():
                    pass
        except Exception:
            self._iterator = None
            raise
        now = datetime.now(UTC)
        found = [connection for row in self._rows.values() if (connection := _connection(row, now)) is not None]
        return sorted(found, key=lambda one: (one["connectedAt"], one["connectionId"]))

    def _beginning(self) -> str:
        arn = self._tables.describe_table(TableName=self._table_name)["Table"]["LatestStreamArn"]
        (shard,) = self._streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]  # MiniStack's only one
        return str(
            self._streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
                "ShardIterator"
            ]
        )

    def _follow(self) -> bool:
        """Take in the next records; whether there may be more."""
        answer = self._streams.get_records(ShardIterator=self._iterator, Limit=_RECORDS)
        for record in answer["Records"]:
            change = record["dynamodb"]
            key = "\n".join(change["Keys"][name]["S"] for name in sorted(change["Keys"]))
            if record["eventName"] == "REMOVE":
                self._rows.pop(key, None)
            else:
                self._rows[key] = change["NewImage"]
        self._iterator = answer["NextShardIterator"]
        return bool(answer["Records"])


def close(installation: Installation, connection_id: str) -> bool:
    """Close a connection from the server's side; False if there is none.

    Raises:
        RingbackError
    """
    client = installation.clients.management_api(installation.output("ManagementEndpoint"))
    with aws.translated("apigatewaymanagementapi"):
        try:
            client.delete_connection(ConnectionId=connection_id)
        except ClientError as error:
            if aws.http_status(error) in {400, 410}:  # 400: API Gateway never gave out such an id
                return False
            raise
    return True


def _connection(row: Mapping[str, Any], now: datetime) -> Json | None:
    try:
        status = ConnectionStatus.of(row)
    except (KeyError, ValueError):
        return None  # somebody else's
    if status.expires_at <= now:
        return None
    attributes = row.get("attributes", {}).get("M", {})
    return {
        "user": status.user,
        "context": status.context,
        "contextId": status.context_id,
        "connectionId": status.connection_id,
        "connectedAt": moments.text(status.connected_at),
        "expiresAt": moments.text(status.expires_at),
        "state": status.state,
        "attributes": {name: value["S"] for name, value in sorted(attributes.items())},
    }
