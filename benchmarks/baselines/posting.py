"""What both baselines do with a message: find the recipient's connections, and post to each."""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

from benchmarks.baselines import settings

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_dynamodb.service_resource import Table


class NobodyThere(Exception):
    """The recipient has no open connection."""


@cache
def _table() -> "Table":
    return boto3.resource("dynamodb").Table(settings.connections_table_name())


@cache
def _api() -> "ApiGatewayManagementApiClient":
    return boto3.client("apigatewaymanagementapi", endpoint_url=settings.management_endpoint())


def post_to_all(message: dict[str, Any]) -> int:
    """Post a message to every connection of its recipient; answers how many took it.

    Raises:
        NobodyThere: none did.
    """
    recipient = message["recipient"]
    user, conversation = f"user#{recipient['user']}", f"{recipient['context']}#{recipient['contextId']}#"
    found = _table().query(KeyConditionExpression=Key("caller_id").eq(user) & Key("context").begins_with(conversation))
    frame = {"kind": "message", "id": message["id"], "type": message.get("type"), "payload": message["payload"]}
    posted = sum(_post(row, json.dumps(frame).encode()) for row in found["Items"])
    if not posted:
        raise NobodyThere(f"{len(found['Items'])} connections are stored, and none is there")
    return posted


def _post(row: dict[str, Any], frame: bytes) -> bool:
    try:
        _api().post_to_connection(ConnectionId=row["connection_id"], Data=frame)
    except ClientError as error:
        if error.response["Error"]["Code"] != "GoneException":
            raise
        _table().delete_item(Key={"caller_id": row["caller_id"], "context": row["context"]})
        return False
    return True
