"""What a message of each kind uses, and what mixes of them cost on each side: from what was counted in plays."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks.bill.plays import DEAD_LETTER, Played
from benchmarks.billing.counts import Counts, mix
from benchmarks.billing.schedules import RETRY_SECONDS, poll_seconds

# Lambda takes what is in the queue when it looks: at least the first of a burst does not wait for the others. Its five
# readers may make more batches of it; one needs a window to wait for, which would hold every message up.
BATCHES = 2
MOST_BATCHES = 5


@dataclass(frozen=True)
class Kinds:
    """What messages use: each field is one message, but for the bursts, and for what says otherwise.

    ``look`` and ``poll`` are one look in vain, ``sns_try_in_vain`` one attempt of baseline (a) that found nobody.
    Ringback's are handed over by `accept`, where they do not say by topic, the baselines' by their topics.
    ``burst_by_topic`` comes from the queue in `BATCHES`; each further one takes a ``batch`` more. ``connection`` is
    what only Ringback does for a connection.
    """

    online: Counts
    absent: Counts
    look: Counts
    burst: Counts
    online_by_topic: Counts
    burst_by_topic: Counts
    batch: Counts
    sns_online: Counts
    sns_try_in_vain: Counts
    sns_burst: Counts
    polling_online: Counts
    poll: Counts
    connection: Counts


def kinds_of(played: Mapping[str, Played]) -> Kinds:
    """What single looks and tries use, from plays with some of them and plays with none."""
    polling, polled = played["(b) online"].counts, played["(b) absent"]
    absent, looked = played["absent"].counts, played["absent, with looks"]
    lost = played["(a) absent"].counts
    once = Counts(publishes=played["(a) online"].counts.publishes)
    batch = played["by topic"].counts - once - Counts(queue_requests=1)
    burst = played["burst by topic"].counts
    return Kinds(
        online=played["online"].counts,
        absent=absent,
        look=(looked.counts - absent) / looked.looks,
        burst=played["burst"].counts,
        online_by_topic=played["by topic"].counts,
        # How many batches it happened to be here is chance.
        burst_by_topic=burst + batch * (BATCHES - burst.invocations),
        batch=batch,
        sns_online=played["(a) online"].counts,
        sns_try_in_vain=(lost - once - DEAD_LETTER) / (1 + len(RETRY_SECONDS)),
        sns_burst=played["(a) burst"].counts,
        polling_online=polling,
        poll=(polled.counts - polling) / polled.looks,
        connection=played["connection"].counts,
    )


@dataclass(frozen=True)
class Bills:
    """What a message costs in USD on each side, if those who are absent are absent for so long."""

    kinds: Kinds
    absent_seconds: int
    looks: float

    def ringback(self, share_online: float) -> float:
        return self._ringback(share_online).usd()

    def ringback_with_logs(self, share_online: float) -> float:
        used = self._ringback(share_online)
        return used.usd() + used.logs_usd()

    def ringback_with_connections(self, share_online: float, messages_per_connection: float) -> float:
        """With what only Ringback does for a connection, on so many messages."""
        return self.ringback(share_online) + self.kinds.connection.usd() / messages_per_connection

    def by_topic(self, share_online: float) -> float:
        """Ringback's by its topic: what comes after the way in is the same."""
        return self.ringback(share_online) + (self.kinds.online_by_topic - self.kinds.online).usd()

    def sns_lambda(self, share_online: float) -> float:
        return self._sns(share_online).usd()

    def sns_with_logs(self, share_online: float) -> float:
        used = self._sns(share_online)
        return used.usd() + used.logs_usd()

    def invoked(self, share_online: float) -> float:
        """Baseline (a) without its topic: the backend invokes the function, asynchronously."""
        return self.sns_lambda(share_online) - Counts(publishes=self.kinds.sns_online.publishes).usd()

    def polling(self, share_online: float, *, transitions_a_look: float | None = None) -> float:
        """Baseline (b), as it is counted, or with so many transitions for each look in vain."""
        poll = self.kinds.poll
        if transitions_a_look is not None:
            poll = replace(poll, transitions=transitions_a_look)
        absent = self.kinds.polling_online + poll * len(poll_seconds(self.absent_seconds))
        return mix(self.kinds.polling_online, absent, share_online=share_online).usd()

    def against_sns(self, share_online: float) -> float:
        """What is promised: by `accept`, without logs and connections."""
        return self.ringback(share_online) / self.sns_lambda(share_online)

    def fewest_messages(self, share_online: float, required: float) -> int | None:
        """How many messages a connection has to carry for this ratio to hold with it; None if no number does."""
        left = required * self.sns_lambda(share_online) - self.ringback(share_online)
        return max(1, math.ceil(self.kinds.connection.usd() / left)) if left > 0 else None

    @property
    def is_lost(self) -> bool:
        """Whether baseline (a) gives up before they are back."""
        return self.absent_seconds >= RETRY_SECONDS[-1]

    def _ringback(self, share_online: float) -> Counts:
        return mix(self.kinds.online, self.kinds.absent + self.kinds.look * self.looks, share_online=share_online)

    def _sns(self, share_online: float) -> Counts:
        return mix(self.kinds.sns_online, self._sns_absent(), share_online=share_online)

    def _sns_absent(self) -> Counts:
        in_vain = 1 + sum(second <= self.absent_seconds for second in RETRY_SECONDS)
        if self.is_lost:
            once = Counts(publishes=self.kinds.sns_online.publishes)
            return once + self.kinds.sns_try_in_vain * in_vain + DEAD_LETTER
        return self.kinds.sns_online + self.kinds.sns_try_in_vain * in_vain


def dearest(bills: Mapping[str, Bills], share_online: float) -> Bills:
    """For the absence where Ringback is dearest, against (a)."""
    return max(bills.values(), key=lambda bill: bill.against_sns(share_online))
