"""What a full run writes down: no payload, no task token, no JWT, where none belongs.

A full run is the demo, every scene of the removal, and what is played here, with payloads that are found again.

By design a payload is in what carries it: the input of a run (and so in its history), the queues, the chat's table and
the lists in the bucket. A task token is in the callbacks' table and in a run's history. Nothing else has one.
"""

import json
import re
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.backend import Backend
from local.demo.stage import Stage, envelope
from local.stack import Stack
from tests.e2e.chatting import Person
from tests.permissions import removal
from tests.permissions.conftest import Demo
from tests.permissions.playing import Play
from tests.permissions.removal import Recorded

_TASK_TOKEN = re.compile(r'\\?"taskToken\\?": ?\\?"([^"\\]+)')
_NO_TEXT = {".pem", ".zip", ".so", ".pyc", ".lock"}


@dataclass
class Written:
    """What a run used that nobody may read later, and what it was answered."""

    markers: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    def marker(self) -> str:
        """A text that is found again."""
        self.markers.append(f"secret-{uuid.uuid4().hex}")
        return self.markers[-1]


@pytest.fixture(scope="module")
def written(stage: Stage, play: Play, demo: Demo, recorded: Recorded) -> Written:
    """Messages by every way, good ones and bad ones; a chat; and what is no message at all. After all else."""
    written = Written()
    for send in (_accepted, _over_http, _by_topic_and_bus, _by_runs, _to_a_connection, _by_fan_out, _by_socket, _chat):
        send(stage, written)
    removal.all_scenes(play)["an acknowledgement ends a run"](play)
    removal.all_scenes(play)["an acknowledgement comes late"](play)
    _await_quiet(stage)
    return written


def _message(user: str, marker: str, **more: Any) -> dict[str, Any]:
    return envelope(user, {"text": marker, marker: 1}, **more)


def _bad(marker: str) -> list[dict[str, Any]]:
    """What is no message, with a payload in each place that somebody may put it."""
    good = envelope(f"user-{uuid.uuid4()}", marker)
    return [
        {**good, "colour": marker},
        {**good, "ttlSeconds": marker},
        {**good, "expiresAt": marker},
        {**good, "ack": marker},
        {**good, "retry": {"maxAttempts": marker}},
        {**good, "recipient": {**good["recipient"], "user": f"#{marker}"}},
        {**good, "id": "x" * 1000},  # an id is a name, and names are told
        {**good, "payload": marker + "x" * 140_000},
    ]


def _accepted(stage: Stage, written: Written) -> None:
    user, marker = f"user-{uuid.uuid4()}", written.marker()
    client = stage.client(user)
    with stage.connected(client):
        plain = _message(user, marker)
        written.answers.append(json.dumps(stage.accept(plain, _message(user, marker, track=True), *_bad(marker))))
        client.await_message(plain["id"])
    away = _message(user, marker, ordered=True)
    written.answers.append(json.dumps(stage.accept(away)))
    written.answers.append(json.dumps(stage.accept({**away, "payload": written.marker()})))


