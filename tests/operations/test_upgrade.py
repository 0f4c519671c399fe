"""Versions are deployed while messages wait: nothing is lost, and what waits goes on with the functions of the day."""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest

from local.errors import DeploymentFailed
from tests.operations.conftest import FIRST_SETTINGS
from tests.operations.crowd import Crowd
from tests.operations.next_version import RELEASE
from tests.operations.operated import HALF_OF_NEXT_VERSION, NEXT_VERSION, Operated

USERS = 100
# Ten for everybody, 1,000 in all.
KINDS: list[dict[str, Any]] = [{}] * 6 + [{"ack": "client"}] * 2 + [{"ordered": True}] * 2
NEXT_SETTINGS = {
    "default_ack_timeout_seconds": 25,
    "max_attempts": 30,
    "backoff_base_seconds": 3,
    "look_again_seconds": 600,
    "default_ttl_seconds": 7200,
    "log_level": "WARNING",
}


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Do something over and over until what is inside is done; its failure is the test's."""
    done = threading.Event()
    failures: list[BaseException] = []

    def repeat() -> None:
        try:
            while not done.is_set():
                work()
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    if failures:
        raise failures[0]


class Coming:
    """People who come back and messages that come in, while something else is done."""

    def __init__(self, crowd: Crowd, users: Sequence[str]) -> None:
        self._crowd = crowd
        self._users = iter(users)
        self._pause = threading.Event()
        # Of whoever is there, and of whoever is not.
        self._messages = iter(crowd.messages([{}, {"ordered": True, "ack": "client"}, {}, {}]))

    def go_on(self) -> None:
        """One more of each; for the next five a second at most."""
        self._crowd.connect(islice(self._users, 1))
        self._crowd.send(list(islice(self._messages, 1)))
        self._pause.wait(0.2)

    def rest(self) -> None:
        """All who have not come yet."""
        self._crowd.connect(self._users)


def acknowledgement_timeout(operated: Operated, message_id: str) -> int:
    """How long a run's post waited for its acknowledgement, by the definition that the run goes by."""
    run = operated.stage.runs.await_end(operated.stage.runs.arn_of(message_id))
    scheduled = [event["taskScheduledEventDetails"] for event in run.events if event["type"] == "TaskScheduled"]
    return int(scheduled[-1]["timeoutInSeconds"])


def releases(crowd: Crowd, users: Sequence[str]) -> set[str | None]:
    """Which versions posted to these people."""
    return {frame.get("release") for user in users for frame in crowd.frames(user)}


def test_versions_come_and_go_while_a_thousand_messages_wait(operated: Operated) -> None:
    mark = uuid.uuid4().hex[:8]
    before = operated.resources()
    with Crowd(operated.stage, [f"user-{mark}-{number}" for number in range(USERS)]) as crowd:
        crowd.send(crowd.messages(KINDS))
        crowd.await_parked(len(KINDS) * USERS)
        early, during, after, last = crowd.users[:20], crowd.users[20:50], crowd.users[50:75], crowd.users[75:]
        old = next(id_ for id_, each in crowd.sent.items() if each["recipient"]["user"] == after[0] and "ack" in each)

        # A deployment that fails half-way, and is rolled back.
        coming = Coming(crowd, early)
        with meanwhile(coming.go_on), pytest.raises(DeploymentFailed):
            operated.deploy(NEXT_SETTINGS, app=HALF_OF_NEXT_VERSION)
        coming.rest()
        assert operated.resources() == before

        # The next version.
        coming = Coming(crowd, during)
        with meanwhile(coming.go_on):
            operated.deploy(NEXT_SETTINGS, app=NEXT_VERSION)
        coming.rest()
        crowd.connect(after)
        crowd.await_all(after)
        assert releases(crowd, after) == {RELEASE}
        assert operated.resources() == before

        # What waits by the definition of either version is taken over by the one before.
        young = crowd.messages([{"ack": "client"}])[-len(last) :]
        crowd.send(young)
        crowd.await_parked(1)
        operated.deploy_first_version()
        crowd.connect(last)
        crowd.await_all(crowd.users)
        assert releases(crowd, last) == {None}
        assert operated.resources() == before

        ends = {operated.stage.runs.await_end(operated.stage.runs.arn_of(id_)).status for id_ in crowd.ids_with_runs()}
        assert ends == {"SUCCEEDED"}
        assert acknowledgement_timeout(operated, old) == FIRST_SETTINGS["default_ack_timeout_seconds"]
        assert acknowledgement_timeout(operated, young[0]["id"]) == NEXT_SETTINGS["default_ack_timeout_seconds"]
        crowd.check()
