"""`publish_events` as DynamoDB's stream calls it, and `notice_presence` as EventBridge does, on moto's tables."""

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.adapters.tables import ConnectionTable
from lambdas.chat.adapters import aws, wiring
from lambdas.chat.adapters.desk import ConnectedDesk
from lambdas.chat.adapters.table import STATE_ITEM, ChatTable
from lambdas.chat.core import rules, sessions
from lambdas.chat.core.model import Chat, Person, Role
from lambdas.chat.core.ports import Wait
from lambdas.chat.core.rules import Phase
from lambdas.chat.triggers import notice_presence, publish_events
from lambdas.clock import SystemClock
from ringback.installation import Installation
from ringback.plain import Recipient
from tests.builders import NOW, connection, presence_event, stream_record
from tests.chats import ANA, BO, CY, DAN, LIMITS
from tests.contract.conftest import SECRET, Stage, create_table, rows, spoil_state
from tests.fakes import FakeClock
from tests.taking import Accept

MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:ChatSession"
DONE: dict[str, Any] = {"batchItemFailures": []}
ALL = "chat.waiting", "chat.accepted", "chat.message", "chat.ended", "chat.rated"


class StepFunctions:
    """boto3's client, as far as runs are started and go on; `fails` names the call that does, and its code."""

    def __init__(self) -> None:
        self.started: dict[str, Any] = {}
        self.completed: list[tuple[str, Any]] = []
        self.fails: dict[str, str] = {}

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:  # noqa: A002, N803
        assert stateMachineArn == MACHINE
        self._meet("StartExecution")
        if name in self.started:
            raise _error("StartExecution", "ExecutionAlreadyExists")
        self.started[name] = json.loads(input)

    def send_task_success(self, *, taskToken: str, output: str) -> None:  # noqa: N803
        self._meet("SendTaskSuccess")
        self.completed.append((taskToken, json.loads(output)))

    def _meet(self, call: str) -> None:
        if call in self.fails:
            raise _error(call, self.fails[call])


