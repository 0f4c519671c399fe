"""One message, all the way: it waits, it is woken, it arrives or it is a dead letter."""

import json
import time
import uuid

from local.demo.scene import Scenes
from local.demo.stage import Finding, Stage, envelope

WAIT = "Wait For Reconnect"

SCENES = Scenes()


@SCENES.scene("three tabs, all get it")
def three_tabs(stage: Stage, found: Finding) -> None:
    """A recipient may have several connections."""
    tabs = [stage.client("cleo") for _ in range(3)]
    with stage.connected(*tabs):
        message = envelope("cleo", "hello, tabs")
        started = time.monotonic()
        arn = stage.runs.start(message)
        frames = [tab.await_message(message["id"]) for tab in tabs]
        run = stage.runs.await_end(arn)
    found.record(run, lag_seconds=max(frame.arrived_at for frame in frames) - started)
    found.expect(run.status == "SUCCEEDED", "the run succeeds")
    found.expect(all(len(tab.messages(message["id"])) == 1 for tab in tabs), "each tab gets it once")


@SCENES.scene("dropped socket: it waits, the client reconnects, it arrives")
def dropped_and_back(stage: Stage, found: Finding) -> None:
    """A reconnect wakes the run at once; no backoff has to run out."""
    dora = stage.client("dora")
    with stage.connected(dora):
        stage.await_rows(dora, "dora", 1)
        dora.drop()
        stage.say("the client is gone, without a word")
        stage.await_rows(dora, "dora", 0)
        message = envelope("dora", "worth the wait")
        arn = stage.runs.start(message)
        stage.runs.await_waiting(arn)
        stage.say("the run waits; the client comes back")
        dora.connect()
        frame = dora.await_message(message["id"])
        run = stage.runs.await_end(arn)
    lag = frame.arrived_at - dora.connected_at
    found.record(run, lag_seconds=lag)
    found.expect(run.status == "SUCCEEDED", "the run succeeds")
    found.expect(run.states.count(WAIT) == 1, "it waits once")
    found.expect(run.billed_transitions <= 6, "it costs at most 6 transitions")
    found.expect(lag < 1, "it arrives within a second of the reconnect")


@SCENES.scene("a dead connection (410), then the client reconnects")
def gone_then_back(stage: Stage, found: Finding) -> None:
    """API Gateway may lose a `$disconnect`. The 410 finds out, and forgets exactly that connection."""
    emil = stage.client("emil")
    with stage.connected(emil):
        stage.lose_disconnect(emil, "emil")
        message = envelope("emil", "after the 410")
        arn = stage.runs.start(message)
        stage.runs.await_waiting(arn)
        stage.await_rows(emil, "emil", 0)
        stage.say("the dead connection is forgotten; the run waits; the client comes back")
        emil.connect()
        frame = emil.await_message(message["id"])
        run = stage.runs.await_end(arn)
    lag = frame.arrived_at - emil.connected_at
    found.record(run, lag_seconds=lag)
    found.expect(run.status == "SUCCEEDED", "the run succeeds")
    found.expect(run.billed_transitions == 6, "one reconnect after a 410 costs 6 billed transitions")
    found.expect(lag < 1, "it arrives within a second of the reconnect")


@SCENES.scene("reconnect between the 410 and parking: no lost wake-up")
def reconnect_while_parking(stage: Stage, found: Finding) -> None:
    """The moment where others lose the message: aimed at by trial, until the recheck has been seen to catch it.

    The handshake starts ever closer to the moment between the resolve and the parking. Whichever way a round
    goes, its message must arrive without a wait running out.
    """
    too_early, too_late = 0.0, 1.0
    seen: list[str] = []
    for _ in range(24):
        user = f"fay-{uuid.uuid4()}"
        fay = stage.client(user)
        with stage.connected(fay):
            stage.lose_disconnect(fay, user)
            message = envelope(user, "just in time")
            started = time.monotonic()
            arn = stage.runs.start(message)
            time.sleep(max(0.0, started + (too_early + too_late) / 2 - time.monotonic()))
            fay.connect()
            frame = fay.await_message(message["id"])
            run = stage.runs.await_end(arn)
        found.expect(run.status == "SUCCEEDED", f"round {len(seen) + 1} succeeds")
        found.expect(run.states.count("Resolve Connections") == 1, f"in round {len(seen) + 1} no wait runs out")
        seen.append(run.woken_by[0] if run.woken_by else "resolve")
        if seen[-1] == "recheck":
            found.record(run, lag_seconds=frame.arrived_at - fay.connected_at)
            break
        if seen[-1] == "resolve":
            too_early = (too_early + too_late) / 2
        else:
            too_late = (too_early + too_late) / 2
        if too_late - too_early < 0.01:
            too_early, too_late = max(0.0, too_early - 0.05), too_late + 0.05
    found.notes.append("found the connection by " + ", ".join(seen))
    found.expect("recheck" in seen, "one of the rounds hits the moment between 410 and parking")