def _over_http(stage: Stage, written: Written) -> None:
    backend = Backend.of(stage.installation, stage.keys)
    marker = written.marker()
    message = _message(f"user-{uuid.uuid4()}", marker)
    answers = [
        backend.send(message),
        backend.send({**message, "payload": written.marker()}),
        backend.call("POST", "/messages", {"messages": _bad(marker)}),
        *(backend.send(each) for each in _bad(marker)),
        backend.call("GET", f"/messages/{message['id']}"),
        backend.call("DELETE", f"/messages/{message['id']}"),
        backend.call("POST", "/messages/fan-out", {"message": {"payload": marker}, "audience": {"users": marker}}),
        Backend(backend.url, f"{stage.keys.backend_token()}x").send(message),
    ]
    written.answers += [json.dumps([answer.headers, answer.body]) for answer in answers]
    request = urllib.request.Request(  # noqa: S310 - it is on this machine
        f"{backend.url}/messages",
        data=f'{{"payload": "{marker}'.encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {backend.token}"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)  # noqa: S310 - it is on this machine
    written.answers.append(refused.value.read().decode())
    refused.value.close()


def _by_topic_and_bus(stage: Stage, written: Written) -> None:
    clients = stage.installation.clients
    marker = written.marker()
    for body in (json.dumps(_message("nobody", marker)), f"no message {marker}", *map(json.dumps, _bad(marker)[:-1])):
        clients.sns.publish(TopicArn=stage.installation.message_topic_arn, Message=body)
    detail = json.dumps(_message("nobody", written.marker()))
    entry: Any = {"Source": "backend", "DetailType": "ringback.message", "Detail": detail}
    entry["EventBusName"] = stage.installation.message_bus_name
    clients.events.put_events(Entries=[entry])
    stage.until(lambda: stage.queue_is_empty() or None, "ingest to be done")


def _by_runs(stage: Stage, written: Written) -> None:
    marker = written.marker()
    for bad in _bad(marker):
        stage.runs.await_end(stage.runs.start(bad))
    stage.runs.await_end(stage.runs.start(_message("nobody", marker, ttlSeconds=1)))
    user = f"user-{uuid.uuid4()}"
    arn = stage.runs.start(_message(user, written.marker()))
    stage.runs.await_waiting(arn)
    client = stage.client(user)
    with stage.connected(client):
        stage.runs.await_end(arn)


def _to_a_connection(stage: Stage, written: Written) -> None:
    marker = written.marker()
    for recipient in ({"connectionId": "bm9uZQ=="}, {"connectionId": marker}, {"user": marker}):
        event = {"recipient": recipient, "payload": marker, "colour": marker}
        answer = stage.installation.clients.functions.invoke(
            FunctionName=stage.installation.post_once_function_name, Payload=json.dumps(event).encode()
        )
        written.answers.append(json.dumps(_without_frames(json.loads(answer["Payload"].read()))))


def _without_frames(body: Any) -> Any:
    """Without what a traceback shows of the code, which is no answer of ours."""
    return {key: value for key, value in body.items() if key != "stackTrace"} if isinstance(body, dict) else body


def _by_fan_out(stage: Stage, written: Written) -> None:
    client = stage.installation.clients.stepfunctions
    users = [f"user-{uuid.uuid4()}"]
    for audience in ({"users": users, "context": "chat", "contextId": "42"}, {"users": written.marker()}):
        given = {"message": {"payload": written.marker()}, "audience": audience, "durable": True}
        arn = client.start_execution(
            stateMachineArn=stage.installation.fan_out_state_machine_arn, input=json.dumps(given)
        )["executionArn"]
        stage.runs.await_end(arn)


def _by_socket(stage: Stage, written: Written) -> None:
    marker, user = written.marker(), f"user-{uuid.uuid4()}"
    client = stage.client(user)
    with stage.connected(client):
        for frame in (
            {"action": marker},
            {"action": "ack", "id": marker},
            {"action": "ack", "ids": [marker, 1]},
            {"action": "ack", "id": "x", "payload": marker},
        ):
            client.send(frame)
        stage.await_rows(client, user, 1)
    for token in (marker, f"{stage.keys.token(user)}{marker}", stage.keys.token(user, ttl_seconds=-60)):
        with pytest.raises(Exception, match="401"):
            stage.client(user, token=token).connect()


def _chat(stage: Stage, written: Written) -> None:
    ana, bo = Person.at(stage, "ana", role="customer"), Person.at(stage, "bo", role="agent")
    with stage.connected(ana.client, bo.client):
        bo.await_shown("queue", lambda _shown: True)
        chat = ana.start(written.marker())
        ana.await_told(chat, "waiting")
        assert bo.do(chat, "accept").status == 200
        assert ana.say(chat, written.marker()).status == 201
        bo.await_told(chat, "message")
        for answer in (
            ana.do(chat, "messages", text={written.marker(): 1}),
            ana.do(chat, "messages", text="hello", colour=written.marker()),
            ana.do(chat, "rating", rating=written.marker()),
        ):
            assert answer.status >= 400
            written.answers.append(json.dumps([answer.headers, answer.body]))
        ana.do(chat, "end")
        ana.do(chat, "rating", rating=5, feedback=written.marker())
        ana.await_told(chat, "rated")


def _await_quiet(stage: Stage) -> None:
    """Let what was begun come to its end: the functions' last lines are written with their answers."""
    stage.until(lambda: stage.queue_is_empty() or None, "ingest to be done")
    seen: Any = None

    def is_quiet() -> bool | None:
        nonlocal seen
        before, seen = seen, (_streams(stage), _running(stage))
        return True if seen == before else None

    stage.until(is_quiet, "no more lines in the logs, and no run that moves")


def _streams(stage: Stage) -> dict[tuple[str, str], Any]:
    """Every stream of every log, and when the newest line came."""
    logs = stage.installation.clients.logs
    return {
        (group["logGroupName"], stream["logStreamName"]): stream.get("lastIngestionTime")
        for groups in logs.get_paginator("describe_log_groups").paginate()
        for group in groups["logGroups"]
        for streams in logs.get_paginator("describe_log_streams").paginate(logGroupName=group["logGroupName"])
        for stream in streams["logStreams"]
    }


def _running(stage: Stage) -> dict[str, int]:
    """How far each run has come that has not ended: some wait for somebody who never comes."""
    client = stage.installation.clients.stepfunctions
    return {
        each["executionArn"]: client.get_execution_history(
            executionArn=each["executionArn"], reverseOrder=True, maxResults=1
        )["events"][0]["id"]
        for machine in _machines(stage)
        for page in client.get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter="RUNNING")
        for each in page["executions"]
    }


def _machines(stage: Stage) -> tuple[str, ...]:
    installation = stage.installation
    return (
        installation.delivery_state_machine_arn,
        installation.fan_out_state_machine_arn,
        installation.chat_session_state_machine_arn,
    )


