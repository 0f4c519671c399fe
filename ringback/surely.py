"""Values that are surely right: what `ringback.plain` reads by itself, without the models and their pydantic.

Each answers the value, or raises `NotSure` for anything else; whether that is wrong, the model decides. Types are
compared, not asked for an instance: in Python, true is a number.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, TypeVar

from ringback.limits import MAX_TEXT_LENGTH

T = TypeVar("T")

# Narrower than `datetime.fromisoformat`, which also reads 2030-W05-4T12Z; JSONata's $toMillis does not.
RFC3339_UTC = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z"
TRACEPARENT = r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"
_SCALARS = frozenset({str, int, float, bool, type(None)})
_DEEPEST = 100


class NotSure(Exception):
    """It may be right all the same."""


def require(condition: object) -> None:
    """Go on only if this is so."""
    if not condition:
        raise NotSure


def optional(read: Callable[..., T], value: object, *limits: object) -> T | None:
    """What `read` makes of the value, if there is one: for an optional field, a null is none."""
    return None if value is None else read(value, *limits)


def fields(value: object, known: Collection[str]) -> Mapping[str, Any]:
    """An object that has no other fields."""
    if type(value) is not dict or not all(name in known for name in value):
        raise NotSure
    return value


def identifier(value: object, most: int) -> str:
    """Printable ASCII without '#' or spaces, so long at most."""
    if (
        type(value) is str
        and 0 < len(value) <= most
        and value.isascii()
        and value.isprintable()
        and " " not in value
        and "#" not in value
    ):
        return value
    raise NotSure


def text(value: object, least: int = 1, most: int = MAX_TEXT_LENGTH) -> str:
    """A text in any language, on one line."""
    if type(value) is str and least <= len(value) <= most and value.isprintable():
        return value
    raise NotSure


def number(value: object, least: int, most: int) -> int:
    """A whole number between these two."""
    if type(value) is int and least <= value <= most:
        return value
    raise NotSure


def flag(value: object) -> bool:
    """True or false."""
    if type(value) is bool:
        return value
    raise NotSure


def moment(value: object) -> datetime:
    """A time in UTC."""
    try:
        return datetime.fromisoformat(matching(RFC3339_UTC, value))
    except ValueError:
        raise NotSure from None


def traceparent(value: object) -> str:
    """W3C Trace Context."""
    return matching(TRACEPARENT, value)


def url(value: object, most: int) -> str:
    """The URL of a service, so long at most."""
    found = matching(r"https?://[!-~]+", value)
    require(len(found) <= most)
    return found


def matching(pattern: str, value: object) -> str:
    """A text that is as the pattern says, from its beginning to its end."""
    if type(value) is str and re.fullmatch(pattern, value):
        return value
    raise NotSure


def json_value(value: object) -> Any:
    """Any JSON value, as `json.loads` makes it."""
    require(_is_json(value, _DEEPEST))
    return value


def _is_json(value: object, deepest: int) -> bool:
    kind = type(value)
    if kind in _SCALARS:
        return True
    if not deepest:
        return False
    if isinstance(value, dict) and kind is dict:
        return all(type(name) is str and _is_json(item, deepest - 1) for name, item in value.items())
    if isinstance(value, list) and kind is list:
        return all(_is_json(item, deepest - 1) for item in value)
    return False
