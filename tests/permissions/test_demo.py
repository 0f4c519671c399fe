"""The whole demo on a stack whose roles may do what their policies say, and nothing else."""

from local.demo.scenes import SCENES
from tests.permissions.conftest import Demo


def test_every_scene_of_the_demo_is_as_it_should_be(demo: Demo) -> None:
    assert {scene["name"]: scene["failures"] for scene in demo.scenes if not scene["ok"]} == {}
    assert demo.ok
    assert len(demo.scenes) == len(SCENES)
