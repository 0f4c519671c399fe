"""The safeguards that the chaos run takes away are where it looks for them, and are gone when it has."""

import io
import json
import zipfile

import pytest

from local import settings
from tests.chaos import plan, safeguards
from tests.chaos.cloud.decisions import DEFAULT_RATES, Orders, rate_of
from tests.chaos.ledger import BREACHES, Breach, Ledger, Violation
from tests.chaos.plan import Go, Script, Send
from tests.chaos.run import PATIENCE_SECONDS
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
def test_its_faults_are_known_and_meet_its_users_alone(safeguard: Safeguard) -> None:
    rates = Orders.read(json.dumps({"rates": safeguard.own_rates}).encode()).rates
    for name, rate in safeguard.rates.items():
        fault, function, operation = [*name.split(":"), "", ""][:3]
        for user in safeguard.users(safeguard.letter):
            assert rate_of(rates, fault, function, operation, user.name) == rate
        for other in (*(each.letter for each in SAFEGUARDS if each is not safeguard), "u", "warm", ""):
            assert rate_of(rates, fault, function, operation, f"{other}1" if other else "") == 0.0


@EACH
def test_only_what_is_expected_of_its_own_users_shows_that_it_is_gone(safeguard: Safeguard) -> None:
    def shows(breach: Breach, user: str) -> bool:
        return safeguard.is_missed(Ledger(violations=[Violation(breach, user, "m-1", "")]))

    own = f"{safeguard.letter}1"
    assert shows(safeguard.breach, own)
    assert not shows(safeguard.breach, "u1")
    assert not any(shows(breach, own) for breach in BREACHES if breach != safeguard.breach)
    assert not safeguard.is_missed(Ledger())


def test_it_is_found_by_a_part_of_its_name() -> None:
    assert safeguards.named("recheck") is SAFEGUARDS[0]
    for text in ("condition", "nothing"):
        with pytest.raises(ValueError, match="one of: the recheck"):
            safeguards.named(text)


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


def check(script: Script) -> None:
    """Every user is somebody else, and can do what they are to do."""
    names = [user.name for user in script.users]
    assert len(set(names)) == len(names)
    for user in script.users:
        assert [step.at for step in user.steps] == sorted(step.at for step in user.steps)
        assert sum(isinstance(step, Go) and step.move == "connect" for step in user.steps) == user.devices
        sends = [step for step in user.steps if isinstance(step, Send)]
        assert len({send.number for send in sends}) == len(sends) > 0
        assert max(step.at for step in user.steps) < script.seconds


def test_without_others_all_of_them_meet_their_own_faults_alone() -> None:
    script = safeguards.aimed(Script(3, 0.0, (), (), {}), mark="x-")
    check(script)
    assert {user.name[:3] for user in script.users} == {f"{each.letter}x-" for each in SAFEGUARDS}
    assert script.rates == {name: rate for each in SAFEGUARDS for name, rate in each.own_rates.items()}


@EACH
def test_it_is_aimed_at_alone(safeguard: Safeguard) -> None:
    script = safeguards.aimed(Script(3, 0.0, (), (), {}), [safeguard])
    check(script)
    assert {user.name[0] for user in script.users} == {safeguard.letter}
    assert min(step.at for user in script.users for step in user.steps) == 0.0
    assert script.rates == safeguard.own_rates


@pytest.mark.parametrize("messages", [1, 50, 1500])
def test_in_a_run_they_are_beside_the_others(messages: int) -> None:
    general = plan.make(1, messages)
    script = safeguards.aimed(general)
    check(script)
    assert script.users[: len(general.users)] == general.users
    assert (script.rates or {}).items() >= DEFAULT_RATES.items()
    own = {name for each in SAFEGUARDS for name in each.own_rates}
    assert own == (script.rates or {}).keys() - DEFAULT_RATES.keys()


def test_no_outage_comes_between() -> None:
    outages = ((20.0, 2.0), (60.0, 1.0))
    script = safeguards.aimed(Script(1, 200.0, (), outages))
    for each in SAFEGUARDS:
        steps = [step.at for user in script.users if user.name[0] == each.letter for step in user.steps]
        for at, seconds in outages:
            assert max(steps) <= at or min(steps) > at + seconds + 5


def test_they_live_longer_than_anybody_may_be_overlooked() -> None:
    script = safeguards.aimed(Script(1, 0.0, (), (), {}))
    for user in script.users:
        there = max(step.at + step.seconds for step in user.steps if isinstance(step, Go))
        for send in user.sends:
            assert send.ttl_seconds is not None
            assert send.at + send.ttl_seconds > there + PATIENCE_SECONDS + 10
