"""A case reaches a real account only if that is asked for by marker, profile and region."""

from typing import Any

import pytest

from tests.fidelity import conftest, marks

CASES = marks.parameters([marks.differs("moto", "a-name").mark, marks.not_in("local", "a reason").mark])


class Config:
    """What pytest was called with."""

    def __init__(self, **options: str) -> None:
        self.options = options
        self.deselected: list[Any] = []
        self.hook = self

    def getoption(self, name: str, default: Any = None) -> Any:
        return self.options.get(name.removeprefix("--").replace("-", "_"), default)

    def pytest_deselected(self, items: list[Any]) -> None:
        self.deselected += items


class Item:
    """A case on one cloud."""

    def __init__(self, cloud: str) -> None:
        self.cloud = cloud

    def get_closest_marker(self, name: str) -> bool:
        return name == self.cloud


def collected(**options: str) -> list[str]:
    items: Any = [Item("moto"), Item("aws")]
    config: Any = Config(**options)
    conftest.pytest_collection_modifyitems(config, items)
    assert len(items) + len(config.deselected) == 2
    return [item.cloud for item in items]


@pytest.mark.parametrize("given", [{}, {"aws_profile": "mine", "aws_region": "eu-central-1"}])
def test_without_the_marker_nothing_runs_in_aws(given: dict[str, str]) -> None:
    assert collected(markexpr="", **given) == ["moto"]
    assert collected(markexpr="not builds", **given) == ["moto"]


@pytest.mark.parametrize("given", [{}, {"aws_profile": "mine"}, {"aws_region": "eu-central-1"}])
def test_with_the_marker_alone_nothing_runs(given: dict[str, str]) -> None:
    with pytest.raises(pytest.UsageError, match="--aws-profile NAME --aws-region REGION"):
        collected(markexpr="aws", **given)


def test_with_all_three_it_does() -> None:
    assert "aws" in collected(markexpr="aws", aws_profile="mine", aws_region="eu-central-1")


def test_case_runs_where_it_is_not_left_out_and_must_fail_where_it_differs() -> None:
    assert [case.values[0] for case in CASES] == ["moto", "aws"]
    (expected_failure,), (opt_in,) = (case.marks for case in CASES)
    assert (expected_failure.name, expected_failure.kwargs["strict"]) == ("xfail", True)
    assert opt_in.name == "aws"
