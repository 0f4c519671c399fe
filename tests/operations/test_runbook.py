"""Every alarm's condition is caused, its entry in the runbook is followed as it is written, and the condition ends."""

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from lambdas.chat.adapters.table import STATE_ITEM
from local.demo.stage import envelope
from local.runs import Runs
from tests.builders import presence_event, recipient
from tests.e2e.chatting import Person
from tests.operations import runbook
from tests.operations.alarms import Alarms
from tests.operations.operated import Operated
from tests.operations.runbook import Operator
from tests.waiting import until

CHAT = "Ringback-local-Chat"
# What only AWS can do to us, or only AWS can tell of.
NOT_CAUSED_HERE = {
    "FunctionsThrottled": "Lambda's concurrency of an account",
    "HandshakesFailed": "the access log of a WebSocket API; its handshakes fail with AuthorizerErrors, below",
    "PostsThrottled": "API Gateway's throttle of an account",
    "RequestsThrottled": "API Gateway's throttle of a stage, and the access log",
    "RunsThrottled": "Step Functions' quota of state transitions",
}
CAUSED_HERE = {
    "AuthorizerErrors",
    "ChatEventsLate",
    "ChatEventsLost",
    "ChatPresenceLost",
    "ChatRunsFailed",
    "DeadLetters",
    "EndingsLost",
    "FanOutsFailed",
    "IngestDeadLetters",
    "IngestLate",
    "OldestWait",
    "PresenceLate",
    "WakeLate",
}


@pytest.fixture(scope="session")
def alarms(operated: Operated, tmp_path_factory: pytest.TempPathFactory) -> Alarms:
    return Alarms.of(operated, tmp_path_factory.mktemp("alarms"))


@pytest.fixture(scope="session")
def operator(operated: Operated, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    return Operator(operated, tmp_path_factory.mktemp("operator"))


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4()}"


@pytest.fixture
def since() -> float:
    return time.time()


def function_named(operated: Operated, name: str, stack: str = "Ringback-local") -> str:
    """The name of a function in the cloud, by its construct's."""
    return next(
        physical
        for logical, physical in operated.resources(stack).items()
        if re.fullmatch(rf"{name}Function[0-9A-F]{{8}}", logical)
    )


def queue_named(operated: Operated, name: str, stack: str = "Ringback-local") -> str:
    """The URL of a queue, by how its logical id begins."""
    return next(
        physical
        for logical, physical in operated.resources(stack).items()
        if logical.startswith(name) and physical.startswith("http")
    )


def given_up_on(event: dict[str, Any]) -> str:
    """What Lambda writes to a function's destination when it has given up on an event."""
    return json.dumps({"version": "1.0", "requestContext": {"condition": "RetriesExhausted"}, "requestPayload": event})


@contextmanager
def stopped(
    operated: Operated, alarms: Alarms, name: str, stack: str = "Ringback-local", *, source: str = "/stream/"
) -> Iterator[None]:
    """Have nobody call a function from its stream or queue, until somebody switches it on again."""
    functions = operated.clients.functions
    mappings = functions.list_event_source_mappings(FunctionName=function_named(operated, name, stack))
    (mapping,) = (each for each in mappings["EventSourceMappings"] if source in each["EventSourceArn"])
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    alarms.behind[name] = time.time()
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


def caught_up(alarms: Alarms, name: str) -> None:
    """What had not been read has been, as its effect shows."""
    del alarms.behind[name]


def disabled_mapping(told: str) -> str:
    """The id of the mapping that the runbook's look shows as disabled."""
    (mapping,) = (each for each in json.loads(told) if each[1] == "Disabled")
    return str(mapping[0])


def test_each_alarm_is_caused_here_or_said_not_to_be(alarms: Alarms) -> None:
    assert alarms.names == CAUSED_HERE | set(NOT_CAUSED_HERE)
    assert not CAUSED_HERE & set(NOT_CAUSED_HERE)
    assert alarms.names == set(runbook.ENTRIES)


