"""Where a case cannot run, and where a stand-in is known to differ from AWS."""

from typing import Any, Literal

import pytest

StandIn = Literal["moto", "local"]

CLOUDS = ("moto", "local", "aws")


def not_in(cloud: StandIn, because: str) -> pytest.MarkDecorator:
    """The case says nothing about this stand-in: nothing of ours is tested on that part of it."""
    return pytest.mark.not_in(cloud, because)


def differs(
    cloud: StandIn, name: str, *, raises: type[BaseException] | tuple[type[BaseException], ...] = AssertionError
) -> pytest.MarkDecorator:
    """The stand-in is known to do otherwise, under this name in docs/fidelity.md. Once it does as AWS, this fails."""
    return pytest.mark.differs(cloud, name, raises)


def parameters(marks: list[pytest.Mark]) -> list[Any]:
    """The clouds that a case with these marks runs against."""
    left_out = {mark.args[0] for mark in marks if mark.name == "not_in"}
    differing = {mark.args[0]: mark.args[1:] for mark in marks if mark.name == "differs"}
    found = []
    for cloud in CLOUDS:
        if cloud in left_out:
            continue
        own = [pytest.mark.aws] if cloud == "aws" else []
        if cloud in differing:
            name, raises = differing[cloud]
            own.append(pytest.mark.xfail(strict=True, reason=f"known difference: {name}", raises=raises))
        found.append(pytest.param(cloud, marks=own))
    return found
