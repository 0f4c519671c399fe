"""The demo's scenes, each as a test."""

import pytest

from local.demo.scenes import SCENES, Scene
from local.demo.stage import Finding, Stage


@pytest.mark.parametrize("scene", [scene for _, scene in SCENES], ids=[name for name, _ in SCENES])
def test_scene_is_as_it_should_be(stage: Stage, scene: Scene) -> None:
    finding = Finding("scene")
    scene(stage, finding)
    assert finding.failures == []
