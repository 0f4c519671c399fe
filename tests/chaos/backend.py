"""The backends of a chaos run: they publish, by every way in, and again under the same id until they have an answer."""

import http.client
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError

from local.console.ways import RefusedByApi, Ways
from local.stack import Stack
from ringback.dead_letters import NewLife, open_queue
from ringback.errors import IdConflict, InvalidMessage, LetterNotFound, MessageNotFound, NotCancellable, RingbackError
from ringback.publisher import ACCEPTED, Publisher
from tests.chaos.ledger import Entry
from tests.chaos.plan import CONTEXT, CONTEXT_ID, LONG_LIFE_SECONDS, Ids, Send

# How many may call at once: as many backends as a small machine can serve.
_AT_ONCE = 12
_PAUSE_SECONDS = (0.3, 0.6, 1.0, 2.0)
# The names of `local.console.ways` for the ways in.
_NAMES = {"http": "http", "sns": "topic", "bus": "bus", "start": "run"}
_FAILURES = (RingbackError, BotoCoreError, http.client.HTTPException, OSError, ValueError)

Json = dict[str, Any]


def envelope(ids: Ids, user: str, send: Send) -> Json:
    """The message of one step."""
    message: Json = {
        "id": ids.of(user, send.number),
        "recipient": {"user": user, "context": CONTEXT, "contextId": CONTEXT_ID},
        "type": f"chaos.{send.kind}",
        # So that a client can tell whose it is: every message has its own.
        "payload": {"id": ids.of(user, send.number)},
    }
    if send.kind in {"ack", "ordered", "redriven"}:
        message["ack"] = "client"
    if send.kind == "ordered":
        message["ordered"] = True
    if send.kind == "cancelled":
        message["track"] = True
    if send.ttl_seconds is not None:
        message["ttlSeconds"] = send.ttl_seconds
    return message


class Backend:
    """Publishes, cancels and redrives. It fills the entries in, from threads of its own."""

    def __init__(self, stack: Stack, ids: Ids) -> None:
        self._stack = stack
        self._ids = ids
        self._ways = Ways(stack.installation, stack.keys)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="backend")
        self._lock = threading.Lock()
        self._under_way = 0
        self._give_up = False
        self.entries: dict[str, Entry] = {}
        self.sent_again = 0

    @property
    def under_way(self) -> int:
        """How many calls are not done."""
        with self._lock:
            return self._under_way

    @property
    def entered(self) -> int:
        """How many messages were published, answered or not."""
        return len(self.entries)

    def close(self) -> None:
        """Have no more answers awaited; return when nothing is under way."""
        self._give_up = True
        self._pool.shutdown()

    def publish(self, sends: Sequence[tuple[str, Send]]) -> None:
        """Publish these, for these users; those by `accept` in one call."""
        together = [one for one in sends if one[1].way == "accept"]
        if together:
            self._submit(self._publish_together, together)
        for user, send in sends:
            if send.way != "accept":
                self._submit(self._publish_alone, user, send)

    def cancel(self, user: str, send: Send) -> None:
        """Take a message back, if it can be."""
        self._submit(self._cancel, self._ids.of(user, send.number))

    def redrive(self) -> int:
        """Give what is to be redriven another life, where it has come to the dead letter queue; answers how many."""
        wanted = {entry.id for entry in self.entries.values() if entry.kind == "redriven"}
        queue = open_queue(self._stack.installation.sdk, wait_seconds=0, hide_seconds=20)
        redriven: list[str] = []
        # Some were delivered at once, or are under way: it is as it should be that they have no letter.
        with suppress(LetterNotFound, *_FAILURES):
            queue.redrive(
                wanted,
                life=NewLife(ttl_seconds=LONG_LIFE_SECONDS),
                on_result=lambda result: redriven.append(result.outcome),
            )
        return redriven.count("redriven")

    def _submit(self, call: Callable[..., None], *arguments: Any) -> None:
        def counted() -> None:
            try:
                call(*arguments)
            finally:
                with self._lock:
                    self._under_way -= 1

        with self._lock:
            self._under_way += 1
        self._pool.submit(counted)

    def _enter(self, user: str, send: Send) -> Entry:
        entry = Entry(self._ids.of(user, send.number), user, send.way, send.kind, sent_at=time.time())
        entry.ttl_seconds = send.ttl_seconds or LONG_LIFE_SECONDS
        entry.redrive_ttl_seconds = LONG_LIFE_SECONDS
        self.entries[entry.id] = entry
        return entry

    def _publish_together(self, sends: Sequence[tuple[str, Send]]) -> None:
        entries = {entry.id: entry for entry in (self._enter(user, send) for user, send in sends)}
        waiting = [envelope(self._ids, user, send) for user, send in sends]
        again = [0]

        def sleep(seconds: float) -> None:
            again[0] += 1
            time.sleep(seconds)

        publisher = Publisher(self._stack.installation.sdk, sleep=sleep)
        while waiting and not self._give_up:
            try:
                for result in publisher.publish_each(waiting, concurrency=1):
                    if result.status == "unavailable" or result.id is None:
                        continue
                    self._answered(entries[result.id], result.status, again=again[0])
            except _FAILURES:
                pass
            waiting = [one for one in waiting if not entries[one["id"]].answer]
            if waiting:
                again[0] += 1
                self._pause(again[0])

    def _publish_alone(self, user: str, send: Send) -> None:
        entry = self._enter(user, send)
        message = envelope(self._ids, user, send)
        again = 0
        while not self._give_up:
            try:
                answer = self._ways.send(_NAMES[send.way], message)["answer"]
            except (IdConflict, InvalidMessage):
                self._answered(entry, "invalid", again=again)
                return
            except RefusedByApi as error:
                if error.status < http.client.INTERNAL_SERVER_ERROR and error.status != http.client.TOO_MANY_REQUESTS:
                    self._answered(entry, "conflict", again=again)
                    return
            except _FAILURES:
                pass
            else:
                self._answered(entry, answer["status"], again=again)
                return
            again += 1
            self._pause(again)

    def _answered(self, entry: Entry, status: str, *, again: int) -> None:
        now = time.time()
        entry.answer = status
        if status in ACCEPTED or status in {"published", "conflict", "invalid"}:
            entry.accepted_at = now
        self.sent_again += again > 0

    def _cancel(self, message_id: str) -> None:
        again = 0
        while not self._give_up and again < len(_PAUSE_SECONDS) * 3:
            try:
                self._ways.cancel(message_id)
            except (MessageNotFound, NotCancellable):
                return  # it was quicker, or is not there yet; either is a fate
            except _FAILURES:
                again += 1
                self._pause(again)
            else:
                return

    def _pause(self, again: int) -> None:
        time.sleep(_PAUSE_SECONDS[min(again, len(_PAUSE_SECONDS)) - 1] * random.uniform(0.5, 1))  # noqa: S311
