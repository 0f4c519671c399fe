"""How the chat hears of what was written, and of who comes and goes."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app import findings
from cdk_app.encryption import Encryption
from cdk_app.functions import Handler
from cdk_app.queues import dead_letter_queue
from cdk_app.rules import Told
from cdk_app.streams import read_stream

# As `lambdas.chat.adapters.table` names a chat's row.
STATE_ITEM = "state"
# Each event becomes up to three messages, and Ringback takes a hundred in one call.
_BATCH_SIZE = 33
# Lambda keeps the order of each item (partition and sort key), and a chat is one.
_BATCHES_AT_ONCE = 10
# A record lives for a day. What is given up on is noted four hours before, so that it can still be read there.
_MAX_AGE = Duration.hours(20)


class ChatEvents(Construct):
    """Every change of a chat invokes the function, in order; what it cannot do, a queue notes."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        table: dynamodb.Table,
        handler: Handler,
        encryption: Encryption,
        removal: RemovalPolicy,
    ) -> None:
        super().__init__(scope, construct_id)
        self.given_up = dead_letter_queue(self, "GivenUp", encryption=encryption, removal=removal)
        read_stream(
            self,
            of=table,
            by=handler,
            only={
                "eventName": lambda_.FilterRule.or_("INSERT", "MODIFY"),
                "dynamodb": {"Keys": {"item": {"S": lambda_.FilterRule.is_equal(STATE_ITEM)}}},
            },
            batch_size=_BATCH_SIZE,
            batches_at_once=_BATCHES_AT_ONCE,
            max_age=_MAX_AGE,
            given_up=self.given_up,
        )
        findings.accept(self.given_up, "SQS3", because="This is the dead letter queue, of the stream of the chats.")


class ChatPresence(Told):
    """Ringback says on its bus who comes and who goes; those of the chat are told to the function."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bus_name: str,
        handler: Handler,
        encryption: Encryption,
        removal: RemovalPolicy,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            handler=handler,
            of="People of the chat who come and go",
            pattern={
                "source": ["ringback"],
                "detail-type": ["ringback.connection.opened", "ringback.connection.closed"],
                # Customers in chat/support, agents in desk/chat; the function leaves out what else fits.
                "detail": {"context": ["chat", "desk"], "contextId": ["support", "chat"]},
            },
            bus_name=bus_name,
            encryption=encryption,
            removal=removal,
        )
