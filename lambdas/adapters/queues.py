"""The queue for what ingest cannot parse."""

from dataclasses import dataclass

from lambdas.adapters import aws


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
