"""How AWS counts what it bills: DynamoDB's request units, and messages by size.

The rules are those of the guides: DynamoDB, "Item sizes and formats" and "On-demand capacity mode"; API Gateway and
SQS, their pricing pages.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Item = Mapping[str, Mapping[str, Any]]

TASK_TOKEN_CHARACTERS = 800
"""About as long as Step Functions makes its task tokens: a row with one takes two write units."""

_READ_UNIT_BYTES = 4 * 1024
_WRITE_UNIT_BYTES = 1024
_WEBSOCKET_MESSAGE_BYTES = 32 * 1024
_QUEUE_REQUEST_BYTES = 64 * 1024
_A_MAP_OR_LIST = 3
_AN_ELEMENT = 1


def item_bytes(item: Item) -> int:
    """The size of an item, in the form that the DynamoDB client takes and gives."""
    return sum(len(name.encode()) + value_bytes(value) for name, value in item.items())


def value_bytes(value: Mapping[str, Any]) -> int:
    """The size of one attribute's value, such as ``{"S": "text"}``."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_bytes(content)
        case "B":
            return len(content)
        case "BOOL" | "NULL":
            return 1
        case "SS":
            return sum(len(text.encode()) for text in content)
        case "NS":
            return sum(_number_bytes(text) for text in content)
        case "L":
            return _A_MAP_OR_LIST + sum(_AN_ELEMENT + value_bytes(element) for element in content)
        case "M":
            return _A_MAP_OR_LIST + sum(
                _AN_ELEMENT + len(name.encode()) + value_bytes(element) for name, element in content.items()
            )
        case _:
            raise ValueError(f"there is no attribute of type {kind} here")


def _number_bytes(text: str) -> int:
    # About a byte for two significant digits, one more, and one for a minus.
    digits = text.lstrip("-").replace(".", "").strip("0")
    return math.ceil(len(digits) / 2) + 1 + text.startswith("-")


def query_units(items: Iterable[Item], *, consistent: bool) -> float:
    """Read units of a Query without a filter: of all its items together, and of one unit where there are none."""
    return _read_units(sum(item_bytes(item) for item in items), consistent=consistent)


def get_units(item: Item | None, *, consistent: bool) -> float:
    """Read units of a GetItem, or of one item of a batch."""
    return _read_units(item_bytes(item) if item else 0, consistent=consistent)


def read_units(operation: str, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """Read units of a call without a filter or an index, by what was asked and answered.

    Raises:
        NotImplementedError: no rule here says what this takes.
    """
    consistent = bool(asked.get("ConsistentRead"))
    match operation:
        case "Query" | "Scan" if not asked.keys() & {"FilterExpression", "IndexName", "ProjectionExpression"}:
            return query_units(answer["Items"], consistent=consistent)
        case "GetItem":
            return get_units(answer.get("Item"), consistent=consistent)
        case "BatchGetItem":
            return sum(_batch_units(asked["RequestItems"], answer["Responses"]))
        case _:
            raise NotImplementedError(f"{operation}: no rule here says what this takes")


def write_units(*versions: Item | None) -> float:
    """Write units of one item outside a transaction: of the larger one of what was there and what is there then."""
    size = max((item_bytes(item) for item in versions if item), default=0)
    return float(max(1, math.ceil(size / _WRITE_UNIT_BYTES)))


def websocket_messages(size: int) -> int:
    """How many messages a frame of so many bytes is billed as."""
    return max(1, math.ceil(size / _WEBSOCKET_MESSAGE_BYTES))


def queue_requests(size: int) -> int:
    """How many requests one to SQS or SNS with so many bytes is billed as."""
    return max(1, math.ceil(size / _QUEUE_REQUEST_BYTES))


def _batch_units(asked: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[float]:
    for table, wanted in asked.items():
        items, consistent = found.get(table, []), bool(wanted.get("ConsistentRead"))
        yield from (get_units(item, consistent=consistent) for item in items)
        yield from (get_units(None, consistent=consistent) for _ in wanted["Keys"][len(items) :])


def _read_units(size: int, *, consistent: bool) -> float:
    units = max(1, math.ceil(size / _READ_UNIT_BYTES))
    return float(units) if consistent else units / 2
