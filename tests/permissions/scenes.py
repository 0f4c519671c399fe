"""The smallest scenes that need a permission. Each fails where one is missing that it needs, and is quick about it."""

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local import settings
from local.backend import Backend
from local.demo.stage import envelope
from local.runs import Run
from ringback.names import execution_name
from tests.permissions.playing import GRACE_SECONDS, Play, execution, state_of

Scene = Callable[[Play], None]
SCENES: dict[str, Scene] = {}

_NOWHERE = "bm93aGVyZQ=="  # the id of a connection that is not there
_INTAKES = ("Accept", "HttpApi", "Ingest", "Ended")
_TASKS = ("ResolveConnections", "PostToConnections", "PostAndAwaitAcknowledgement", "WaitForReconnect")


def scene(name: str) -> Callable[[Scene], Scene]:
    """Add a scene."""

    def add(play: Scene) -> Scene:
        assert name not in SCENES
        SCENES[name] = play
        return play

    return add


# Every function


def _logs(name: str) -> None:
    @scene(f"{name} writes a log")
    def play(play: Play) -> None:
        """What Lambda itself writes for each invocation. It has a stream of its own here."""
        group = play.deployed.names[f"{name}/LogGroup"]
        count = _streams(play, group)
        play.stage.installation.clients.functions.invoke(
            FunctionName=play.function(name), Payload=b'{"headers": {}, "Records": []}'
        )
        play.expect(_streams(play, group) > count, "there is a stream more")  # it is written before the answer comes

    @scene(f"{name} is traced")
    def traced(play: Play) -> None:
        """Lambda looks whether it may, when a function is changed."""
        clients = play.stage.installation.clients
        try:
            clients.functions.update_function_configuration(
                FunctionName=play.function(name), TracingConfig={"Mode": "Active"}
            )
        except clients.functions.exceptions.InvalidParameterValueException as refusal:
            play.expect(False, f"Lambda refuses: {refusal}")  # noqa: FBT003


def _streams(play: Play, group: str) -> int:
    logs = play.stage.installation.clients.logs
    pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group)
    return sum(len(page["logStreams"]) for page in pages)


def add_for_functions(names: list[str]) -> None:
    """Add the scenes that every function has."""
    for name in names:
        if f"{name} writes a log" not in SCENES:
            _logs(name)


def _machine_logs(name: str) -> None:
    @scene(f"{name} writes a log")
    def play(play: Play) -> None:
        """Step Functions looks whether it may, when a machine is changed."""
        client = play.stage.installation.clients.stepfunctions
        arn = play.deployed.names[f"{name}/StateMachine"]
        group = (
            f"arn:aws:logs:{settings.REGION}:{settings.ACCOUNT}:log-group:{play.deployed.names[f'{name}/LogGroup']}:*"
        )
        try:
            client.update_state_machine(
                stateMachineArn=arn,
                loggingConfiguration={
                    "level": "ERROR",
                    "includeExecutionData": False,
                    "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}],
                },
            )
        except client.exceptions.ClientError as refusal:
            play.expect(False, f"Step Functions refuses: {refusal}")  # noqa: FBT003


for _name in ("Delivery", "FanOut", "Chat/ChatSession"):
    _machine_logs(_name)


# Connections


@scene("Connect, Presence, Disconnect: a client comes, is told of, and goes")
def comes_and_goes(play: Play) -> None:
    """Connect stores it, presence tells of it, disconnect removes it."""
    user, queue = play.user(), _events_queue(play)
    client = play.stage.client(user)
    with play.stage.connected(client):
        play.until(lambda: play.rows(user) or None, "its row")
        play.until(lambda: _told(play, queue, "opened", user), "the event of its coming")
    play.until(lambda: True if not play.rows(user) else None, "the end of its row")


def _told(play: Play, url: str, what: str, user: str) -> bool | None:
    sqs = play.stage.installation.clients.sqs
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        event = json.loads(message["Body"])
        if event["detail-type"].endswith(what) and event["detail"]["user"] == user:
            return True
    return None


