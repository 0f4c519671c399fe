"""How a place in MiniStack is corrected."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

Json = dict[str, Any]


class CorrectionError(Exception):
    """MiniStack is not the one these corrections were written for."""


def replace(module: ModuleType, name: str, make: Callable[[Any], Any]) -> None:
    """Put `make(upstream)` in the place of `module.name`."""
    upstream = getattr(module, name, None)
    if upstream is None:
        raise CorrectionError(f"{module.__name__}.{name} is gone: look what MiniStack does now.")
    setattr(module, name, make(upstream))
