"""Permission by permission, in the local stage: without it something breaks, or is not as soon as with it.

None is there for nothing, and a new one needs a scene.
"""

from collections.abc import Callable

from tests.permissions import removal
from tests.permissions.grants import Permission
from tests.permissions.playing import Play
from tests.permissions.removal import Recorded
from tests.permissions.tables import ONLY_ON_AWS, REFUSED_BY_OUR_CORRECTION, find


def why_only_on_aws(permission: Permission) -> str | None:
    return find(ONLY_ON_AWS, permission.role, permission.action)


def test_every_scene_is_as_it_should_be_with_what_is_granted(recorded: Recorded) -> None:
    assert recorded.failures == {}


def test_every_permission_is_used_by_a_scene_or_stands_in_the_table(play: Play, recorded: Recorded) -> None:
    unused = [
        str(each) for each in play.deployed.permissions if each not in recorded.uses and not why_only_on_aws(each)
    ]
    assert unused == []


def test_the_table_of_what_only_aws_needs_is_exact(play: Play, recorded: Recorded) -> None:
    """Nothing in it could be proven here, and nothing in it is not granted."""
    provable = [str(each) for each in recorded.uses if why_only_on_aws(each)]
    assert provable == []
    assert {why_only_on_aws(each) for each in play.deployed.permissions} - {None} == set(ONLY_ON_AWS)


def test_the_table_of_what_our_correction_refuses_is_exact(play: Play) -> None:
    granted = {find(REFUSED_BY_OUR_CORRECTION, each.role, each.action) for each in play.deployed.permissions} - {None}
    assert granted == set(REFUSED_BY_OUR_CORRECTION)


def test_without_any_one_permission_something_breaks(
    play: Play, recorded: Recorded, say: Callable[[str], None]
) -> None:
    """The call is refused, and what a scene shows is not so any more, or not as soon (see `removal.unproven`)."""
    permissions = [each for each in play.deployed.permissions if not why_only_on_aws(each)]
    assert len(permissions) > 200
    assert list(removal.unproven(play, permissions, recorded, say)) == []


def test_every_role_of_the_stacks_is_taken_apart(play: Play) -> None:
    assert {f"{role}/Role" for role in play.deployed.roles} == play.deployed.made_roles


def test_no_role_of_a_function_or_machine_has_more_than_its_own_policies(play: Play) -> None:
    """What is attached to a role is not taken apart here."""
    attached = {
        path: play.deployed.iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        for path, name in play.deployed.roles.items()
    }
    assert {path: policies for path, policies in attached.items() if policies} == {}
