"""What is heard of a role's calls, and where it is asked for."""

from typing import NamedTuple

PATH = "/_ringback/permissions"


class Call(NamedTuple):
    """What a role did, or was not allowed to do."""

    role: str
    action: str
    resource: str
    allowed: bool
