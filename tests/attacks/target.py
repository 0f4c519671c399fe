"""The deployed stack as an attacker meets it, and what can be seen of it from behind."""

import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode, urlsplit

from websockets.sync.client import ClientConnection, connect

from local.demo.stage import Stage

SECONDS = 30
IN_CHAT_42: Mapping[str, str] = {"context": "chat", "contextId": "42"}
PING = '{"action": "ping"}'
PONG = {"kind": "pong"}


class Answer(NamedTuple):
    """What HTTP answered."""

    status: int
    body: bytes

    @property
    def problem(self) -> str:
        """The status, and the end of the problem's URI if it is one."""
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        kind = value.get("type", "") if isinstance(value, dict) else ""
        return f"{self.status} {str(kind).removeprefix('urn:ringback:problem:')}".strip()


@dataclass
class Target:
    """The stack, and every status that it has answered with: to handshakes, and over HTTP."""

    stage: Stage
    handshakes: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def handshake(
        self, token: str | None, query: str | Mapping[str, str] = IN_CHAT_42, headers: Mapping[str, str] | None = None
    ) -> int:
        """Ask for a WebSocket, and answer the status. One that opens is closed at once."""
        parts = urlsplit(self.stage.installation.websocket_url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=SECONDS)
        try:
            behind = query if isinstance(query, str) else urlencode(query)
            connection.putrequest("GET", f"{parts.path}?{behind}", skip_accept_encoding=True)
            upgrade = {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "c2l4dGVlbiBieXRlcyEhIQ==",
            }
            for name, value in {**upgrade, **(headers or {})}.items():
                connection.putheader(name, value)
            if token is not None:
                connection.putheader("Authorization", f"Bearer {token}")
            connection.endheaders()
            status = connection.getresponse().status
        finally:
            connection.close()
        self.handshakes.append(status)
        return status

    def call(
        self, url: str, method: str, path: str, *, token: str | None, body: bytes | None = None, **headers: str
    ) -> Answer:
        """Make one request, with its path as it is."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=SECONDS)
        try:
            connection.putrequest(method, parts.path + path, skip_accept_encoding=True)
            if token is not None:
                connection.putheader("Authorization", f"Bearer {token}")
            if body is not None:
                headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders(body)
            response = connection.getresponse()
            answer = Answer(response.status, response.read())
        finally:
            connection.close()
        self.statuses.append(answer.status)
        return answer

    def stored(self) -> dict[str, Any]:
        """All that an attack could leave behind: the tables' rows, how many letters there are, objects and runs."""
        installation = self.stage.installation
        clients = installation.clients
        tables = (
            installation.connections_table_name,
            installation.callbacks_table_name,
            installation.sequences_table_name,
            installation.chats_table_name,
        )
        rows = {
            table: sorted(
                json.dumps(row, sort_keys=True)
                for page in clients.dynamodb.get_paginator("scan").paginate(TableName=table)
                for row in page["Items"]
            )
            for table in tables
        }
        queues = (
            installation.ingest_queue_url,
            installation.ingest_dead_letter_queue_url,
            installation.dead_letter_queue_url,
        )
        # Which letters lie there, nobody could ask without hiding them for a while: how many, then.
        letters = {url: sum(map(int, self._letters(url))) for url in queues}
        bucket = installation.audience_bucket_name
        listed = clients.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        objects = {bucket: sorted(found["Key"] for page in listed for found in page.get("Contents", []))}
        machines = (
            installation.delivery_state_machine_arn,
            installation.fan_out_state_machine_arn,
            installation.chat_session_state_machine_arn,
        )
        runs = {
            arn: sorted(
                f"{run['name']} {run['status']}"
                for page in clients.stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=arn)
                for run in page["executions"]
            )
            for arn in machines
        }
        return {**rows, **letters, **objects, **runs}

    def _letters(self, url: str) -> Iterable[str]:
        asked = self.stage.installation.clients.sqs.get_queue_attributes(
            QueueUrl=url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )
        return asked["Attributes"].values()

    def lines(self) -> Iterator[tuple[str, str]]:
        """Everything that was logged: the group, and the line."""
        logs = self.stage.installation.clients.logs
        for groups in logs.get_paginator("describe_log_groups").paginate():
            for group in groups["logGroups"]:
                name = group["logGroupName"]
                for page in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
                    yield from ((name, line) for event in page["events"] for line in event["message"].splitlines())


class Attacker:
    """A socket with a good token, and bad intentions."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @classmethod
    @contextmanager
    def of(cls, target: Target, user: str, context_id: str = "42") -> Iterator[Self]:
        """Have one, and in the end no trace of it."""
        stage = target.stage
        url = f"{stage.installation.websocket_url}?{urlencode({**IN_CHAT_42, 'contextId': context_id})}"
        client = stage.client(user, context_id=context_id)
        before = len(stage.rows(client, user))
        authorization = {"Authorization": f"Bearer {client.token}"}
        with connect(
            url, additional_headers=authorization, open_timeout=SECONDS, compression=None, proxy=None, legacy=False
        ) as socket:
            stage.await_rows(client, user, before + 1)
            yield cls(socket)
        stage.await_rows(client, user, before)

    def answers(self, frames: Iterable[str | bytes], *, pongs: int = 0) -> list[dict[str, Any]]:
        """Send these frames, and answer what comes back; so many pongs of it are answers to them."""
        for frame in frames:
            self._socket.send(frame)
        self._socket.send(PING)
        found: list[dict[str, Any]] = []
        while found.count(PONG) <= pongs:
            found.append(json.loads(self._socket.recv(timeout=SECONDS)))
        found.reverse()
        found.remove(PONG)  # the one that was asked for at the end
        found.reverse()
        return found
