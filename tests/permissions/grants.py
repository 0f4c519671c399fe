"""What the deployed roles may do, permission by permission, and how it is without one of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from local.deployment import STACKS
from local.installation import Clients
from tests.infrastructure.synthesis import Synthesis
from tests.permissions.calls import Call

_UNDERSTOOD = {"Sid", "Effect", "Action", "Resource"}
# A document has to have a statement.
_NOTHING = {"Effect": "Deny", "Action": "none:None", "Resource": "*"}


class Permission(NamedTuple):
    """One action on one resource, of one role.

    ``role`` is the path of its construct, with `Chat/` before it in the chat's stack; ``pattern`` is the resource as it
    is deployed, with `*` in it.
    """

    role: str
    action: str
    pattern: str
    role_name: str

    def covers(self, call: Call) -> bool:
        """Whether it allows this call."""
        same = (call.role, call.action.lower()) == (self.role_name, self.action.lower())
        return same and fnmatchcase(call.resource, self.pattern)

    def __str__(self) -> str:
        """Tell it in a line."""
        return f"{self.role} {self.action} {self.pattern}"


class Deployed:
    """The roles of the stacks as they are in the cloud."""

    def __init__(self, clients: Clients, directory: Path) -> None:
        self._clients = clients
        self._directory = directory
        self.iam: Any = clients.session.client("iam", endpoint_url=clients.endpoint, config=clients.config)

    @cached_property
    def names(self) -> dict[str, str]:
        """The physical id of each resource by the path of its construct."""
        return {
            prefix + path: resource["PhysicalResourceId"]
            for prefix, synthesis in self._syntheses()
            for resource in self._clients.stack_resources(synthesis.stack)
            if (path := synthesis.paths.get(resource["LogicalResourceId"]))
        }

    @cached_property
    def made_roles(self) -> set[str]:
        """The paths of all roles that the templates make."""
        return {
            prefix + role.path
            for prefix, synthesis in self._syntheses()
            for role in synthesis.of_type("AWS::IAM::Role")
        }

    def _syntheses(self) -> Iterator[tuple[str, Synthesis]]:
        for stack in STACKS:
            yield "Chat/" if stack.endswith("-Chat") else "", Synthesis(stack, self._directory / "cdk.out")

    @cached_property
    def roles(self) -> dict[str, str]:
        """The name of each role by the path of its construct."""
        known = {role["RoleName"] for page in self._pages("list_roles") for role in page["Roles"]}
        return {
            path.removesuffix("/Role"): name
            for path, name in self.names.items()
            if path.endswith("/Role") and name in known
        }

    @cached_property
    def permissions(self) -> list[Permission]:
        """All of them, in a fixed order."""
        return sorted(
            {
                Permission(path, action, resource, name)
                for path, name in self.roles.items()
                for document in self._documents(name).values()
                for action, resource in pairs(document)
            }
        )

    @contextmanager
    def without(self, permission: Permission) -> Iterator[None]:
        """Take just this one away, and give it back."""
        documents = self._documents(permission.role_name)
        try:
            for name, document in documents.items():
                self._put(permission.role_name, name, without(document, permission))
            yield
        finally:
            for name, document in documents.items():
                self._put(permission.role_name, name, document)

    def _documents(self, role: str) -> dict[str, Any]:
        names = self.iam.list_role_policies(RoleName=role)["PolicyNames"]
        return {name: self.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}

    def _put(self, role: str, name: str, document: Any) -> None:
        self.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    def _pages(self, operation: str) -> Any:
        return self.iam.get_paginator(operation).paginate()


def without(document: Any, permission: Permission) -> dict[str, Any]:
    """A policy without this one action on this one resource; everything else in it stays."""
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": resource}
        for action, resource in pairs(document)
        if (action, resource) != (permission.action, permission.pattern)
    ]
    return {"Version": "2012-10-17", "Statement": statements or [_NOTHING]}


def pairs(document: Any) -> Iterator[tuple[str, str]]:
    """Every action on every resource that a policy allows.

    Raises:
        AssertionError: it says more than that, and what a role may do would be told wrongly.
    """
    for statement in document["Statement"]:
        if statement == _NOTHING:
            continue
        assert statement["Effect"] == "Allow", statement
        assert set(statement) <= _UNDERSTOOD, statement
        for action in _listed(statement["Action"]):
            for resource in _listed(statement["Resource"]):
                yield action, resource


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