def _error(call: str, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": SECRET}}, call)


class Room:
    """Tables with chats in them, and what the functions did with the world."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.clock = FakeClock()
        self.ringback = Accept()
        self.machine = StepFunctions()
        self.chats = ChatTable("Chats", aws.dynamodb(), timedelta(days=90))
        self.desk = ConnectedDesk("Connections", aws.dynamodb())
        self.connections = ConnectionTable("Connections")

    def start(self, by: Person = ANA, *, subject: str | None = SECRET) -> Chat:
        """A chat of this customer, whose name tells its id; each starts a second after the one before."""
        self.clock.sleep(1)
        chat, _ = sessions.start(self.chats, by, subject, LIMITS, new_id=lambda: f"of-{by.user}", clock=self.clock)
        return chat

    def accept(self, agent: Person = BO, of: Person = ANA) -> None:
        sessions.change(self.chats, f"of-{of.user}", lambda chat: rules.accept(chat, agent, self.now), clock=self.clock)

    def say(self, text: str = SECRET, by: Person = ANA) -> None:
        sessions.send(self.chats, "of-ana", by, f"m-{text}-{by.user}", text, LIMITS, clock=self.clock)

    def end(self, by: Person = ANA) -> None:
        sessions.change(self.chats, "of-ana", lambda chat: rules.end(chat, by, self.now), clock=self.clock)

    def rate(self, rating: int) -> None:
        sessions.change(
            self.chats, "of-ana", lambda chat: rules.rate(chat, ANA, rating, SECRET, LIMITS, self.now), clock=self.clock
        )

    def connect(self, person: Person, to: Recipient | None = None) -> None:
        at = connection(f"c-{person.user}", to or person.recipient)
        self.connections.put(at._replace(expires_at=NOW + timedelta(days=1)))

    def disconnect(self, person: Person) -> None:
        self.connections.delete(person.recipient, f"c-{person.user}")

    @property
    def now(self) -> Any:
        return self.clock.now()

    def records(self) -> list[dict[str, Any]]:
        """The stream's records of all events, in their order; sequence numbers count from 1.

        What a chat's row was each time is gone, but its log has the same.
        """
        events = [row for row in rows("Chats") if row["item"]["S"].startswith("event#")]
        events.sort(key=lambda row: (row["collection"]["S"], row["item"]["S"]))
        states = [row | {"item": {"S": STATE_ITEM}} for row in events]
        return [stream_record(row, str(n), keys=("collection", "item")) for n, row in enumerate(states, start=1)]

    def publish(self, records: list[dict[str, Any]] | None = None) -> Any:
        return self.stage.call(publish_events.handler, {"Records": records or self.records()})

    def notice(self, what: str, to: Recipient) -> None:
        assert self.stage.call(notice_presence.handler, presence_event(what, to)) is None


@pytest.fixture
def room(stage: Stage, cloud: None, monkeypatch: pytest.MonkeyPatch) -> Room:
    create_table("Chats", "collection", "item")
    create_table("Connections", "caller_id", "context")
    room = Room(stage)
    monkeypatch.setattr(aws, "ringback", lambda *_: room.ringback.clients)
    monkeypatch.setattr(aws, "step_functions", lambda: room.machine)
    monkeypatch.setattr("ringback.publisher._PAUSES_SECONDS", (0.0,) * 3)
    monkeypatch.setattr(SystemClock, "now", lambda self: room.clock.now())
    stage.set(
        CHATS_TABLE_NAME="Chats",
        CONNECTIONS_TABLE_NAME="Connections",
        ACCEPT_FUNCTION_NAME="Accept",
        CHAT_SESSION_STATE_MACHINE_ARN=MACHINE,
        RETENTION_DAYS=90,
        MESSAGE_TTL_SECONDS=3600,
        MAX_WAIT_SECONDS=LIMITS.max_wait_seconds,
        IDLE_SECONDS=LIMITS.idle_seconds,
        AGENT_AWAY_SECONDS=LIMITS.agent_away_seconds,
        RATING_SECONDS=LIMITS.rating_seconds,
        MESSAGES_PER_MINUTE=LIMITS.messages_per_minute,
    )
    return room


def failed_at(number: int) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": str(number)}]}


# What is told


def test_an_event_is_an_ordered_acknowledged_message_to_everybody_in_the_chat(room: Room) -> None:
    room.start()
    room.accept()

    assert room.publish() == DONE

    told = [message for message in room.ringback.taken if message.get("durable", True)]
    assert [message["id"] for message in told] == ["of-ana-1-0", "of-ana-2-0", "of-ana-2-1"]
    assert told[2] == {
        "id": "of-ana-2-1",
        "recipient": {"user": "bo", "context": "desk", "contextId": "chat"},
        "type": "chat.accepted",
        "payload": {
            "chatId": "of-ana",
            "number": 2,
            "type": "chat.accepted",
            "at": "2030-01-31T12:00:01Z",
            "by": {"role": "agent", "user": "bo"},
            "agent": "bo",
            "seconds": 0,
        },
        "ordered": True,
        "ack": "client",
        "expiresAt": "2030-01-31T13:00:01Z",
        "correlationId": "of-ana",
    }
    assert [message["recipient"]["context"] for message in told] == ["chat", "chat", "desk"]


def test_a_batch_is_told_in_its_order_and_counted(room: Room) -> None:
    room.start()
    room.clock.sleep(20)
    room.accept()
    room.say()
    room.clock.sleep(5)
    room.say(by=BO)
    room.end()
    room.rate(4)

    assert room.publish() == DONE

    assert [event["number"] for event in room.ringback.told("ana")] == [1, 2, 3, 4, 5, 6]
    assert [event["number"] for event in room.ringback.told("bo")] == [2, 3, 4, 5, 6]
    assert room.stage.metrics() == {
        "ChatsStarted": 1,
        "ChatsAccepted": 1,
        "Messages": 2,
        "ChatsEnded": 1,
        "Ratings": 1,
        "Waiting": 0,
    }
    assert room.stage.durations() == {
        "TimeToAccept": ("Seconds", [20]),
        "FirstResponse": ("Seconds", [5]),
        "ChatDuration": ("Seconds", [25]),
        "Rating": ("None", [4]),
    }
    assert room.stage.log() == []


def test_a_chat_that_nobody_accepted_is_abandoned_and_has_no_duration(room: Room) -> None:
    room.start()
    room.end()

    room.publish()

    assert room.stage.metrics() == {"ChatsStarted": 1, "ChatsEnded": 1, "ChatsAbandoned": 1, "Waiting": 0}
    assert room.stage.durations() == {}


def test_pushing_again_is_the_same_messages(room: Room) -> None:
    room.start()
    room.accept()
    room.publish()
    first = [message for message in room.ringback.taken if message.get("durable", True)]
    room.ringback.taken.clear()
    room.clock.sleep(30)

    room.publish()

    assert [message for message in room.ringback.taken if message.get("durable", True)] == first


@pytest.mark.parametrize("status", ["invalid", "conflict"])
def test_what_ringback_never_takes_is_noted_and_holds_up_nothing(room: Room, status: str) -> None:
    room.start()
    room.accept()
    room.ringback.statuses["of-ana-2-0"] = status

    assert room.publish() == DONE

    assert [event["number"] for event in room.ringback.told("bo")] == [2]
    assert room.stage.metrics()["Errors"] == 1
    (line,) = room.stage.log()
    assert (line["what"], line["status"]) == ("of-ana-2-0", status)


def test_a_customer_of_a_name_that_is_none_holds_up_nothing(room: Room) -> None:
    """Ringback takes no such recipient; nor does its model, which must not stop the batch."""
    room.start(Person(role=Role.CUSTOMER, user="no#name"))
    room.start(DAN)

    assert room.publish() == DONE
    assert len(room.ringback.told("dan")) == 1


@pytest.mark.parametrize("how", ["some are unavailable", "the function fails"])
def test_what_ringback_did_not_take_comes_again_with_the_batch_and_is_not_counted(room: Room, how: str) -> None:
    room.start()
    room.accept()
    if how == "the function fails":
        room.ringback.broken = True
    else:
        room.ringback.statuses["of-ana-2-1"] = "unavailable"

    assert room.publish() == failed_at(1 if room.ringback.broken else 2)

    done = {"the function fails": {}, "some are unavailable": {"ChatsStarted": 1, "Waiting": 0}}[how]
    assert room.stage.metrics() == {**done, "Errors": 1}
    (line,) = room.stage.log()
    assert line["message"] == "the stream brings the records again"
    assert "of 3 messages" in line["reason"]
    assert room.machine.started.keys() == ({"of-ana"} if done else set())


def test_whoever_cannot_be_told_holds_up_nobody_before_them(room: Room) -> None:
    room.start(ANA)
    room.start(DAN)
    cleo = room.start(Person(role=Role.CUSTOMER, user="xenia"))
    room.ringback.statuses["of-dan-1-0"] = "unavailable"

    assert room.publish() == failed_at(2)

    assert room.machine.started.keys() == {"of-ana"}
    assert room.stage.metrics()["ChatsStarted"] == 1
    room.ringback.statuses.clear()
    assert room.publish(room.records()[1:]) == DONE
    assert room.machine.started.keys() == {"of-ana", "of-dan", cleo.id}
    assert room.stage.metrics()["ChatsStarted"] == 3


def test_what_is_never_taken_is_noted_once_also_if_a_later_event_comes_again(room: Room) -> None:
    room.start(ANA)
    room.start(DAN)
    room.ringback.statuses |= {"of-ana-1-0": "invalid", "of-dan-1-0": "unavailable"}

    assert room.publish() == failed_at(2)
    room.ringback.statuses["of-dan-1-0"] = "invalid"
    assert room.publish(room.records()[1:]) == DONE

    assert [line["what"] for line in room.stage.log() if "what" in line] == ["of-ana-1-0", "of-dan-1-0"]


# What cannot be read


def spoilt(record: dict[str, Any], **texts: str | None) -> dict[str, Any]:
    """The record with other texts in its attributes, or without an attribute."""
    image = record["dynamodb"]["NewImage"] | {name: {"S": text} for name, text in texts.items()}
    image = {name: value for name, value in image.items() if value != {"S": None}}
    return record | {"dynamodb": {**record["dynamodb"], "NewImage": image}}


@pytest.mark.parametrize(
    "texts",
    [
        {"event": SECRET},
        {"event": f'{{"chatId": "of-ana", "type": "{SECRET}"}}'},
        {"event": None},
        {"people": SECRET},
        {"people": "7"},
        {"people": f'[{{"role": "{SECRET}", "user": "{SECRET}"}}]'},
        {"people": None},
        {"collection": None, "event": None},
    ],
)
def test_a_record_that_cannot_be_read_is_noted_by_its_key_and_stops_nobody(room: Room, texts: dict[str, Any]) -> None:
    room.start(ANA)
    room.start(DAN)
    first, *rest = room.records()
    room.machine.fails["StartExecution"] = "ThrottlingException"
    records = [spoilt(first, **texts), *rest]

    assert room.publish(records) == failed_at(2), "the number of the record"
    del room.machine.fails["StartExecution"]
    room.stage.log()
    errors = room.stage.metrics()["Errors"]
    assert room.publish(records) == DONE

    assert room.machine.started.keys() == {"of-dan"}
    assert len(room.ringback.told("dan")) == 1
    assert room.stage.metrics()["Errors"] == errors + 1
    line = room.stage.log()[-1]
    assert (line["collection"], line["item"]) == ("chat#of-ana", STATE_ITEM)
    assert SECRET not in json.dumps(room.stage.log())


def test_a_chat_that_cannot_be_read_holds_up_no_other(room: Room) -> None:
    """Its event can be, and is told; its run waits for a version that can read it."""
    for customer in (ANA, DAN):
        room.start(customer)
        room.accept(BO, customer)
    room.chats.park("of-ana", Wait("token-ana", Phase.WAITING, 1))
    room.chats.park("of-dan", Wait("token-dan", Phase.WAITING, 1))
    spoil_state("of-ana")

    assert room.publish() == DONE
    room.disconnect(BO)
    room.notice("closed", BO.recipient)

    assert [token for token, _ in room.machine.completed] == ["token-dan"]
    assert len(room.ringback.told("ana")) == 2
    dans = room.chats.get("of-dan")
    assert dans is not None
    assert dans.agent_away_since is not None
    assert SECRET not in json.dumps(room.stage.log())


def test_a_wait_that_cannot_be_read_holds_up_nothing(room: Room) -> None:
    room.start()
    room.accept(BO, ANA)
    room.chats.park("of-ana", Wait("token-ana", Phase.WAITING, 1))
    wait = next(row for row in rows("Chats") if row["item"]["S"] == "wait")
    room.chats.client.put_item(TableName="Chats", Item=wait | {"phase": {"S": "Dreaming"}})

    assert room.publish() == DONE
    assert room.machine.completed == []


def test_nothing_at_all_that_can_be_read_is_nothing_to_do(room: Room) -> None:
    room.start()

    assert room.publish([spoilt(room.records()[0], event="{")]) == DONE

    assert room.stage.metrics() == {"Errors": 1}


def test_a_chat_in_the_queue_that_cannot_be_read_is_shown_to_nobody_and_hides_no_other(room: Room) -> None:
    room.chats.sit_down("bo")
    room.start(ANA)
    room.start(DAN)
    row = next(row for row in rows("Chats") if row["collection"]["S"] == "queue" and "of-ana" in row["item"]["S"])
    room.chats.client.put_item(TableName="Chats", Item=row | {"chat": {"S": f'{{"id": "{SECRET}"}}'}})

    assert room.publish() == DONE

    (seen,) = room.ringback.shown("bo", "chat.queue")
    assert [row["id"] for row in seen["waiting"]] == ["of-dan"]
    (line,) = room.stage.log()
    assert (line["collection"], line["item"]) == ("queue", row["item"]["S"])
    assert SECRET not in json.dumps(line)


# The run


def test_the_first_event_starts_the_run_always_with_the_same_input(room: Room) -> None:
    room.start()
    room.publish()
    room.clock.sleep(100)

    assert room.publish() == DONE

    assert room.machine.started == {"of-ana": {"chatId": "of-ana", "phase": "Waiting", "seconds": 600}}


def test_a_change_of_phase_completes_what_the_run_waits_on_with_the_chat_as_it_is(room: Room) -> None:
    room.start()
    room.chats.park("of-ana", Wait("token", Phase.WAITING, 1))
    room.accept()
    room.clock.sleep(100)

    room.publish()

    # Not the 900 s of the event: 100 s of them are over.
    assert room.machine.completed == [("token", {"phase": "Active", "seconds": 800, "agent": "bo"})]
    assert room.chats.parked("of-ana") is None


def test_a_run_that_waits_in_the_chat_s_phase_is_left_alone(room: Room) -> None:
    room.start()
    room.accept()
    room.say()
    room.chats.park("of-ana", Wait("token", Phase.ACTIVE, 1))

    room.publish()

    assert room.machine.completed == []


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_a_token_of_a_state_that_has_ended_is_no_failure(room: Room, code: str) -> None:
    room.start()
    room.chats.park("of-ana", Wait("token", Phase.WAITING, 1))
    room.accept()
    room.machine.fails["SendTaskSuccess"] = code

    assert room.publish() == DONE


@pytest.mark.parametrize(("call", "number"), [("StartExecution", 1), ("SendTaskSuccess", 2)])
def test_a_run_that_cannot_be_reached_brings_its_event_again_and_what_follows(
    room: Room, call: str, number: int
) -> None:
    room.start()
    room.chats.park("of-ana", Wait("token", Phase.WAITING, 1))
    room.accept()
    room.say()
    room.machine.fails[call] = "ThrottlingException"

    assert room.publish() == failed_at(number)

    # What is done is counted, what comes again is not; the queue was shown all the same.
    done = {1: {}, 2: {"ChatsStarted": 1}}[number]
    assert room.stage.metrics() == {**done, "Errors": 1, "Waiting": 0}
    (line,) = room.stage.log()
    assert line["reason"] == f"{call}: ThrottlingException"


# The queue


def test_everybody_who_waits_and_everybody_at_the_desk_sees_the_queue(room: Room) -> None:
    room.chats.sit_down("bo")
    room.chats.sit_down("cy")
    room.start(ANA)
    room.start(DAN)

    room.publish()

    at = "2030-01-31T12:00:02.000Z"
    assert room.ringback.shown("ana", "chat.position") == [{"chatId": "of-ana", "position": 1, "waiting": 2, "at": at}]
    assert room.ringback.shown("dan", "chat.position")[0]["position"] == 2
    (seen,) = room.ringback.shown("bo", "chat.queue")
    assert seen == room.ringback.shown("cy", "chat.queue")[0]
    assert seen["at"] == at
    assert [(row["id"], row["position"], row["status"]) for row in seen["waiting"]] == [
        ("of-ana", 1, "WAITING"),
        ("of-dan", 2, "WAITING"),
    ]
    assert room.stage.metrics()["Waiting"] == 2


def test_what_does_not_change_the_queue_shows_nobody_anything(room: Room) -> None:
    room.chats.sit_down("cy")
    room.start()
    room.accept()
    room.say()

    room.publish([room.records()[-1]])

    assert room.ringback.shown("cy", "chat.queue") == []
    assert "Waiting" not in room.stage.metrics()


def test_who_can_never_be_shown_the_queue_holds_up_nothing(room: Room) -> None:
    room.chats.sit_down("bo")
    room.start()
    room.ringback.statuses |= {"chat.queue": "invalid", "chat.position": "invalid"}

    assert room.publish() == DONE

    assert room.ringback.calls == 3
    assert room.stage.metrics()["Errors"] == 2
    assert len(room.ringback.told("ana")) == 1


@pytest.mark.parametrize("kind", ["chat.queue", "chat.position"])
def test_a_queue_that_could_not_be_shown_brings_the_last_change_of_it_again(room: Room, kind: str) -> None:
    """Or the queue would look as it was until somebody else comes or goes."""
    room.chats.sit_down("cy")
    room.start(ANA)
    room.accept()
    room.say()
    room.start(DAN)
    room.ringback.statuses[kind] = "unavailable"

    records = [record for record in room.records() if "of-ana" in str(record)]
    assert room.publish(records) == failed_at(2)

    assert room.ringback.calls == 3, "what is shown is tried once, and one kind does not stop the other"
    assert room.stage.metrics() == {"ChatsStarted": 1, "Errors": 1}
    (line,) = room.stage.log()
    assert line["reason"] == f"Ringback did not take 1 of 1 messages ({kind})"
    room.ringback.statuses.clear()
    assert room.publish(records[1:]) == DONE
    assert [len(room.ringback.shown(*shown)) for shown in (("cy", "chat.queue"), ("dan", "chat.position"))] == (
        [1, 2] if kind == "chat.queue" else [2, 1]
    )
    assert room.stage.metrics() == {"ChatsStarted": 1, "ChatsAccepted": 1, "Messages": 1, "Errors": 1, "Waiting": 1}


def test_that_nobody_was_there_to_see_the_queue_is_no_failure(room: Room) -> None:
    room.chats.sit_down("bo")
    room.start()
    room.ringback.absent |= {"ana", "bo"}

    assert room.publish() == DONE

    assert room.stage.metrics() == {"ChatsStarted": 1, "Waiting": 1}


def test_a_queue_that_cannot_be_read_brings_the_last_change_of_it_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.start()
    room.accept()
    room.say()
    records = room.records()

    def query(**request: Any) -> None:
        raise _error("Query", "ProvisionedThroughputExceededException")

    monkeypatch.setattr(aws.dynamodb(), "query", query)

    assert room.publish(records) == failed_at(2)
    assert room.stage.metrics() == {"ChatsStarted": 1, "Errors": 1}


def test_who_shows_something_has_more_time_than_it_may_take(cloud: None) -> None:
    """What is told is waited for until it is done; what is shown must not outlast the function, nor its caller."""
    names: Any = SimpleNamespace(accept_function_name="Accept", message_ttl_seconds=3600)
    pushes = wiring.pushes(names)

    assert _read_timeout(pushes.to_show) == _read_timeout(wiring.screens(names).to_show) == 10
    assert _read_timeout(pushes.to_tell) == 65


def _read_timeout(installation: Installation) -> float:
    config: Any = installation.clients.functions.meta.config
    return float(config.read_timeout)


# Who comes and goes


def test_an_agent_who_comes_sits_at_the_desk_and_sees_the_queue(room: Room) -> None:
    room.start()
    room.connect(BO)

    room.notice("opened", BO.recipient)

    assert room.chats.agents() == ["bo"]
    (seen,) = room.ringback.shown("bo", "chat.queue")
    assert [row["id"] for row in seen["waiting"]] == ["of-ana"]
    assert room.ringback.shown("ana", "chat.position") == []


@pytest.mark.parametrize("what", ["opened", "closed"])
def test_the_connections_say_whether_an_agent_is_there_whatever_is_told(room: Room, what: str) -> None:
    """`opened` may come after `closed`, and of several connections one may close."""
    room.start()
    room.accept()
    room.chats.sit_down("bo")
    room.connect(CY)

    room.notice(what, BO.recipient)
    room.notice(what, CY.recipient)

    assert room.chats.agents() == ["cy"]
    assert sessions.get(room.chats, "of-ana").agent_away_since is not None


def test_an_agent_who_goes_is_away_in_their_chats_and_one_who_returns_is_back(room: Room) -> None:
    room.connect(BO)
    room.start()
    room.accept()
    room.start(DAN)
    room.accept(CY, DAN)
    room.disconnect(BO)

    room.notice("closed", BO.recipient)
    assert sessions.get(room.chats, "of-ana").agent_away_since is not None
    assert sessions.get(room.chats, "of-dan").agent_away_since is None
    room.connect(BO)
    room.notice("opened", BO.recipient)

    assert sessions.get(room.chats, "of-ana").agent_away_since is None
    types = [event.type.value for event in room.chats.events("of-ana", after=2, limit=10)]
    assert types == ["chat.agent_away", "chat.agent_back"]


def test_an_agent_on_a_customer_s_connection_is_not_at_the_desk(room: Room) -> None:
    room.connect(BO, Recipient(user="bo", context="chat", context_id="support"))
    room.connect(CY, Recipient(user="cy", context="chat", context_id="chat"))

    room.notice("opened", BO.recipient)
    room.notice("opened", CY.recipient)

    assert room.chats.agents() == []


def test_a_customer_who_comes_sees_their_position_alone(room: Room) -> None:
    room.chats.sit_down("bo")
    room.start(DAN)
    room.start(ANA)

    room.notice("opened", ANA.recipient)

    (seen,) = room.ringback.shown("ana", "chat.position")
    assert (seen["position"], seen["waiting"]) == (2, 2)
    assert len(room.ringback.taken) == 1


@pytest.mark.parametrize("what", ["opened", "closed"])
def test_who_waits_for_nothing_sees_nothing(room: Room, what: str) -> None:
    room.start(ANA)
    room.accept(of=ANA)
    room.start(DAN)

    room.notice(what, ANA.recipient)
    room.notice("closed", DAN.recipient)
    room.notice("opened", Recipient(user="dan", context="chat", context_id="42"))

    assert room.ringback.taken == []
    assert room.chats.agents() == []


@pytest.mark.parametrize("person", [ANA, BO])
def test_who_comes_and_cannot_be_shown_what_waits_is_shown_it_later(room: Room, person: Person) -> None:
    room.start()
    room.connect(person)
    room.ringback.broken = True

    with pytest.raises(Exception, match="did not take"):
        room.notice("opened", person.recipient)

    assert room.chats.agents() == (["bo"] if person is BO else [])


def test_a_failure_is_raised_for_eventbridge_to_try_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def query(**request: Any) -> None:
        raise _error("Query", "InternalServerError")

    monkeypatch.setattr(aws.dynamodb(), "query", query)

    with pytest.raises(Exception, match="Query"):
        room.notice("opened", BO.recipient)
    assert room.stage.metrics() == {"Errors": 1}
