"""The chats: what holds for the fake holds for the table."""

import itertools
import json
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import hypothesis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdas.chat.adapters.table import STATE_ITEM, ChatTable, event_of
from lambdas.chat.core import rules, sessions
from lambdas.chat.core.errors import ChatError, Unreadable
from lambdas.chat.core.model import Change, Chat, EventType, Person, Role
from lambdas.chat.core.ports import Chats, Overtaken, Wait
from lambdas.chat.core.rules import Phase
from tests.chats import ANA, BO, DAN, LIMITS, TALKATIVE, FakeChats, later, waiting
from tests.contract.conftest import create_table, rows
from tests.fakes import FakeClock

RETENTION = timedelta(days=90)


@pytest.fixture
def table(cloud: None) -> ChatTable:
    name = create_table("Chats", "collection", "item")
    return ChatTable(name, boto3.client("dynamodb"), RETENTION)


@pytest.fixture(params=["fake", "table"])
def chats(request: pytest.FixtureRequest) -> Chats:
    return FakeChats() if request.param == "fake" else request.getfixturevalue("table")


class Desk:
    """Decides and writes, as the sessions do, where nobody else does anything."""

    def __init__(self, chats: Chats, chat_id: str = "c-1") -> None:
        self.chats, self.chat_id = chats, chat_id

    def start(self, by: Person = ANA, *, at: float = 0, last: str | None = None) -> Change:
        change = rules.start(self.chat_id, by, "my order", LIMITS, later(at))
        self.chats.put(None, change, last=last)
        return change

    def do(self, decide: Callable[[Chat], Change | None]) -> Change:
        before = self.chats.get(self.chat_id)
        assert before
        return self.put(before, decide(before))

    def put(self, before: Chat, change: Change | None) -> Change:
        assert change
        self.chats.put(before, change)
        return change

    def accept(self, by: Person = BO) -> Change:
        return self.do(lambda chat: rules.accept(chat, by, later(1)))

    def send(self, message_id: str = "m-1", text: str = "hello", by: Person = ANA) -> Change:
        return self.do(lambda chat: rules.send(chat, by, message_id, text, TALKATIVE, later(2)))

    def end(self) -> Change:
        return self.do(lambda chat: rules.end(chat, Person(role=Role.CUSTOMER, user=chat.customer), later(3)))


@pytest.fixture
def desk(chats: Chats) -> Desk:
    return Desk(chats)


def test_there_is_nothing_at_first(chats: Chats) -> None:
    assert chats.get("c-1") is None
    assert chats.last_chat_of("ana") is None
    assert chats.sent("c-1", "m-1") is None
    assert chats.events("c-1", after=0, limit=10) == []
    assert chats.waiting(limit=10) == []
    assert chats.active_of("bo") == []
    assert chats.agents() == []
    assert chats.parked("c-1") is None


def test_a_chat_and_its_log_come_back_as_they_were(chats: Chats, desk: Desk) -> None:
    told = [desk.start(), desk.accept(), desk.send(text="Grüße ☕"), desk.end()]
    told.append(desk.do(lambda chat: rules.rate(chat, ANA, 4, "thanks", LIMITS, later(4))))

    assert chats.get("c-1") == told[-1].chat
    assert chats.events("c-1", after=0, limit=10) == [change.event for change in told]


def test_the_log_is_read_from_anywhere_and_as_far_as_asked(chats: Chats, desk: Desk) -> None:
    desk.start()
    for number in range(2, 13):
        desk.send(f"m-{number}")

    def numbers(after: int, limit: int) -> list[int]:
        return [event.number for event in chats.events("c-1", after=after, limit=limit)]

    assert numbers(0, 3) == [1, 2, 3]
    assert numbers(8, 3) == [9, 10, 11]
    assert numbers(9, 100) == [10, 11, 12]
    assert numbers(0, 12) == list(range(1, 13))
    assert numbers(12, 100) == numbers(10**9, 100) == numbers(0, 0) == []


