"""Which scenes use which permission, and what becomes of them without it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import tests.permissions.chats  # noqa: F401 - its scenes are among the others
from tests.permissions import scenes
from tests.permissions.grants import Permission
from tests.permissions.playing import GRACE_SECONDS, BrokenError, Play

# What came within so long when nothing was missing is waited for as long when a call was denied; but not for long.
_LONGEST_GRACE_SECONDS = 3.0

# What is needed on AWS alone: the action, whose it is, and why. Everything here is a service's own call that MiniStack
# has nothing for, so that nothing could be seen to break.
ONLY_ON_AWS: dict[str, str] = {
    "xray:PutTelemetryRecords": (
        "The X-Ray daemon beside a function, and Step Functions, report their own health with it: AWS's managed policy "
        "AWSXRayDaemonWriteAccess and the Step Functions guide (X-Ray tracing) ask for it."
    ),
    "xray:GetSamplingRules": "Step Functions asks which runs to trace: its guide (X-Ray tracing) asks for it.",
    "xray:GetSamplingTargets": "Step Functions asks how many runs to trace: its guide (X-Ray tracing) asks for it.",
    "machines xray:PutTraceSegments": "Step Functions writes what it traced: its guide (X-Ray tracing) asks for it.",
    "FanOut states:DescribeExecution": (
        "Step Functions watches the executions of a Distributed Map: its guide (IAM policies for Distributed Map) asks "
        "for it, and the CDK grants it with every Distributed Map."
    ),
    "FanOut states:StopExecution": (
        "Step Functions stops the executions of a Distributed Map whose run is stopped; the same guide and grant."
    ),
    "FanOut states:RedriveExecution": (
        "An operator who redrives a failed fan-out redrives the executions of its Map Run; the same guide and grant."
    ),
}


def why_only_on_aws(permission: Permission) -> str | None:
    """The entry of the table above that is about this permission."""
    role = permission.role.rpartition("/")[2]
    kind = "machines" if role in {"Delivery", "FanOut", "ChatSession"} else "functions"
    for key in (permission.action, f"{kind} {permission.action}", f"{permission.role} {permission.action}"):
        if key in ONLY_ON_AWS:
            return key
    return None


@dataclass
class Recorded:
    """What was seen when every scene was played."""

    seconds: dict[str, float] = field(default_factory=dict)
    uses: dict[Permission, list[str]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def scenes_for(self, permission: Permission) -> list[str]:
        """Those that use it: first its own role's, and of these the quickest."""
        own = permission.role.rpartition("/")[2]
        return sorted(self.uses.get(permission, []), key=lambda name: (own not in name, self.seconds[name]))


def all_scenes(play: Play) -> dict[str, scenes.Scene]:
    """Every scene; the functions are those that are deployed."""
    scenes.add_for_functions([role for role in play.deployed.roles if f"{role}/Function" in play.deployed.names])
    return scenes.SCENES


def record(play: Play, say: Callable[[str], None]) -> Recorded:
    """Play every scene, and note what it uses."""
    recorded = Recorded()
    for name, scene in all_scenes(play).items():
        play.forget()
        begun = time.monotonic()
        try:
            scene(play)
        except Exception as error:  # noqa: BLE001 - the others are played all the same
            recorded.failures[name] = f"{type(error).__name__}: {error}"
        recorded.seconds[name] = time.monotonic() - begun
        allowed = [call for call in play.heard() if call.allowed]
        for permission in play.deployed.permissions:
            if any(permission.covers(call) for call in allowed):
                recorded.uses.setdefault(permission, []).append(name)
        say(f"{recorded.seconds[name]:5.1f} s  {name}: {recorded.failures.get(name, 'ok')}")
    return recorded


def unproven(
    play: Play, permissions: Sequence[Permission], recorded: Recorded, say: Callable[[str], None]
) -> Iterator[str]:
    """Take each of these away, and answer for which of them nothing breaks."""
    for number, permission in enumerate(permissions, 1):
        begun = time.monotonic()
        proof = _proof(play, permission, recorded)
        say(f"{number}/{len(permissions)} {time.monotonic() - begun:4.1f} s  {permission}: {proof}")
        if proof is None:
            yield f"{permission} (played: {recorded.scenes_for(permission)})"


def _proof(play: Play, permission: Permission, recorded: Recorded) -> str | None:
    """The scene that breaks without it, and how; None if none does."""
    for name in recorded.scenes_for(permission):
        play.forget()
        with play.deployed.without(permission):
            play.missing = permission
            play.grace_seconds = max(GRACE_SECONDS, min(recorded.seconds[name], _LONGEST_GRACE_SECONDS))
            try:
                all_scenes(play)[name](play)
            except Exception as error:  # noqa: BLE001 - whatever it is
                if play.was_denied():
                    kind = "" if isinstance(error, BrokenError) else f"{type(error).__name__}: "
                    return f"{name}: {kind}{str(error)[:120]}"
            finally:
                play.missing = None
    return None
