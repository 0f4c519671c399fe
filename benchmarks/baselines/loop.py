"""One message for many, without a fan-out: for each of them ask for their connections and post to each, with boto3.

So does the sample that AWS publishes, one by one; who is in a hurry takes threads.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_dynamodb import DynamoDBClient

THREADS = 32


class Loop:
    """Sends frames to people in one conversation.

    Args:
        dynamodb: as many connections in its pool as there are threads.
        api: likewise.
        table: of the connections.
        conversation: ``{context}#{contextId}``.
    """

    def __init__(
        self, dynamodb: "DynamoDBClient", api: "ApiGatewayManagementApiClient", *, table: str, conversation: str
    ) -> None:
        self._dynamodb, self._api = dynamodb, api
        self._table, self._conversation = table, conversation

    def one_by_one(self, users: Iterable[str], frame: bytes) -> int:
        """Send to each, one after the other; the number of posts that were taken."""
        return sum(self.send(user, frame) for user in users)

    def in_threads(self, users: Iterable[str], frame: bytes, pool: ThreadPoolExecutor) -> int:
        """Send to as many at once as the pool has threads; the number of posts that were taken."""
        return sum(pool.map(lambda user: self.send(user, frame), users))

    def send(self, user: str, frame: bytes) -> int:
        """Send to every connection of one person; the number of posts that were taken."""
        return sum(self.post(connection_id, frame) for connection_id in self.connections(user))

    def connections(self, user: str) -> list[str]:
        """The ids of somebody's connections."""
        answer = self._dynamodb.query(
            TableName=self._table,
            KeyConditionExpression="caller_id = :user AND begins_with(#context, :conversation)",
            ExpressionAttributeNames={"#context": "context"},
            ExpressionAttributeValues={
                ":user": {"S": f"user#{user}"},
                ":conversation": {"S": f"{self._conversation}#"},
            },
        )
        return [row["connection_id"]["S"] for row in answer["Items"]]

    def post(self, connection_id: str, frame: bytes) -> bool:
        """Post to one connection; False if it is gone."""
        try:
            self._api.post_to_connection(ConnectionId=connection_id, Data=frame)
        except self._api.exceptions.GoneException:
            return False
        return True