def test_a_log_that_is_longer_than_one_answer_of_dynamodb(chats: Chats, desk: Desk) -> None:
    """Which holds a megabyte at most, and what else there is of the chat is not in it."""
    desk.start()
    for number in range(2, 102):
        desk.send(f"m-{number}", "☕" * 4_000)

    assert [event.number for event in chats.events("c-1", after=0, limit=200)] == list(range(1, 102))
    assert len(chats.events("c-1", after=0, limit=95)) == 95


def test_a_message_is_found_by_its_id(chats: Chats, desk: Desk) -> None:
    desk.start()
    change = desk.send("m-1")

    assert chats.sent("c-1", "m-1") == change.event
    assert chats.sent("c-1", "m-") is None
    assert chats.sent("c-2", "m-1") is None


def test_the_queue_is_in_the_order_of_coming(chats: Chats) -> None:
    for chat_id, user, at in (("c-3", "cleo", 2), ("c-1", "ana", 1), ("c-2", "dan", 3)):
        Desk(chats, chat_id).start(Person(role=Role.CUSTOMER, user=user), at=at)

    assert [chat.id for chat in chats.waiting(limit=10)] == ["c-1", "c-3", "c-2"]
    assert [chat.id for chat in chats.waiting(limit=2)] == ["c-1", "c-3"]

    Desk(chats, "c-3").accept()

    assert [chat.id for chat in chats.waiting(limit=10)] == ["c-1", "c-2"]


def test_who_comes_back_has_the_old_place(chats: Chats) -> None:
    first, second = Desk(chats, "c-1"), Desk(chats, "c-2")
    first.start()
    second.start(DAN, at=1)
    first.accept()

    back = first.do(lambda chat: rules.transfer(chat, BO, None, later(50)))

    assert [chat.id for chat in chats.waiting(limit=10)] == ["c-1", "c-2"]
    assert chats.waiting(limit=1) == [back.chat]


def test_the_queue_has_the_chats_as_they_are_now(chats: Chats, desk: Desk) -> None:
    desk.start()

    said = desk.send()

    assert chats.waiting(limit=10) == [said.chat] == [chats.get("c-1")]


def test_what_ended_in_the_queue_is_in_it_no_more(chats: Chats, desk: Desk) -> None:
    desk.start()
    desk.end()

    assert chats.waiting(limit=10) == []


def test_the_chats_of_an_agent(chats: Chats) -> None:
    for chat_id, by in (("c-1", ANA), ("c-2", DAN)):
        Desk(chats, chat_id).start(by)
        Desk(chats, chat_id).accept()
    assert sorted(chats.active_of("bo")) == ["c-1", "c-2"]

    Desk(chats, "c-1").do(lambda chat: rules.transfer(chat, BO, "cy", later(2)))
    Desk(chats, "c-2").end()

    assert chats.active_of("bo") == []
    assert chats.active_of("cy") == ["c-1"]
    assert chats.active_of("b") == []


def test_the_last_chat_of_a_customer(chats: Chats, desk: Desk) -> None:
    for do in (desk.start, desk.accept, desk.end):
        do()
        assert chats.last_chat_of("ana") == "c-1"
    assert chats.last_chat_of("an") is None

    Desk(chats, "c-2").start(last="c-1")

    assert chats.last_chat_of("ana") == "c-2"


def test_of_two_who_decide_about_the_same_one_is_overtaken(chats: Chats, desk: Desk) -> None:
    desk.start()
    before = chats.get("c-1")
    assert before
    desk.accept()
    now, log = chats.get("c-1"), chats.events("c-1", after=0, limit=10)

    for late in (
        rules.accept(before, Person(role=Role.AGENT, user="cy"), later(1)),
        rules.send(before, ANA, "m-1", "hello", LIMITS, later(1)),
        rules.end(before, ANA, later(1)),
    ):
        with pytest.raises(Overtaken):
            desk.put(before, late)

    assert chats.get("c-1") == now
    assert chats.events("c-1", after=0, limit=10) == log
    assert chats.sent("c-1", "m-1") is None
    assert chats.active_of("cy") == []
    assert chats.last_chat_of("ana") == "c-1"


