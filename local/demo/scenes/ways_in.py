"""Messages to people who are there, by every way in."""

import time
import uuid

from local.demo.scene import Scenes
from local.demo.stage import Finding, Stage, envelope

SCENES = Scenes()


@SCENES.scene("online, by StartExecution")
def online_by_start_execution(stage: Stage, found: Finding) -> None:
    """A message to someone who is there costs three billed transitions."""
    ana = stage.client("ana")
    with stage.connected(ana):
        message = envelope("ana", {"text": "Your order is on its way"})
        started = time.monotonic()
        arn = stage.runs.start(message)
        frame = ana.await_message(message["id"])
        run = stage.runs.await_end(arn)
    found.record(run, lag_seconds=frame.arrived_at - started)
    found.expect(frame.body["payload"] == message["payload"], "the payload arrives as it was sent")
    found.expect(run.status == "SUCCEEDED", "the run succeeds")
    found.expect(run.billed_transitions == 3, "it costs 3 billed transitions")


@SCENES.scene("online, by SNS publish")
def online_by_sns(stage: Stage, found: Finding) -> None:
    """A publisher names the recipient in attributes; the body is the payload. Who is there gets it without a run."""
    ben = stage.client("ben")
    message_id = f"demo-{uuid.uuid4()}"
    with stage.connected(ben):
        published = time.monotonic()
        stage.installation.clients.sns.publish(
            TopicArn=stage.installation.message_topic_arn,
            Message='{"text": "Lunch?"}',
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in {"id": message_id, "user": "ben", "context": "chat", "contextId": "42"}.items()
            },
        )
        frame = ben.await_message(message_id)
        stage.until(lambda: stage.queue_is_empty() or None, "ingest to be done")
    found.record_no_run(lag_seconds=frame.arrived_at - published)
    found.expect(frame.body["payload"] == {"text": "Lunch?"}, "the body arrives as the payload")
    found.expect(not stage.runs.exists(message_id), "it took no run")


@SCENES.scene("accepted by a direct call: at once, or by a run")
def accepted_by_call(stage: Stage, found: Finding) -> None:
    """A backend that calls `accept` learns what became of each message: delivered already, or carried by a run."""
    lea = stage.client("lea")
    with stage.connected(lea):
        plain, tracked = envelope("lea", "at once"), envelope("lea", "and on the record", track=True)
        called = time.monotonic()
        answers = stage.accept(plain, tracked, plain)
        frame = lea.await_message(plain["id"])
        run = stage.runs.await_end(stage.runs.arn_of(tracked["id"]))
    found.record(run, lag_seconds=frame.arrived_at - called)
    statuses = [answer["status"] for answer in answers]
    found.notes.append(f"answered {', '.join(statuses)}")
    found.expect(statuses == ["delivered", "started", "duplicate"], "the answers say what became of each")
    found.expect(not stage.runs.exists(plain["id"]), "what was delivered at once took no run")
    found.expect(run.status == "SUCCEEDED", "what is to be tracked has a run, which succeeds")
    found.expect(len(lea.messages(plain["id"])) == 1, "the same message twice in one call is one message")


@SCENES.scene("a burst of ten for one person: one frame, no run")
def burst(stage: Stage, found: Finding) -> None:
    """What comes together for one person travels together: ten messages cost one post."""
    mia = stage.client("mia")
    messages = [envelope("mia", {"line": number}) for number in range(10)]
    with stage.connected(mia):
        called = time.monotonic()
        answers = stage.accept(*messages)
        frame = mia.await_message(messages[-1]["id"])
    found.record_no_run(lag_seconds=frame.arrived_at - called)
    found.expect({answer["status"] for answer in answers} == {"delivered"}, "all ten are delivered at once")
    found.expect([frame.body["kind"] for frame in mia.frames] == ["batch"], "they arrive in one frame")
    arrived = [message.body["id"] for message in mia.all_messages()]
    found.expect(arrived == [message["id"] for message in messages], "in their order")
    found.expect(not any(stage.runs.exists(message["id"]) for message in messages), "they took no run")


@SCENES.scene("a direct post to a known connection: posted once, or gone")
def direct_post(stage: Stage, found: Finding) -> None:
    """Whoever holds a connection id can post to it. Nobody waits: the answer says what became of it."""
    nora = stage.client("nora")
    with stage.connected(nora):
        (row,) = stage.await_rows(nora, "nora", 1)
        connection_id = row["connection_id"]["S"]
        called = time.monotonic()
        status = stage.post_once(connection_id, "for this very tab")
        nora.await_frames(lambda: bool(nora.frames), "the post")
        found.record_no_run(lag_seconds=nora.frames[0].arrived_at - called)
        nora.close()
        stage.await_rows(nora, "nora", 0)
        afterwards = stage.post_once(connection_id, "too late")
    found.notes.append(f"answered {status}, then {afterwards}")
    found.expect((status, afterwards) == ("delivered", "gone"), "the answers say what became of each")
    found.expect(nora.frames[0].body["payload"] == "for this very tab", "the payload arrives")
