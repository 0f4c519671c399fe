"""The scenes. Each plays one promise on the deployed stack and answers what it found."""

from local.demo.scene import Scenes
from local.demo.scenes import access, delivery, promises, ways_in

SCENES = Scenes([*ways_in.SCENES, *delivery.SCENES, *promises.SCENES, *access.SCENES])
