"""A long job that tells its person how far it is, and how it ends. All it needs of Ringback is the package."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

from ringback import Publisher, Recipient
from ringback.errors import Unavailable

CONTEXT = "job"
SECONDS_TO_HEAR_THE_END = 24 * 3600


def slowly(steps: int) -> Iterator[int]:
    """What stands for the work: a step a second."""
    for step in range(steps):
        time.sleep(1)
        yield step


def run(publisher: Publisher, user: str, job_id: str, work: Iterable[object], steps: int) -> None:
    """Do the work, which comes to so many steps, and tell this user about it in the conversation `job#<job_id>`.

    Every payload is ``{"state": "running" | "finished" | "failed", "done": steps done, "of": steps in all}``.
    """
    recipient = Recipient(user=user, context=CONTEXT, context_id=job_id)
    done, state = 0, "failed"
    try:
        for done, _ in enumerate(work, start=1):
            # For who is looking now, or for nobody: the next step says all that this one could say later.
            with suppress(Unavailable):  # no reason to give up the work
                publisher.publish(
                    id=f"{job_id}-{done}",
                    recipient=recipient,
                    type="job.step",
                    payload={"state": "running", "done": done, "of": steps},
                    durable=False,
                )
        state = "finished"
    finally:
        # There is no later one: it waits for who is away, until their page says that it has it.
        publisher.publish(
            id=f"{job_id}-end",
            recipient=recipient,
            type="job.end",
            payload={"state": state, "done": done, "of": steps},
            ack="client",
            ttl_seconds=SECONDS_TO_HEAR_THE_END,
        )
