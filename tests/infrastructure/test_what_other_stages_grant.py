"""Permissions are taken away one by one in the local stage alone (`tests/permissions`): the rest stands in a table."""

import pytest

from tests.infrastructure.synthesis import Synthesis
from tests.permissions.tables import NOT_IN_THE_LOCAL_STAGE, find

pytestmark = pytest.mark.xdist_group("infrastructure")

Grants = set[tuple[str, str, str]]


def _grants(stack: Synthesis) -> Grants:
    """Role, action and resource of each, alike in every stage."""
    prefix = "Chat/" if stack.stack.endswith("-Chat") else ""
    stage = stack.stack.removesuffix("-Chat")
    return {
        (prefix + role.removesuffix("/Role"), action, resource.replace(f"{stage}/", ""))
        for role, pairs in stack.grants.items()
        for action, resource in pairs
    }


def _further(local: list[Synthesis], others: list[Synthesis]) -> Grants:
    of_local: Grants = set().union(*map(_grants, local))
    of_others: Grants = set().union(*map(_grants, others))
    managed = {
        (role.path.removesuffix("/Role"), "", policy)
        for other in others
        for role in other.of_type("AWS::IAM::Role")
        for policy in role.properties.get("ManagedPolicyArns", [])
    }
    return (of_others - of_local) | managed


def test_what_other_stages_grant_and_the_local_one_does_not_stands_in_the_table(
    local: Synthesis,
    local_chat: Synthesis,
    dev: Synthesis,
    prod: Synthesis,
    everything: Synthesis,
    chat: Synthesis,
    chat_of_everything: Synthesis,
) -> None:
    further = _further([local, local_chat], [dev, prod, everything, chat, chat_of_everything])
    assert not [each for each in further if not find(NOT_IN_THE_LOCAL_STAGE, each[0], each[1])]
    assert {find(NOT_IN_THE_LOCAL_STAGE, role, action) for role, action, _resource in further} == set(
        NOT_IN_THE_LOCAL_STAGE
    )