def _events_queue(play: Play) -> str:
    """A queue that hears of everything that is told on the stage's bus."""
    clients = play.stage.installation.clients
    url = clients.sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bus = play.stage.installation.message_bus_name
    clients.events.put_rule(Name="told", EventBusName=bus, EventPattern='{"source": ["ringback"]}')
    clients.events.put_targets(Rule="told", EventBusName=bus, Targets=[{"Id": "told", "Arn": arn}])
    return url


@scene("one connection too many: the oldest is told, and closed")
def evicted(play: Play) -> None:
    """The stage allows ten."""
    user = play.user()
    oldest, newest = play.stage.client(user), play.stage.client(user, context_id="43")
    with play.stage.connected(oldest):
        (row,) = play.until(lambda: play.rows(user) or None, "its row")
        for number in range(9):
            play.store(user, f"{number}{_NOWHERE}", age_seconds=30)
        play.change_row({**row, "connected_at": {"N": str(int(row["connected_at"]["N"]) - 3_600_000)}})
        with play.stage.connected(newest):
            play.until(lambda: True if not oldest.is_open else None, "the oldest one's end")
            play.expect([frame.body["kind"] for frame in oldest.frames] == ["close"], "it is told")


@scene("one connection too many: the oldest is dead already")
def evicted_dead(play: Play) -> None:
    """Its row goes."""
    user = play.user()
    for number in range(10):
        play.store(user, f"{number}{_NOWHERE}", age_seconds=_MINUTES - number)
    client = play.stage.client(user)
    with play.stage.connected(client):
        left = {row["connection_id"]["S"] for row in play.rows(user)}
        play.expect(f"0{_NOWHERE}" not in left, "the oldest one's row is gone")


_MINUTES = 600


# The ways in: who is there, who is gone, whose token is over; numbers; duplicates


def _take(play: Play, way: str, *messages: dict[str, Any]) -> list[str]:
    """Hand messages over; answers what became of each. Ended takes the announcement for an ordered one instead."""
    if way == "Accept":
        return [answer["status"] for answer in play.invoke("Accept", {"messages": list(messages)})["results"]]
    if way == "HttpApi":
        answer = Backend.of(play.stage.installation, play.stage.keys).call(
            "POST", "/messages", {"messages": list(messages)}
        )
        play.expect(answer.status == 200, f"HTTP answers {answer.status}")
        return [result["status"] for result in answer.body["results"]]
    if way == "Ingest":
        failed = play.invoke("Ingest", {"Records": [_record(message) for message in messages]})["batchItemFailures"]
        return ["unavailable" if {"itemIdentifier": message["id"]} in failed else "taken" for message in messages]
    for message in messages:
        play.invoke("Ended", _ending(play, message))
    return ["taken" for _ in messages]


def _record(message: dict[str, Any]) -> dict[str, Any]:
    attributes = {"SentTimestamp": str(int(time.time() * 1000)), "ApproximateReceiveCount": "1"}
    return {
        "messageId": message["id"],
        "body": json.dumps(message),
        "attributes": attributes,
        "messageAttributes": {},
        "receiptHandle": "none",
    }


def _ending(play: Play, message: dict[str, Any], **more: Any) -> dict[str, Any]:
    detail = {
        "executionArn": play.stage.runs.arn_of(message["id"]),
        "name": message["id"],
        "status": "ABORTED",
        "startDate": int(time.time() * 1000),
        "input": json.dumps(message),
        "inputDetails": {"included": True},
        "error": "Cancelled",
        **more,
    }
    return {"detail": detail}


def _plain(way: str, user: str) -> dict[str, Any]:
    """A message that is posted at once, or whose announcement is."""
    return {**envelope(user, "hello"), **({"ordered": True} if way == "Ended" else {})}


