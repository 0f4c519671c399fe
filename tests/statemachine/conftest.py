"""Fixtures of the machine's tests, and the marker that says which paths a test takes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.statemachine import paths

if TYPE_CHECKING:
    from tests.statemachine.chat_stage import ChatStage
    from tests.statemachine.stage import Stage


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator["Stage"]:
    """A stage with nobody connected; afterwards, the test's runs must have taken what it says they take."""
    # The handlers want their environment before they are imported.
    from tests.statemachine.interpreter import cloud
    from tests.statemachine.stage import Stage

    with cloud(monkeypatch) as patch:
        stage = Stage(patch)
        yield stage
        said = paths.said_by(request.node)
        took = {label for run in stage.runs for label in paths.taken(run.history)}
        stage.end()
        assert said <= took, f"not taken: {sorted(said - took)}"


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator["ChatStage"]:
    """A chat's stage, as above; the chat has not started."""
    from tests.statemachine.chat_stage import STATES, ChatStage
    from tests.statemachine.interpreter import cloud

    with cloud(monkeypatch) as patch:
        stage = ChatStage(patch)
        yield stage
        said = paths.said_by(request.node)
        took = paths.taken(stage.run.history, STATES)
        stage.finish()
        assert said <= took, f"not taken: {sorted(said - took)}"
