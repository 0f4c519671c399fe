"""What a backend relies on: acknowledgement, order, redrive, the HTTP API and fan-out."""

import json
import time
import uuid

from local.backend import Backend
from local.client import Client
from local.demo.scene import Scenes
from local.demo.stage import Finding, Stage, envelope
from ringback.dead_letters import DeliveryDeadLetterQueue, NewLife

SCENES = Scenes()

AWAIT = "Post And Await Acknowledgement"
ORDERED = 40
PEOPLE = 20


@SCENES.scene("half-open, never acknowledges: it arrives after the reconnect")
def half_open(stage: Stage, found: Finding) -> None:
    """API Gateway takes a post for a dead socket. Only the client's word counts with `ack: client`."""
    user = f"olga-{uuid.uuid4()}"
    olga = stage.client(user)
    olga.acknowledges = True
    with stage.connected(olga):
        olga.go_deaf()
        message = envelope(user, "are you there?", ack="client", ackTimeoutSeconds=1, retry={"backoffBaseSeconds": 60})
        arn = stage.runs.start(message)
        stage.runs.await_waiting(arn)
        stage.say("posted, and nobody said a word; the client comes back")
        olga.connect()
        frame = olga.await_message(message["id"])
        run = stage.runs.await_end(arn)
    found.record(run, lag_seconds=frame.arrived_at - olga.connected_at)
    found.expect(run.status == "SUCCEEDED", "the run succeeds")
    found.expect(run.states.count(AWAIT) >= 2, "it shows both attempts")
    found.expect(run.output and run.output["status"] == "acknowledged", "the client's acknowledgement ended it")


@SCENES.scene("ordered, with drops; one taken back, and nobody waits for it")
def in_order(stage: Stage, found: Finding) -> None:
    """Numbers without a gap; the client puts the frames right, and is told of the one that will not come."""
    user = f"pia-{uuid.uuid4()}"
    pia = stage.client(user)
    pia.acknowledges = True
    messages = [
        envelope(user, number, ordered=True, ack="client", ackTimeoutSeconds=2) for number in range(1, ORDERED + 1)
    ]
    taken_back = messages[6]["id"]
    stage.accept(*messages)
    stage.runs.await_waiting(stage.runs.arn_of(taken_back))
    Backend.of(stage.installation, stage.keys).cancel(taken_back)
    try:
        while len(_ids(pia)) < ORDERED:
            pia.connect()
            more = min(ORDERED, len(_ids(pia)) + 15)
            pia.await_frames(lambda more=more: len(_ids(pia)) >= more, "the next messages")  # type: ignore[misc]
            pia.drop()
    finally:
        pia.close()
    arrived = {frame.body["id"]: frame.body for frame in pia.all_messages()}
    skipped = [body["payload"]["sequence"] for body in arrived.values() if body["type"] == "ringback.skipped"]
    in_order = sorted((body for body in arrived.values() if "sequence" in body), key=lambda body: body["sequence"])
    expected = [message["payload"] for message in messages if message["id"] != taken_back]
    found.expect(
        [body["payload"] for body in in_order] == expected, "in the order of their numbers it is the order sent"
    )
    found.expect(skipped == [7], "the client is told that number 7 will not come")
    found.notes.append(f"{len(pia.all_messages())} frames over {pia.connections} connections, {len(arrived)} messages")


def _ids(client: Client) -> set[str]:
    """Of each message that came, however often."""
    return {frame.body["id"] for frame in client.all_messages()}