def test_dead_letters(operated: Operated, operator: Operator, alarms: Alarms, user: str, since: float) -> None:
    operated.stage.accept(envelope(user, "routine", ttlSeconds=1))
    until(lambda: alarms.counted("Expired", "ended", since=since) > 0, "a message that merely expired")
    assert not alarms.breaches("DeadLetters", since=since)
    still_wanted, not_wanted = (envelope(user, n, retry={"maxAttempts": 1}) for n in (1, 2))
    operated.stage.accept(still_wanted, not_wanted)
    until(lambda: alarms.breaches("DeadLetters", since=since), "the alarm")
    for each in (still_wanted, not_wanted):
        operated.stage.runs.await_end(operated.stage.runs.arn_of(each["id"]))

    told = operator.look("DeadLetters", ID=still_wanted["id"])
    assert "AttemptsExhausted" in told
    assert not_wanted["id"] in told
    client = operated.stage.client(user)
    with operated.stage.connected(client):
        redrive, purge = (c for c in runbook.commands("DeadLetters") if "redrive" in c or "purge" in c)
        operator.run(redrive, ID=still_wanted["id"])
        client.await_message(still_wanted["id"])
    until(lambda: alarms.counted("DeadLettered", "ended", since=since) >= 3, "all are counted")
    mended = time.time()
    operator.run(f"{purge} --yes", ID=not_wanted["id"])
    assert not_wanted["id"] not in operator.run("ringback dead-letters list")
    assert not alarms.breaches("DeadLetters", since=mended)


def test_ingest_dead_letters(operated: Operated, operator: Operator, alarms: Alarms, user: str, since: float) -> None:
    here = operated.installation
    operated.clients.sns.publish(TopicArn=here.message_topic_arn, Message='{"no": "message"}')
    until(lambda: alarms.breaches("IngestDeadLetters", since=since), "the alarm")
    # As SQS sets aside what ingest has failed on for days.
    good = envelope(user, "a good message in bad times")
    operated.clients.sqs.send_message(QueueUrl=here.ingest_dead_letter_queue_url, MessageBody=json.dumps(good))

    told = operator.look("IngestDeadLetters", ID=good["id"])
    assert "InvalidMessage" in told
    assert "NotTaken" in told
    assert "rejected" in told
    client = operated.stage.client(user)
    with operated.stage.connected(client):
        operator.do("IngestDeadLetters", ID=good["id"])
        client.await_message(good["id"])
    (bad,) = {line.split()[0] for line in told.splitlines() if "InvalidMessage" in line and "-" in line.split()[0]}
    (purge,) = (command for command in runbook.commands("IngestDeadLetters") if "purge" in command)
    operator.run(f"{purge} --yes", ID=bad)
    until(lambda: not alarms.breaches("IngestDeadLetters", since=since), "the alarm ends")