def _executions(stage: Stage) -> Iterator[dict[str, Any]]:
    client = stage.installation.clients.stepfunctions
    for machine in _machines(stage):
        for page in client.get_paginator("list_executions").paginate(stateMachineArn=machine):
            for each in page["executions"]:
                events: list[Any] = []
                for history in client.get_paginator("get_execution_history").paginate(
                    executionArn=each["executionArn"]
                ):
                    events += history["events"]
                yield {**client.describe_execution(executionArn=each["executionArn"]), "events": events}


def _logs(stage: Stage) -> Iterator[tuple[str, str]]:
    """Every log with all that is in it: stream by stream, for a whole group is answered in part only."""
    logs = stage.installation.clients.logs
    for group, stream in _streams(stage):
        yield f"log {group}", "\n".join(_messages(logs, group, stream))


def _messages(logs: Any, group: str, stream: str) -> Iterator[str]:
    token: dict[str, str] = {}
    while True:
        page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **token)
        yield from (event["message"] for event in page["events"])
        if not page["events"] or page["nextForwardToken"] == token.get("nextToken"):
            return
        token = {"nextToken": page["nextForwardToken"]}


def _files(directory: Path) -> Iterator[tuple[str, str]]:
    """What the local cloud and the CDK have written; but not the keys, nor the functions' code."""
    for path in directory.rglob("*"):
        below = path.relative_to(directory)
        if path.is_file() and below.parts[0] not in {"tmp", "cdk.out"} and path.suffix not in _NO_TEXT:
            yield f"file {below}", path.read_text("utf-8", errors="replace")


def _tables(stage: Stage) -> Iterator[tuple[str, str]]:
    """The tables of which nothing else is known than who is where, and who waits for whom."""
    client = stage.installation.clients.dynamodb
    for name in (stage.installation.connections_table_name, stage.installation.sequences_table_name):
        for page in client.get_paginator("scan").paginate(TableName=name):
            yield f"table {name}", json.dumps(page["Items"])


def _metrics(stage: Stage) -> Iterator[tuple[str, str]]:
    for page in stage.installation.clients.cloudwatch.get_paginator("list_metrics").paginate():
        yield "metrics", json.dumps(page["Metrics"])


def _said_of_runs(executions: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Errors, causes and outputs, as the run itself and each of its events has them."""
    for each in executions:
        said = [each.get(name, "") for name in ("error", "cause", "output", "name")]
        for event in each["events"]:
            details = [value for key, value in event.items() if key.endswith("EventDetails")]
            said += [detail.get(name, "") for detail in details for name in ("error", "cause")]
        yield f"run {each['name']}", "\n".join(said)


def _task_tokens(executions: list[dict[str, Any]]) -> set[str]:
    """Those that were handed to functions."""
    return set(_TASK_TOKEN.findall(json.dumps([each["events"] for each in executions], default=str)))


def _in_json(text: str) -> set[str]:
    """A text as it stands in JSON, in JSON within JSON, and so on, and in Python. Bare, some are everyday words."""
    once = json.dumps(text)
    twice = json.dumps(once)[1:-1]
    return {once, twice, json.dumps(twice)[1:-1], repr(text)}


def _found(secrets: set[str], looked_at: list[tuple[str, str]]) -> list[str]:
    """Where a secret stands, with what stands around it."""
    return [
        f"{where}: …{text[max(0, text.index(secret) - 300) : text.index(secret) + 60]}…"
        for where, text in looked_at
        for secret in secrets
        if secret in text
    ]


def test_no_payload_no_task_token_and_no_jwt_is_written_where_none_belongs(
    enforced: Stack, stage: Stage, written: Written, demo: Demo, tokens: set[str]
) -> None:
    executions = list(_executions(stage))
    task_tokens = _task_tokens(executions)
    assert len(task_tokens) >= 5, "runs waited, so there are tokens to look for"
    assert len(tokens) >= 5
    signatures = {token.rpartition(".")[2] for token in tokens} - {""}
    looked_at = [
        *_logs(stage),
        *_files(enforced.cloud.directory),
        *_metrics(stage),
        *_tables(stage),
        *_said_of_runs(executions),
        *(("answer", answer) for answer in written.answers),
    ]
    assert sum(len(text) for where, text in looked_at if where.startswith("log ")) > 10_000
    assert len(demo.texts) >= 10
    texts = {form for text in demo.texts for form in _in_json(text)}
    assert _found({*written.markers, *texts, *task_tokens, *tokens, *signatures}, looked_at) == []
    callbacks = stage.installation.clients.dynamodb.scan(TableName=stage.installation.callbacks_table_name)["Items"]
    assert _found({*written.markers, *texts, *tokens, *signatures}, [("callbacks", json.dumps(callbacks))]) == []


def test_what_is_looked_for_is_found_where_it_belongs(stage: Stage, written: Written, demo: Demo) -> None:
    """Or the test above could not fail: a payload is in the input of its run."""
    inputs = "\n".join(each["input"] for each in _executions(stage))
    assert sum(marker in inputs for marker in written.markers) >= 5
    assert sum(any(form in inputs for form in _in_json(text)) for text in demo.texts) >= 10