def _run_name(way: str, message: dict[str, Any]) -> str:
    return execution_name(f"skipped-{message['id']}" if way == "Ended" else message["id"])


def _add_intake(way: str) -> None:
    @scene(f"{way}: somebody is there")
    def there(play: Play) -> None:
        """It is posted, and takes no run."""
        user = play.user()
        client = play.stage.client(user)
        with play.stage.connected(client):
            message = _plain(way, user)
            _take(play, way, message)
            play.expect(not play.stage.runs.exists(_run_name(way, message)), "it takes no run")
            play.until(lambda: client.all_messages() or None, "the message")

    @scene(f"{way}: the connection is gone")
    def gone(play: Play) -> None:
        """It is forgotten at once."""
        user = play.user()
        play.store(user, _NOWHERE)
        _take(play, way, _plain(way, user) | _not_durable(way))
        play.expect(not play.rows(user), "the dead connection is forgotten")

    @scene(f"{way}: the token is over")
    def expired(play: Play) -> None:
        """The connection is closed, and forgotten, at once."""
        user = play.user()
        client = play.stage.client(user)
        with play.stage.connected(client):
            play.let_token_expire(user)
            _take(play, way, _plain(way, user) | _not_durable(way))
            play.expect(not play.rows(user), "the connection is forgotten")
            play.until(lambda: True if not client.is_open else None, "its end")

    @scene(f"{way}: ordered ones for somebody who is away")
    def ordered(play: Play) -> None:
        """Each has its number when the next one starts."""
        user = play.user()
        messages = [envelope(user, number, ordered=True) for number in range(2)]
        statuses = _take(play, way, *messages)
        play.expect("unavailable" not in statuses, f"all are taken, not {statuses}")
        for message in messages:
            play.expect(play.stage.runs.exists(_run_name(way, message)), "a run carries it")

    @scene(f"{way}: another message under the same id")
    def conflict(play: Play) -> None:
        """It is no duplicate."""
        message = envelope(play.user(), "first", track=True)
        play.stage.runs.start(message, name=message["id"])
        if way == "Ended":
            play.invoke(way, _ending(play, message, input=None, inputDetails={"included": False}))
            return
        (status,) = _take(play, way, {**message, "payload": "second"})
        play.expect(status in {"conflict", "taken"}, f"it is no {status}")


def _not_durable(way: str) -> dict[str, Any]:
    return {} if way == "Ended" else {"durable": False}


for _name in _INTAKES:
    _add_intake(_name)


# The queue of the ways in


@scene("a message by topic, and the queue is empty again")
def by_topic(play: Play) -> None:
    """It arrives, and it was taken off the queue."""
    user, installation = play.user(), play.stage.installation
    client = play.stage.client(user)
    try:
        with play.stage.connected(client):
            installation.clients.sns.publish(
                TopicArn=installation.message_topic_arn, Message=json.dumps(envelope(user, "by topic"))
            )
            play.until(lambda: client.all_messages() or None, "the message")
            play.until(lambda: play.stage.queue_is_empty() or None, "an empty queue")
    finally:  # nobody waits for what could not be deleted
        installation.clients.sqs.purge_queue(QueueUrl=installation.ingest_queue_url)