def test_endings_lost(operated: Operated, operator: Operator, alarms: Alarms, user: str, since: float) -> None:
    stage, queue = operated.stage, queue_named(operated, "Endings")
    rule = next(each for logical, each in operated.resources().items() if re.match(r"EndingsRule[0-9A-F]*$", logical))
    lost, next_one = (envelope(user, number, ordered=True) for number in (1, 2))
    operated.clients.events.disable_rule(Name=rule)
    try:
        stage.accept(lost)
        stage.accept(next_one)
        stage.runs.await_waiting(stage.runs.arn_of(lost["id"]))
        arn = stage.runs.arn_of(lost["id"])
        operated.clients.stepfunctions.stop_execution(executionArn=arn, error="Cancelled")
        run = operated.clients.stepfunctions.describe_execution(executionArn=arn)
    finally:
        operated.clients.events.enable_rule(Name=rule)
    detail = {
        "executionArn": arn,
        "stateMachineArn": run["stateMachineArn"],
        "name": lost["id"],
        "status": "ABORTED",
        "startDate": int(run["startDate"].timestamp() * 1000),
        "input": run["input"],
        "inputDetails": {"included": True},
        "error": "Cancelled",
    }
    operated.clients.sqs.send_message(QueueUrl=queue, MessageBody=given_up_on({"detail": detail}))
    assert alarms.breaches("EndingsLost", since=since)

    (letter,) = json.loads(operator.look("EndingsLost"))["Messages"]
    event = json.loads(letter["Body"])["requestPayload"]
    (operator.home / "event.json").write_text(json.dumps(event))
    client = stage.client(user)
    with stage.connected(client):
        operator.do("EndingsLost")
        client.await_frames(
            lambda: any(f.body["type"] == "ringback.skipped" for f in client.all_messages()), "that nobody waits for it"
        )
    operated.clients.sqs.delete_message(QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"])
    until(lambda: not alarms.breaches("EndingsLost", since=since), "the alarm ends")


def test_fan_outs_failed(operated: Operated, operator: Operator, alarms: Alarms, user: str, since: float) -> None:
    place = {"context": "chat", "contextId": "42"}
    wrong: dict[str, Any] = {"message": {"payload": 1}, "audience": {"users": [user], "context": "chat"}}
    machine = operated.installation.fan_out_state_machine_arn
    start = operated.clients.stepfunctions.start_execution
    arn = start(stateMachineArn=machine, input=json.dumps(wrong))["executionArn"]
    until(lambda: alarms.breaches("FanOutsFailed", since=since), "the alarm")

    told = operator.look("FanOutsFailed", ARN=arn)
    assert arn in told
    assert "InvalidMessage" in told
    assert "contextId" in told
    mended = time.time()
    right = {**wrong, "audience": {"users": [user], **place}}
    client = operated.stage.client(user)
    with operated.stage.connected(client):
        start(stateMachineArn=machine, input=json.dumps(right))
        client.await_frames(lambda: bool(client.all_messages()), "the message")
    assert not alarms.breaches("FanOutsFailed", since=mended)


def test_authorizer_errors(operated: Operated, operator: Operator, alarms: Alarms, user: str, since: float) -> None:
    functions, name = operated.clients.functions, function_named(operated, "Authorizer")
    good = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": {**good, "TOKEN_JWKS": "no key set"}}
    )
    message = envelope(user, "waits meanwhile")
    client = operated.stage.client(user)
    try:
        operated.stage.accept(message)
        with pytest.raises(InvalidStatus) as refused:
            client.connect()
        assert refused.value.response.status_code >= 500
        until(lambda: alarms.breaches("AuthorizerErrors", since=since), "the alarm")
        (command,) = (each for each in runbook.commands("AuthorizerErrors") if each.startswith("log"))
        assert "ERROR" in operator.run(command)
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": good})
    mended = time.time()
    with operated.stage.connected(client):
        client.await_message(message["id"])
    assert not alarms.breaches("AuthorizerErrors", since=mended)


def test_oldest_wait(operated: Operated, operator: Operator, alarms: Alarms, user: str, since: float) -> None:
    message = envelope(user, "waits for long")
    operated.stage.accept(message)
    arn = operated.stage.runs.arn_of(message["id"])
    operated.stage.runs.await_waiting(arn)
    # As its run will call the function when it looks again in seven hours.
    hours_ago = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 7 * 3600))
    event = {
        "message": message,
        "execution": {"arn": arn, "name": message["id"], "startedAt": hours_ago},
        "attempt": 2,
        "maxAttempts": 9,
        "tried": [],
        "triedAt": hours_ago,
        "unacknowledged": False,
        "taskToken": "of-no-run",
        "entry": {"enteredAt": hours_ago, "retry": 0},
    }
    wait = function_named(operated, "WaitForReconnect")
    assert "FunctionError" not in operated.clients.functions.invoke(FunctionName=wait, Payload=json.dumps(event))
    until(lambda: alarms.breaches("OldestWait", since=since), "the alarm")

    told = operator.look("OldestWait", ID=message["id"], USER=user)
    assert message["id"] in told
    assert "waiting" in told
    client = operated.stage.client(user)
    mended = time.time()
    with operated.stage.connected(client):
        client.await_message(message["id"])
    assert not alarms.breaches("OldestWait", since=mended)


