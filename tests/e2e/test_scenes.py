"""The demo's scenes, each as a test."""

import pytest

from local.demo.play import warm_up
from local.demo.scene import Scene
from local.demo.scenes import SCENES
from local.demo.stage import Finding, Stage


@pytest.fixture(scope="module", autouse=True)
def warm(stage: Stage) -> None:
    """The scenes time what they show, and a cold start is not part of it."""
    warm_up(stage)


@pytest.mark.parametrize("scene", [scene for _, scene in SCENES], ids=[name for name, _ in SCENES])
def test_scene_is_as_it_should_be(stage: Stage, scene: Scene) -> None:
    finding = Finding("scene")
    scene(stage, finding)
    assert finding.failures == []
