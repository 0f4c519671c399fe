"""The tables: who is connected, which runs wait for whom, and which number each recipient's messages have come to."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from cdk_app.encryption import Encryption

BY_CONVERSATION = "ByConversation"


class Tables(Construct):
    """`Connections`, `Callbacks` and `Sequences`; one partition is one user's, and expired rows go by themselves."""

    def __init__(
        self, scope: Construct, construct_id: str, *, encryption: Encryption, removal: RemovalPolicy, protected: bool
    ) -> None:
        super().__init__(scope, construct_id)
        self._encryption = encryption
        self._removal = removal
        self._protected = protected
        # A stored connection wakes the runs that wait for it. Presence events are made of it as well: of a removed row
        # they need the key alone, which any view has.
        self.connections = self._table("Connections", sort_key="context", stream=dynamodb.StreamViewType.NEW_IMAGE)
        # Only rows with a `conversation` are in it: those whose token was allowed into theirs.
        self.connections.add_global_secondary_index(
            index_name=BY_CONVERSATION,
            partition_key=dynamodb.Attribute(name="conversation", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="caller_id", type=dynamodb.AttributeType.STRING),
            projection_type=dynamodb.ProjectionType.ALL,
        )
        self.callbacks = self._table("Callbacks", sort_key="waits_for", stream=None)
        self.sequences = self._table("Sequences", sort_key="position", stream=None)

    def _table(self, construct_id: str, *, sort_key: str, stream: dynamodb.StreamViewType | None) -> dynamodb.Table:
        return make_table(
            self,
            construct_id,
            partition_key="caller_id",
            sort_key=sort_key,
            stream=stream,
            encryption=self._encryption,
            removal=self._removal,
            protected=self._protected,
        )


def make_table(
    scope: Construct,
    construct_id: str,
    *,
    partition_key: str,
    sort_key: str,
    stream: dynamodb.StreamViewType | None,
    encryption: Encryption,
    removal: RemovalPolicy,
    protected: bool,
) -> dynamodb.Table:
    """Make a table as all of ours are: paid by use, with a past to restore, its rows gone when they expire."""
    return dynamodb.Table(
        scope,
        construct_id,
        partition_key=dynamodb.Attribute(name=partition_key, type=dynamodb.AttributeType.STRING),
        sort_key=dynamodb.Attribute(name=sort_key, type=dynamodb.AttributeType.STRING),
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        time_to_live_attribute="expiration_date",
        stream=stream,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        encryption=encryption.table,
        encryption_key=encryption.key,
        removal_policy=removal,
        deletion_protection=protected,
    )
