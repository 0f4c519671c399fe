"""The functions' environment."""

from dataclasses import dataclass
from typing import Literal

import pytest

from lambdas import settings


@dataclass(frozen=True)
class Sample:
    """Every kind of field there is."""

    table_name: str
    ttl_minutes: int
    policy: Literal["evict_oldest", "refuse"]
    endpoint: str | None = None
    origins: tuple[str, ...] = ()
    generate: bool = False


NEEDED = {"TABLE_NAME": "Connections", "TTL_MINUTES": "120", "POLICY": "refuse"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    for name in ("ENDPOINT", "ORIGINS", "GENERATE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_variable_is_a_field_of_its_type(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ENDPOINT", "http://localhost")
    environment.setenv("ORIGINS", "https://a.example, https://b.example,")
    environment.setenv("GENERATE", "true")

    assert settings.load(Sample) == Sample(
        "Connections", 120, "refuse", "http://localhost", ("https://a.example", "https://b.example"), generate=True
    )


@pytest.mark.parametrize("unset", ["ENDPOINT", "ORIGINS", "GENERATE"])
def test_an_empty_variable_is_not_set(environment: pytest.MonkeyPatch, unset: str) -> None:
    environment.setenv(unset, "")

    assert settings.load(Sample) == Sample("Connections", 120, "refuse")


def test_every_problem_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("TABLE_NAME")
    environment.setenv("TTL_MINUTES", "two hours")
    environment.setenv("POLICY", "evict")
    environment.setenv("GENERATE", "yes")

    with pytest.raises(settings.SettingsError) as raised:
        settings.load(Sample)

    assert str(raised.value) == (
        "Sample: TABLE_NAME is not set; TTL_MINUTES: invalid literal for int() with base 10: 'two hours'; "
        "POLICY: must be one of evict_oldest, refuse; GENERATE: must be true or false"
    )