def test_wake_late(operated: Operated, operator: Operator, alarms: Alarms, user: str, since: float) -> None:
    message, client = envelope(user, "x"), operated.stage.client(user)
    operated.stage.accept(message)
    # Not before: a run that is about to be parked looks for connections itself.
    runs = operated.stage.runs
    runs.await_run(runs.arn_of(message["id"]), lambda run: run.events[-1]["type"] == "TaskSubmitted", "parked")
    with stopped(operated, alarms, "Wake"), operated.stage.connected(client):
        assert not alarms.breaches("WakeLate", since=since)
        assert alarms.breaches("WakeLate", since=since, after_seconds=61)
        uuid_of_mapping = disabled_mapping(operator.look("WakeLate"))
        assert not client.all_messages()
        operator.do("WakeLate", UUID=uuid_of_mapping)
        client.await_message(message["id"])
        caught_up(alarms, "Wake")
        assert not alarms.breaches("WakeLate", since=since, after_seconds=61)


def test_presence_late(operated: Operated, operator: Operator, alarms: Alarms, user: str, since: float) -> None:
    with stopped(operated, alarms, "Presence"):
        assert alarms.breaches("PresenceLate", since=since, after_seconds=301)
        operator.do("PresenceLate", UUID=disabled_mapping(operator.look("PresenceLate")))
        assert '"Enabled"' in operator.look("PresenceLate")
        caught_up(alarms, "Presence")
        assert not alarms.breaches("PresenceLate", since=since, after_seconds=301)


def test_ingest_late(operated: Operated, operator: Operator, alarms: Alarms, user: str, since: float) -> None:
    message, client = envelope(user, "x"), operated.stage.client(user)
    with stopped(operated, alarms, "Ingest", source=":sqs:"), operated.stage.connected(client):
        operated.clients.sns.publish(TopicArn=operated.installation.message_topic_arn, Message=json.dumps(message))
        until(lambda: alarms.breaches("IngestLate", since=since, after_seconds=301), "the alarm")
        assert not alarms.breaches("IngestLate", since=since)
        operator.do("IngestLate", UUID=disabled_mapping(operator.look("IngestLate")))
        client.await_message(message["id"])
        until(lambda: not alarms.breaches("IngestLate", since=since, after_seconds=301), "the alarm ends")


def test_chat_runs_failed(operated: Operated, operator: Operator, alarms: Alarms, since: float) -> None:
    machine = operated.installation.chat_session_state_machine_arn
    nobodys = {"chatId": f"chat-{uuid.uuid4()}", "phase": "Waiting", "seconds": 60}
    start = operated.clients.stepfunctions.start_execution
    arn = start(stateMachineArn=machine, input=json.dumps(nobodys))["executionArn"]
    until(lambda: alarms.breaches("ChatRunsFailed", since=since), "the alarm")
    told = operator.look("ChatRunsFailed", chat=True, ARN=arn)
    assert "ChatNotFound" in told
    # The local cloud has no redrive of a run: that is as far as the entry can be followed.
    (redrive,) = (each for each in runbook.commands("ChatRunsFailed") if "redrive" in each)
    with pytest.raises(AssertionError, match="RedriveExecution"):
        operator.run(redrive, chat=True, ARN=arn)
    assert not alarms.breaches("ChatRunsFailed", since=time.time())


def test_a_chat_s_run_that_was_stopped(operated: Operated, operator: Operator, alarms: Alarms, since: float) -> None:
    customer = Person.at(operated.stage, "customer", role="customer")
    chat = customer.start()
    runs = Runs(operated.clients.stepfunctions, operated.installation.chat_session_state_machine_arn)
    until(lambda: runs.exists(chat), "the run")
    runs.await_state(runs.arn_of(chat), "Waiting")
    operated.clients.stepfunctions.stop_execution(executionArn=runs.arn_of(chat))
    until(lambda: alarms.breaches("ChatRunsFailed", since=since), "the alarm")

    assert f"ABORTED {chat}" in " ".join(operator.look("ChatRunsFailed", chat=True, ARN=runs.arn_of(chat)).split())
    mended = time.time()
    operator.do("ChatRunsFailed", chat=True, CHATID=chat)
    runs.await_state(runs.arn_of(f"{chat}-2"), "Waiting")
    assert customer.do(chat, "end").status == 200
    assert runs.await_end(runs.arn_of(f"{chat}-2")).status == "SUCCEEDED"
    assert not alarms.breaches("ChatRunsFailed", since=mended)