@SCENES.scene("a dead letter is redriven under its own id")
def redriven(stage: Stage, found: Finding) -> None:
    """An expired message needs a new life; its run is a new one, its id is the old one."""
    user = f"quinn-{uuid.uuid4()}"
    quinn = stage.client(user)
    message = envelope(user, "second chance", ttlSeconds=2)
    arn = stage.runs.start(message, name=message["id"])
    stage.runs.await_end(arn)
    clients = stage.installation.clients
    queue = DeliveryDeadLetterQueue(
        clients.sqs,
        stage.installation.dead_letter_queue_url,
        clients.stepfunctions,
        stage.installation.delivery_state_machine_arn,
    )
    refused = queue.redrive([message["id"]])
    found.expect(refused.failed == 1, "without a new expiry it is refused")
    stage.say("expired: refused, unless it is given a new life")
    with stage.connected(quinn):
        done = queue.redrive([message["id"]], life=NewLife(ttl_seconds=60))
        frame = quinn.await_message(message["id"])
        run = stage.runs.await_end(stage.runs.arn_of(f"{message['id']}-r1"))
    found.record(run)
    found.expect(done.failed == 0, "with one it is started")
    found.expect(frame.body["payload"] == "second chance", "it arrives under its own id")
    left = [letter for letter in queue.letters() if letter.is_one_of([message["id"]])]
    found.expect(not left, "and is a dead letter no more")


@SCENES.scene("over HTTP: sent, looked up, taken back; a conflict is a 409")
def over_http(stage: Stage, found: Finding) -> None:
    """What any backend can do with a token and curl."""
    backend = Backend.of(stage.installation, stage.keys)
    message = envelope(f"rosa-{uuid.uuid4()}", "later")
    sent = backend.send(message)
    stage.runs.await_waiting(stage.runs.arn_of(message["id"]))
    status = backend.call("GET", f"/messages/{message['id']}").body
    found.notes.append(f"{status['state']} for {status['waitingFor']}, looks again at {status['nextAttemptAt']}")
    other = backend.send({**message, "payload": "another"})
    cancelled = backend.cancel(message["id"])
    found.record(stage.runs.await_end(stage.runs.arn_of(message["id"])))
    found.expect((sent.status, sent.body["status"]) == (202, "started"), "nobody is there, so a run carries it")
    found.expect(status["state"] == "waiting", "it is seen waiting")
    found.expect(other.status == 409, "another message under its id is a conflict")
    found.expect(cancelled.body["state"] == "cancelled", "it is taken back")
    found.expect(Backend(backend.url, None).send(message).status == 401, "nobody gets in without a token")


@SCENES.scene("fan-out to a conversation: one left out, one gone who waits")
def to_many(stage: Stage, found: Finding) -> None:
    """One run for many people; with `durable`, whoever missed it gets a delivery of their own."""
    place = {"context": "chat", "contextId": uuid.uuid4().hex[:8]}
    users = [f"{name}-{place['contextId']}" for name in map("sam-{}".format, range(PEOPLE))]
    clients = [stage.client(user, context_id=place["contextId"]) for user in users]
    with stage.connected(*clients):
        for user, client in zip(users, clients, strict=True):
            stage.await_rows(client, user, 1)
        stage.lose_disconnect(clients[-1], users[-1])
        started = time.monotonic()
        arn = stage.installation.clients.stepfunctions.start_execution(
            stateMachineArn=stage.installation.fan_out_state_machine_arn,
            name=f"fan-{uuid.uuid4()}",
            input=json.dumps(
                {
                    "message": {"payload": "to all"},
                    "audience": {"conversation": place},
                    "exclude": [users[0]],
                    "durable": True,
                }
            ),
        )["executionArn"]
        run = stage.runs.await_end(arn)
        for client in clients[1:-1]:
            client.await_frames(lambda client=client: bool(client.frames), "the message")  # type: ignore[misc]
        lag = max(client.frames[0].arrived_at for client in clients[1:-1]) - started
        clients[-1].connect()
        clients[-1].await_frames(lambda: bool(clients[-1].frames), "what waited")
    summary = {name: number for name, number in (run.output or {}).items() if number}
    found.notes.append(", ".join(f"{name} {number}" for name, number in summary.items()))
    found.record(run, lag_seconds=lag)
    found.expect(
        summary == {"people": PEOPLE - 1, "posted": PEOPLE - 2, "gone": 1, "handedOver": 1}, "the summary adds up"
    )
    found.expect(not clients[0].frames, "who was left out gets nothing")
