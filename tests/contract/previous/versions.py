"""The recorded versions, and how to record one."""

import contextlib
import io
import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cdk_app.assets import ROOT
from tests.contract.previous import scenes
from tests.contract.previous.scenes import Json, Record
from tests.statemachine import definition as definitions
from tests.statemachine.chat_stage import ChatStage
from tests.statemachine.definition import MACHINES, Machine
from tests.statemachine.interpreter import cloud
from tests.statemachine.stage import Stage

FOLDER = Path(__file__).parent
VERSIONS = sorted(path.name for path in FOLDER.iterdir() if (path / "delivery.json").exists())
LOGICAL_IDS = "logical_ids.json"


class Play(NamedTuple):
    """What is recorded of one machine: how its stage is made, what is played, and where its functions are."""

    prepare: Callable[[pytest.MonkeyPatch], Any]
    play: Callable[[Any, Record], None]
    package: str = "lambdas.tasks"


PLAYS = {
    "delivery": Play(Stage, scenes.delivery),
    "fan_out": Play(scenes.prepared, scenes.fan_out),
    "chat_session": Play(ChatStage, scenes.chat, "lambdas.chat.tasks"),
}
# A list in the bucket is read in batches, which moto does not know.
DEFINITIONS = {name: f"{name}.asl.json" for name in PLAYS}


def current() -> str:
    """The version that is being worked on."""
    project: Json = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])


def played(name: str, text: str | None = None) -> Record:
    """Play one machine with today's functions, by today's definition or by this one."""
    play = PLAYS[name]
    patch = pytest.MonkeyPatch()
    if text is not None:
        other = Machine(name, text)
        patch.setitem(MACHINES, name, other)
        if name == "delivery":
            functions = {
                each.removesuffix("FunctionArn") for each in other.placeholders if each.endswith("FunctionArn")
            }
            patch.setattr(definitions, "TEXT", text)
            patch.setattr(definitions, "FUNCTIONS", functions)
    try:
        # Metrics are lines on standard output.
        with cloud(patch) as inner, contextlib.redirect_stdout(io.StringIO()):
            stage = play.prepare(inner)
            record = scenes.recording(stage, play.package)
            play.play(stage, record)
            if isinstance(stage, Stage):
                stage.end()
            return record
    finally:
        patch.undo()


def replayed(name: str, calls: Sequence[Json]) -> list[Json]:
    """What becomes of recorded calls when today's functions get them."""
    play = PLAYS[name]
    patch = pytest.MonkeyPatch()
    try:
        with cloud(patch) as inner, contextlib.redirect_stdout(io.StringIO()):
            stage = play.prepare(inner)
            return [scenes.replay(call, stage, play.package) for call in calls]
    finally:
        patch.undo()


def read(version: str, name: str) -> Json:
    """What a version left, of one machine."""
    recorded: Json = json.loads((FOLDER / version / f"{name}.json").read_text("utf-8"))
    return recorded


def logical_ids(version: str) -> dict[str, dict[str, Json]]:
    """What a version deployed and somebody holds on to: by stack and logical id."""
    ids: dict[str, dict[str, Json]] = json.loads((FOLDER / version / LOGICAL_IDS).read_text("utf-8"))
    return ids


def definition(version: str, name: str) -> str:
    """A version's definition of one machine, with its placeholders."""
    return (FOLDER / version / DEFINITIONS[name]).read_text("utf-8")


def files() -> dict[str, str]:
    """What today's version has to leave, but for the logical ids: by file name."""
    result = {file: MACHINES[name].text for name, file in DEFINITIONS.items()}
    for name in PLAYS:
        result[f"{name}.json"] = as_text(scenes.plain(played(name)))
    return result


def as_text(value: object) -> str:
    """JSON as the files have it."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
