"""Which scenes use which permission, and what becomes of them without it.

That is, of the roles of the local stage, and of their own policies; `tables` names what other stages add. The policies
of resources (queues, topics, buckets, keys, and who may invoke a function) are not taken apart.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import tests.permissions.chats  # noqa: F401 - its scenes are among the others
from tests.permissions import scenes
from tests.permissions.grants import Permission
from tests.permissions.playing import GRACE_SECONDS, BrokenError, Play
from tests.permissions.tables import REFUSED_BY_OUR_CORRECTION, find

# What came within so long when nothing was missing is waited for as long when a call was denied; but not for long.
_LONGEST_GRACE_SECONDS = 3.0


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
    """Take each of these away, and answer for which of them nothing breaks.

    To break is not to be so as soon as with it: little is waited for once a call was denied (`Play.until`), and what
    another way would bring later counts as broken.
    """
    told: Counter[str] = Counter()
    for number, permission in enumerate(permissions, 1):
        begun = time.monotonic()
        proof = _proof(play, permission, recorded)
        say(f"{number}/{len(permissions)} {time.monotonic() - begun:4.1f} s  {permission}: {proof}")
        circular = find(REFUSED_BY_OUR_CORRECTION, permission.role, permission.action)
        told["nothing" if proof is None else "our own correction" if circular else "what it is for"] += 1
        if proof is None:
            yield f"{permission} (played: {recorded.scenes_for(permission)})"
    say(
        f"of {len(permissions)}, {told['what it is for']} break what they are for, {told['our own correction']} only "
        f"what a correction of ours refuses, {told['nothing']} nothing"
    )


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
