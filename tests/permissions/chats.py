"""The scenes of the live chat."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from local.runs import Runs
from tests.e2e.chatting import Person
from tests.permissions.playing import Play
from tests.permissions.scenes import scene

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")


def _told(play: Play, person: Person, chat: str, kind: str) -> None:
    def look() -> bool | None:
        return True if any(event["type"] == f"chat.{kind}" for event in person.told(chat)) else None

    play.until(look, f"{kind}, told")


def _shown(play: Play, person: Person, kind: str, met: Callable[[dict[str, Any]], bool]) -> None:
    def look() -> bool | None:
        shown = [frame.body for frame in person.client.all_messages() if frame.body.get("type") == f"chat.{kind}"]
        return True if any(met(body["payload"]) for body in shown) else None

    play.until(look, f"{kind}, shown")


def _rows(play: Play, collection: str) -> dict[str, Any]:
    answer = play.stage.installation.clients.dynamodb.query(
        TableName=play.stage.installation.chats_table_name,
        KeyConditionExpression="#collection = :collection",
        ExpressionAttributeNames={"#collection": "collection"},
        ExpressionAttributeValues={":collection": {"S": collection}},
        ConsistentRead=True,
    )
    return {row["item"]["S"]: row for row in answer["Items"]}


def _done(play: Play, answer: Any, status: int = 200) -> Any:
    play.expect(answer.status == status, f"it is answered {answer.status}: {answer.body}")
    return answer.body


def _start(play: Play, customer: Person) -> str:
    return str(_done(play, customer.call("POST", "/chats", {"subject": "help"}), 201)["id"])


def _phase(play: Play, chat: str, phase: str) -> None:
    """Wait until the chat's run waits in this state."""
    runs = Runs(play.stage.installation.clients.stepfunctions, play.stage.installation.chat_session_state_machine_arn)

    def look() -> bool | None:
        if not runs.exists(chat):
            return None
        wait = _rows(play, f"chat#{chat}").get("wait")
        return True if wait and wait["phase"]["S"] == phase else None

    play.until(look, f"the run in {phase}")


@scene("ChatApi, AwaitChange, PublishEvents, NoticePresence, ChatSession: a whole chat")
def whole(play: Play) -> None:
    """Who waits, who accepts, what is said, the end, the rating; the run follows."""
    ana, bo = Person.at(play.stage, "ana", role="customer"), Person.at(play.stage, "bo", role="agent")
    with play.stage.connected(ana.client, bo.client):
        play.until(lambda: True if bo.name in _rows(play, "desk") else None, "the agent at the desk")
        chat = _start(play, ana)
        _phase(play, chat, "Waiting")
        _told(play, ana, chat, "waiting")
        _shown(play, bo, "queue", lambda shown: chat in [each["id"] for each in shown["waiting"]])
        _shown(play, ana, "position", lambda shown: bool(shown["chatId"] == chat))
        _done(play, bo.do(chat, "accept"))
        _told(play, ana, chat, "accepted")
        _phase(play, chat, "Active")
        _done(play, ana.say(chat, "hello"), 201)
        _told(play, bo, chat, "message")
        typing = bo.do(chat, "typing")
        play.expect((typing.status, typing.body.get("told")) == (202, True), "typing is shown")
        _done(play, ana.call("GET", f"/chats/{chat}/messages"))
        _done(play, bo.call("GET", "/chats/waiting"))
        _done(play, ana.do(chat, "end"))
        _phase(play, chat, "Rating")
        _done(play, ana.do(chat, "rating", rating=5))
        play.until(lambda: True if "wait" not in _rows(play, f"chat#{chat}") else None, "the end of the wait")


@scene("the agent leaves, and comes back")
def leaves(play: Play) -> None:
    """The chat and the desk say so; who comes is shown what waits."""
    ana, bo = Person.at(play.stage, "ana", role="customer"), Person.at(play.stage, "bo", role="agent")
    with play.stage.connected(ana.client):
        with play.stage.connected(bo.client):
            play.until(lambda: True if bo.name in _rows(play, "desk") else None, "the agent at the desk")
            _shown(play, bo, "queue", lambda _shown: True)
            chat = _start(play, ana)
            _done(play, bo.do(chat, "accept"))
            _phase(play, chat, "Active")
        play.until(lambda: True if bo.name not in _rows(play, "desk") else None, "the agent away")
        _told(play, ana, chat, "agent_away")
        _phase(play, chat, "Agent Away")
        with play.stage.connected(bo.client):
            _phase(play, chat, "Active")


@scene("NoticePresence is told of an agent who has gone again")
def gone_again(play: Play) -> None:
    """It fails if it cannot note or show something; on screens, others' chats could stand in for what it shows."""
    detail = {"user": play.user(), "context": "desk", "contextId": "chat"}
    play.invoke("Chat/NoticePresence", {"detail-type": "ringback.connection.opened", "detail": detail})


