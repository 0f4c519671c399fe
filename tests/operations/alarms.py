"""The alarms as they are deployed in AWS, held against what the local stack shows.

There are none on the local stack. What each watches is read where CloudWatch's numbers come from: queues, runs, the
functions' metric lines. A condition that goes on is the same in every period, so one period is enough to tell.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tests.infrastructure import watching
from tests.infrastructure.synthesis import Json, Synthesis, synthesize, synthesize_chat
from tests.operations.operated import Operated

_Ended = Literal["FAILED", "ABORTED", "TIMED_OUT"]
_STATUSES: Mapping[str, _Ended] = {
    "ExecutionsFailed": "FAILED",
    "ExecutionsAborted": "ABORTED",
    "ExecutionsTimedOut": "TIMED_OUT",
}


@dataclass
class Alarms:
    """All alarms of a stage and its chat, and how to read what they watch on the local stack."""

    operated: Operated
    stacks: dict[str, Synthesis]
    behind: dict[str, float]
    """Since when a stream's function, by its construct, has not read: for who stopped it knows."""

    @classmethod
    def of(cls, operated: Operated, directory: Path) -> "Alarms":
        """Synthesize them."""
        stacks = {
            "Ringback-local": synthesize("dev", directory / "dev", settings={"presence_events": True}),
            "Ringback-local-Chat": synthesize_chat("chat", directory / "chat"),
        }
        return cls(operated, stacks, {})

    @property
    def names(self) -> set[str]:
        """The names of all of them."""
        return {name for synthesis in self.stacks.values() for name in watching.alarms(synthesis)}

    def breaches(self, name: str, *, since: float, after_seconds: float = 0) -> bool:
        """Whether the alarm's metric is at its threshold.

        Args:
            name: of the alarm.
            since: what is counted, is counted from then on (epoch seconds).
            after_seconds: how old things are then, if nothing happens meanwhile.
        """
        stack, alarm = next(
            (stack, found)
            for stack, synthesis in self.stacks.items()
            if (found := watching.alarms(synthesis).get(name)) is not None
        )
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        values = [
            self._read(stack, *metric, statistic=alarm.get("Statistic", "Sum"), since=since, later=after_seconds)
            for metric in watching.metrics_of(alarm)
        ]
        value = watching.value_of(alarm, values)
        return value is not None and bool(value >= alarm["Threshold"])

    def counted(self, name: str, service: str, *, since: float) -> float:
        """What a function of the stage has counted of a metric since then."""
        return self._measured("Ringback-local", name, service, "Sum", since) or 0

    def _read(
        self,
        stack: str,
        namespace: str,
        name: str,
        dimensions: dict[str, str],
        *,
        statistic: str,
        since: float,
        later: float,
    ) -> float | None:
        match namespace, name:
            case "AWS/SQS", "ApproximateNumberOfMessagesVisible":
                return self._visible(self._queue(stack, dimensions))
            case "AWS/SQS", "ApproximateAgeOfOldestMessage":
                return self._age(self._queue(stack, dimensions), later)
            case "AWS/States", _ if name in _STATUSES:
                return self._ended(self._physical(stack, dimensions["StateMachineArn"]), _STATUSES[name], since)
            case "AWS/Lambda", "IteratorAge":
                stopped = self.behind.get(dimensions["FunctionName"].partition("/")[0])
                return None if stopped is None else (time.time() + later - stopped) * 1000
            case "Ringback", _ if "service" in dimensions:
                return self._measured(stack, name, dimensions["service"], statistic, since)
            case _:
                raise KeyError(f"{namespace} {name}: the local stack does not show it")

    def _physical(self, stack: str, path: str) -> str:
        """The physical id of the construct with this path."""
        paths = {path: logical_id for logical_id, path in self.stacks[stack].paths.items()}
        return self.operated.resources(stack)[paths[path]]

    def _queue(self, stack: str, dimensions: dict[str, str]) -> str:
        return self._physical(stack, dimensions["QueueName"].removesuffix(".QueueName"))

    def _visible(self, url: str) -> float:
        answer = self.operated.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return float(answer["Attributes"]["ApproximateNumberOfMessages"])

    def _age(self, url: str, later: float) -> float | None:
        sqs = self.operated.clients.sqs
        found = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageSystemAttributeNames=["SentTimestamp"]
        ).get("Messages", [])
        sent = [int(message["Attributes"]["SentTimestamp"]) / 1000 for message in found]
        return time.time() + later - min(sent) if sent else None

    def _ended(self, machine_arn: str, status: _Ended, since: float) -> float:
        pages = self.operated.clients.stepfunctions.get_paginator("list_executions").paginate(
            stateMachineArn=machine_arn, statusFilter=status
        )
        ended = [each["stopDate"] for page in pages for each in page["executions"]]
        return float(sum(end >= datetime.fromtimestamp(since, UTC) for end in ended))

    def _measured(self, stack: str, name: str, service: str, statistic: str, since: float) -> float | None:
        construct = "".join(word.capitalize() for word in service.split("_"))
        log = self._physical(stack, f"{construct}/LogGroup")
        values = [value for line in self._metric_lines(log, since) for value in line.get(name, [])]
        if not values:
            return None
        return float(max(values) if statistic == "Maximum" else sum(values))

    def _metric_lines(self, log_group: str, since: float) -> Iterator[Json]:
        pages = self.operated.clients.logs.get_paginator("filter_log_events").paginate(
            logGroupName=log_group, startTime=int(since * 1000)
        )
        for page in pages:
            for event in page["events"]:
                yield from (json.loads(line) for line in event["message"].splitlines() if '"_aws"' in line)