@scene("what ingest cannot deal with comes again soon")
def hurried(play: Play) -> None:
    """Within 20 seconds, and not after the queue's visibility timeout. Without StartExecution, all are in vain."""
    clients = play.stage.installation.clients
    url = play.stage.installation.ingest_queue_url
    (mapping,) = clients.functions.list_event_source_mappings(FunctionName=play.function("Ingest"))[
        "EventSourceMappings"
    ]
    (starting,) = [
        each for each in play.deployed.permissions if each.role == "Ingest" and each.action == "states:StartExecution"
    ]
    play.grace_seconds = 13  # each comes after 5 to 20 seconds: of ten, the first has come by then
    try:
        clients.functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        records: list[dict[str, Any]] = []
        for number in range(10):
            message = envelope(play.user(), number)
            clients.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(message))
        while len(records) < 10:
            answer = clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)
            records += [
                {**_record(json.loads(each["Body"])), "receiptHandle": each["ReceiptHandle"]}
                for each in answer.get("Messages", [])
            ]
        with play.deployed.without(starting):
            failed = play.invoke("Ingest", {"Records": records})["batchItemFailures"]
        play.expect(len(failed) == len(records), "all of them fail")
        play.until(
            lambda: clients.sqs.receive_message(QueueUrl=url, VisibilityTimeout=600).get("Messages"),
            "one of them, again",
            seconds=25,
        )
    finally:
        play.grace_seconds = GRACE_SECONDS
        clients.sqs.purge_queue(QueueUrl=url)
        clients.functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@scene("what is no message is set aside")
def set_aside(play: Play) -> None:
    """On the dead letter queue of the way in."""
    marker = uuid.uuid4().hex
    answer = play.invoke("Ingest", {"Records": [{**_record({"id": marker}), "body": marker}]})
    play.expect(not answer["batchItemFailures"], "it is dealt with")


# A run, all the way


@scene("a run to somebody who is there")
def online(play: Play) -> None:
    """It resolves and posts."""
    user = play.user()
    client = play.stage.client(user)
    with play.stage.connected(client):
        _ended(play, play.stage.runs.start(envelope(user, "hello")))


def _ended(play: Play, arn: str, status: str = "SUCCEEDED") -> Run:
    def look() -> Run | None:
        run = play.stage.runs.read(arn)
        return run if run.status != "RUNNING" else None

    run = play.until(look, "the end of the run")
    play.expect(run.status == status, f"it is {status}, not {run.status}")
    return run


@scene("Wake: a run waits, and a reconnect wakes it")
def woken(play: Play) -> None:
    """And its callback goes."""
    user = play.user()
    client = play.stage.client(user)
    arn = play.stage.runs.start(envelope(user, "hello"))
    play.until(lambda: play.callbacks(user) or None, "its callback")
    with play.stage.connected(client):
        _ended(play, arn)
    play.until(lambda: True if not play.callbacks(user) else None, "the end of the callback")


@scene("an acknowledgement ends a run")
def acknowledged(play: Play) -> None:
    """And its callback goes."""
    user = play.user()
    client = play.stage.client(user)
    client.acknowledges = True
    with play.stage.connected(client):
        _ended(play, play.stage.runs.start(envelope(user, "hello", ack="client")))
        play.until(lambda: True if not play.callbacks(user) else None, "the end of the callback")


@scene("an acknowledgement comes late")
def late(play: Play) -> None:
    """It completes the wait for a reconnect, and the connection counts as alive again."""
    user = play.user()
    client = play.stage.client(user)
    with play.stage.connected(client):
        message = envelope(user, "hello", ack="client", ackTimeoutSeconds=1)
        arn = play.stage.runs.start(message)

        def is_stale() -> bool | None:
            waits = [row for row in play.callbacks(user) if row["waits_for"]["S"].startswith("reconnect")]
            # At once it is posted again, to a connection so young.
            parked = [row for row in waits if int(row["attempt"]["N"]) > 1]
            return True if parked and any("stale_since" in row for row in play.rows(user)) else None

        play.until(is_stale, "the wait for a reconnect")
        client.send({"action": "ack", "id": message["id"]})
        _ended(play, arn)
        play.until(
            lambda: True if not any("stale_since" in row for row in play.rows(user)) else None, "a connection alive"
        )


@scene("a run for what is no message ends in a dead letter")
def dead_letter(play: Play) -> None:
    """The machine puts it on the queue."""
    _ended(play, play.stage.runs.start({"recipient": {"user": "nobody"}, "payload": None}), "FAILED")


@scene("a run that could not keep its message: Ended does")
def kept(play: Play) -> None:
    """It puts it on the queue."""
    play.invoke("Ended", _ending(play, envelope(play.user(), "kept"), status="FAILED", error="States.Runtime"))


