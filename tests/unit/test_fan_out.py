"""The fan-out: what is one, who gets it, and what becomes of who does not."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError

from lambdas.core import fan_out
from lambdas.core.errors import InvalidMessage, MessageExpired, ServiceUnavailable
from lambdas.core.fan_out import HAND_OVER_SECONDS, PART_SIZE, STARTS_AT_ONCE, FanOut, Part, Posted, Summary
from lambdas.core.model import Connection
from lambdas.core.ports import PostResult
from ringback import envelope
from ringback.fan_out import describe, parse, personal_id
from ringback.names import execution_name, same_message
from tests.builders import DAY_SECONDS, connection, recipient
from tests.fakes import (
    FakeClock,
    FakeConnections,
    FakeConversations,
    FakeDeliveries,
    FakePoster,
    FakeSockets,
)

POSTED, GONE, THROTTLED, FAILED = PostResult.POSTED, PostResult.GONE, PostResult.THROTTLED, PostResult.FAILED
PLACE = {"context": "chat", "contextId": "42"}


def users(*names: str) -> dict[str, Any]:
    return {"users": list(names), **PLACE}


def task(audience: dict[str, Any] | None = None, part: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """What a state hands its function."""
    value = {"id": "news-7", "message": {"payload": {"n": 1}}, "audience": audience or users("ana"), **changes}
    execution = {"arn": "arn:…:run-1", "name": "run-1", "startedAt": "2030-01-31T12:00:00.000Z"}
    return {"fanOut": value, "execution": execution, "part": part or {"users": ["ana"], "size": 1}}


def read(audience: dict[str, Any] | None = None, **changes: Any) -> FanOut:
    return FanOut.from_task(task(audience, **changes), default_ttl_seconds=DAY_SECONDS)


@dataclass
class World:
    """Everything outside, as fakes."""

    clock: FakeClock = field(default_factory=FakeClock)
    connections: FakeConnections = field(default_factory=FakeConnections)
    sockets: FakeSockets = field(default_factory=FakeSockets)
    deliveries: FakeDeliveries = field(default_factory=FakeDeliveries)

    def __post_init__(self) -> None:
        self.conversations = FakeConversations(connections=self.connections)
        self.poster = FakePoster(self.sockets)

    def connect(self, user: str, *ids: str, inside: bool = True, **options: Any) -> None:
        attributes = options.pop("attributes", {})
        for connection_id in ids or (user,):
            made = connection(connection_id, recipient(user), **options)
            self.connections.put(made._replace(in_conversation=inside, attributes=attributes))

    def post(self, sent: FanOut, part: dict[str, Any]) -> Summary:
        return self.answer(sent, part).summary

    def answer(self, sent: FanOut, part: dict[str, Any]) -> Posted:
        return fan_out.post_part(
            sent,
            Part.from_task({"part": part}),
            connections=self.connections,
            conversations=self.conversations,
            poster=self.poster,
            sockets=self.sockets,
            clock=self.clock,
        )

    def owed(self, sent: FanOut, part: dict[str, Any]) -> set[str]:
        """Post to a part; who is owed the message then."""
        answer = self.answer(sent, part)
        assert len(set(answer.owed)) == len(answer.owed)
        assert self.deliveries.runs == {}
        return set(answer.owed)

    def hand_over(self, sent: FanOut, part: dict[str, Any]) -> Summary:
        return fan_out.hand_over_part(
            sent,
            Part.from_task({"part": part}),
            connections=self.connections,
            conversations=self.conversations,
            deliveries=self.deliveries,
            clock=self.clock,
        )

    @property
    def received(self) -> dict[str, list[dict[str, Any]]]:
        return {name: [json.loads(frame) for frame in frames] for name, frames in self.sockets.posts.items()}

    @property
    def handed_over(self) -> dict[str, dict[str, Any]]:
        return {run["recipient"]["user"]: run for run in map(json.loads, self.deliveries.runs.values())}


def named(*names: str) -> dict[str, Any]:
    return {"users": list(names), "size": len(names)}


WHOLE: dict[str, Any] = {"after": None, "upTo": None, "size": 3}
CONVERSATION = {"conversation": PLACE}


@pytest.fixture
def world() -> World:
    return World()


# What is one


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"audience": {}}, "audience: give exactly one of users, list and conversation"),
        ({"audience": 7}, "audience: must be a JSON object"),
        ({"audience": {**users("ana"), **CONVERSATION}}, "audience: give exactly one of users, list and conversation"),
        ({"audience": {"users": ["ana"]}}, "audience: give context and contextId beside users or list"),
        ({"audience": {**CONVERSATION, **PLACE}}, "audience: give context and contextId inside conversation"),
        ({"audience": users()}, "audience.users: "),
        ({"audience": users("an a")}, "audience.users.0: must be printable ASCII"),
        ({"audience": {"list": {"key": "ana.csv"}, **PLACE}}, "audience.list.key: must name JSON Lines"),
        ({"audience": {"conversation": {"context": "chat"}}}, "audience.conversation.contextId: is missing"),
        ({"exclude": ["a#b"]}, "exclude.0: must be printable ASCII"),
        ({"where": {"s3cr3t": None}}, "where: at most 10 attributes"),
        ({"where": {"plan": []}}, "where: at most 10 attributes"),
        ({"where": dict.fromkeys("abcdefghijk", "x")}, "where: at most 10 attributes"),
        ({"id": "x" * 101}, "id: "),
        ({"to": "all"}, "to: there is no such field"),
        ({"message": {}}, "message.payload: is missing"),
        ({"message": {"payload": {"s3cr3t": float("nan")}}}, None),
        ({"message": {"payload": 1, "recipient": {}}}, "message.recipient: there is no such field"),
        ({"message": {"payload": 1, "ack": "client"}}, "message.ack: there is no such field"),
        ({"message": {"payload": 1, "durable": False}}, "message.durable: give it beside message: whether whoever"),
        ({"message": {"payload": 1, "retry": {}}}, "give message.retry with durable only"),
        (
            {"message": {"payload": 1, "ttlSeconds": 1, "expiresAt": "2030-02-01T00:00:00Z"}},
            "message: give expiresAt or ttlSeconds, not both",
        ),
    ],
)
def test_what_is_no_fan_out_is_told_so_in_plain_words(change: dict[str, Any], said: str | None) -> None:
    value = task()["fanOut"] | change
    if said is None:
        parse(value)
        return
    with pytest.raises(ValidationError) as caught:
        parse(value)
    assert said in describe(caught.value)
    assert "s3cr3t" not in describe(caught.value)
    with pytest.raises(InvalidMessage):
        FanOut.from_task({**task(), "fanOut": value}, default_ttl_seconds=1)


@pytest.mark.parametrize("value", [None, [], "x", 7])
def test_what_is_no_object_is_no_fan_out(value: object) -> None:
    with pytest.raises(InvalidMessage, match=r"^fan-out: must be a JSON object$"):
        FanOut.from_task({**task(), "fanOut": value}, default_ttl_seconds=1)


def test_a_fan_out_without_an_id_has_its_runs_name() -> None:
    assert read(id=None).id == "run-1"


def test_everybody_has_an_id_of_their_own_that_follows_from_the_fan_outs() -> None:
    longest = personal_id("x" * 100, "ana")

    assert personal_id("news-7", "ana") == "news-7-24d4b96f58da6d4a"
    assert personal_id("news-7", "ben") != personal_id("news-7", "ana")
    assert envelope.parse({"id": longest, "recipient": {"user": "ana", **PLACE}, "payload": 1}).id == longest


# The plan


def plan(world: World, sent: FanOut, *, knows_conversations: bool = True) -> dict[str, Any]:
    return fan_out.plan(sent, conversations=world.conversations if knows_conversations else None, clock=world.clock)


def test_users_are_cut_into_parts_once_each_and_without_the_excluded(world: World) -> None:
    names = [f"u{number}" for number in range(PART_SIZE + 10)]

    parts = plan(world, read(users(*names, *names), exclude=["u0", "stranger"]))["parts"]

    assert [part["size"] for part in parts] == [PART_SIZE, 9]
    assert [user for part in parts for user in part["users"]] == names[1:]


def test_a_conversation_is_cut_into_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "PART_SIZE", 2)
    for user in ("ana", "ben", "cleo"):
        world.connect(user)

    assert plan(world, read(CONVERSATION))["parts"] == [
        {"after": None, "upTo": "ben", "size": 2},
        {"after": "ben", "upTo": None, "size": 1},
    ]


def test_an_empty_conversation_has_no_parts(world: World) -> None:
    assert plan(world, read(CONVERSATION)) == {"kind": "parts", "parts": []}


def test_a_conversation_that_is_too_large_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "PART_SIZE", 1)
    monkeypatch.setattr(fan_out, "MAX_PAGES", 2)
    for user in ("ana", "ben", "cleo"):
        world.connect(user)

    with pytest.raises(InvalidMessage, match="more than 2 connections; give its users as a list"):
        plan(world, read(CONVERSATION))


def test_where_tokens_name_no_conversations_nobody_is_reached_by_one(world: World) -> None:
    with pytest.raises(InvalidMessage, match=r"set token\.contexts_claim in its settings, or name the users"):
        plan(world, read(CONVERSATION), knows_conversations=False)


def test_a_stored_list_is_left_to_the_state_machine(world: World) -> None:
    sent = read({"list": {"key": "gold/2030.jsonl"}, **PLACE})

    assert plan(world, sent) == {"kind": "list", "key": "gold/2030.jsonl", "parts": []}


def test_what_could_never_be_posted_is_refused_before_anything_is(world: World) -> None:
    with pytest.raises(InvalidMessage, match="the frame would be"):
        plan(world, read(message={"payload": "x" * 131_072}))
    with pytest.raises(InvalidMessage, match="at most 604800 seconds ahead"):
        plan(world, read(message={"payload": 1, "expiresAt": "2031-01-01T00:00:00Z"}))
    with pytest.raises(MessageExpired):
        plan(world, read(message={"payload": 1, "expiresAt": "2030-01-31T12:00:00Z"}))


def test_a_fan_out_with_a_part_beside_it_fits_into_what_a_state_takes(world: World) -> None:
    most = [f"{number:0>30}" for number in range(6_000)]
    plan(world, read(users(*most)))
    with pytest.raises(InvalidMessage, match="name fewer users, or give them as a list in the bucket"):
        plan(world, read(users(*most), message={"payload": "x" * 60_000}))
    with pytest.raises(InvalidMessage, match="name fewer users"):
        plan(world, read({"list": {"key": "l.jsonl"}, **PLACE}, exclude=most))
    plan(world, read(CONVERSATION, exclude=most))
    with pytest.raises(InvalidMessage, match="name fewer users"):
        plan(world, read(CONVERSATION, exclude=most, durable=True))


# Posting


def test_everybody_gets_it_on_every_connection_under_an_id_of_their_own(world: World) -> None:
    world.connect("ana", "phone", "tab")
    world.connect("ben")
    message = {"payload": {"n": 1}, "type": "news", "correlationId": "c-1", "ttlSeconds": 60}

    summary = world.post(read(users("ana", "ben"), message=message), named("ana", "ben"))

    assert summary == Summary(people=2, posted=3)
    frame = {"kind": "message", "id": personal_id("news-7", "ana"), "type": "news", "payload": {"n": 1}} | {
        "sentAt": "2030-01-31T12:00:00.000Z",
        "attempt": 1,
        "correlationId": "c-1",
    }
    assert world.received == {
        "phone": [frame],
        "tab": [frame],
        "ben": [frame | {"id": personal_id("news-7", "ben")}],
    }
    assert list(world.received["ben"][0]) == list(frame)


def test_a_payload_that_looks_like_the_id_stays_what_it_is(world: World) -> None:
    world.connect("ana")
    payload = [personal_id("news-7", "somebody"), '"', "\\", "news-7"]

    world.post(read(message={"payload": payload}, id="news-7"), named("ana"))

    (frame,) = world.received["ana"]
    assert (frame["id"], frame["payload"]) == (personal_id("news-7", "ana"), payload)


@pytest.mark.parametrize("fan_out_id", ['say-"hi"', "back\\slash", "kind", "message"])
def test_any_id_makes_a_frame(world: World, fan_out_id: str) -> None:
    world.connect("ana")

    world.post(read(id=fan_out_id), named("ana"))

    assert world.received["ana"][0]["id"] == personal_id(fan_out_id, "ana")


def test_gone_connections_are_forgotten_and_no_others(world: World) -> None:
    world.connect("ana", "dead", "alive")
    world.sockets.answers["dead"] = [GONE]

    summary = world.post(read(), named("ana"))

    assert summary == Summary(people=1, posted=1, gone=1)
    assert [row.connection_id for row in world.connections.of_user("ana")] == ["alive"]


def test_a_young_connections_410_is_tried_again_and_forgets_nothing(world: World) -> None:
    world.connect("ana", "opening", age_seconds=0)
    world.connect("ben", "closing", age_seconds=0)
    world.sockets.answers = {"opening": [GONE, GONE, POSTED], "closing": [GONE]}

    summary = world.post(read(users("ana", "ben")), named("ana", "ben"))

    assert summary == Summary(people=2, posted=1, gone=1)
    assert len(world.connections.rows) == 2
    assert world.clock.slept == [0.1, 0.2, 0.4, 0.8]


@pytest.mark.parametrize(("result", "counted"), [(THROTTLED, {"throttled": 1}), (FAILED, {"failed": 1})])
def test_what_is_busy_is_tried_again_and_never_forgotten(
    world: World, result: PostResult, counted: dict[str, int]
) -> None:
    world.connect("ana", "busy")
    world.connect("ben", "slow")
    world.sockets.answers = {"busy": [result], "slow": [result, POSTED]}

    summary = world.post(read(users("ana", "ben")), named("ana", "ben"))

    assert summary == Summary(people=2, posted=1, **counted)
    assert world.poster.rounds == [["busy", "slow"], ["busy", "slow"], ["busy"], ["busy"], ["busy"]]
    assert len(world.connections.rows) == 2


def test_a_connection_whose_token_has_ended_is_closed_and_not_posted_to(world: World) -> None:
    world.connect("ana", "ended", token_life_seconds=-1)

    assert world.post(read(), named("ana")) == Summary(people=1, gone=1)
    assert world.sockets.closed == ["ended"]
    assert (world.poster.rounds, world.connections.rows) == ([], {})


def test_who_is_excluded_gets_nothing(world: World) -> None:
    world.connect("ana")
    world.connect("ben")

    summary = world.post(read(CONVERSATION, exclude=["ben"], durable=True), WHOLE)

    assert (summary, list(world.received)) == (Summary(people=1, posted=1), ["ana"])
    assert world.post(read(users("ana", "ben"), exclude=["ben"]), named("ana", "ben")).people == 1


@pytest.mark.parametrize(
    ("where", "reached"),
    [
        ({"plan": "gold"}, {"ana"}),
        ({"plan": ["gold", "silver"]}, {"ana", "ben"}),
        ({"plan": ["gold", "silver"], "beta": True}, {"ben"}),
        ({"seats": 3}, {"cleo"}),
        ({"seats": [1, 3.0]}, {"cleo"}),
        ({"seats": "3"}, {"cleo"}),
        ({"nobody": "has this"}, set()),
        ({}, {"ana", "ben", "cleo"}),
    ],
)
@pytest.mark.parametrize("audience", [CONVERSATION, users("ana", "ben", "cleo")], ids=["conversation", "users"])
def test_only_connections_with_the_attributes_get_it(
    world: World, where: dict[str, Any], reached: set[str], audience: dict[str, Any]
) -> None:
    world.connect("ana", attributes={"plan": "gold"})
    world.connect("ben", attributes={"plan": "silver", "beta": "true"})
    world.connect("cleo", attributes={"seats": "3"})
    part = WHOLE if "conversation" in audience else named("ana", "ben", "cleo")

    summary = world.post(read(audience, where=where), part)

    assert set(world.received) == reached
    assert summary == Summary(people=len(reached), posted=len(reached))


def test_a_conversation_reaches_only_who_was_allowed_into_it(world: World) -> None:
    world.connect("ana")
    world.connect("ben", inside=False)
    world.connections.put(connection("next-door", recipient("cleo", context_id="43"))._replace(in_conversation=True))

    assert world.post(read(CONVERSATION), WHOLE) == Summary(people=1, posted=1)
    assert list(world.received) == ["ana"]


def test_a_page_is_its_users(world: World) -> None:
    for user in ("ana", "ben", "cleo", "dan"):
        world.connect(user)

    world.post(read(CONVERSATION), {"after": "ana", "upTo": "cleo", "size": 2})

    assert set(world.received) == {"ben", "cleo"}


def test_a_fan_out_that_expires_on_its_way_is_posted_no_more(world: World) -> None:
    world.connect("ana")
    sent = read(message={"payload": 1, "ttlSeconds": 5})
    world.clock.sleep(5)

    with pytest.raises(MessageExpired):
        world.post(sent, named("ana"))
    with pytest.raises(MessageExpired):
        world.hand_over(sent, named("ana"))
    assert (world.received, world.deliveries.runs) == ({}, {})


def test_lines_of_a_stored_list_are_users_in_two_forms_and_the_others_are_counted(world: World) -> None:
    world.connect("ana")
    world.connect("ben")
    lines: list[Any] = ["ana", {"user": "ben", "name": "Ben"}, "ana", "no user", "", 7, None, {"name": "x"}, ["ana"]]

    summary = world.post(read({"list": {"key": "l.jsonl"}, **PLACE}), {"users": lines, "size": len(lines)})

    assert summary == Summary(people=2, posted=2, failed=6)


def test_a_table_that_does_not_answer_is_a_failure_of_each_person(world: World) -> None:
    world.connections.down = {"of_recipient"}

    assert world.post(read(users("ana", "ben")), named("ana", "ben")) == Summary(people=2, failed=2)


# Who missed it


def test_who_missed_a_durable_one_is_owed_it(world: World) -> None:
    world.connect("ana", "tab", "dead-tab")
    world.connect("ben", "dead-phone")
    world.sockets.answers = {"dead-tab": [GONE], "dead-phone": [GONE]}
    sent = read(users("ana", "ben", "cleo"), durable=True)

    answer = world.answer(sent, named("ana", "ben", "cleo"))

    assert answer == Posted(Summary(people=3, posted=1, gone=2), owed=("ben", "cleo"))
    assert answer.to_state() == {
        "summary": answer.summary.to_state(),
        "part": {"users": ["ben", "cleo"], "size": 2, "owed": True},
    }


@pytest.mark.parametrize("result", [GONE, THROTTLED, FAILED])
def test_in_a_conversation_it_is_who_could_not_be_posted_to(world: World, result: PostResult) -> None:
    world.connect("ana")
    world.connect("ben", "ben-1", "ben-2")
    world.sockets.answers = {"ben-1": [result], "ben-2": [result]}

    assert world.owed(read(CONVERSATION, durable=True), WHOLE) == {"ben"}


def test_nobody_is_owed_it_unless_it_is_durable(world: World) -> None:
    world.connections.down = {"of_recipient"}

    assert world.answer(read(users("ana")), named("ana")) == Posted(Summary(people=1, failed=1))


def test_of_somebody_who_is_not_there_nobody_knows_the_attributes(world: World) -> None:
    sent = read(users("ana", "ben"), where={"plan": "gold"}, durable=True)
    world.connect("ana", attributes={"plan": "gold"})
    world.sockets.answers = {"ana": [GONE]}

    assert world.answer(sent, named("ana", "ben")) == Posted(Summary(people=1, gone=1), owed=("ana",))
    world.connections.down = {"of_recipient"}
    assert world.answer(sent, named("ana", "ben")) == Posted(Summary(people=2, failed=2))


def test_who_could_not_be_looked_up_is_owed_a_durable_one(world: World) -> None:
    world.connections.down = {"of_recipient"}

    assert world.answer(read(durable=True), named("ana")) == Posted(Summary(people=1, failed=1), owed=("ana",))


def test_a_page_that_has_become_a_crowd_is_owed_what_a_state_takes(world: World) -> None:
    crowd = [f"{number:0>255}" for number in range(PART_SIZE + 20)]
    for user in crowd:
        world.connect(user)
    world.sockets.answers = {user: [FAILED] for user in crowd}

    answer = world.answer(read(CONVERSATION, durable=True), WHOLE)

    assert len(answer.owed) >= PART_SIZE
    assert len(json.dumps(answer.owed)) <= PART_SIZE * 270
    assert answer.summary == Summary(people=len(crowd), failed=len(crowd) + len(crowd) - len(answer.owed))


# Handing over


def owed(*names: str) -> dict[str, Any]:
    """What is left of a part."""
    return {**named(*names), "owed": True}


def test_everybody_who_is_owed_it_gets_a_delivery_under_the_same_id(world: World) -> None:
    message = {"payload": None, "messageType": "news", "ttlSeconds": 60, "correlationId": None}

    summary = world.hand_over(read(message=message, durable=True), owed("ben", "cleo"))

    assert summary == Summary(handed_over=2), "they have been counted as people"
    assert world.handed_over["ben"] == {
        "id": personal_id("news-7", "ben"),
        "recipient": {"user": "ben", **PLACE},
        "messageType": "news",
        "payload": None,
        "expiresAt": "2030-01-31T12:01:00.000Z",
    }
    assert set(world.handed_over) == {"ben", "cleo"}
    assert set(world.deliveries.runs) == {execution_name(personal_id("news-7", user)) for user in ("ben", "cleo")}
    for run in world.handed_over.values():
        envelope.parse(run)


def test_who_is_owed_it_is_not_looked_up_again(world: World) -> None:
    """Their connections are forgotten by now, and with them their attributes."""
    world.connections.down = {"of_recipient"}
    world.conversations.down = {"of_page"}

    for audience in (users("ana"), CONVERSATION):
        sent = read(audience, where={"plan": "gold"}, durable=True)
        assert world.hand_over(sent, owed("ana")) == Summary(handed_over=1)


def test_handing_over_again_starts_nothing_a_second_time(world: World) -> None:
    sent = read(durable=True)

    assert world.hand_over(sent, owed("ana")) == world.hand_over(sent, owed("ana")) == Summary(handed_over=1)
    assert len(world.deliveries.runs) == 1


def test_an_id_that_belongs_to_another_message_is_a_failure(world: World) -> None:
    world.hand_over(read(durable=True), owed("ana"))

    summary = world.hand_over(read(durable=True, message={"payload": "another"}), owed("ana"))

    assert summary == Summary(failed=1)
    (run,) = world.deliveries.runs.values()
    assert same_message(run, json.dumps(world.handed_over["ana"]))
    assert world.handed_over["ana"]["payload"] == {"n": 1}


def test_deliveries_are_started_some_a_second(world: World) -> None:
    names = [f"u{number}" for number in range(2 * STARTS_AT_ONCE + 1)]

    assert world.hand_over(read(durable=True), owed(*names)).handed_over == len(names)

    assert world.clock.slept == [1, 1]


def test_a_throttled_start_is_made_again_after_longer_and_longer(world: World) -> None:
    stuck = execution_name(personal_id("news-7", "ana"))
    world.deliveries.unreachable.add(stuck)

    with pytest.raises(ServiceUnavailable, match=r"^1 deliveries could not be started$"):
        world.hand_over(read(durable=True), owed("ana", "ben"))

    assert world.clock.slept == [1, 2, 4, 8, 16, 32]
    assert set(world.handed_over) == {"ben"}
    world.deliveries.unreachable.clear()
    assert world.hand_over(read(durable=True), owed("ana", "ben")) == Summary(handed_over=2)


def test_throttling_that_passes_is_forgotten(world: World) -> None:
    names = [f"u{number:02}" for number in range(3 * STARTS_AT_ONCE)]
    stuck = execution_name(personal_id("news-7", names[0]))
    world.deliveries.unreachable.add(stuck)
    sleep = world.clock.sleep

    def sleep_and_let_go(seconds: float) -> None:
        sleep(seconds)
        if len(world.clock.slept) == 5:
            world.deliveries.unreachable.clear()

    world.clock.sleep = sleep_and_let_go  # type: ignore[method-assign]

    assert world.hand_over(read(durable=True), owed(*names)) == Summary(handed_over=len(names))
    # One failed, then two rounds went well; alone, it failed twice.
    assert world.clock.slept == [1, 1, 1, 1, 2]


def test_handing_over_gives_up_in_time_for_the_function(world: World) -> None:
    """However well it goes: what is left is started by the next try."""
    names = [f"u{number}" for number in range(STARTS_AT_ONCE * HAND_OVER_SECONDS + 100)]

    with pytest.raises(ServiceUnavailable, match="deliveries could not be started"):
        world.hand_over(read(durable=True), owed(*names))

    assert sum(world.clock.slept) == HAND_OVER_SECONDS


def test_what_expires_while_it_is_handed_over_is_a_failure(world: World) -> None:
    names = [f"u{number}" for number in range(3 * STARTS_AT_ONCE)]
    sent = read(durable=True, message={"payload": 1, "ttlSeconds": 2})

    assert world.hand_over(sent, owed(*names)) == Summary(handed_over=2 * STARTS_AT_ONCE, failed=STARTS_AT_ONCE)


def test_handing_over_a_part_is_for_everybody_in_it_who_fits(world: World) -> None:
    world.connect("ana", attributes={"plan": "gold"})
    world.connect("ben")

    summary = world.hand_over(read(CONVERSATION, where={"plan": "gold"}, durable=True), WHOLE)
    assert (summary, set(world.handed_over)) == (Summary(people=1, handed_over=1), {"ana"})

    summary = world.hand_over(read(users("ana", "cleo", "dan"), exclude=["dan"], durable=True), named("cleo", "dan"))
    assert (summary, set(world.handed_over)) == (Summary(people=1, handed_over=1), {"ana", "cleo"})
    assert world.received == {}


def test_summaries_are_added_up() -> None:
    task = {"summary": Summary(1, 2, 3, 4, 5, 6).to_state()}

    assert Summary.from_task(task) + Summary(10, 20, 30, 40, 50, 60) == Summary(11, 22, 33, 44, 55, 66)


def test_a_summary_is_numbers_for_the_state_machine() -> None:
    assert Summary(1, 2, 3, 4, 5, 6).to_state() == {
        "people": 1,
        "posted": 2,
        "gone": 3,
        "throttled": 4,
        "failed": 5,
        "handedOver": 6,
    }


def test_attributes_do_not_change_what_a_connection_is_for_its_run() -> None:
    plain = connection()
    assert Connection.from_state(plain.recipient, plain.to_state()) == plain