def test_the_same_write_again_is_overtaken_by_itself(chats: Chats, desk: Desk) -> None:
    change = desk.start()

    with pytest.raises(Overtaken):
        chats.put(None, change)


@pytest.mark.parametrize("last", [None, "c-0"])
def test_a_customer_who_has_started_another_chat_gets_no_second(chats: Chats, desk: Desk, last: str | None) -> None:
    desk.start()

    with pytest.raises(Overtaken):
        Desk(chats, "c-2").start(last=last)

    assert chats.get("c-2") is None
    assert [chat.id for chat in chats.waiting(limit=10)] == ["c-1"]


def test_an_id_that_is_taken_takes_no_other_message(chats: Chats, desk: Desk) -> None:
    desk.start()
    first = desk.send("m-1", "hello")

    with pytest.raises(Overtaken):
        desk.send("m-1", "something else")

    assert chats.get("c-1") == first.chat
    assert chats.sent("c-1", "m-1") == first.event


def test_a_chat_nobody_started_cannot_be_changed(chats: Chats) -> None:
    with pytest.raises(Overtaken):
        chats.put(waiting(), rules.send(waiting(), ANA, "m-1", "hello", LIMITS, later(1)))

    assert chats.get("c-1") is None


def test_who_is_at_the_desk(chats: Chats) -> None:
    for agent in ("cy", "bo", "bo"):
        chats.sit_down(agent)
    assert chats.agents() == ["bo", "cy"]

    for _ in range(2):
        chats.leave("bo")

    assert chats.agents() == ["cy"]


def test_a_later_wait_takes_the_place_of_an_earlier_one_and_never_the_other_way(chats: Chats) -> None:
    """Written after its state was left: a function that was slow, or is called again."""
    first, second, third = (
        Wait(f"token-{entry}", phase, entry) for phase, entry in zip(Phase, (1, 9, 10), strict=False)
    )

    assert chats.park("c-1", second) is True
    assert chats.park("c-1", first) is False
    assert chats.park("c-1", second) is True
    assert chats.parked("c-1") == second
    assert chats.park("c-1", third) is True
    assert chats.parked("c-1") == third
    assert chats.parked("c-2") is None


# The table alone


def test_the_stream_brings_every_event_with_who_is_told(table: ChatTable) -> None:
    """In the chat's row: the stream keeps the order of each row, and of nothing else."""
    desk = Desk(table)
    for do in (desk.start, desk.accept, desk.send, desk.end):
        change = do()

        (state,) = (row for row in rows("Chats") if row["item"]["S"] == STATE_ITEM)

        assert event_of(state) == (change.event, list(change.to))


def test_what_happened_and_what_is_over_expires_when_it_has_been_kept_long_enough(table: ChatTable) -> None:
    desk = Desk(table)
    desk.start()
    desk.accept()
    desk.send()
    table.park("c-1", Wait("token", Phase.WAITING, 1))
    desk.end()

    expirations = {row["item"]["S"]: int(row["expiration_date"]["N"]) for row in rows("Chats")}

    assert {"state", "wait", "sent#m-1", "event#00000001", "event#00000004"} <= expirations.keys()
    # The clock of this machine: nothing but the removal depends on it.
    assert all(abs(expires - time.time() - RETENTION.total_seconds()) < 60 for expires in expirations.values())


def test_what_is_needed_for_as_long_as_a_chat_goes_on_does_not_expire(table: ChatTable) -> None:
    Desk(table, "c-1").start()
    Desk(table, "c-1").accept()
    Desk(table, "c-2").start(DAN)
    table.sit_down("bo")

    kept = {(row["collection"]["S"], row["item"]["S"]) for row in rows("Chats") if "expiration_date" not in row}

    assert kept == {
        ("chat#c-1", "state"),
        ("chat#c-2", "state"),
        ("customer#ana", "open"),
        ("customer#dan", "open"),
        ("agent#bo", "chat#c-1"),
        ("queue", "2030-01-31T12:00:00.000+00:00#c-2"),
        ("desk", "bo"),
    }