def test_chat_events_late(operated: Operated, operator: Operator, alarms: Alarms, since: float) -> None:
    with stopped(operated, alarms, "PublishEvents", CHAT):
        assert alarms.breaches("ChatEventsLate", since=since, after_seconds=61)
        operator.do("ChatEventsLate", chat=True, UUID=disabled_mapping(operator.look("ChatEventsLate", chat=True)))
        assert '"Enabled"' in operator.look("ChatEventsLate", chat=True)
        caught_up(alarms, "PublishEvents")
        assert not alarms.breaches("ChatEventsLate", since=since, after_seconds=61)


def test_chat_events_lost(operated: Operated, operator: Operator, alarms: Alarms, since: float) -> None:
    queue = queue_named(operated, "ChatEvents", CHAT)
    with stopped(operated, alarms, "PublishEvents", CHAT):
        chat = Person.at(operated.stage, "customer", role="customer").start()
        coordinates = where_in_the_stream(operated, chat)
        runs = Runs(operated.clients.stepfunctions, operated.installation.chat_session_state_machine_arn)
        letter = {"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": coordinates}
        operated.clients.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(letter))
        assert alarms.breaches("ChatEventsLost", since=since)

        (found,) = json.loads(operator.look("ChatEventsLost", chat=True))["Messages"]
        lost = json.loads(found["Body"])["DDBStreamBatchInfo"]
        assert not runs.exists(chat)
        told = operator.do(
            "ChatEventsLost",
            chat=True,
            STREAM_ARN=lost["streamArn"],
            SHARD_ID=lost["shardId"],
            START_SEQUENCE_NUMBER=lost["startSequenceNumber"],
        )
        assert '{"batchItemFailures": []}' in told
        assert runs.exists(chat)
    operated.clients.sqs.delete_message(QueueUrl=queue, ReceiptHandle=found["ReceiptHandle"])
    until(lambda: not alarms.breaches("ChatEventsLost", since=since), "the alarm ends")
    operated.clients.stepfunctions.stop_execution(executionArn=runs.arn_of(chat))


def where_in_the_stream(operated: Operated, chat: str) -> dict[str, Any]:
    """Where a chat's first event is, as Lambda says it of a batch that it has given up on."""
    table = operated.clients.dynamodb.describe_table(TableName=operated.installation.chats_table_name)["Table"]
    arn = table["LatestStreamArn"]
    clients = operated.clients
    streams = clients.session.client("dynamodbstreams", endpoint_url=clients.endpoint, config=clients.config)
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        for record in streams.get_records(ShardIterator=iterator)["Records"]:
            keys = record["dynamodb"]["Keys"]
            if chat in keys["collection"]["S"] and keys["item"]["S"] == STATE_ITEM:
                number = record["dynamodb"]["SequenceNumber"]
                return {"streamArn": arn, "shardId": shard["ShardId"], "startSequenceNumber": number}
    raise AssertionError("the chat's event is not in the stream")


def test_chat_presence_lost(operated: Operated, operator: Operator, alarms: Alarms, user: str, since: float) -> None:
    queue = queue_named(operated, "ChatPresence", CHAT)
    event = presence_event("closed", recipient(user, "desk", "chat"))
    operated.clients.sqs.send_message(QueueUrl=queue, MessageBody=given_up_on(event))
    assert alarms.breaches("ChatPresenceLost", since=since)

    (letter,) = json.loads(operator.look("ChatPresenceLost", chat=True))["Messages"]
    (operator.home / "event.json").write_text(json.dumps(json.loads(letter["Body"])["requestPayload"]))
    assert "FunctionError" not in operator.do("ChatPresenceLost", chat=True)
    operated.clients.sqs.delete_message(QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"])
    until(lambda: not alarms.breaches("ChatPresenceLost", since=since), "the alarm ends")
