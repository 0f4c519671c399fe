"""`ack: client` with clients that are there, and do not answer."""

from local.demo.stage import Stage, envelope

AWAIT, WAIT = "Post And Await Acknowledgement", "Wait For Reconnect"


def stale(stage: Stage, user: str) -> list[bool]:
    """Of each stored connection, from the oldest on, whether it left messages unacknowledged."""
    rows = sorted(stage.rows(stage.client(user), user), key=lambda row: int(row["connected_at"]["N"]))
    return ["stale_since" in row for row in rows]


def test_what_a_half_open_client_did_not_acknowledge_arrives_after_the_reconnect(stage: Stage, user: str) -> None:
    client = stage.client(user)
    client.acknowledges = True
    message = envelope(user, "are you there?", ack="client", ackTimeoutSeconds=1, retry={"backoffBaseSeconds": 60})
    with stage.connected(client):
        client.go_deaf()
        arn = stage.runs.start(message)
        stage.until(lambda: stale(stage, user) == [True] or None, "a stale connection")
        stage.runs.await_waiting(arn)

        client.connect()  # and the half-open one is still there
        frame = client.await_message(message["id"])
        run = stage.runs.await_end(arn)

        assert stale(stage, user) == [True, False]
    assert run.status == "SUCCEEDED"
    assert run.states.count(AWAIT) == frame.body["attempt"] >= 2, "the run shows every attempt"
    assert frame.body["ack"] == "client"
    assert len(client.messages(message["id"])) == 1


def test_an_acknowledgement_that_comes_late_ends_the_run_without_another_post(stage: Stage, user: str) -> None:
    client = stage.client(user)
    message = envelope(user, "no hurry", ack="client", ackTimeoutSeconds=1, retry={"backoffBaseSeconds": 60})
    with stage.connected(client):
        stage.let_age(client, user)
        arn = stage.runs.start(message)
        client.await_message(message["id"])
        stage.runs.await_waiting(arn)
        stage.until(lambda: stale(stage, user) == [True] or None, "a stale connection")

        client.send({"action": "ack", "id": message["id"]})
        run = stage.runs.await_end(arn)

        stage.until(lambda: stale(stage, user) == [False] or None, "a connection that is active again")
    assert run.output is not None
    assert (run.output["status"], run.output["messageId"]) == ("acknowledged", message["id"])
    assert run.states == [
        "Resolve Connections",
        "Acknowledgement Wanted?",
        AWAIT,
        WAIT,
        "Acknowledgement Wanted?",
        "Acknowledged Late",
    ]
    assert len(client.messages(message["id"])) == 1
