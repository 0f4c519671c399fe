"""Brings rows back: from a table that was restored from a backup, which always has a name of its own, into the stack's.

What the stack's table holds is newer than any backup, so nothing of it is overwritten; counters only go up. It is safe
to repeat.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from itertools import islice
from typing import Any, Literal, get_args

from botocore.exceptions import ClientError

from ringback import aws
from ringback.connections import read_connections
from ringback.installation import Installation
from ringback.plain import Recipient

Table = Literal["connections", "callbacks", "sequences", "chats"]
Outcome = Literal["restored", "newer", "expired"]
Row = Mapping[str, Any]

TABLES: tuple[Table, ...] = get_args(Table)
NUMBERS_LEFT_OUT = 1_000

_OUTPUTS: Mapping[Table, str] = {
    "connections": "ConnectionsTableName",
    "callbacks": "CallbacksTableName",
    "sequences": "SequencesTableName",
}
_WRITES_AT_ONCE = 16
_A_ROUND = 500


class Restored(Counter[str]):
    """How many rows were `restored`, `newer` in the stack's table, and `expired`; and how many connections `closed`."""


def restore(
    installation: Installation,
    table: Table,
    source: str,
    *,
    into: str | None = None,
    numbers_left_out: int = NUMBERS_LEFT_OUT,
    on_progress: Callable[[int], object] = lambda _: None,
) -> Restored:
    """Copy the rows of a restored table that the stack's table does not have.

    Of `sequences`, counting goes on beyond what the backup knows, for the numbers that were given after it was made. Of
    `callbacks`, who is connected while a message waits for them is disconnected: their client comes back, and wakes it.
    Of `chats`, the queue and who has which chat are put back only as far as the chats themselves say the same now.

    Args:
        installation: whose table it is.
        table: which one.
        source: the name of the restored table.
        into: the name of the stack's table; needed where no output has it, which is for the chat's.
        numbers_left_out: how many numbers may have been given since the backup, to one recipient.
        on_progress: hears how many rows were looked at.

    Raises:
        ValueError: into is missing.
        NotInstalled, AccessDenied, Unavailable, Refused
    """
    target = into or (installation.output(_OUTPUTS[table]) if table in _OUTPUTS else None)
    if target is None:
        raise ValueError("name the chat's table; the output ChatsTableName of the chat's stack has it")
    client = installation.clients.dynamodb
    with aws.translated("dynamodb"):
        (key, *_) = (each["AttributeName"] for each in client.describe_table(TableName=target)["Table"]["KeySchema"])
    counts = Restored(closed=0)
    now = time.time()
    looked_at = 0

    def put(row: Row) -> Outcome:
        if "expiration_date" in row and int(row["expiration_date"]["N"]) <= now:
            return "expired"
        if table == "sequences" and row["position"]["S"].startswith("last#"):
            return _count_on(client, target, row, numbers_left_out)
        if _is_of_index(row):
            return _put_if_true(client, target, row)
        return _put(client, target, key, row)

    with ThreadPoolExecutor(_WRITES_AT_ONCE) as pool:
        for some in _rounds(_scan(client, source)):
            # Also for what is there already: the time before may have died right here.
            recipients: set[Recipient] = set()
            for row, outcome in zip(some, pool.map(put, some), strict=True):
                counts[outcome] += 1
                if table == "callbacks" and outcome != "expired" and "recipient" in row:
                    recipients.add(Recipient.from_json(row["recipient"]["S"]))
            looked_at += len(some)
            on_progress(looked_at)
            counts["closed"] += sum(pool.map(lambda recipient: _disconnect(installation, recipient), recipients))
    return counts


