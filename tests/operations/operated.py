"""A deployed stack that an operator works on: deploys another version, breaks things, reads the runbook."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from local import deployment
from local.demo.stage import Stage
from local.installation import Clients, Installation
from local.stack import Stack, settings_of

NEXT_VERSION = (sys.executable, "-m", "tests.operations.next_version")
HALF_OF_NEXT_VERSION = (*NEXT_VERSION, "failing")


@dataclass(frozen=True)
class Operated:
    """The stack, and what an operator does with it."""

    stack: Stack
    first_settings: Mapping[str, Any]

    @property
    def installation(self) -> Installation:
        return self.stack.installation

    @property
    def clients(self) -> Clients:
        return self.installation.clients

    @cached_property
    def stage(self) -> Stage:
        """The same, as the demo's scenes use it."""
        return Stage(self.installation, self.stack.keys, say=print)

    def deploy(self, settings: Mapping[str, Any], *, app: Sequence[str] = deployment.APP) -> None:
        """Deploy a version over the one that is there, with further settings of the stage; by the CDK command.

        Raises:
            DeploymentFailed
        """
        all_settings = settings_of(self.stack.keys, stage=settings)
        deployment.deploy(self.stack.cloud, all_settings, report=print, app=app)

    def deploy_first_version(self) -> None:
        """Go back to what was there at first."""
        self.deploy(self.first_settings)

    def resources(self, stack_name: str = deployment.STACKS[0]) -> dict[str, str]:
        """The stack's resources: physical ids by logical ids."""
        return {
            each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
            for each in self.clients.stack_resources(stack_name)
        }
