"""What the scenes play on: the installation, its clients and runs, and what one scene found."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from local.client import Client
from local.installation import Installation
from local.runs import Run, Runs
from local.tokens import Keys

T = TypeVar("T")

_POLL_SECONDS = 0.02


@dataclass
class Finding:
    """What one scene showed: its figures, and every expectation that was not met."""

    name: str
    run_status: str = ""
    billed_transitions: int | None = None
    lag_ms: int | None = None
    attempts: int | None = None
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything was as it should be."""
        return not self.failures

    def expect(self, met: object, what: str) -> None:
        """Hold the scene to something."""
        if not met:
            self.failures.append(what)

    def record_no_run(self, *, lag_seconds: float) -> None:
        """Take the figures of a scene whose messages were delivered without a run."""
        self.billed_transitions = 0
        self.attempts = 1
        self.lag_ms = round(lag_seconds * 1000)

    def record(self, run: Run, *, lag_seconds: float | None = None) -> None:
        """Take the figures of the scene's run."""
        self.run_status = run.status
        self.billed_transitions = run.billed_transitions
        self.attempts = run.attempts
        if lag_seconds is not None:
            self.lag_ms = round(lag_seconds * 1000)


@dataclass(frozen=True)
class Stage:
    """The deployed stack, as the scenes use it."""

    installation: Installation
    keys: Keys
    say: Callable[[str], None]

    @cached_property
    def runs(self) -> Runs:
        """The delivery machine's runs."""
        return Runs(self.installation.clients.stepfunctions, self.installation.delivery_state_machine_arn)

    def accept(self, *envelopes: Any) -> list[dict[str, Any]]:
        """Hand messages to Ringback as a backend does; the answers are in their order."""
        results: list[dict[str, Any]] = self._call(
            self.installation.accept_function_name, {"messages": list(envelopes)}
        )["results"]
        return results

    def post_once(self, connection_id: str, payload: Any) -> str:
        """Post to a connection that one knows; answers what became of it."""
        message = {"recipient": {"connectionId": connection_id}, "payload": payload}
        return str(self._call(self.installation.post_once_function_name, message)["status"])

    def _call(self, function_name: str, event: dict[str, Any]) -> dict[str, Any]:
        answer = self.installation.clients.functions.invoke(
            FunctionName=function_name, Payload=json.dumps(event).encode()
        )
        body: dict[str, Any] = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise RuntimeError(f"{function_name}: {body}")
        return body

    def client(self, user: str, *, context: str = "chat", context_id: str = "42", token: str | None = None) -> Client:
        """A client of this user, not connected yet."""
        return Client(
            self.installation.websocket_url,
            token=self.keys.token(user) if token is None else token,
            context=context,
            context_id=context_id,
        )

    @contextmanager
    def connected(self, *clients: Client) -> Iterator[None]:
        """Have these clients connected, and closed in the end whatever happened to them meanwhile."""
        try:
            for client in clients:
                client.connect()
            yield
        finally:
            for client in clients:
                client.close()

    def rows(self, client: Client, user: str) -> list[dict[str, Any]]:
        """The rows of this user's connections in the client's conversation."""
        answer = self.installation.clients.dynamodb.query(
            TableName=self.installation.connections_table_name,
            KeyConditionExpression="caller_id = :user AND begins_with(#sort, :conversation)",
            ExpressionAttributeNames={"#sort": "context"},
            ExpressionAttributeValues={
                ":user": {"S": f"user#{user}"},
                ":conversation": {"S": f"{client.context}#{client.context_id}#"},
            },
            ConsistentRead=True,
        )
        return answer["Items"]

    def await_rows(self, client: Client, user: str, count: int) -> list[dict[str, Any]]:
        """Wait until so many connections of this user are stored."""
        return self.until(
            lambda: rows if len(rows := self.rows(client, user)) == count else None, f"{count} connections of {user}"
        )

    def let_age(self, client: Client, user: str) -> None:
        """Have the client's one connection be a minute older than it is: its handshake is long over."""
        (row,) = self.await_rows(client, user, 1)
        self._store_older(row)

    def lose_disconnect(self, client: Client, user: str) -> None:
        """Drop the client as if its `$disconnect` had been lost: the row of the dead connection stays."""
        (row,) = self.await_rows(client, user, 1)
        client.drop()
        self.await_rows(client, user, 0)
        self._store_older(row)

    def _store_older(self, row: dict[str, Any]) -> None:
        long_ago = str(int(row["connected_at"]["N"]) - 60_000)
        self.installation.clients.dynamodb.put_item(
            TableName=self.installation.connections_table_name, Item={**row, "connected_at": {"N": long_ago}}
        )

    def dead_letter(self, queue_url: str, holds: str) -> dict[str, Any]:
        """Wait for the dead letter that holds this text, and take it from the queue."""

        def look() -> dict[str, Any] | None:
            answer = self.installation.clients.sqs.receive_message(
                QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=1
            )
            for letter in answer.get("Messages", []):
                if holds in letter["Body"]:
                    self.installation.clients.sqs.delete_message(
                        QueueUrl=queue_url, ReceiptHandle=letter["ReceiptHandle"]
                    )
                    return dict(letter)
            return None

        return self.until(look, f"a dead letter that holds {holds}")

    def queue_is_empty(self) -> bool:
        """Whether ingest has read all that was published, and is done with it."""
        (subscription,) = self.installation.clients.sns.list_subscriptions_by_topic(
            TopicArn=self.installation.message_topic_arn
        )["Subscriptions"]
        sqs = self.installation.clients.sqs
        url = sqs.get_queue_url(QueueName=subscription["Endpoint"].rpartition(":")[2])["QueueUrl"]
        attributes = sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        )["Attributes"]
        return not any(int(number) for number in attributes.values())

    def until(self, look: Callable[[], T | None], what: str, *, seconds: float = 60) -> T:
        """Look until there is something; raises `TimeoutError` naming what did not come."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {seconds:g} s")
            time.sleep(_POLL_SECONDS)


def envelope(user: str, payload: Any, *, context_id: str = "42", **options: Any) -> dict[str, Any]:
    """An envelope for this user."""
    return {
        "id": f"demo-{uuid.uuid4()}",
        "recipient": {"user": user, "context": "chat", "contextId": context_id},
        "type": "demo",
        "payload": payload,
        **options,
    }
