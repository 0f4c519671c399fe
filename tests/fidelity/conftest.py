"""Each case, once, against moto with our interpreter, against the local cloud and, if asked for, against AWS."""

from collections.abc import Iterator

import pytest

from local import cloud as local_cloud
from tests.fidelity import marks
from tests.fidelity.clouds import AwsCloud, Cloud, LocalCloud, MotoCloud
from tests.statemachine import interpreter

_HOW = (
    "Name the account by a profile, and the region: "
    "pytest tests/fidelity -m aws --aws-profile NAME --aws-region REGION. "
    "docs/fidelity.md says what that makes, and what it costs."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fidelity")
    group.addoption("--aws-profile", help="with -m aws: the profile that names account and role")
    group.addoption("--aws-region", help="with -m aws: where")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cloud" in metafunc.fixturenames:
        metafunc.parametrize("cloud", marks.parameters(list(metafunc.definition.iter_markers())), indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Nothing runs in AWS that was not asked for by all three."""
    named = bool(config.getoption("--aws-profile", None) and config.getoption("--aws-region", None))
    asked = config.getoption("markexpr", "") == "aws"
    if asked and not named:
        raise pytest.UsageError(_HOW)
    if not asked:
        real = [item for item in items if item.get_closest_marker("aws")]
        items[:] = [item for item in items if not item.get_closest_marker("aws")]
        config.hook.pytest_deselected(items=real)


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """What a case runs against."""
    made: Cloud = request.getfixturevalue(f"{request.param}_cloud")
    return made


@pytest.fixture
def moto_cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[MotoCloud]:
    with interpreter.cloud(monkeypatch) as patch:
        made = MotoCloud(patch)
        yield made
        made.close()


@pytest.fixture(scope="session")
def local_cloud_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with local_cloud.running(tmp_path_factory.mktemp("fidelity")) as running:
        yield LocalCloud(running.endpoint)


@pytest.fixture(name="local_cloud")
def named_local_cloud(local_cloud_: LocalCloud) -> LocalCloud:
    return local_cloud_


@pytest.fixture(scope="session")
def aws_cloud(request: pytest.FixtureRequest) -> Iterator[AwsCloud]:
    made = AwsCloud(request.config.getoption("--aws-profile"), request.config.getoption("--aws-region"))
    with made.cleaned_up():
        yield made
