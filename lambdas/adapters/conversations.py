"""The index of the connections table by conversation: `conversation` = ``{context}#{contextId}``, `caller_id`.

It holds the connections whose token was allowed into their conversation, and no others.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lambdas.adapters import aws
from lambdas.adapters.rows import connection_from_item
from lambdas.core.errors import StoreUnavailable
from lambdas.core.model import Connection
from lambdas.core.ports import Page
from ringback.plain_fan_out import Conversation

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryOutputTypeDef

INDEX = "ByConversation"
_USER = "user#"
_FIRST_CHARACTER = "!"  # of those that a user can have: nothing sorts between a user and this behind it


class ConversationIndex:
    """`lambdas.core.ports.Conversations` on DynamoDB."""

    def __init__(self, table_name: str) -> None:
        self.table_name = table_name

    def pages(self, conversation: Conversation, *, size: int) -> Iterator[Page]:
        """Cut a conversation into pages of about this many connections. All connections of a user are in one page."""
        pending: Page | None = None
        after: str | None = None
        while True:
            answer = self._query(conversation, after=after, up_to=None, Limit=size, Select="COUNT")
            if "LastEvaluatedKey" not in answer:
                break
            if pending:
                yield pending
            up_to = str(answer["LastEvaluatedKey"]["caller_id"]["S"]).removeprefix(_USER)
            pending = Page(after, up_to, answer["Count"])
            after = up_to
        if answer["Count"]:
            if pending:
                yield pending
            yield Page(after, None, answer["Count"])
        elif pending:
            yield pending._replace(up_to=None)

    def of_page(self, conversation: Conversation, page: Page) -> list[Connection]:
        """The connections of a page, as they are now, expired rows included."""
        found: list[Connection] = []
        more: dict[str, Any] = {}
        while True:
            answer = self._query(conversation, after=page.after, up_to=page.up_to, **more)
            found += map(connection_from_item, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return found
            more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _query(
        self, conversation: Conversation, *, after: str | None, up_to: str | None, **options: Any
    ) -> "QueryOutputTypeDef":
        values = {":conversation": f"{conversation.context}#{conversation.context_id}"}
        condition = "conversation = :conversation"
        if after is not None:
            values[":first"] = f"{_USER}{after}{_FIRST_CHARACTER}"
        if up_to is not None:
            values[":last"] = f"{_USER}{up_to}"
        match (after, up_to):
            case (None, None):
                pass
            case (_, None):
                condition += " AND caller_id >= :first"
            case (None, _):
                condition += " AND caller_id <= :last"
            case _:
                condition += " AND caller_id BETWEEN :first AND :last"
        with aws.translated(StoreUnavailable):
            return aws.dynamodb().query(
                TableName=self.table_name,
                IndexName=INDEX,
                KeyConditionExpression=condition,
                ExpressionAttributeValues={name: {"S": value} for name, value in values.items()},
                **options,
            )