def _scan(client: Any, name: str) -> Iterator[Row]:
    request: dict[str, Any] = {"TableName": name, "ConsistentRead": True}
    while True:
        with aws.translated("dynamodb"):
            page = client.scan(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _rounds(rows: Iterator[Row]) -> Iterator[Sequence[Row]]:
    """So many at once; those by which chats are found come after all chats."""
    index: list[Row] = []
    while some := list(islice(rows, _A_ROUND)):
        yield [row for row in some if not _is_of_index(row)]
        index += filter(_is_of_index, some)
    for start in range(0, len(index), _A_ROUND):
        yield index[start : start + _A_ROUND]


def _is_of_index(row: Row) -> bool:
    """Whether it tells where chats are that have not ended; `lambdas.chat.adapters.table` has the layout."""
    return "collection" in row and row["collection"]["S"].startswith(("queue", "agent#"))


def _put_if_true(client: Any, target: str, row: Row) -> Outcome:
    """Put back such a row if its chat is where the row says."""
    place, item = row["collection"]["S"], row["item"]["S"]
    key = {"collection": {"S": f"chat#{item.partition('#')[2]}"}, "item": {"S": "state"}}
    while True:  # once, unless the chat changes meanwhile
        with aws.translated("dynamodb"):
            state = client.get_item(TableName=target, Key=key, ConsistentRead=True).get("Item")
        if state is None:
            return "newer"
        chat = json.loads(state["chat"]["S"])
        found_in = {"WAITING": "queue", "ACTIVE": f"agent#{chat.get('agent')}"}
        if found_in.get(chat["status"]) != place:
            return "newer"
        as_it_is = {**row, "chat": state["chat"]} if "chat" in row else row
        unchanged = {
            "TableName": target,
            "Key": key,
            "ConditionExpression": "chat = :seen",
            "ExpressionAttributeValues": {":seen": state["chat"]},
        }
        missing = {
            "TableName": target,
            "Item": as_it_is,
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": "collection"},
        }
        with aws.translated("dynamodb"):
            try:
                client.transact_write_items(TransactItems=[{"ConditionCheck": unchanged}, {"Put": missing}])
            except client.exceptions.TransactionCanceledException as error:
                of_chat, of_row = (reason.get("Code") for reason in error.response["CancellationReasons"])
                if of_row == "ConditionalCheckFailed":
                    return "newer"
                if not {of_chat, of_row} & {"ConditionalCheckFailed", "TransactionConflict"}:
                    raise
            else:
                return "restored"


def _put(client: Any, target: str, key: str, row: Row) -> Outcome:
    def write() -> None:
        client.put_item(
            TableName=target,
            Item=row,
            ConditionExpression="attribute_not_exists(#key)",
            ExpressionAttributeNames={"#key": key},
        )

    return _unless_newer(write)


def _count_on(client: Any, target: str, row: Row, numbers_left_out: int) -> Outcome:
    # Also where the stack's own is beyond the backup's: it may have begun anew, and not be where the backup's then was.
    beyond = {"N": str(int(row["sequence"]["N"]) + numbers_left_out)}

    def write() -> None:
        client.update_item(
            TableName=target,
            Key={name: row[name] for name in ("caller_id", "position")},
            UpdateExpression="SET #sequence = :beyond",
            ConditionExpression="attribute_not_exists(caller_id) OR #sequence < :beyond",
            ExpressionAttributeNames={"#sequence": "sequence"},
            ExpressionAttributeValues={":beyond": beyond},
        )

    return _unless_newer(write)


def _unless_newer(write: Callable[[], None]) -> Outcome:
    with aws.translated("dynamodb"):
        try:
            write()
        except ClientError as error:
            if aws.code(error) != "ConditionalCheckFailedException":
                raise
            return "newer"
    return "restored"


def _disconnect(installation: Installation, recipient: Recipient) -> int:
    """Close the connections of whoever a message waits for; answers how many."""
    table, here = installation.output("ConnectionsTableName"), recipient.to_wire()
    management = installation.clients.management_api(installation.output("ManagementEndpoint"))
    count = 0
    for connection in read_connections(installation.clients.dynamodb, table, recipient.user):
        if (connection.context, connection.context_id) != (here["context"], here["contextId"]):
            continue
        with aws.translated("apigatewaymanagementapi"):
            try:
                management.delete_connection(ConnectionId=connection.connection_id)
            except ClientError as error:
                if aws.http_status(error) != HTTPStatus.GONE:
                    raise
            else:
                count += 1
    return count
