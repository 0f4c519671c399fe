"""The whole demo on a stack whose roles may do what their policies say, and nothing else."""

import json
from pathlib import Path

from rich.console import Console

from local.demo import play
from local.demo.scenes import SCENES
from local.stack import Stack


def test_every_scene_of_the_demo_is_as_it_should_be(enforced: Stack, tmp_path: Path) -> None:
    report = tmp_path / "demo.json"
    everything_ok = play.play(enforced.installation, enforced.keys, report, Console(width=120))
    scenes = json.loads(report.read_text())["scenes"]
    assert {scene["name"]: scene["failures"] for scene in scenes if not scene["ok"]} == {}
    assert everything_ok
    assert len(scenes) == len(SCENES)
