"""The queues for what was not delivered, and for what ingest cannot parse."""

import json
from dataclasses import dataclass
from typing import Any

from lambdas.adapters import aws


@dataclass(frozen=True)
class DeadLetterQueue:
    """`lambdas.core.ports.DeadLetters` on SQS."""

    url: str

    def put(self, letter: dict[str, Any]) -> None:
        """Keep a dead letter."""
        with aws.translated():
            aws.sqs().send_message(QueueUrl=self.url, MessageBody=json.dumps(letter, ensure_ascii=False))


@dataclass(frozen=True)
class IngestDeadLetterQueue:
    """`lambdas.core.ports.RejectedMessages` on SQS."""

    url: str

    def put(self, body: str, reason: str) -> None:
        """Keep the body as it came, with the reason as an attribute."""
        with aws.translated():
            aws.sqs().send_message(
                QueueUrl=self.url,
                MessageBody=body,
                MessageAttributes={"reason": {"DataType": "String", "StringValue": reason[:1024]}},
            )
