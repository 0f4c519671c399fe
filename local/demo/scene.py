"""What a scene is."""

from collections.abc import Callable

from local.demo.stage import Finding, Stage

Scene = Callable[[Stage, Finding], None]


class Scenes(list[tuple[str, Scene]]):
    """Scenes with their names, in the order in which they are played."""

    def scene(self, name: str) -> Callable[[Scene], Scene]:
        """Add a scene."""

        def add(play: Scene) -> Scene:
            self.append((name, play))
            return play

        return add