@pytest.mark.parametrize("removed", [("chat#c-1", "state"), ("customer#ana", "open")])
def test_a_row_that_was_removed_locks_no_customer_out(table: ChatTable, removed: tuple[str, str]) -> None:
    """By hand, or because it was not in a backup."""
    first = Desk(table, "c-1").start().chat
    table.client.delete_item(TableName="Chats", Key={"collection": {"S": removed[0]}, "item": {"S": removed[1]}})

    chat, is_new = sessions.start(table, ANA, None, LIMITS, new_id=lambda: "c-2", clock=FakeClock())

    assert (chat.id, is_new) == ("c-2", True)
    if table.get("c-1"):
        Desk(table, "c-1").put(first, rules.end(first, ANA, later(9)))
    Desk(table, "c-2").end()
    assert sessions.start(table, ANA, None, LIMITS, new_id=lambda: "c-3", clock=FakeClock())[1] is True


def test_a_chat_whose_row_of_the_customer_is_gone_ends_all_the_same(table: ChatTable) -> None:
    desk = Desk(table)
    desk.start()
    table.client.delete_item(TableName="Chats", Key={"collection": {"S": "customer#ana"}, "item": {"S": "open"}})

    assert desk.end().chat == table.get("c-1")


def store(row: dict[str, Any], **texts: str) -> None:
    """Write a row as another version would have."""
    stored = row | {name: {"S": text} for name, text in texts.items()}
    boto3.client("dynamodb").put_item(TableName="Chats", Item=stored)


def newer(text: str) -> str:
    """A JSON object with what only a newer version knows, also in the objects inside."""
    value = json.loads(text)
    inside = {name: {**each, "priority": 1} for name, each in value.items() if isinstance(each, dict)}
    return json.dumps({**value, **inside, "priority": 1})


def test_what_a_newer_version_has_written_is_read(table: ChatTable) -> None:
    """Or there would be no way back from it."""
    desk = Desk(table)
    desk.start()
    said = desk.send()
    picture = [table.get("c-1"), table.sent("c-1", "m-1"), table.events("c-1", after=0, limit=9)]
    for row in rows("Chats"):
        store(row, **{name: newer(row[name]["S"]) for name in ("chat", "event") if name in row})

    assert [table.get("c-1"), table.sent("c-1", "m-1"), table.events("c-1", after=0, limit=9)] == picture
    assert table.waiting(limit=10) == [said.chat]
    stored = next(row for row in rows("Chats") if row["item"]["S"] == "event#00000002")
    people = [{**person, "priority": 1} for person in json.loads(stored["people"]["S"])]
    assert event_of(stored | {"people": {"S": json.dumps(people)}}) == (said.event, list(said.to))


@pytest.mark.parametrize("text", ["{", "{}", '{"id": "s3cr3t"}'])
def test_what_cannot_be_read_is_left_out_of_the_queue(table: ChatTable, text: str) -> None:
    Desk(table, "c-1").start()
    Desk(table, "c-2").start(DAN, at=1)
    first = next(row for row in rows("Chats") if row["collection"]["S"] == "queue")
    store(first, chat=text)

    assert [chat.id for chat in table.waiting(limit=10)] == ["c-2"]


def test_of_a_chat_that_cannot_be_read_no_value_is_told(table: ChatTable) -> None:
    Desk(table).start()
    state = next(row for row in rows("Chats") if row["item"]["S"] == "state")
    store(state, chat=json.dumps({**json.loads(state["chat"]["S"]), "status": "s3cr3t"}))

    with pytest.raises(Unreadable) as unreadable:
        table.get("c-1")
    assert "s3cr3t" not in "".join(traceback.format_exception(unreadable.value))


