"""What the scenes of the removal are played with: the deployed stack, and little patience once a call is denied."""

import json
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lambdas.adapters.rows import connection_from_item
from local.demo.stage import Stage
from ringback.plain import Recipient
from tests.permissions.calls import PATH, Call
from tests.permissions.grants import Deployed, Permission

T = TypeVar("T")

PATIENCE_SECONDS = 20.0
# What does not come within so long after a call was denied does not come; longer where it takes longer by itself.
GRACE_SECONDS = 0.6
_POLL_SECONDS = 0.05
_LOOK_SECONDS = 0.1
_A_MINUTE = 60


class BrokenError(AssertionError):
    """What a scene shows is not so."""


@dataclass
class Play:
    """The stage, and what is missing on it."""

    stage: Stage
    deployed: Deployed
    missing: Permission | None = None
    grace_seconds: float = GRACE_SECONDS
    _denied_at: float | None = field(default=None, init=False)

    # What roles did

    def heard(self) -> list[Call]:
        """Every call of a role since the last `forget`."""
        return [Call(**each) for each in self._ask("GET")]

    def forget(self) -> None:
        """Begin anew."""
        self._ask("DELETE")
        self._denied_at = None

    def was_denied(self) -> bool:
        """Whether a call was refused for want of what is missing."""
        missing = self.missing
        return missing is not None and any(missing.covers(call) for call in self.heard() if not call.allowed)

    # What the scenes say

    def expect(self, met: object, what: str) -> None:
        """Hold the scene to something."""
        if not met:
            raise BrokenError(f"not so: {what}")

    def until(self, look: Callable[[], T | None], what: str, *, seconds: float = PATIENCE_SECONDS) -> T:
        """Wait for something; not for long once what is missing was denied: what then comes later does not count."""
        begun = looked = time.monotonic()
        while True:
            if (found := look()) is not None:
                return found
            now = time.monotonic()
            if self.missing and self._denied_at is None and now - looked > _LOOK_SECONDS:
                looked = now
                self._denied_at = now if self.was_denied() else None
            if now - begun > seconds or (self._denied_at is not None and now - self._denied_at > self.grace_seconds):
                raise BrokenError(f"it does not come: {what}")
            time.sleep(_POLL_SECONDS)

    def user(self) -> str:
        """Somebody new."""
        return f"user-{uuid.uuid4().hex}"

    def function(self, name: str) -> str:
        """A function's name, from that of its construct."""
        return self.deployed.names[f"{name}/Function"]

    def invoke(self, name: str, event: Any) -> Any:
        """Call a function; answers what it answers."""
        answers: list[Any] = []

        def call() -> None:
            try:
                answer = self.stage.installation.clients.functions.invoke(
                    FunctionName=self.function(name), Payload=json.dumps(event).encode()
                )
                body = json.loads(answer["Payload"].read())
                answers.append(BrokenError(f"{name}: {body}") if answer.get("FunctionError") else body)
            except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
                answers.append(BrokenError(f"{name}: {error}"))

        threading.Thread(target=call, daemon=True).start()
        self.until(lambda: answers or None, f"the answer of {name}", seconds=60)
        if isinstance(answers[0], BrokenError):
            raise answers[0]
        return answers[0]

    def rows(self, user: str) -> list[dict[str, Any]]:
        """The stored connections of this user."""
        return self._of_user(self.stage.installation.connections_table_name, user)

    def callbacks(self, user: str) -> list[dict[str, Any]]:
        """What waits for this user."""
        return self._of_user(self.stage.installation.callbacks_table_name, user)

    def _of_user(self, table: str, user: str) -> list[dict[str, Any]]:
        answer = self.stage.installation.clients.dynamodb.query(
            TableName=table,
            KeyConditionExpression="caller_id = :user",
            ExpressionAttributeValues={":user": {"S": f"user#{user}"}},
            ConsistentRead=True,
        )
        return answer["Items"]

    def store(self, user: str, connection_id: str, *, age_seconds: int = _A_MINUTE, **more: Any) -> dict[str, Any]:
        """Store a connection that is not there."""
        now = int(time.time())
        row = {
            "caller_id": {"S": f"user#{user}"},
            "context": {"S": f"chat#42#{connection_id}"},
            "recipient": {"S": Recipient(user, "chat", "42").to_json()},
            "connection_id": {"S": connection_id},
            "endpoint": {"S": self.stage.installation.management_endpoint},
            "connected_at": {"N": str((now - age_seconds) * 1000)},
            "expiration_date": {"N": str(now + 7200)},
            **more,
        }
        self.change_row(row)
        return row

    def change_row(self, row: dict[str, Any]) -> None:
        """Store a connection's row."""
        self.stage.installation.clients.dynamodb.put_item(
            TableName=self.stage.installation.connections_table_name, Item=row
        )

    def let_token_expire(self, user: str) -> dict[str, Any]:
        """Have the token of the user's one connection be over; answers the row."""
        row = self.until(lambda: next(iter(self.rows(user)), None), "a connection's row")
        now = int(time.time())
        row = {**row, "token_expires_at": {"N": str(now - 1)}, "connected_at": {"N": str((now - _A_MINUTE) * 1000)}}
        self.change_row(row)
        return row

    def task(self, message: dict[str, Any], **more: Any) -> dict[str, Any]:
        """What a Task state of a delivery hands its function."""
        return {"message": message, "execution": _execution(f"run-{uuid.uuid4()}"), "attempt": 1, **more}

    def _ask(self, method: str) -> Any:
        request = urllib.request.Request(f"{self.stage.installation.endpoint}{PATH}", method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - it is on this machine
            return json.load(answer)


def _execution(name: str) -> dict[str, str]:
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    return {"arn": f"arn:aws:states:us-east-1:000000000000:execution:any:{name}", "name": name, "startedAt": now}


def execution() -> dict[str, str]:
    """What a Task state tells of its run."""
    return _execution(f"run-{uuid.uuid4()}")


def state_of(row: dict[str, Any]) -> dict[str, Any]:
    """A connection as the state machine carries it, from its row."""
    return connection_from_item(row).to_state()