@SCENES.scene("a late $disconnect of the old connection spares the new one")
def late_disconnect(stage: Stage, found: Finding) -> None:
    """The key holds the connection id, so the old one's end cannot remove its successor."""
    gus = stage.client("gus")
    with stage.connected(gus):
        (old,) = stage.await_rows(gus, "gus", 1)
        gus.drop()
        stage.await_rows(gus, "gus", 0)
        gus.connect()
        stage.await_rows(gus, "gus", 1)
        stage.say("API Gateway now says, late, that the old connection has closed")
        stage.installation.clients.functions.invoke(
            FunctionName=stage.installation.disconnect_function_name,
            Payload=json.dumps(
                {
                    "requestContext": {
                        "eventType": "DISCONNECT",
                        "connectionId": old["connection_id"]["S"],
                        "authorizer": {"user": "gus", "context": "chat", "contextId": "42"},
                    }
                }
            ).encode(),
        )
        message = envelope("gus", "still here")
        started = time.monotonic()
        arn = stage.runs.start(message)
        frame = gus.await_message(message["id"])
        run = stage.runs.await_end(arn)
    found.record(run, lag_seconds=frame.arrived_at - started)
    found.expect(run.billed_transitions == 3, "the new connection is still known: the message goes straight there")


@SCENES.scene("never comes back: dead letter, and the run says why")
def never_back(stage: Stage, found: Finding) -> None:
    """Who asks for it is looked for from time to time, two transitions each; the end of life ends it."""
    retry = {"backoffBaseSeconds": 2}  # a stage by itself looks for who is away every few hours
    message = envelope("hal", {"text": "nobody will read this"}, ttlSeconds=5, retry=retry)
    arn = stage.runs.start(message)
    stage.say("nobody connects; the message lives 5 seconds")
    letter = json.loads(stage.dead_letter(stage.installation.dead_letter_queue_url, message["id"])["Body"])
    run = stage.runs.await_end(arn)
    waits = run.states.count(WAIT)
    found.record(run)
    found.notes.append(f"{run.error}: {run.cause}")
    found.expect(run.status == "FAILED", "the run is FAILED")
    found.expect(run.error == "MessageExpired", "its error says that the message expired")
    found.expect(run.cause and "attempts" in run.cause, "its cause can be read by a person")
    found.expect(letter["message"] == message, "the dead letter holds the whole envelope")
    found.expect(letter["reason"] == "MessageExpired", "it holds the reason")
    found.expect(letter["lastError"]["error"] == "NoOpenConnection", "it holds the last error")
    found.expect(letter["attempts"] == waits > 0, "it holds the attempts")
    found.expect(letter["executionArn"] == arn, "it holds the execution ARN")
    # Every cycle is a resolve and a wait; then comes the resolve that finds it expired, the queue, the Fail state.
    found.expect(run.billed_transitions == 2 * waits + 3, "a backoff cycle costs 2 billed transitions")


@SCENES.scene("the same id twice: one delivery")
def same_id_twice(stage: Stage, found: Finding) -> None:
    """The execution is named after the message, so a second start is recognised."""
    ida = stage.client("ida")
    with stage.connected(ida):
        # Only what has a run is on record, and is recognised for good.
        message = envelope("ida", "once", track=True)
        arn = stage.runs.start(message, name=message["id"])
        ida.await_message(message["id"])
        run = stage.runs.await_end(arn)
        try:
            stage.runs.start(message, name=message["id"])
        except stage.installation.clients.stepfunctions.exceptions.ExecutionAlreadyExists:
            found.notes.append("Step Functions answers ExecutionAlreadyExists")
        else:
            found.expect(False, "the second start is answered with ExecutionAlreadyExists")  # noqa: FBT003
        stage.installation.clients.sns.publish(
            TopicArn=stage.installation.message_topic_arn, Message=json.dumps(message)
        )
        stage.until(lambda: stage.queue_is_empty() or None, "ingest to have read the third one")
        # The same id for somebody else is no duplicate, and must not vanish as one.
        stage.installation.clients.sns.publish(
            TopicArn=stage.installation.message_topic_arn,
            Message=json.dumps({**message, "recipient": {**message["recipient"], "user": "jan"}}),
        )
        rejected = stage.dead_letter(stage.installation.ingest_dead_letter_queue_url, message["id"])
        found.notes.append(rejected["MessageAttributes"]["reason"]["StringValue"])
    found.record(run)
    found.expect(len(ida.messages(message["id"])) == 1, "the client gets it once")


@SCENES.scene("a malformed message: dead letter with a clear reason")
def malformed(stage: Stage, found: Finding) -> None:
    """By StartExecution it is the run that says so; from the queue, the ingest dead letter queue holds it."""
    marker = str(uuid.uuid4())
    arn = stage.runs.start({"recipient": {"user": "joe", "context": "chat"}, "payload": marker, "colour": "red"})
    letter = json.loads(stage.dead_letter(stage.installation.dead_letter_queue_url, marker)["Body"])
    run = stage.runs.await_end(arn)
    found.record(run)
    found.notes.append(letter["cause"])
    found.expect(run.status == "FAILED", "the run is FAILED")
    found.expect(run.error == letter["reason"] == "InvalidMessage", "the reason is InvalidMessage")
    found.expect("recipient.contextId" in letter["cause"], "the cause names the missing field")
    found.expect("colour" in letter["cause"], "the cause names the unknown field")
    stage.installation.clients.sns.publish(
        TopicArn=stage.installation.message_topic_arn, Message=f"for nobody {marker}"
    )
    rejected = stage.dead_letter(stage.installation.ingest_dead_letter_queue_url, marker)
    reason = rejected["MessageAttributes"]["reason"]["StringValue"]
    found.notes.append(reason)
    found.expect(rejected["Body"] == f"for nobody {marker}", "from the queue: the body is kept as it came")
    found.expect("attributes user, context and contextId" in reason, "from the queue: the reason says what to do")
