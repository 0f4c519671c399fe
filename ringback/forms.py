"""The JSON form of what this package answers: camelCase names, times in UTC as RFC 3339."""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, ClassVar, Self, dataclass_transform


@cache
def to_camel(name: str) -> str:
    """The name of a field in JSON."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def timestamp(moment: datetime) -> str:
    """A time in UTC as text: in milliseconds, if it is no whole second by these, so that it is the same once read."""
    digits = "milliseconds" if moment.microsecond >= 1000 else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=digits).replace("+00:00", "Z")


def written(value: Any) -> Any:
    """A value in JSON: a form, a time, one of an enumeration, or what JSON has by itself."""
    if isinstance(value, Form):
        return value.to_json()
    if isinstance(value, datetime):
        return timestamp(value)
    return value.value if isinstance(value, Enum) else value


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Form:
    """What has a JSON form: its annotated fields, in their order. Those with a default need not be given.

    As a frozen data class, which takes Python a hundred times as long to define, at every start of a function.
    """

    _names: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls._names = tuple(cls.__annotations__)
        cls._defaults = {name: getattr(cls, name) for name in cls._names if hasattr(cls, name)}

    def __init__(self, **values: Any) -> None:
        fields = {**self._defaults, **values}
        if len(fields) != len(self._names) or not all(name in fields for name in self._names):
            wrong = ", ".join(sorted(fields.keys() ^ set(self._names)))
            raise TypeError(f"{type(self).__name__}: missing, or no field: {wrong}")
        vars(self).update(fields)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} stays as it is: replace() makes another")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._names))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._names)})"

    def replace(self, **changes: Any) -> Self:
        """Another one that differs in this."""
        return type(self)(**{**vars(self), **changes})

    def to_json(self) -> dict[str, Any]:
        """The JSON form, with every field."""
        return self._written(self._names)

    def _written(self, names: Iterable[str]) -> dict[str, Any]:
        return {to_camel(name): written(getattr(self, name)) for name in names}
