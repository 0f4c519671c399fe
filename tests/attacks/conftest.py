"""One deployed stack for all attacks, a ledger of what each was answered, and a look at what each left behind."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from local import stack
from local.demo.stage import Stage as DeployedStage
from tests.attacks.forging import Forge
from tests.attacks.target import Attacker, Target
from tests.contract.conftest import callbacks_table, cloud, connections_table, stage  # noqa: F401 - fixtures

REPORT = Path(__file__).parents[2] / "build" / "attacks.json"
DOCUMENT: Any = json.loads((REPORT.parents[1] / "docs" / "asyncapi.json").read_text())
"""What clients are told of handshakes and frames."""
REFUSALS: Any = DOCUMENT["channels"]["connection"]["x-handshake-refusals"]
AFTERWARDS = "test_afterwards"
CHAT = {"max_wait_seconds": 3600, "idle_seconds": 3600}  # nothing of a chat changes by itself


@dataclass
class Case:
    """One attack."""

    name: str
    group: str
    layer: str
    documented: str = ""
    answered: str = ""
    as_documented: bool = False
    let_in: bool = False

    def answer(self, answered: object, documented: object) -> None:
        """Note what was answered, and hold it to what is documented."""
        self.answered, self.documented = (str(value)[:200] for value in (answered, documented))
        self.let_in = re.match(r"[\[{']*(101|2\d\d|pong)", self.documented) is not None
        assert answered == documented


_LEDGER = pytest.StashKey[list[Case]]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what looks back for the end, however the rest is shuffled."""
    items.sort(key=lambda item: item.path.stem == AFTERWARDS)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write down what there was."""
    cases = session.config.stash.get(_LEDGER, [])
    if cases:
        REPORT.parent.mkdir(exist_ok=True)
        layers = {layer: sum(case.layer == layer for case in cases) for layer in sorted({case.layer for case in cases})}
        report = {
            "cases": len(cases),
            "refused": sum(not case.let_in for case in cases),
            "letInAsDocumented": sum(case.let_in for case in cases),
            "asDocumented": sum(case.as_documented for case in cases),
            "layers": layers,
            "attacks": [asdict(case) for case in sorted(cases, key=lambda case: (case.group, case.name))],
        }
        REPORT.write_text(json.dumps(report, indent=2) + "\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many of them got in: they should have."""
    if cases := config.stash.get(_LEDGER, []):
        let_in = sum(case.let_in for case in cases)
        terminalreporter.write_line(f"refused {len(cases) - let_in}, let in as documented {let_in}")


@pytest.fixture(scope="session")
def ledger(request: pytest.FixtureRequest) -> list[Case]:
    """All cases so far."""
    return request.config.stash.setdefault(_LEDGER, [])


@pytest.fixture
def case(request: pytest.FixtureRequest, ledger: list[Case]) -> Iterator[Case]:
    """This case: in the ledger whatever becomes of it."""
    module: Any = request.module
    noted = Case(
        name=request.node.name, group=request.path.stem.removeprefix("test_").replace("_", " "), layer=module.LAYER
    )
    ledger.append(noted)
    yield noted
    noted.as_documented = noted.answered == noted.documented != ""


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The deployed stack."""
    with stack.running(tmp_path_factory.mktemp("attacks"), chat=CHAT) as started:
        yield Target(DeployedStage(started.installation, started.keys, say=print))


@pytest.fixture
def untouched(target: Target) -> Iterator[None]:
    """Nothing is stored, and nothing that was is changed."""
    before = target.stored()
    yield
    assert target.stored() == before


@pytest.fixture(scope="session")
def forge(target: Target) -> Forge:
    """Makes tokens for the deployed stack."""
    return Forge(target.stage.keys)


@pytest.fixture(scope="module")
def mallory(target: Target) -> Iterator[Attacker]:
    """Somebody with a good token of their own, in the conversation 42 as many are."""
    with Attacker.of(target, f"mallory-{uuid.uuid4()}") as attacker:
        yield attacker
