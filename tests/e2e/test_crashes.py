"""A function that dies half-way loses nothing."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from local.demo.stage import Stage, envelope

WAYS_TO_DIE = {"raises": "raise RuntimeError('killed after the post')", "is-killed": "os._exit(1)"}


@contextmanager
def dying(stage: Stage, module: str, way: str, died: Path) -> Iterator[None]:
    """Have a function die once, after its work and before its answer; it leaves this file when it did."""
    functions = stage.installation.clients.functions
    handler = f"lambdas.{module}.handler"
    deployed = next(
        function
        for page in functions.get_paginator("list_functions").paginate()
        for function in page["Functions"]
        if function["Handler"] == handler
    )
    name = deployed["FunctionName"]
    functions.update_function_code(FunctionName=name, ZipFile=_with_murder(module, way, died))
    functions.update_function_configuration(FunctionName=name, Handler="murder.handler")
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Handler=handler)


@pytest.fixture(params=list(WAYS_TO_DIE.values()), ids=list(WAYS_TO_DIE))
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _with_murder(module: str, way: str, died: Path) -> bytes:
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
                import lambdas.{module} as victim

                def handler(event, context):
                    result = victim.handler(event, context)
                    died = pathlib.Path({str(died)!r})
                    if not died.exists():
                        died.touch()
                        {way}
                    return result
            """),
        )
    return code.getvalue()


def test_a_poster_that_dies_after_its_post_loses_nothing(stage: Stage, user: str, way: str, tmp_path: Path) -> None:
    client, died = stage.client(user), tmp_path / "died"
    with dying(stage, "tasks.post_to_connections", way, died), stage.connected(client):
        message = envelope(user, "twice under one id, and so once")
        run = stage.runs.await_end(stage.runs.start(message))
        client.await_frames(lambda: len(client.messages(message["id"])) == 2, "the post before and after its death")
    assert died.exists()
    assert run.status == "SUCCEEDED"
    assert run.states == ["Resolve Connections", "Acknowledgement Wanted?", "Post To Connections"]
    assert run.billed_transitions == 4


def test_who_was_not_answered_sends_again_and_nothing_is_lost_or_started_twice(
    stage: Stage, user: str, way: str, tmp_path: Path
) -> None:
    client, died = stage.client(user), tmp_path / "died"
    here, ordered, elsewhere = (
        envelope(user, 1),
        envelope(user, 2, ordered=True),
        envelope(f"{user}-2", 3, ttlSeconds=9),
    )
    with dying(stage, "calls.accept", way, died), stage.connected(client):
        with pytest.raises(RuntimeError):
            stage.accept(here, ordered, elsewhere)
        answers = stage.accept(here, ordered, elsewhere)
        run = stage.runs.await_end(stage.runs.arn_of(ordered["id"]))
        client.await_frames(lambda: len(client.messages(here["id"])) == 2, "the post before and after its death")
        client.await_message(ordered["id"])
    assert died.exists()
    assert answers[0]["status"] == "delivered"
    assert {answer["status"] for answer in answers[1:]} <= {"started", "duplicate"}
    assert run.status == "SUCCEEDED"
    assert [message.body["sequence"] for message in client.messages(ordered["id"])] == [1]
    assert stage.runs.exists(elsewhere["id"])
