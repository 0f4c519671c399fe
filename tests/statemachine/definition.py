"""The delivery machine's definition, as the CDK app deploys it: the file, with values for its placeholders."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[2] / "statemachines" / "delivery.asl.json"
TEXT = PATH.read_text(encoding="utf-8")
STATES: dict[str, dict[str, Any]] = json.loads(TEXT)["States"]

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
PLACEHOLDERS = frozenset(_PLACEHOLDER.findall(TEXT))
FUNCTIONS = frozenset(name.removesuffix("FunctionArn") for name in PLACEHOLDERS if name.endswith("FunctionArn"))


@dataclass(frozen=True)
class Machine:
    """Any of the definitions, as the file has it."""

    name: str
    text: str

    @property
    def placeholders(self) -> frozenset[str]:
        return frozenset(_PLACEHOLDER.findall(self.text))

    @property
    def states(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All states by name, those inside a Map too."""
        return _states(json.loads(self.text)["States"])

    def with_values(self, values: Mapping[str, str | int]) -> str:
        """The definition with every placeholder replaced; a missing value is a `KeyError`."""
        return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), self.text)

    def without_what_moto_lacks(self) -> "Machine":
        """The same without batches, JSON Lines and whole percentages, which moto cannot read: states that have them
        cannot run there.
        """
        definition = json.loads(self.text)
        for state in definition["States"].values():
            state.pop("ItemBatcher", None)
            state.pop("ToleratedFailurePercentage", None)
            if "ItemReader" in state:
                state["ItemReader"]["ReaderConfig"]["InputType"] = "JSON"
        return Machine(self.name, json.dumps(definition))


def elsewhere(name: str) -> str:
    """What a state that works on a stored list is called where it works on a part: no two may have one name."""
    return name.replace(" Of List", "")


def _states(states: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in states.items():
        yield name, state
        yield from _states(state.get("ItemProcessor", {}).get("States", {}))


MACHINES = {
    path.name.partition(".")[0]: Machine(path.name.partition(".")[0], path.read_text(encoding="utf-8"))
    for path in sorted(PATH.parent.glob("*.asl.json"))
}


def with_values(values: Mapping[str, str | int]) -> str:
    """The definition with every placeholder replaced; a missing value is a `KeyError`."""
    arns = {f"{name}FunctionArn": f"arn:aws:lambda:eu-central-1:123456789012:function:{name}" for name in FUNCTIONS}
    known = {**arns, **values}
    return _PLACEHOLDER.sub(lambda match: str(known[match[1]]), TEXT)