def _gives_up(name: str, queue: str) -> None:
    @scene(f"{name} fails for good")
    def play(play: Play) -> None:
        """Lambda keeps what it failed on."""
        clients = play.stage.installation.clients
        marker = uuid.uuid4().hex
        clients.functions.invoke(
            FunctionName=play.function(name), InvocationType="Event", Payload=json.dumps({"no": marker}).encode()
        )

        def look() -> bool | None:
            answer = clients.sqs.receive_message(
                QueueUrl=play.deployed.names[queue], MaxNumberOfMessages=10, VisibilityTimeout=1
            )
            return True if any(marker in each["Body"] for each in answer.get("Messages", [])) else None

        play.until(look, "the event on the queue")


_gives_up("Ended", "Endings/DeadLetterQueue")
_gives_up("Chat/NoticePresence", "Chat/ChatPresence/DeadLetterQueue")


# The tasks of a run, called as the machine calls them


def _task_event(play: Play, name: str, message: dict[str, Any], *connections: dict[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    given = {
        "connections": [state_of(row) for row in connections],
        "taskToken": "none",
        "entry": {"enteredAt": now, "retry": 0},
        "maxAttempts": 10,
        "tried": [row["connection_id"]["S"] for row in connections],
        "triedAt": now,
        "unacknowledged": False,
    }
    return play.task(message, **given)


def _add_task(name: str) -> None:
    @scene(f"{name}: an ordered message gets its number")
    def ordered(play: Play) -> None:
        """The first of its recipient."""
        user = play.user()
        client = play.stage.client(user)
        if name == "WaitForReconnect":  # nobody is there
            play.invoke(name, _task_event(play, name, envelope(user, "hello", ordered=True)))
            return
        with play.stage.connected(client):
            row = play.until(lambda: next(iter(play.rows(user)), None), "a connection's row")
            play.invoke(name, _task_event(play, name, envelope(user, "hello", ordered=True), row))

    if name == "WaitForReconnect":
        return

    @scene(f"{name}: the token is over")
    def expired(play: Play) -> None:
        """The connection is closed and forgotten."""
        user = play.user()
        client = play.stage.client(user)
        with play.stage.connected(client):
            row = play.let_token_expire(user)
            _fails(play, name, _task_event(play, name, envelope(user, "hello"), row))
            play.expect(not play.rows(user), "the connection is forgotten")
            play.until(lambda: True if not client.is_open else None, "its end")

    @scene(f"{name}: the connection is gone")
    def gone(play: Play) -> None:
        """It is forgotten."""
        user = play.user()
        over: Any = {"token_expires_at": {"N": str(int(time.time()) - 1)}} if name == "ResolveConnections" else {}
        row = play.store(user, _NOWHERE, **over)
        _fails(play, name, _task_event(play, name, envelope(user, "hello"), row))
        play.expect(not play.rows(user), "the dead connection is forgotten")
        play.expect(not play.callbacks(user), "nothing waits for it")


def _fails(play: Play, name: str, event: dict[str, Any]) -> None:
    """Call a function that answers that nobody is there."""
    clients = play.stage.installation.clients
    answer = clients.functions.invoke(FunctionName=play.function(name), Payload=json.dumps(event).encode())
    error = json.loads(answer["Payload"].read())
    play.expect(answer.get("FunctionError"), "nobody is there")
    play.expect(error["errorType"] in {"NoOpenConnection", "ConnectionGone"}, f"{error['errorType']}")


for _name in _TASKS:
    _add_task(_name)


@scene("the client has come while the run parks")
def rechecked(play: Play) -> None:
    """The run goes on at once, and its callback goes."""
    away, user = play.user(), play.user()
    arn = play.stage.runs.start(envelope(away, "waits"))
    (callback,) = play.until(lambda: play.callbacks(away) or None, "a callback")
    client = play.stage.client(user)
    with play.stage.connected(client):
        play.until(lambda: play.rows(user) or None, "a connection's row")
        event = _task_event(play, "WaitForReconnect", envelope(user, "hello"))
        play.invoke("WaitForReconnect", {**event, "taskToken": callback["task_token"]["S"]})
        play.expect(not play.callbacks(user), "nothing waits")

    play.expect(play.stage.runs.read(arn).woken_by == ["recheck"], "the run goes on")


@scene("nobody acknowledged: the connection counts as stale, and what came late is looked for")
def unacknowledged(play: Play) -> None:
    """So that the run waits for another one."""
    user = play.user()
    row = play.store(user, _NOWHERE)
    event = _task_event(play, "WaitForReconnect", envelope(user, "hello", ack="client"), row)
    play.invoke("WaitForReconnect", {**event, "unacknowledged": True})
    play.expect(any("stale_since" in each for each in play.rows(user)), "it is marked")


# What backends call


@scene("a post to a connection that one knows")
def posted_once(play: Play) -> None:
    """It arrives."""
    user = play.user()
    client = play.stage.client(user)
    with play.stage.connected(client):
        row = play.until(lambda: next(iter(play.rows(user)), None), "a connection's row")
        answer = play.invoke(
            "PostOnce", {"recipient": {"connectionId": row["connection_id"]["S"]}, "payload": "for this tab"}
        )
        play.expect(answer["status"] == "delivered", f"it is {answer['status']}")


@scene("HTTP: what became of a message; take it back; who is there")
def over_http(play: Play) -> None:
    """Each is answered."""
    user = play.user()
    backend = Backend.of(play.stage.installation, play.stage.keys)
    message = envelope(user, "later")
    play.stage.runs.start(message, name=message["id"])
    for method, path in (
        ("GET", f"/messages/{message['id']}"),
        ("GET", f"/users/{user}/connections"),
        ("DELETE", f"/messages/{message['id']}"),
    ):
        answer = backend.call(method, path)
        play.expect(answer.status == 200, f"{method} is answered {answer.status}")


@scene("HTTP: a fan-out, and another under its id")
def fan_out_over_http(play: Play) -> None:
    """The second is a conflict."""
    backend = Backend.of(play.stage.installation, play.stage.keys)
    given = {"id": uuid.uuid4().hex, **_fan_out({"users": [play.user()], "context": "chat", "contextId": "42"})}
    first = backend.call("POST", "/messages/fan-out", given)
    play.expect(first.status == 202, f"it is answered {first.status}")
    second = backend.call("POST", "/messages/fan-out", {**given, "message": {"payload": "another"}})
    play.expect(second.status == 409, f"another one is answered {second.status}")


# Fan-out


def _fan_out(audience: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"message": {"payload": "to all"}, "audience": audience, **more}


def _start_fan_out(play: Play, fan_out: dict[str, Any]) -> dict[str, int]:
    client = play.stage.installation.clients.stepfunctions
    arn = client.start_execution(
        stateMachineArn=play.stage.installation.fan_out_state_machine_arn, input=json.dumps(fan_out)
    )["executionArn"]
    return _ended(play, arn).output or {}


@scene("a fan-out to a stored list, for people who are away")
def to_a_list(play: Play) -> None:
    """It is read, posted, and handed over."""
    key = f"{uuid.uuid4().hex}.jsonl"
    play.stage.installation.clients.s3.put_object(
        Bucket=play.stage.installation.audience_bucket_name,
        Key=key,
        Body=json.dumps({"user": play.user()}).encode(),
    )
    audience = {"list": {"key": key}, "context": "chat", "contextId": "42"}
    summary = _start_fan_out(play, _fan_out(audience, durable=True))
    play.expect(summary["handedOver"] == 1, f"{summary}")


@scene("a fan-out to a conversation, part by part")
def to_a_conversation(play: Play) -> None:
    """Planned and posted."""
    user, place = play.user(), {"context": "chat", "contextId": uuid.uuid4().hex[:8]}
    client = play.stage.client(user, context_id=place["contextId"])
    with play.stage.connected(client):
        play.until(lambda: play.rows(user) or None, "a connection's row")
        fan_out, run = _fan_out({"conversation": place}), execution()
        plan = play.invoke("PlanFanOut", {"fanOut": fan_out, "execution": run})
        play.expect(plan["parts"], "there is a part")
        posted = play.invoke("PostToAudience", {"fanOut": fan_out, "execution": run, "part": plan["parts"][0]})
        play.expect(posted["summary"]["posted"] == 1, f"{posted}")
        event = {"fanOut": fan_out, "execution": run, "part": plan["parts"][0], "summary": _nothing()}
        handed_over = play.invoke("HandOverToDeliveries", event)
        play.expect(handed_over["handedOver"] == 1, f"{handed_over}")


@scene("a fan-out to users by name, one of them gone")
def to_users(play: Play) -> None:
    """The dead connection is forgotten."""
    user = play.user()
    play.store(user, _NOWHERE)
    fan_out = _fan_out({"users": [user], "context": "chat", "contextId": "42"})
    event = {"fanOut": fan_out, "execution": execution(), "part": {"users": [user], "size": 1}}
    posted = play.invoke("PostToAudience", event)
    play.expect(posted["summary"]["gone"] == 1, f"{posted}")
    play.expect(not play.rows(user), "it is forgotten")


@scene("a fan-out to somebody whose token is over")
def to_an_expired_user(play: Play) -> None:
    """The connection is closed."""
    user = play.user()
    client = play.stage.client(user)
    with play.stage.connected(client):
        play.let_token_expire(user)
        fan_out = _fan_out({"users": [user], "context": "chat", "contextId": "42"})
        event = {"fanOut": fan_out, "execution": execution(), "part": {"users": [user], "size": 1}}
        play.invoke("PostToAudience", event)
        play.until(lambda: True if not client.is_open else None, "its end")


@scene("a part is handed over, and once more with another content")
def handed_over(play: Play) -> None:
    """Each person has one delivery of one message."""
    user = play.user()
    fan_out = _fan_out({"users": [user], "context": "chat", "contextId": "42"}, durable=True)
    event = {
        "fanOut": fan_out,
        "execution": execution(),
        "part": {"users": [user], "size": 1},
        "summary": _nothing(),
    }
    first = play.invoke("HandOverToDeliveries", event)
    play.expect(first["handedOver"] == 1, f"{first}")
    other = {**event, "fanOut": {**fan_out, "message": {"payload": "another"}}}
    second = play.invoke("HandOverToDeliveries", other)
    play.expect(second["failed"] == 1, f"{second}")


def _nothing() -> dict[str, int]:
    return dict.fromkeys(("people", "posted", "gone", "throttled", "failed", "handedOver"), 0)


# Event source mappings, as they are made


def _mapped(name: str) -> None:
    @scene(f"{name} is fed")
    def play(play: Play) -> None:
        """Lambda looks whether it may, when a mapping is made."""
        functions = play.stage.installation.clients.functions
        (mapping,) = functions.list_event_source_mappings(FunctionName=play.function(name))["EventSourceMappings"]
        more: Any = {} if ":sqs:" in mapping["EventSourceArn"] else {"StartingPosition": "LATEST"}
        try:
            made = functions.create_event_source_mapping(
                FunctionName=play.function(name), EventSourceArn=mapping["EventSourceArn"], Enabled=False, **more
            )
        except functions.exceptions.InvalidParameterValueException as refusal:
            play.expect(False, f"Lambda refuses: {refusal}")  # noqa: FBT003
        else:
            functions.delete_event_source_mapping(UUID=made["UUID"])


for _name in ("Ingest", "Wake", "Presence", "Chat/PublishEvents"):
    _mapped(_name)
