"""The safeguards that the chaos run takes away are where it looks for them, and are gone when it has."""

import io
import json
import zipfile

import pytest

from local import settings
from tests.chaos import safeguards
from tests.chaos.cloud.decisions import Orders
from tests.chaos.plan import Go, Send
from tests.chaos.safeguards import SAFEGUARDS, Change, Safeguard

EACH = pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=[safeguard.name for safeguard in SAFEGUARDS])


@EACH
def test_it_is_there_once_and_another_when_it_is_changed(safeguard: Safeguard) -> None:
    source = (settings.ROOT / safeguard.change.file).read_text("utf-8")
    changed = safeguard.change.made(source)
    assert changed != source
    if not safeguard.is_the_clients:
        compile(changed, safeguard.change.file, "exec")


@EACH
def test_its_faults_are_known(safeguard: Safeguard) -> None:
    assert Orders.read(json.dumps({"rates": dict(safeguard.rates)}).encode()).rates == safeguard.rates


def test_what_is_not_there_once_is_not_changed() -> None:
    change = Change("a.py", "x = 1", "x = 2")
    for source in ("", "x = 1; x = 1"):
        with pytest.raises(ValueError, match=r"a\.py holds"):
            change.made(source)


def test_the_package_is_the_functions_code_with_the_change() -> None:
    file = "lambdas/clock.py"
    with zipfile.ZipFile(io.BytesIO(safeguards.package({file: "changed"}))) as archive:
        assert archive.read(file) == b"changed"
        original = "lambdas/core/delivery.py"
        assert archive.read(original) == (settings.ROOT / original).read_bytes()
        assert "ringback/names.py" in archive.namelist()


def test_all_scripts_go_together() -> None:
    script = safeguards.script_of(SAFEGUARDS, seed=3)
    names = [user.name for user in script.users]
    assert len(set(names)) == len(names)
    assert set(script.rates or {}) == {name for safeguard in SAFEGUARDS for name in safeguard.rates}
    for user in script.users:
        assert [step.at for step in user.steps] == sorted(step.at for step in user.steps)
        assert sum(isinstance(step, Go) and step.move == "connect" for step in user.steps) == 1
        sends = [step for step in user.steps if isinstance(step, Send)]
        assert len({send.number for send in sends}) == len(sends) > 0
        assert max(step.at for step in user.steps) < script.seconds
