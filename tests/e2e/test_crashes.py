"""A function that dies half-way loses nothing."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from local.demo.stage import Stage, envelope

WAYS_TO_DIE = {"raises": "raise RuntimeError('killed after the post')", "is-killed": "os._exit(1)"}


@pytest.fixture(params=list(WAYS_TO_DIE.values()), ids=list(WAYS_TO_DIE))
def dying_poster(stage: Stage, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Deploy a poster that dies once, after its post and before its return; answers what it leaves when it did."""
    functions = stage.installation.clients.functions
    poster = next(
        function
        for page in functions.get_paginator("list_functions").paginate()
        for function in page["Functions"]
        if function["Handler"] == "lambdas.tasks.post_to_connections.handler"
    )
    name, died = poster["FunctionName"], tmp_path / "died"
    functions.update_function_code(FunctionName=name, ZipFile=_with_murder(request.param, died))
    functions.update_function_configuration(FunctionName=name, Handler="murder.handler")
    yield died
    functions.update_function_configuration(FunctionName=name, Handler=poster["Handler"])


def _with_murder(way: str, died: Path) -> bytes:
    root = Path(__file__).parent.parent.parent
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        for package in ("lambdas", "ringback"):
            for file in (root / package).rglob("*.py"):
                archive.write(file, file.relative_to(root))
        archive.writestr(
            "murder.py",
            dedent(f"""
                import os, pathlib
                from lambdas.tasks import post_to_connections

                def handler(event, context):
                    result = post_to_connections.handler(event, context)
                    died = pathlib.Path({str(died)!r})
                    if not died.exists():
                        died.touch()
                        {way}
                    return result
            """),
        )
    return code.getvalue()


def test_a_poster_that_dies_after_its_post_loses_nothing(stage: Stage, user: str, dying_poster: Path) -> None:
    client = stage.client(user)
    with stage.connected(client):
        message = envelope(user, "twice under one id, and so once")
        run = stage.runs.await_end(stage.runs.start(message))
        client.await_frames(lambda: len(client.messages(message["id"])) == 2, "the post before and after its death")
    assert dying_poster.exists()
    assert run.status == "SUCCEEDED"
    assert run.states == ["Resolve Connections", "Acknowledgement Wanted?", "Post To Connections"]
    assert run.billed_transitions == 4
