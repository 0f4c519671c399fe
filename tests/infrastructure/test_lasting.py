"""What runs, clients and backends hold on to must not be replaced by a deployment."""

import pytest

from tests.contract.previous import versions
from tests.infrastructure import lasting
from tests.infrastructure.synthesis import Json, Synthesis

pytestmark = pytest.mark.xdist_group("infrastructure")


@pytest.fixture(scope="module")
def today(dev: Synthesis, everything: Synthesis, chat: Synthesis) -> dict[str, dict[str, Json]]:
    return lasting.of_stages(stacks=[dev.json, everything.json], chats=[chat.json])


@pytest.mark.parametrize("version", versions.VERSIONS)
def test_nothing_that_an_earlier_version_deployed_is_replaced_or_taken_away(
    today: dict[str, dict[str, Json]], version: str
) -> None:
    for stack, earlier in versions.logical_ids(version).items():
        replaced = {name: (value, today[stack].get(name)) for name, value in earlier.items()}
        assert {name: pair for name, pair in replaced.items() if pair[0] != pair[1]} == {}, (
            "a construct was renamed, taken away or changed so that CloudFormation replaces it, and runs that wait "
            "call what is gone: docs/upgrade.md says how to do it"
        )


def test_the_version_that_is_worked_on_has_left_all_that_it_deploys(today: dict[str, dict[str, Json]]) -> None:
    version = versions.current()
    assert version in versions.VERSIONS, "record it: `python -m tests.contract.previous`"
    assert versions.logical_ids(version) == today, "record it anew: `python -m tests.contract.previous`"


def test_a_renamed_function_is_noticed() -> None:
    function = {"Type": "AWS::Lambda::Function", "Properties": {"Handler": "lambdas.triggers.wake.handler"}}
    role = {"Type": "AWS::IAM::Role"}
    before, after = ({"Resources": {name: function, "Role": role}} for name in ("WakeFunction1", "AwakeFunction2"))
    assert set(lasting.of(before)) == {"WakeFunction1"}
    assert lasting.of(before) != lasting.of(after)
