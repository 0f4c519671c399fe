"""Who is at the agents' desk, as Ringback's connections say."""

from typing import TYPE_CHECKING

from lambdas.chat.adapters import aws
from lambdas.chat.core.model import Role
from ringback.connections import read_connections

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class ConnectedDesk:
    """`lambdas.chat.core.ports.Desk` on Ringback's table of connections."""

    def __init__(self, table_name: str, client: "DynamoDBClient") -> None:
        self.table_name = table_name
        self.client = client

    def has(self, agent: str) -> bool:
        """Whether the agent has an open connection to the desk."""
        with aws.translated():
            found = read_connections(self.client, self.table_name, agent)
        at_the_desk = Role.AGENT.context, Role.AGENT.context_id
        return any((one.context, one.context_id) == at_the_desk for one in found)