def test_nothing_is_left_of_a_chat_that_is_over_but_the_chat(table: ChatTable) -> None:
    desk = Desk(table)
    desk.start()
    desk.accept()
    desk.do(lambda chat: rules.transfer(chat, BO, None, later(2)))
    desk.accept()
    desk.end()

    found_by = [row for row in rows("Chats") if row["collection"]["S"] != "chat#c-1"]
    assert [(row["collection"]["S"], row["item"]["S"]) for row in found_by] == [("customer#ana", "open")]
    assert all("expiration_date" in row for row in rows("Chats"))


# Anything, in any order

Step = tuple[int, str, int]
_numbers = itertools.count(1)


# A failure is short as it is; to make it shorter takes minutes.
@settings(
    max_examples=25,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["start", "accept", "send", "transfer", "requeue", "end", "rate", "away", "back", "time"]),
            st.integers(0, 2),
        ),
        max_size=25,
    )
)
def test_the_table_says_what_the_fake_says(table: ChatTable, steps: list[Step]) -> None:
    place, fake = f"{next(_numbers)}-", FakeChats()
    customers, agents, chat_ids = ([f"{place}{kind}{number}" for number in range(3)] for kind in "uac")
    for seconds, (which, what, who) in enumerate(steps, start=1):
        customer = Person(role=Role.CUSTOMER, user=customers[who if what == "start" else which])
        agent = Person(role=Role.AGENT, user=agents[who])
        chat_id, now = chat_ids[which], later(seconds * (1_000 if what == "time" else 1))
        before = fake.get(chat_id)
        try:
            change = _decide(what, before, chat_id, customer, agent, f"m-{who}", now)
        except ChatError:
            continue
        if change is None:
            continue
        outcomes = [_outcome(chats, before, change) for chats in (fake, table)]
        assert outcomes[0] == outcomes[1]

    def picture(chats: Chats) -> list[Any]:
        return [
            [chats.get(chat_id) for chat_id in chat_ids],
            [chats.events(chat_id, after=0, limit=100) for chat_id in chat_ids],
            [chats.sent(chat_id, f"m-{number}") for chat_id in chat_ids for number in range(3)],
            [chats.last_chat_of(customer) for customer in customers],
            [sorted(chats.active_of(agent)) for agent in agents],
            [chat for chat in chats.waiting(limit=10_000) if chat.id.startswith(place)],
        ]

    assert picture(table) == picture(fake)


def _decide(
    what: str, chat: Chat | None, chat_id: str, customer: Person, agent: Person, message_id: str, now: Any
) -> Change | None:
    if what == "start":
        # Whether or not there is one: the store says.
        return rules.start(chat_id, customer, None, LIMITS, now)
    if chat is None:
        return None
    customer = Person(role=Role.CUSTOMER, user=chat.customer)
    has_it = Person(role=Role.AGENT, user=chat.agent or agent.user)
    decided: dict[str, Callable[[], Change | None]] = {
        "accept": lambda: rules.accept(chat, agent, now),
        "send": lambda: rules.send(chat, customer, message_id, "hello", LIMITS, now),
        "transfer": lambda: rules.transfer(chat, has_it, agent.user, now),
        "requeue": lambda: rules.transfer(chat, has_it, None, now),
        "end": lambda: rules.end(chat, customer, now),
        "rate": lambda: rules.rate(chat, customer, 3, None, LIMITS, now),
        "away": lambda: rules.agent_left(chat, has_it.user, LIMITS, now),
        "back": lambda: rules.agent_returned(chat, has_it.user, now),
        "time": lambda: rules.time_passed(chat, LIMITS, now),
    }
    return decided[what]()


def _outcome(chats: Chats, before: Chat | None, change: Change) -> str:
    try:
        chats.put(None if change.event.type is EventType.WAITING else before, change)
    except Overtaken:
        return "overtaken"
    return "written"
