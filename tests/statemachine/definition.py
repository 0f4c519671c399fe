"""The delivery machine's definition, as the CDK app deploys it: the file, with values for its placeholders."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[2] / "statemachines" / "delivery.asl.json"
TEXT = PATH.read_text(encoding="utf-8")
STATES: dict[str, dict[str, Any]] = json.loads(TEXT)["States"]

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
PLACEHOLDERS = frozenset(_PLACEHOLDER.findall(TEXT))
FUNCTIONS = frozenset(name.removesuffix("FunctionArn") for name in PLACEHOLDERS if name.endswith("FunctionArn"))


def with_values(values: Mapping[str, str | int]) -> str:
    """The definition with every placeholder replaced; a missing value is a `KeyError`."""
    arns = {f"{name}FunctionArn": f"arn:aws:lambda:eu-central-1:123456789012:function:{name}" for name in FUNCTIONS}
    known = {**arns, **values}
    return _PLACEHOLDER.sub(lambda match: str(known[match[1]]), TEXT)
