"""The queue that messages come in through, and those for what was not delivered and for what ingest cannot parse."""

import json
import random
import re
from collections.abc import Sequence
from typing import Any

from lambdas.adapters import aws

SOON_SECONDS = (5, 20)
_MESSAGES_A_CALL = 10  # SQS's own
# What no message of SQS may hold, and what is no character; JSON can escape both.
_NOT_TAKEN = re.compile("[\ud800-\udfff\ufffe\uffff]")


class IngestQueue:
    """The queue that messages by topic and bus come in through."""

    def __init__(self, url: str) -> None:
        self.url = url

    def bring_again_soon(self, receipt_handles: Sequence[str]) -> None:
        """Have these messages come again after 5 to 20 seconds, each at a time of its own, instead of after the
        queue's visibility timeout. What has another receipt by now comes when it comes.

        Raises:
            ServiceUnavailable: some of them come after that timeout.
        """
        entries: Any = [
            {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": random.randint(*SOON_SECONDS)}  # noqa: S311
            for n, handle in enumerate(receipt_handles)
        ]
        for start in range(0, len(entries), _MESSAGES_A_CALL):
            with aws.translated():
                aws.sqs().change_message_visibility_batch(
                    QueueUrl=self.url, Entries=entries[start : start + _MESSAGES_A_CALL]
                )


class DeadLetterQueue:
    """`lambdas.core.ports.DeadLetters` on SQS."""

    def __init__(self, url: str) -> None:
        self.url = url

    def put(self, letter: dict[str, Any]) -> None:
        """Keep a dead letter."""
        text = _NOT_TAKEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(letter, ensure_ascii=False))
        with aws.translated():
            aws.sqs().send_message(QueueUrl=self.url, MessageBody=text)


class IngestDeadLetterQueue:
    """`lambdas.core.ports.RejectedMessages` on SQS."""

    def __init__(self, url: str) -> None:
        self.url = url

    def put(self, body: str, reason: str) -> None:
        """Keep the body as it came, with the reason as an attribute."""
        with aws.translated():
            aws.sqs().send_message(
                QueueUrl=self.url,
                MessageBody=body,
                MessageAttributes={"reason": {"DataType": "String", "StringValue": reason[:1024]}},
            )