@scene("SettleOverdue: a chat that nobody accepts")
def settled(play: Play) -> None:
    """When its time is over."""
    ana = Person.at(play.stage, "ana", role="customer")
    chat = _start(play, ana)
    _phase(play, chat, "Waiting")
    _let_age(play, chat)
    situation = play.invoke("Chat/SettleOverdue", {"chatId": chat})
    play.expect(json.loads(_rows(play, f"chat#{chat}")["state"]["chat"]["S"])["status"] == "ENDED", f"{situation}")


@scene("SettleOverdue: a chat whose agent is away")
def settled_away(play: Play) -> None:
    """It goes back to the queue, or on, as the desk says."""
    ana, bo = Person.at(play.stage, "ana", role="customer"), Person.at(play.stage, "bo", role="agent")
    with play.stage.connected(bo.client):
        play.until(lambda: True if bo.name in _rows(play, "desk") else None, "the agent at the desk")
        chat = _start(play, ana)
        _done(play, bo.do(chat, "accept"))
    _phase(play, chat, "Agent Away")
    _let_age(play, chat)
    situation = play.invoke("Chat/SettleOverdue", {"chatId": chat})
    play.expect(situation["phase"] == "Waiting", f"{situation}")


def _let_age(play: Play, chat: str) -> None:
    """Have all that has happened in a chat have happened an hour ago."""
    row = _rows(play, f"chat#{chat}")["state"]

    def an_hour_before(match: re.Match[str]) -> str:
        moment = datetime.fromisoformat(match[0].replace("Z", "+00:00")) - timedelta(hours=1)
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

    row["chat"] = {"S": _TIME.sub(an_hour_before, row["chat"]["S"])}
    play.stage.installation.clients.dynamodb.put_item(TableName=play.stage.installation.chats_table_name, Item=row)


@scene("the chat's machine settles what is overdue")
def times_out(play: Play) -> None:
    """It calls the function when a state has waited its full time; a run of its own has little."""
    client = play.stage.installation.clients.stepfunctions
    machine = play.stage.installation.chat_session_state_machine_arn
    ana = Person.at(play.stage, "ana", role="customer")
    chat = _start(play, ana)
    _phase(play, chat, "Waiting")
    situation = {"chatId": chat, "phase": "Waiting", "seconds": 1}
    arn = client.start_execution(stateMachineArn=machine, name=f"short-{chat}", input=json.dumps(situation))[
        "executionArn"
    ]
    runs = Runs(client, machine)
    play.until(lambda: True if "Which Phase?" in runs.read(arn).states else None, "the next phase")
    client.stop_execution(executionArn=arn)


@scene("AwaitChange: the chat has moved on before its run waits")
def already_moved_on(play: Play) -> None:
    """Then the run goes on at once, and what it waited on is forgotten."""
    ana, bo = Person.at(play.stage, "ana", role="customer"), Person.at(play.stage, "bo", role="agent")
    with play.stage.connected(bo.client):
        play.until(lambda: True if bo.name in _rows(play, "desk") else None, "the agent at the desk")
        chat = _start(play, ana)
        _done(play, bo.do(chat, "accept"))
        _phase(play, chat, "Active")
        token = _rows(play, f"chat#{chat}")["wait"]["task_token"]["S"]
        entry = {"enteredAt": datetime.now(UTC).isoformat(), "retry": 0}
        event = {"chatId": chat, "phase": "Waiting", "taskToken": token, "entry": entry}
        play.invoke("Chat/AwaitChange", event)  # it fails if it cannot forget

        def waits_anew() -> bool | None:
            wait = _rows(play, f"chat#{chat}").get("wait")
            return True if wait and wait["task_token"]["S"] != token else None

        play.until(waits_anew, "the next wait")


@scene("events that nobody can be told of are given up, and noted")
def given_up(play: Play) -> None:
    """Their age is a second here, where it is 20 hours. Without InvokeFunction, telling is in vain."""
    clients = play.stage.installation.clients
    (mapping,) = clients.functions.list_event_source_mappings(FunctionName=play.function("Chat/PublishEvents"))[
        "EventSourceMappings"
    ]
    (telling,) = [
        each
        for each in play.deployed.permissions
        if each.role == "Chat/PublishEvents" and each.action == "lambda:InvokeFunction"
    ]
    ana = Person.at(play.stage, "ana", role="customer")
    queue = play.deployed.names["Chat/ChatEvents/GivenUp"]
    clients.sqs.purge_queue(QueueUrl=queue)
    try:
        clients.functions.update_event_source_mapping(UUID=mapping["UUID"], MaximumRecordAgeInSeconds=1)
        with play.deployed.without(telling):
            _start(play, ana)
            play.until(
                lambda: clients.sqs.receive_message(QueueUrl=queue, VisibilityTimeout=1).get("Messages"), "the note"
            )
    finally:
        clients.functions.update_event_source_mapping(
            UUID=mapping["UUID"], MaximumRecordAgeInSeconds=mapping["MaximumRecordAgeInSeconds"]
        )
