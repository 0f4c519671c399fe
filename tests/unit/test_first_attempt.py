"""What the intake does with messages that were read: it posts what it can, and hands the rest to runs."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from lambdas.core.frames import MAX_FRAME_BYTES
from lambdas.core.intake import (
    SECONDS_FOR_A_START,
    SECONDS_FOR_AN_ATTEMPT,
    Accepted,
    Answer,
    Intake,
    Queued,
    Status,
    read,
)
from lambdas.core.ports import PostResult
from tests.builders import NOW, connection, envelope, recipient
from tests.fakes import FakeClock, FakeConnections, FakeDeliveries, FakeSequences, FakeSockets

BEN = {"user": "ben", "context": "chat", "contextId": "42"}


class Killed(BaseException):
    """The function was ended from outside; nothing in it can catch that."""


@dataclass
class World:
    """An intake and everything around it."""

    connections: FakeConnections = field(default_factory=FakeConnections)
    clock: FakeClock = field(default_factory=FakeClock)
    sockets: FakeSockets = field(default_factory=FakeSockets)
    sequences: FakeSequences = field(default_factory=FakeSequences)
    deliveries: FakeDeliveries = field(default_factory=FakeDeliveries)
    every_message_is_a_run: bool = False
    seconds_left: Callable[[], float] = lambda: 60

    def intake(self) -> Intake:
        return Intake(
            every_message_is_a_run=self.every_message_is_a_run,
            connections=self.connections,
            sockets=self.sockets,
            sequences=self.sequences,
            deliveries=self.deliveries,
            clock=self.clock,
            seconds_left=lambda: self.seconds_left(),
        )

    def take(self, *messages: Accepted | Answer) -> list[Answer]:
        return self.intake().take(messages)

    def statuses(self, *messages: Accepted | Answer) -> list[str]:
        return [answer.status.value for answer in self.take(*messages)]

    def received(self, connection_id: str = "tab") -> list[list[str]]:
        """The ids that each frame of this connection carried."""
        return [_ids(json.loads(frame)) for frame in self.sockets.posts[connection_id]]


def _ids(frame: dict[str, Any]) -> list[str]:
    return [each["id"] for each in frame["messages"]] if frame["kind"] == "batch" else [frame["id"]]


def accepted(message_id: str = "m-1", **changes: Any) -> Accepted:
    return read(envelope(id=message_id, **changes), fallback_id="unused", accepted_at=NOW)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def online(world: World) -> World:
    """Ana has one connection."""
    world.connections.put(connection("tab"))
    return world


# Someone is there


def test_a_message_to_someone_online_is_posted_and_is_no_run(online: World) -> None:
    assert online.take(accepted()) == [Answer(Status.DELIVERED, "m-1")]

    assert json.loads(online.sockets.posts["tab"][0]) == {
        "kind": "message",
        "id": "m-1",
        "type": "message",
        "payload": {"text": "hello"},
        "sentAt": "2030-01-31T12:00:00.000Z",
        "attempt": 1,
    }
    assert online.deliveries.runs == {}


def test_every_connection_gets_one_post_and_one_that_takes_it_is_enough(online: World) -> None:
    online.connections.put(connection("gone"))
    online.sockets.answers["gone"] = [PostResult.GONE]
    intake = online.intake()

    assert intake.take([accepted()]) == [Answer(Status.DELIVERED, "m-1")]

    assert {name: len(frames) for name, frames in online.sockets.posts.items()} == {"tab": 1, "gone": 1}
    assert [row.connection_id for row in online.connections.of_recipient(recipient())] == ["tab"]
    assert intake.posts.to_state() == {"posted": ["tab"], "gone": ["gone"], "throttled": [], "failed": []}


def test_messages_for_one_recipient_travel_in_one_frame_in_their_order(online: World) -> None:
    messages = [accepted(f"m-{number}", payload=number) for number in range(10)]

    assert online.statuses(*messages) == ["delivered"] * 10

    (frame,) = online.sockets.posts["tab"]
    body = json.loads(frame)
    assert (body["kind"], list(body)) == ("batch", ["kind", "messages"])
    assert [(each["kind"], each["payload"]) for each in body["messages"]] == [("message", n) for n in range(10)]


def test_what_does_not_fit_into_one_frame_travels_in_the_next(online: World) -> None:
    messages = [accepted(f"m-{number}", payload="x" * 50_000) for number in range(5)]

    assert online.statuses(*messages) == ["delivered"] * 5

    assert online.received() == [["m-0", "m-1"], ["m-2", "m-3"], ["m-4"]]
    assert all(len(frame) <= MAX_FRAME_BYTES for frame in online.sockets.posts["tab"])


def test_each_recipient_gets_their_own_messages_only(online: World) -> None:
    online.connections.put(connection("ben's", recipient("ben")))
    online.connections.put(connection("other chat", recipient(context_id="43")))

    online.take(accepted("m-1"), accepted("m-2", recipient=BEN), accepted("m-3"))

    assert online.received() == [["m-1", "m-3"]]
    assert online.received("ben's") == [["m-2"]]
    assert online.received("other chat") == []


# Nobody is there, or takes it


def test_a_message_to_nobody_goes_to_a_run_with_its_id_and_its_end_of_life(world: World) -> None:
    assert world.take(accepted("order/17", ttlSeconds=60)) == [
        Answer(Status.STARTED, "order/17", next(iter(world.deliveries.runs)))
    ]

    (started,) = world.deliveries.runs.values()
    assert json.loads(started) == envelope(id="order/17", expiresAt="2030-01-31T12:01:00.000Z")


@pytest.mark.parametrize("result", [PostResult.GONE, PostResult.THROTTLED, PostResult.FAILED])
def test_what_no_connection_takes_goes_to_a_run(online: World, result: PostResult) -> None:
    online.sockets.answers["tab"] = [result]

    assert online.statuses(accepted("m-1"), accepted("m-2")) == ["started", "started"]

    assert online.deliveries.runs.keys() == {"m-1", "m-2"}
    assert set(map(tuple, online.received())) == {("m-1", "m-2")}
    assert sum(online.clock.slept) < 0.5, "the run is there to wait"


def test_a_moment_of_throttling_is_waited_out(online: World) -> None:
    online.sockets.answers["tab"] = [PostResult.THROTTLED, PostResult.POSTED]

    assert online.statuses(accepted()) == ["delivered"]


def test_after_a_frame_that_nobody_took_none_is_posted(online: World) -> None:
    online.sockets.answers["tab"] = [PostResult.POSTED, PostResult.GONE]
    messages = [accepted(f"m-{number}", payload="x" * 100_000) for number in range(3)]

    assert online.statuses(*messages) == ["delivered", "started", "started"]
    assert online.received() == [["m-0"], ["m-1"]]


def test_a_connection_whose_token_has_ended_is_closed_and_not_posted_to(world: World) -> None:
    world.connections.put(connection("tab", token_life_seconds=-1))

    assert world.statuses(accepted()) == ["started"]
    assert world.sockets.closed == ["tab"]
    assert world.received() == []


def test_a_store_that_is_down_is_the_runs_to_meet_again(online: World) -> None:
    online.connections.down = {"of_recipient"}
    intake = online.intake()

    assert [answer.status for answer in intake.take([accepted()])] == [Status.STARTED]
    assert intake.errors == ["of_recipient"]


def test_a_frame_that_is_found_too_large_is_the_runs_to_meet_again(online: World) -> None:
    online.sockets.max_frame_bytes = 100

    assert online.statuses(accepted()) == ["started"]


def test_what_nobody_thought_of_is_no_reason_to_lose_a_message_and_its_words_are_kept_secret(
    online: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> PostResult:
        raise LookupError("s3cr3t")

    monkeypatch.setattr(online.sockets, "post", fail)
    intake = online.intake()

    assert [answer.status for answer in intake.take([accepted()])] == [Status.STARTED]
    assert intake.errors == ["LookupError"]


def test_what_has_expired_is_not_posted_and_its_run_says_so(online: World) -> None:
    online.clock.time += timedelta(seconds=60)

    assert online.statuses(accepted("m-1", ttlSeconds=60), accepted("m-2", ttlSeconds=61)) == ["started", "delivered"]
    assert online.received() == [["m-2"]]


# What asks for a run


@pytest.mark.parametrize("wish", [{"ack": "client"}, {"ordered": True}, {"track": True}])
def test_what_asks_for_a_run_gets_one_without_a_post(online: World, wish: dict[str, Any]) -> None:
    assert online.take(accepted(**wish), accepted("m-2")) == [
        Answer(Status.STARTED, "m-1", "m-1"),
        Answer(Status.DELIVERED, "m-2"),
    ]
    assert online.received() == [["m-2"]]


def test_a_stage_may_make_every_message_a_run(online: World) -> None:
    online.every_message_is_a_run = True

    assert online.statuses(accepted()) == ["started"]
    assert online.received() == []


def test_ordered_messages_of_one_recipient_are_started_and_numbered_one_after_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    start, number = world.deliveries.start, world.sequences.number

    def noted_start(name: str, text: str) -> Any:
        happened.append(f"start {name}")
        return start(name, text)

    def noted_number(to: Any, name: str, **options: Any) -> Any:
        happened.append(f"number {name}")
        return number(to, name, **options)

    monkeypatch.setattr(world.deliveries, "start", noted_start)
    monkeypatch.setattr(world.sequences, "number", noted_number)

    messages = [accepted(f"m-{n}", ordered=True) for n in range(1, 4)]
    world.take(*messages, accepted("b-1", ordered=True, recipient=BEN), accepted("plain"))

    of_ana = [each for each in happened if "m-" in each]
    assert of_ana == ["start m-1", "number m-1", "start m-2", "number m-2", "start m-3", "number m-3"]
    assert world.sequences.runs == {recipient(): ["m-1", "m-2", "m-3"], recipient("ben"): ["b-1"]}


def test_an_ordered_message_waits_for_one_before_it_that_could_not_be_started(world: World) -> None:
    world.deliveries.unreachable = {"m-2"}
    messages = [accepted(f"m-{n}", ordered=True) for n in range(1, 5)]

    answers = world.take(*messages, accepted("b-1", ordered=True, recipient=BEN))

    assert [answer.status.value for answer in answers] == [
        "started", "unavailable", "unavailable", "unavailable", "started",
    ]  # fmt: skip
    assert [answer.detail for answer in answers[1:3]] == [
        "StartExecution: ThrottlingException",
        "an ordered message goes before it",
    ]

    world.deliveries.unreachable.clear()
    world.take(*messages)
    assert world.sequences.runs[recipient()] == ["m-1", "m-2", "m-3", "m-4"]


def test_an_ordered_message_waits_for_one_before_it_that_has_no_number(world: World) -> None:
    world.sequences.down = {"number"}
    messages = [accepted(f"m-{n}", ordered=True) for n in (1, 2)]

    assert world.statuses(*messages) == ["unavailable", "unavailable"]

    world.sequences.down.clear()
    later = [accepted(f"m-{n}", ordered=True, ttlSeconds=60) for n in (1, 2)]
    assert world.statuses(*later) == ["duplicate", "started"]
    assert world.sequences.runs[recipient()] == ["m-1", "m-2"]


@pytest.mark.parametrize("ended", ["ended", "delivered"])
def test_an_old_ordered_message_that_comes_again_gets_no_second_number(world: World, ended: str) -> None:
    world.take(accepted(ordered=True))
    getattr(world.deliveries, ended).add("m-1")
    world.sequences.runs.clear()  # its number is forgotten some days after its life

    assert world.statuses(accepted(ordered=True)) == ["duplicate"]
    assert world.sequences.runs == {}


# What is not durable


def test_what_is_not_durable_is_posted_to_who_is_there(online: World) -> None:
    assert online.take(accepted(durable=False)) == [Answer(Status.DELIVERED, "m-1")]
    assert "durable" not in json.loads(online.sockets.posts["tab"][0])


def test_what_is_not_durable_is_missed_by_who_is_not_there(world: World) -> None:
    answers = world.take(accepted("m-1", durable=False), accepted("m-2", durable=True))

    assert answers == [Answer(Status.MISSED, "m-1"), Answer(Status.STARTED, "m-2", "m-2")]
    assert answers[0].message is not None
    assert world.deliveries.runs.keys() == {"m-2"}


@pytest.mark.parametrize("result", [PostResult.GONE, PostResult.THROTTLED, PostResult.FAILED])
def test_what_is_not_durable_and_no_connection_takes_is_missed(online: World, result: PostResult) -> None:
    online.sockets.answers["tab"] = [result]

    assert online.statuses(accepted("m-1", durable=False), accepted("m-2")) == ["missed", "started"]
    assert online.deliveries.runs.keys() == {"m-2"}


def test_one_connection_that_takes_it_is_enough_for_what_is_not_durable(online: World) -> None:
    online.connections.put(connection("gone"))
    online.sockets.answers["gone"] = [PostResult.GONE]

    assert online.statuses(accepted(durable=False)) == ["delivered"]


def test_what_is_not_durable_is_no_run_where_every_message_is(online: World) -> None:
    online.every_message_is_a_run = True

    assert online.statuses(accepted("m-1", durable=False), accepted("m-2")) == ["delivered", "started"]
    assert online.statuses(accepted("b-1", durable=False, recipient=BEN)) == ["missed"]
    assert online.received() == [["m-1"]]
    assert online.deliveries.runs.keys() == {"m-2"}


def test_what_is_not_durable_travels_in_the_frame_of_the_others(online: World) -> None:
    online.take(accepted("m-1", durable=False), accepted("m-2"), accepted("m-3", durable=False))

    assert online.received() == [["m-1", "m-2", "m-3"]]


def test_what_cannot_be_attempted_is_missed_and_why_is_known(online: World) -> None:
    online.connections.down = {"of_recipient"}
    intake = online.intake()

    assert [answer.status for answer in intake.take([accepted(durable=False)])] == [Status.MISSED]
    assert intake.errors == ["of_recipient"]


def test_what_there_is_no_time_to_attempt_or_has_expired_is_missed(online: World) -> None:
    online.seconds_left = lambda: SECONDS_FOR_AN_ATTEMPT
    assert online.statuses(accepted(durable=False)) == ["missed"]

    online.seconds_left = lambda: 60
    online.clock.time += timedelta(seconds=60)
    assert online.statuses(accepted(durable=False, ttlSeconds=60)) == ["missed"]
    assert online.received() == []


def test_a_twin_of_what_is_not_durable_shares_its_firsts_fate(online: World) -> None:
    twins = [accepted("m-1", durable=False)] * 2
    assert online.statuses(*twins) == ["delivered", "duplicate"]
    assert online.received() == [["m-1"]]

    nobody_there = [accepted("b-1", durable=False, recipient=BEN)] * 2
    assert online.statuses(*nobody_there) == ["missed", "missed"]


def test_a_durable_message_is_no_twin_of_one_that_is_not(world: World) -> None:
    assert world.statuses(accepted(durable=False), accepted()) == ["missed", "conflict"]
    assert world.deliveries.runs == {}


# The same id


def test_the_same_message_twice_in_one_batch_is_posted_once(online: World) -> None:
    later = read(envelope(ttlSeconds=90), fallback_id="unused", accepted_at=NOW)

    assert online.take(accepted(), accepted(), later) == [
        Answer(Status.DELIVERED, "m-1"),
        Answer(Status.DUPLICATE, "m-1"),
        Answer(Status.DUPLICATE, "m-1"),
    ]
    assert online.received() == [["m-1"]]


def test_a_twin_names_the_run_and_shares_its_firsts_fate(world: World) -> None:
    assert world.take(accepted(), accepted())[1] == Answer(Status.DUPLICATE, "m-1", "m-1")

    world.deliveries.unreachable = {"m-2"}
    assert world.statuses(accepted("m-2"), accepted("m-2")) == ["unavailable", "unavailable"]


@pytest.mark.parametrize("other", [{"payload": "other"}, {"recipient": BEN}])
def test_another_message_with_the_id_in_one_batch_is_a_conflict(online: World, other: dict[str, Any]) -> None:
    first, second = online.take(accepted(), accepted(**other))

    assert (first.status, second.status) == (Status.DELIVERED, Status.CONFLICT)
    assert second.detail == "id: another message has it; an id names one content for one recipient"
    assert online.received() == [["m-1"]]


@pytest.mark.parametrize("ended", [False, True])
def test_an_id_that_a_run_has_is_a_duplicate_or_a_conflict_as_long_as_the_name_is_taken(
    world: World, *, ended: bool
) -> None:
    world.take(accepted(track=True, ttlSeconds=60))
    world.deliveries.ended = {"m-1"} if ended else set()
    again = read(envelope(track=True, ttlSeconds=60), fallback_id="-", accepted_at=NOW + timedelta(seconds=5))

    undelivered = "it came before and was not delivered: ask its status, and redrive it or give it another id"
    assert world.take(again) == [Answer(Status.DUPLICATE, "m-1", "m-1", undelivered if ended else None)]
    assert world.statuses(accepted(track=True, payload="other")) == ["conflict"]


# What fails, and who dies


def test_a_start_that_fails_is_said_of_that_message_alone(world: World) -> None:
    world.deliveries.unreachable = {"m-2"}

    answers = world.take(*(accepted(f"m-{number}") for number in (1, 2, 3)))

    assert [answer.status.value for answer in answers] == ["started", "unavailable", "started"]
    assert answers[1] == Answer(Status.UNAVAILABLE, "m-2", detail="StartExecution: ThrottlingException")


def test_without_time_for_an_attempt_a_run_takes_the_message(online: World) -> None:
    online.seconds_left = lambda: SECONDS_FOR_AN_ATTEMPT

    assert online.statuses(accepted()) == ["started"]
    assert online.received() == []


def test_slow_posts_end_in_time_for_the_runs_of_the_others(online: World) -> None:
    online.sockets.clock, online.sockets.seconds_a_call = online.clock, 5
    online.seconds_left = lambda: 30 - (online.clock.now() - NOW).total_seconds()
    messages = [accepted(f"m-{number}", payload="x" * 100_000) for number in range(4)]

    assert online.statuses(*messages) == ["delivered", "delivered", "started", "started"]


def test_without_time_for_a_start_nothing_is_begun(world: World) -> None:
    world.seconds_left = lambda: SECONDS_FOR_A_START - 1

    assert world.statuses(accepted(), accepted("m-2", ordered=True)) == ["unavailable", "unavailable"]
    assert world.deliveries.runs == {}


def _killed(call: Callable[..., Any], *, at: int, before: bool) -> Callable[..., Any]:
    """The call, but that the function is killed before or after the one with this number."""
    made = 0

    def killing(*args: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        if made == at and before:
            raise Killed
        result = call(*args, **options)
        if made == at:
            raise Killed
        return result

    return killing


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    ("part", "method", "at"),
    [
        ("connections", "of_recipient", 1),
        ("sockets", "post", 1),
        ("deliveries", "start", 1),
        ("deliveries", "start", 2),
        ("deliveries", "start", 3),
        ("sequences", "number", 1),
        ("sequences", "number", 2),
    ],
)
def test_who_dies_at_any_point_is_asked_again_and_nothing_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch, part: str, method: str, at: int, *, before: bool
) -> None:
    world.connections.put(connection("tab", recipient("ben")))
    messages = [
        accepted("posted", recipient=BEN),
        accepted("first", ordered=True),
        accepted("second", ordered=True),
        accepted("run"),
    ]
    target = getattr(world, part)
    with monkeypatch.context() as patched:
        patched.setattr(target, method, _killed(getattr(target, method), at=at, before=before))
        with pytest.raises(Killed):
            world.take(*messages)

    assert world.statuses(*messages) == ["delivered", "started", "started", "started"]

    assert world.deliveries.runs.keys() == {"first", "second", "run"}
    assert world.sequences.runs == {recipient(): ["first", "second"]}
    assert set(map(tuple, world.received())) == {("posted",)}, "once, or twice under one id"


# Reading and taking in one


def test_values_are_answered_in_their_order_and_what_cannot_be_read_holds_up_nobody(online: World) -> None:
    values = [envelope(), 17, envelope(id="bad", ack="maybe"), {**envelope(), "id": None}]

    answers = online.intake().take_values(values, new_id=lambda: "made-up")

    assert answers == [
        Answer(Status.DELIVERED, "m-1"),
        Answer(Status.INVALID, None, detail="envelope: must be a JSON object"),
        Answer(Status.INVALID, "bad", detail="ack: must be 'none' or 'client'"),
        Answer(Status.DELIVERED, "made-up"),
    ]


def test_queued_messages_are_answered_in_their_order(online: World) -> None:
    attributes = {"user": "ana", "context": "chat", "contextId": "42"}
    answers = online.intake().take_queued(
        [Queued("hello", attributes, "q-1", NOW), Queued("hello", {}, "q-2", NOW), Queued("ho", attributes, "q-3", NOW)]
    )

    assert [(answer.status.value, answer.id) for answer in answers] == [
        ("delivered", "q-1"),
        ("invalid", None),
        ("delivered", "q-3"),
    ]
    assert online.received() == [["q-1", "q-3"]]


def test_nothing_is_taken_for_nothing(world: World) -> None:
    assert world.take() == []
