"""What bill and wake are played on: Ringback and the baselines, deployed in one cloud on this machine, with a meter."""

import json
import re
import sys
import tempfile
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.cloud.meter import FILE, Meter
from benchmarks.report import Say
from local import deployment, stack
from local.client import Client
from local.installation import Installation
from local.runs import Runs

_BASELINES = "Baselines"
_APP = (sys.executable, "-m", "benchmarks.baselines")
# What works for a message. What works for a connection (the authorizer, `connect`, `disconnect`) does so with every one
# of them, whoever posts; of that, the wake and the limit's look-up in `connect` are Ringback's alone.
RINGBACK = (
    "Ingest",
    "Accept",
    "ResolveConnections",
    "PostToConnections",
    "PostAndAwaitAcknowledgement",
    "WaitForReconnect",
    "Wake",
    "Acknowledge",
    "Ended",
)
CONNECTING = ("Connect", "Wake")
BASELINES = ("SnsLambdaPost", "PollingStart", "PollingPost")


@dataclass(frozen=True)
class Stage:
    """Both of them, deployed."""

    stack: stack.Stack
    baselines: Mapping[str, str]
    meter: Meter

    @property
    def installation(self) -> Installation:
        """Ringback's."""
        return self.stack.installation

    @cached_property
    def deliveries(self) -> Runs:
        """Ringback's runs."""
        return Runs(self.installation.clients.stepfunctions, self.installation.delivery_state_machine_arn)

    @cached_property
    def polls(self) -> Runs:
        """The runs of baseline (b)."""
        return Runs(self.installation.clients.stepfunctions, self.baselines["PollingStateMachineArn"])

    @property
    def topics(self) -> dict[str, str]:
        """The topics' ARNs: `ringback`, `sns_lambda` and `polling`."""
        return {
            "ringback": self.installation.message_topic_arn,
            "sns_lambda": self.baselines["SnsLambdaTopicArn"],
            "polling": self.baselines["PollingTopicArn"],
        }

    def client(self, user: str, *, acknowledges: bool = False) -> Client:
        """A client of this user, not connected yet."""
        token = self.stack.keys.token(user)
        return Client(self.installation.websocket_url, token, "chat", "42", acknowledges=acknowledges)

    @contextmanager
    def connected(self, client: Client) -> Iterator[Client]:
        """Have it connected, and closed in the end."""
        try:
            yield client.connect()
        finally:
            client.close()

    def publish(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Publish these, at most ten, in one request."""
        entries: Any = [{"Id": str(index), "Message": json.dumps(message)} for index, message in enumerate(messages)]
        self.installation.clients.sns.publish_batch(TopicArn=self.topics[topic], PublishBatchRequestEntries=entries)

    def accept(self, messages: Sequence[Mapping[str, Any]]) -> list[str]:
        """Hand these to `accept`; answers what became of each."""
        answer = self.installation.clients.functions.invoke(
            FunctionName=self.installation.accept_function_name, Payload=json.dumps({"messages": messages}).encode()
        )
        body = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise RuntimeError(f"accept: {body}")
        return [result["status"] for result in body["results"]]


def user() -> str:
    """A user whom nobody else is."""
    return f"user-{uuid.uuid4()}"


def message(to: str, **fields: Any) -> dict[str, Any]:
    """A message of ordinary size: half a kilobyte as it is published."""
    return {
        "id": f"message-{uuid.uuid4()}",
        "recipient": {"user": to, "context": "chat", "contextId": "42"},
        "type": "chat.message",
        "payload": {"author": "Ben", "text": "x" * 240},
        **fields,
    }


@contextmanager
def running(say: Say) -> Iterator[Stage]:
    """Have all of it run in a directory of its own, and be gone at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="ringback-bench-") as directory,
        stack.running(Path(directory), server="benchmarks.cloud.metered", report=say) as started,
    ):
        installation = started.installation
        baselines = deployment.deploy(
            started.cloud,
            {
                "connections_table_name": installation.connections_table_name,
                "management_endpoint": installation.management_url,
            },
            report=say,
            app=_APP,
            stacks=(_BASELINES,),
        )
        functions = {
            **_functions(installation, deployment.STACKS[0], {*RINGBACK, *CONNECTING}, below="Function"),
            **_functions(installation, _BASELINES, BASELINES),
        }
        yield Stage(started, baselines, Meter(started.cloud.directory / FILE, functions))


def _functions(
    installation: Installation, stack_name: str, names: Collection[str], *, below: str = ""
) -> dict[str, str]:
    """The functions' names in the cloud, and which each is."""
    found = {}
    for resource in installation.clients.stack_resources(stack_name):
        if resource["ResourceType"] != "AWS::Lambda::Function":
            continue
        for name in names:
            if re.fullmatch(f"{name}{below}[0-9A-F]{{8}}", resource["LogicalResourceId"]):
                found[resource["PhysicalResourceId"]] = name
    if missing := set(names) - set(found.values()):
        raise RuntimeError(f"{stack_name} has no {', '.join(sorted(missing))}")
    return found
