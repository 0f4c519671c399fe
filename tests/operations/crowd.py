"""People who wait for messages, with a client each, and a ledger of what was sent and what came."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from local.client import Client
from local.demo.stage import Stage, envelope
from tests.waiting import until

_AT_ONCE = 4
_MESSAGES_PER_CALL = 50


@dataclass
class Crowd:
    """Some users, what was sent to each (and whether a run carries it), and their clients."""

    stage: Stage
    users: Sequence[str]
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent_by: dict[str, str] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for user in self.users:
            self.clients[user] = self.stage.client(user)
            self.clients[user].acknowledges = True

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients.values():
            client.close()

    def messages(self, kinds: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """A message of each kind for everybody, in an order in which everybody has one before somebody has two."""
        return [envelope(user, number, **kind) for number, kind in enumerate(kinds) for user in self.users]

    def send(self, messages: Sequence[dict[str, Any]]) -> None:
        """Hand these over; what could not be taken is sent again under the same id."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._send, _batches(messages)))

    def _send(self, messages: Sequence[dict[str, Any]]) -> None:
        self.sent.update({message["id"]: message for message in messages})
        rest = list(messages)
        while rest:
            try:
                answers = self.stage.accept(*rest)
            except RuntimeError:  # as a backend does: again, with the same ids
                continue
            statuses = {answer["status"] for answer in answers}
            for answer in answers:
                self.sent_by.setdefault(answer["id"], answer["status"])
            assert statuses <= {"started", "delivered", "duplicate", "unavailable"}, answers
            rest = [message for message, answer in zip(rest, answers, strict=True) if answer["status"] == "unavailable"]

    def connect(self, users: Iterable[str]) -> None:
        """Have these people come back."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda user: self.clients[user].connect(), users))

    def frames(self, user: str) -> list[dict[str, Any]]:
        """Every message frame that came to a user, in the order of arrival."""
        return [frame.body for frame in self.clients[user].all_messages()]

    def handled(self, user: str) -> list[dict[str, Any]]:
        """The same without what came again under its id: what an application sees."""
        return list({frame["id"]: frame for frame in reversed(self.frames(user))}.values())[::-1]

    def ids_with_runs(self) -> list[str]:
        """The ids of the messages that a run carried."""
        return [message_id for message_id in self.sent if self.sent_by[message_id] == "started"]

    def await_parked(self, count: int, *, seconds: float = 300) -> None:
        """Wait until so many messages, or more, wait for these people."""
        wanted = {f"user#{user}" for user in self.users}

        def parked() -> int:
            pages = self.stage.installation.clients.dynamodb.get_paginator("scan").paginate(
                TableName=self.stage.installation.callbacks_table_name, ProjectionExpression="caller_id, waits_for"
            )
            rows = [row for page in pages for row in page["Items"]]
            return sum(
                row["caller_id"]["S"] in wanted and row["waits_for"]["S"].startswith("reconnect#") for row in rows
            )

        until(lambda: parked() >= count, f"{count} messages that wait", seconds=seconds)

    def missing(self, users: Iterable[str]) -> list[str]:
        """The ids of what was sent to these people and has not come."""
        some = set(users)
        return [
            message_id
            for message_id, message in self.sent.items()
            if (user := message["recipient"]["user"]) in some and not self.clients[user].messages(message_id)
        ]

    def await_all(self, users: Iterable[str], *, seconds: float = 300) -> None:
        """Wait until these people miss nothing."""
        some = list(users)
        try:
            until(lambda: not self.missing(some), "all messages", seconds=seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; {len(missing := self.missing(some))} are missing: {missing[:5]}") from None

    def check(self) -> Counter[int]:
        """Everybody has got what is theirs and nothing else, each once under its id, and what is ordered in order.

        Answers how often messages came: a message that came twice is one to a client, which knows its id.
        """
        times: Counter[int] = Counter()
        for user in self.users:
            came = self.frames(user)
            own = {message_id for message_id, each in self.sent.items() if each["recipient"]["user"] == user}
            ids = Counter(frame["id"] for frame in came)
            assert set(ids) == own, f"{user}: {set(ids) ^ own}"
            times.update(ids.values())
            once = {frame["id"]: frame for frame in came}
            assert [once[message_id]["payload"] for message_id in own] == [self.sent[m]["payload"] for m in own]
            numbers = sorted(frame["sequence"] for frame in once.values() if frame.get("ordered"))
            assert numbers == list(range(1, len(numbers) + 1)), f"{user}: {numbers}"
        return times


def _batches(messages: Sequence[dict[str, Any]]) -> list[Sequence[dict[str, Any]]]:
    starts = itertools.count(0, _MESSAGES_PER_CALL)
    return [messages[s : s + _MESSAGES_PER_CALL] for s in itertools.takewhile(lambda s: s < len(messages), starts)]
